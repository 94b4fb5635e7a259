"""Advice about pages: what becomes of them on the LRU lists, in page tables and in swap."""

import re
from contextlib import closing
from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import Madvise
from pagewalk.model.kernel.proc.smaps import smaps
from pagewalk.model.kernel.reclaim.lru import LruList
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with closing(SwapFile.create(tmp_path / "swap", 100, uuid=UUID(int=1))) as device:
        yield device


def pfn_of(process, vaddr):
    return process.space.tables.pfn(process.space.tables.lookup(vaddr).entry)


@both
def test_pages_that_are_paged_out_are_in_swap_and_come_back(mode, swap):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 8 * PAGE, RW, ANON)
    for number in range(0, 8, 2):
        cpu.store(start + number * PAGE, bytes([number + 1]))
    cpu.load(start + PAGE)  # the zero page
    process.mm.madvise(start, 8 * PAGE, Madvise.PAGEOUT)
    assert (process.space.rss, process.space.swapped) == (0, 4)
    assert swap.counters.pages_out == 4
    kernel.check()
    assert [cpu.load(start + number * PAGE)[0] for number in range(8)] == [1, 0, 3, 0, 5, 0, 7, 0]
    assert process.maj_flt == 4
    kernel.check()


@both
def test_only_the_pages_of_the_range_go(mode, swap):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 8 * PAGE, RW, ANON)
    cpu.store(start, b"x" * 8 * PAGE)
    process.mm.madvise(start + 2 * PAGE, 3 * PAGE, Madvise.PAGEOUT)
    out = [process.space.tables.lookup(start + number * PAGE).entry & Entry.P == 0
           for number in range(8)]
    assert out == [False, False, True, True, True, False, False, False]


@both
def test_pages_that_others_map_stay(mode, swap):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x" * 2 * PAGE)
    kernel.fork(process)
    cpu.store(start, b"y")  # a page of its own
    process.mm.madvise(start, 2 * PAGE, Madvise.PAGEOUT)
    assert process.space.swapped == 1
    kernel.check()


@both
def test_without_swap_pages_stay_where_they_are(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"x")
    process.mm.madvise(start, PAGE, Madvise.PAGEOUT)
    assert process.space.rss == 1
    assert pfn_of(process, start) in kernel.state.lruvec
    kernel.check()


@both
def test_cold_pages_are_inactive_and_not_accessed(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x" * 2 * PAGE)
    lruvec, pages = kernel.state.lruvec, [pfn_of(process, start + at) for at in (0, PAGE)]
    for pfn in pages:
        lruvec.activate(pfn)
        lruvec.set_referenced(pfn)
    process.mm.madvise(start, PAGE, Madvise.COLD)
    assert [lruvec.list_of(pfn) for pfn in pages] == [LruList.INACTIVE_ANON, LruList.ACTIVE_ANON]
    assert [lruvec.test_clear_referenced(pfn) for pfn in pages] == [False, True]
    assert [bool(process.space.tables.lookup(start + at).entry & Entry.A)
            for at in (0, PAGE)] == [False, True]
    cpu.load(start)
    assert process.space.tables.lookup(start).entry & Entry.A  # the TLB had forgotten it
    kernel.check()


def press(cpu, process, pages=1500):
    """Use so much memory that others must leave it."""
    start = process.mm.mmap(0, pages * PAGE, RW, ANON)
    for number in range(pages):
        cpu.store(start + number * PAGE, b"p")


@pytest.fixture
def large(tmp_path):
    with closing(SwapFile.create(tmp_path / "swap", 4000, uuid=UUID(int=1))) as device:
        yield device


@pytest.mark.slow
@both
def test_free_pages_go_without_being_written_unless_they_are_written_to(mode, large):
    kernel, cpu, process = machine(mode, megabytes=4)
    kernel.swapon(large)
    start = process.mm.mmap(0, 40 * PAGE, RW, ANON)
    for number in range(40):
        cpu.store(start + number * PAGE, b"data")
    process.mm.madvise(start, 40 * PAGE, Madvise.FREE)
    assert process.space.rss == 40  # until memory is needed
    for number in range(0, 40, 2):
        cpu.store(start + number * PAGE, b"kept")
    written = large.counters.pages_out
    process.mm.madvise(start, 40 * PAGE, Madvise.PAGEOUT)
    kernel.check()
    assert large.counters.pages_out == written  # those that were written to are only active now
    kept = [pfn_of(process, start + number * PAGE) for number in range(0, 40, 2)]
    assert process.space.rss == 20
    assert {kernel.state.lruvec.list_of(pfn) for pfn in kept} == {LruList.ACTIVE_ANON}
    press(cpu, process)
    assert large.counters.pages_out > written
    kernel.check()
    for number in range(40):
        assert cpu.load(start + number * PAGE, 4) == (b"\0\0\0\0" if number % 2 else b"kept")
    kernel.exit(process)
    kernel.check()


@both
@pytest.mark.parametrize("how", ["populate", "lock"])
def test_free_pages_are_kept_once_they_are_made_ready_to_be_written(mode, swap, how):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, b"x" * 4 * PAGE)
    process.mm.madvise(start, 4 * PAGE, Madvise.FREE)
    process.mm.madvise(start + 3 * PAGE, PAGE, Madvise.POPULATE_READ)
    if how == "populate":
        process.mm.madvise(start, 3 * PAGE, Madvise.POPULATE_WRITE)
    else:
        process.mm.mlock(start, 3 * PAGE)
        process.mm.munlock(start, 3 * PAGE)
    process.mm.madvise(start, 4 * PAGE, Madvise.PAGEOUT)
    assert process.space.rss == 3
    assert cpu.load(start, 4 * PAGE) == b"x" * 3 * PAGE + bytes(PAGE)
    kernel.check()


