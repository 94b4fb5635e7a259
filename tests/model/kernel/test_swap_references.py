"""The swap cache's own reference, and slots that nobody wants any more."""

from uuid import UUID

import pytest

from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import X86_64

from .machines import PAGE, machine


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
    before = state.frames.allocated(), state.swap.nr_swap_pages
    _, entry = out(state, references=2)
    state.swap.free_swap_and_cache(entry)
    assert state.frames.allocated() == before[0] + 1
    state.swap.free_swap_and_cache(entry)
    assert (state.frames.allocated(), state.swap.nr_swap_pages) == before
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
