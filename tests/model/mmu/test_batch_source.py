"""Where a batch finds its entries: frames near each other or not, or rows with their own."""

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.batch import Accesses, FrameSource, RowSource, walk_batch
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import BusError, PhysicalMemory
from pagewalk.model.x86 import IA32, MODES, X86_64, Entry, Vector

from .scalar import assert_same, random_accesses, random_controls, random_memory, walk_each

every_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)

GRANT = Entry.P | Entry.RW | Entry.US


@every_mode
@pytest.mark.parametrize("pfns", [
    [7], [0], [0, 1, 2], [5, 3, 4], [0xFFFFF, 0xFFFFE], [3, 0, 0x80000, 0xFFFFF], [],
], ids=str)
def test_each_frame_is_found_and_no_other(mode, pfns):
    memory = PhysicalMemory()
    memory.add(pfns)
    per_frame = 4096 // mode.entry_bytes
    asked = sorted({near for pfn in [0, *pfns, 1 << 40] for near in (pfn, pfn + 1, abs(pfn - 1))})
    for index in (0, per_frame - 1):
        places = np.empty(len(asked), np.intp)
        FrameSource(memory, mode).locate(0, slice(0, len(asked)), np.array(asked, np.uint64),
                                         np.full(len(asked), index, np.uint64), places)
        expected = [pfns.index(pfn) * per_frame + index if pfn in pfns else None for pfn in asked]
        assert [place if place >= 0 else None for place in places.tolist()] == expected


@every_mode
@pytest.mark.parametrize("pfns", [[7], [], [3, 0, 0x80000]], ids=str)
@pytest.mark.parametrize("bound", [1, 4, 8, 0x10_0000])
def test_absent_frames_below_a_bound_are_found_among_the_zeros(mode, pfns, bound):
    memory = PhysicalMemory(zero_below=bound << 12)
    memory.add(pfns)
    memory.load(np.array(pfns, np.uint64), np.ones((len(pfns), 512), np.uint64))
    asked = sorted({near for pfn in [0, bound, *pfns, 1 << 40]
                    for near in (pfn, pfn + 1, abs(pfn - 1))})
    source, places = FrameSource(memory, mode), np.empty(len(asked), np.intp)
    index = 4096 // mode.entry_bytes - 2
    source.locate(0, slice(0, len(asked)), np.array(asked, np.uint64),
                  np.full(len(asked), index, np.uint64), places)
    found = [int(source.words[place]) if place >= 0 else None for place in places.tolist()]
    assert found == [1 if pfn in pfns else 0 if pfn < bound else None for pfn in asked]


# Rows with entries of their own


class RowMemory:
    """A memory that consists of the entries of one row."""

    def __init__(self, paddrs, entries):
        self.entries = {paddr: entry for paddr, entry in zip(paddrs, entries, strict=True) if paddr}

    def read(self, paddr, _size):
        if paddr not in self.entries:
            raise BusError(paddr)
        return self.entries[paddr]

    def compare_exchange(self, paddr, _size, expected, desired):
        assert self.entries[paddr] == expected
        self.entries[paddr] = desired
        return expected


def recorded(mode, seed, count=600):
    """Return random rows, the entries they would read, and their registers.

    A tenth of the entries is not there, and no row knows of what another has set.
    """
    rng = default_rng(seed)
    memory, cr3 = random_memory(rng, mode, 40)
    control, accesses = random_controls(rng, mode, cr3, count), random_accesses(rng, mode, count)
    frames = memory.copy()
    steps = walk_each(frames, mode, control, accesses).steps
    steps.paddr[rng.random(steps.paddr.shape) < 0.1] = 0
    before = memory.frames.view(f"<u{mode.entry_bytes}").reshape(-1)
    pfns, rows = memory.index()
    at = rows[np.minimum(np.searchsorted(pfns, steps.paddr >> 12), len(pfns) - 1)].astype(int)
    places = at * (4096 // mode.entry_bytes) + (steps.paddr & 0xFFF).astype(int) // mode.entry_bytes
    return control, accesses, steps.paddr, before[places].astype(np.uint64)


@every_mode
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_row_is_walked_through_its_own_entries(mode, seed):
    control, accesses, paddrs, entries = recorded(mode, seed)
    memories = [RowMemory(*row) for row in zip(paddrs.tolist(), entries.tolist(), strict=True)]
    expected = walk_each(memories, mode, control, accesses)
    assert set(expected.vector.tolist()) >= {0, Vector.PF, Vector.MC}
    for steps in (True, False):
        source = RowSource(mode, paddrs, entries)
        assert_same(walk_batch(source, mode, control, accesses, steps=steps), expected)
        after = [[memory.entries.get(paddr, entry) for paddr, entry in zip(*row, strict=True)]
                 for memory, *row in zip(memories, paddrs.tolist(), entries.tolist(), strict=True)]
        assert source.entries.tolist() == after


def test_a_row_that_uses_one_entry_twice_meets_its_own_flag():
    paddrs = np.array([[0x1000, 0x1000]] * 2, np.uint64)
    source = RowSource(IA32, paddrs, np.full((2, 2), 0x1000 | GRANT, np.uint64))
    walks = walk_batch(source, IA32, Control(0x1000), Accesses([0xABC, 0xDEF]), steps=True)
    assert walks.steps.entry.tolist() == [[0x1000 | GRANT, 0x1000 | GRANT | Entry.A]] * 2
    assert source.entries.tolist() == [[0x1000 | GRANT | Entry.A] * 2] * 2


def test_no_address_is_not_the_address_zero():
    """A row whose walk is not to come to a level has nothing there, not even at address 0."""
    paddrs = np.array([[0x1000, 0]], np.uint64)
    source = RowSource(IA32, paddrs, np.array([[GRANT, GRANT]], np.uint64))
    walks = walk_batch(source, IA32, Control(0x1000), Accesses(0xABC))
    assert walks.vector.tolist() == [Vector.MC]
    assert source.entries.tolist() == [[GRANT | Entry.A, GRANT]]


def test_what_was_recorded_is_not_changed():
    paddrs, entries = np.full((1, 2), 0x1000, np.uint64), np.full((1, 2), 0x1000 | GRANT, np.uint64)
    source = RowSource(IA32, paddrs, entries)
    walk_batch(source, IA32, Control(0x1000), Accesses(0))
    assert (entries == 0x1000 | GRANT).all()
    assert (source.entries != entries).all()


@pytest.mark.parametrize(("paddrs", "entries"), [((3, 4), (2, 4)), ((3, 2), (3, 2)), ((4,), (4,))])
def test_arrays_that_do_not_fit_are_refused(paddrs, entries):
    with pytest.raises(ValueError, match=r"^Addresses and entries must have the shape \(N, 4\), "):
        RowSource(X86_64, np.zeros(paddrs, np.uint64), np.zeros(entries, np.uint64))