@both
def test_free_pages_that_are_in_swap_go_at_once(mode, swap):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, b"x" * 4 * PAGE)
    free = kernel.state.swap.free_slots
    process.mm.madvise(start, 4 * PAGE, Madvise.PAGEOUT)
    cpu.load(start + 3 * PAGE)  # in memory, and still in its slot
    process.mm.madvise(start, 4 * PAGE, Madvise.FREE)
    assert kernel.state.swap.free_slots == free
    assert (process.space.rss, process.space.swapped) == (1, 0)
    assert cpu.load(start, 1) == b"\0"
    assert cpu.load(start + 3 * PAGE, 1) == b"x"
    kernel.check()


@both
def test_a_page_that_one_process_frees_is_kept_for_another(mode, large):
    kernel, cpu, process = machine(mode, megabytes=4)
    kernel.swapon(large)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"x")
    child = kernel.fork(process)
    pfn = pfn_of(process, start)
    process.mm.madvise(start, PAGE, Madvise.FREE)
    assert kernel.state.lruvec.is_file(pfn)
    assert [bool(one.space.tables.lookup(start).entry & Entry.D)
            for one in (process, child)] == [False, True]
    kernel.state.reclaimer.reclaim_pages([pfn])
    kernel.check()
    kernel.switch(child)
    assert cpu.load(start) == b"x"
    kernel.exit(child)
    kernel.check()


@both
def test_shared_pages_that_have_been_out_are_not_freed(mode, swap):
    kernel, cpu, process = machine(mode)
    kernel.swapon(swap)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x" * 2 * PAGE)
    process.mm.madvise(start, 2 * PAGE, Madvise.PAGEOUT)
    cpu.load(start, 2 * PAGE)  # the entries are clean
    pages = [pfn_of(process, start + at) for at in (0, PAGE)]
    assert kernel.state.swap.free_swap(pages[0])  # the other stays in the swap cache
    child = kernel.fork(process)
    process.mm.madvise(start, 2 * PAGE, Madvise.FREE)
    assert [kernel.state.lruvec.is_file(pfn) for pfn in pages] == [False, False]
    kernel.exit(child)
    process.mm.madvise(start, 2 * PAGE, Madvise.FREE)
    assert [kernel.state.lruvec.is_file(pfn) for pfn in pages] == [True, True]
    kernel.check()


@both
def test_what_is_given_up_while_another_has_it_locked_is_clean_and_no_more(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"data")
    child = kernel.fork(process)
    child.mm.mlock(start, PAGE, on_fault=True)
    process.mm.madvise(start, PAGE, Madvise.FREE)
    found = re.findall(r"(Shared_\w+|LazyFree): +[1-9]", smaps(kernel.state, process))
    assert found == ["Shared_Clean"]
    assert re.findall(r"(Shared_\w+|LazyFree): +[1-9]", smaps(kernel.state, child)) == [
        "Shared_Dirty"]
    kernel.check()
