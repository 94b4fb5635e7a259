"""The swap cache's own reference, and slots that nobody wants any more."""

from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import Madvise
from pagewalk.model.kernel.swap.disk import SOLID_STATE
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import IA32, X86_64

from .machines import ANON, MODES, PAGE, RW, machine
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def state(tmp_path):
    with SwapFile.create(tmp_path / "swap", 20, uuid=UUID(int=7)) as device:
        kernel = machine(X86_64, megabytes=4)[0]
        kernel.swapon(device)
        yield kernel.state


def out(state, references=1):
    """A page that only its slot has, and its entry."""
    pfn = state.frames.alloc()
    state.frames.write(pfn, b"p" * PAGE)
    entry = state.swap.add_to_swap(pfn)
    for _ in range(references):
        state.swap.swap_duplicate(entry)
    state.frames.put(pfn)
    assert state.frames.refcount(pfn) == 1
    state.swap.swap_writepage(pfn, state.frames.read(pfn))
    return pfn, entry


def test_a_page_lives_in_the_cache_until_it_leaves_that(state):
    before = state.frames.allocated()
    pfn, entry = out(state)
    assert state.swap.cached() == [pfn]
    assert state.swap.references() == 1
    state.swap.delete_from_swap_cache(pfn, 5)
    assert state.frames.allocated() == before
    again = state.frames.alloc()
    assert state.swap.swap_in(entry, again) == 5
    assert state.frames.read(again) == b"p" * PAGE
    assert state.frames.refcount(again) == 2


def test_the_last_entry_frees_slot_and_page(state):
    before = state.frames.allocated(), state.swap.free_slots
    _, entry = out(state, references=2)
    state.swap.free_swap_and_cache(entry)
    assert state.frames.allocated() == before[0] + 1
    state.swap.free_swap_and_cache(entry)
    assert (state.frames.allocated(), state.swap.free_slots) == before
    state.swap.check()


def test_a_page_that_somebody_maps_stays(state):
    pfn, entry = out(state)
    state.frames.get(pfn)
    state.frames.rmap.add(pfn, 9, 0x1000)
    state.swap.free_swap_and_cache(entry)
    assert state.swap.cached() == [pfn]
    state.frames.rmap.remove(pfn, 9, 0x1000)
    state.put_anon(pfn)
    assert state.swap.cached() == []


@both
def test_areas_of_one_priority_share_what_a_process_has_out(mode, tmp_path):
    kernel, cpu, process = machine(mode, megabytes=32)
    with flaky_swap(tmp_path, "one", 1000) as one, flaky_swap(tmp_path, "other", 1000) as other:
        types = [kernel.swapon(device, 5) for device in (one, other)]
        start = process.mm.mmap(0, 400 * PAGE, RW, ANON)
        for page in range(400):
            cpu.store(start + page * PAGE, b"x")
        process.mm.madvise(start, 400 * PAGE, Madvise.PAGEOUT)
        assert process.space.swapped == 400
        first = 2 if mode is IA32 else 3  # as the search for a cluster took long
        wanted = [first, first] + [64] * 6 + [12 if mode is IA32 else 10]
        assert [device.counters.pages_out for device in (one, other)] == [
            sum(wanted[at::2]) for at in range(2)]
        infos = [kernel.state.swap.info[swap_type] for swap_type in types]
        assert sum(info.inuse_pages for info in infos) == 400 + len(kernel.state.swap.slots_cache)
        kernel.exit(process)
        kernel.check()
        assert kernel.state.swap.free_slots == 2000


@both
def test_slots_of_a_disk_that_does_not_turn_come_by_clusters(mode, tmp_path):
    kernel, _, _ = machine(mode)
    with (flaky_swap(tmp_path, "turns", 2000) as turns,
          flaky_swap(tmp_path, "solid", 2000) as solid):
        solid.latency = SOLID_STATE
        areas = [kernel.state.swap.info[kernel.swapon(device)] for device in (turns, solid)]
        assert [area.clusters is None for area in areas] == [True, False]
        assert [area.cluster for area in areas] == [256 if mode is IA32 else 512] * 2
        assert areas[1].scan_swap_map_slots(1) == [areas[1].cluster]
        areas[1].clear_cache(areas[1].cluster)
