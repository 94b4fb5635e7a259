"""Frames: references, contents, and the last one that frees."""

import pytest

from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import IA32

from .machines import PAGE, counted, machine


@pytest.fixture
def kernel():
    return machine(IA32, megabytes=4)[0]


def test_a_zeroed_frame_is_one_though_it_held_something_before(kernel):
    frames = kernel.state.frames
    pfn = frames.alloc()
    frames.write(pfn, b"x" * PAGE)
    frames.put(pfn)
    for _ in range(3):
        again = frames.alloc_zeroed()
        assert frames.read(again) == bytes(PAGE)


def test_the_last_reference_frees(kernel):
    frames, before = kernel.state.frames, counted(kernel)
    pfn = frames.alloc()
    frames.get(pfn)
    assert frames.refcount(pfn) == 2
    frames.put(pfn)
    assert counted(kernel)[0] == before[0] - 1
    frames.put(pfn)
    assert counted(kernel) == before


def test_a_mapped_frame_is_not_freed(kernel):
    frames = kernel.state.frames
    pfn = frames.alloc()
    frames.rmap.add(pfn, 9, 0x1000)
    with pytest.raises(BrokenInvariant, match="is freed, but mapped"):
        frames.put(pfn)


def test_more_mappings_than_references_are_a_broken_invariant(kernel):
    frames = kernel.state.frames
    pfn = frames.alloc()
    frames.rmap.add(pfn, 9, 0x1000)
    frames.rmap.add(pfn, 10, 0x1000)
    with pytest.raises(BrokenInvariant, match="1 references, but 2 mappings"):
        frames.check()


def test_allocation_is_tried_again_as_long_as_room_is_made(kernel):
    frames, taken = kernel.state.frames, []
    asked = []

    def give_one_back(error):
        asked.append(error)
        if len(asked) > 2:
            return False
        frames.put(taken.pop())
        return True

    frames.out_of_memory = give_one_back
    with pytest.raises(OutOfMemory):
        taken.extend(frames.alloc() for _ in range(frames.end_pfn))
    assert len(asked) == 3
