"""Pages that the kernel makes present ahead of time, and those that it fills with zeros."""

import errno
from contextlib import suppress

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.gup import get_user_pages, store_user
from pagewalk.model.kernel.proc.smaps import smaps
from pagewalk.model.kernel.reclaim.lru import LruFlag
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, SHARED, Killed, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def short_file(kernel, pages: float = 1.5) -> File:
    """Return a file whose last page is half there."""
    file = File("short")
    kernel.register_file(file, b"\x11" * int(pages * PAGE))
    return file


def faults(process):
    """Return a list that faults of the kernel's own will be added to."""
    found, fault_in = [], process.space.fault_in

    def note(vaddr, write, retries):
        found.append((vaddr, write))
        fault_in(vaddr, write, retries)

    process.space.fault_in = note
    return found


@both
def test_only_pages_that_do_not_permit_the_access_fault(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, b"own")
    cpu.load(start + PAGE)  # the zero page
    found = faults(process)
    process.mm.madvise(start, 3 * PAGE, Madvise.POPULATE_READ)
    assert found == [(start + 2 * PAGE, False)]
    process.mm.mlock(start, 4 * PAGE)
    assert found[1:] == [(start + number * PAGE, True) for number in (1, 2, 3)]
    process.mm.mlock(start, 4 * PAGE)
    assert (len(found), process.space.rss) == (4, 4)
    kernel.check()


@both
def test_pages_read_ahead_of_time_are_minor_faults(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, MapFlag.PRIVATE, short_file(kernel))
    process.mm.mlock(start, PAGE)
    assert (process.min_flt, process.maj_flt, kernel.state.page_cache.pages_in) == (1, 0, 1)
    cpu.load(start + PAGE)
    assert (process.min_flt, process.maj_flt, kernel.state.page_cache.pages_in) == (1, 1, 2)


def pfn_of(process, vaddr):
    return process.space.tables.pfn(process.space.tables.lookup(vaddr).entry)


@both
def test_a_page_that_may_be_written_already_is_dirty_itself_and_not_its_entry(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 3 * PAGE, RW, SHARED)
    for number in range(3):
        cpu.load(start + number * PAGE)
    found = faults(process)
    process.mm.madvise(start, PAGE, Madvise.POPULATE_WRITE)
    process.mm.madvise(start + PAGE, PAGE, Madvise.POPULATE_READ)
    assert not found
    assert not any(leaf.entry & Entry.D
                   for leaf in process.space.tables.entries(start, start + 3 * PAGE))
    pages = [pfn_of(process, start + number * PAGE) for number in range(3)]
    assert [kernel.state.page_cache.is_dirty(pfn) for pfn in pages] == [True, False, False]
    assert [bool(kernel.state.lruvec.flags(pfn) & LruFlag.REFERENCED) for pfn in pages] == [
        True, True, False]
    kernel.check()


@both
def test_free_pages_that_are_made_ready_for_writes_are_not_given_up(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    for number in range(2):
        cpu.store(start + number * PAGE, b"data")
    process.mm.madvise(start, 2 * PAGE, Madvise.FREE)
    assert "LazyFree:              8 kB" in smaps(kernel.state, process)
    process.mm.madvise(start, PAGE, Madvise.POPULATE_WRITE)
    assert "LazyFree:              4 kB" in smaps(kernel.state, process)
    assert not process.space.tables.lookup(start).entry & Entry.D
    process.mm.madvise(start, 2 * PAGE, Madvise.PAGEOUT)
    assert process.space.rss == 1
    assert [cpu.load(start + number * PAGE, 4) for number in range(2)] == [b"data", bytes(4)]
    kernel.check()


@both
@pytest.mark.parametrize("flags", [ANON, SHARED], ids=["private", "shared"])
def test_advice_does_not_make_memory_writable(mode, flags):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, Prot.READ, flags)
    assert SystemCalls(kernel).madvise(start, PAGE, Madvise.POPULATE_WRITE) == -errno.EINVAL
    with pytest.raises(Killed):
        cpu.store(start, b"x")
    kernel.check()


@both
@pytest.mark.parametrize(("prot", "write"), [(Prot.READ, True), (Prot.NONE, True),
                                             (Prot.NONE, False)])
def test_the_kernel_may_do_no_more_than_the_process(mode, prot, write):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x")
    process.mm.mprotect(start, 2 * PAGE, prot)
    vma = process.mm.tree.lookup(start)
    for page in (start, start + PAGE):
        with pytest.raises(SysError) as info:
            process.space.populate(vma, page, page + PAGE, write)
        assert info.value.errno == errno.EFAULT
        kernel.check()
    assert process.space.rss == 1


@both
def test_advice_about_what_nobody_may_access_is_refused(mode):
    kernel, _, process = machine(mode)
    start = process.mm.mmap(0, PAGE, Prot.NONE, ANON)
    assert SystemCalls(kernel).madvise(start, PAGE, Madvise.POPULATE_READ) == -errno.EINVAL
    assert process.space.rss == 0
    kernel.check()


@both
def test_the_end_of_a_file_ends_what_is_populated(mode):
    kernel, _, process = machine(mode)
    call = SystemCalls(kernel)
    fd = call.open(short_file(kernel))
    start = call.mmap(0, 4 * PAGE, RW, MapFlag.PRIVATE | MapFlag.POPULATE, fd)
    assert start > 0
    assert process.space.rss == 2
    assert call.madvise(start, 4 * PAGE, Madvise.POPULATE_READ) == -errno.EFAULT
    with pytest.raises(SysError, match="ENOMEM"):
        process.mm.mlock(start, 4 * PAGE)
    assert process.mm.locked_vm == 4
    kernel.check()


@both
def test_memory_locked_as_it_is_touched_gets_no_page(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    process.mm.mlock(start, 4 * PAGE, on_fault=True)
    assert process.space.rss == 0
    cpu.store(start, b"x")
    assert process.space.rss == 1
    kernel.check()


@both
def test_locked_memory_that_becomes_writable_is_the_process_s_own_at_once(mode):
    kernel, _, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, Prot.READ, ANON | MapFlag.LOCKED)
    process.mm.mprotect(start, 2 * PAGE, RW)
    assert process.space.rss == 2
    assert all(leaf.entry & Entry.RW for leaf in
               process.space.tables.entries(start, start + 2 * PAGE))
    kernel.check()


@both
def test_zeros_are_stored_as_the_process_would(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 3 * PAGE, RW, MapFlag.PRIVATE, short_file(kernel, 3))
    cpu.load(start)
    child = kernel.fork(process)
    space = process.space
    store_user(space.tables, space.fault_in, start + 10, bytes(PAGE - 10))
    space.tables.update(space.tables.find(start), clear=Entry.D)
    store_user(space.tables, space.fault_in, start + 20, bytes(PAGE))
    assert cpu.load(start, PAGE) == b"\x11" * 10 + bytes(PAGE - 10)
    assert cpu.load(start + PAGE, 21) == bytes(20) + b"\x11"
    assert space.rss == 2
    assert all(leaf.entry & Entry.D for leaf in space.tables.entries(start, start + 2 * PAGE))
    kernel.switch(child)
    assert cpu.load(start + 10) == b"\x11"
    kernel.check()


@both
def test_bytes_are_stored_across_pages_in_their_order(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    data = bytes(number % 251 for number in range(2 * PAGE + 9))
    process.space.store(start + PAGE - 3, data)
    assert cpu.load(start + PAGE - 4, len(data) + 2) == b"\0" + data + b"\0"
    kernel.check()


@both
def test_zeros_end_where_a_page_is_not_to_be_had(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 3 * PAGE, RW, MapFlag.PRIVATE, short_file(kernel, 1))
    space = process.space
    with pytest.raises(SysError, match="EFAULT"):
        store_user(space.tables, space.fault_in, start + PAGE - 4, bytes(8))
    assert cpu.load(start + PAGE - 5, 5) == b"\x11\0\0\0\0"
    with pytest.raises(SysError, match="EFAULT"):
        get_user_pages(space.tables, space.fault_in, start, start + 2 * PAGE, write=False,
                       touch=lambda _leaf: None)
    kernel.check()


CALLS = {
    "mmap": lambda mm, _at: mm.mmap(0, 3 * PAGE, RW, ANON | MapFlag.POPULATE),
    "mlock": lambda mm, at: mm.mlock(at, 6 * PAGE),
    "mprotect": lambda mm, at: (mm.mlock(at, 3 * PAGE, on_fault=True),
                                mm.mlock(at, 3 * PAGE), mm.mprotect(at, 3 * PAGE, RW)),
    "mremap": lambda mm, at: mm.mremap(at, 6 * PAGE, 600 * PAGE, MremapFlag.MAYMOVE),
    "brk": lambda mm, _at: mm.brk(mm.start_brk + 4 * PAGE),
    "madvise": lambda mm, at: mm.madvise(at + 3 * PAGE, 3 * PAGE, Madvise.POPULATE_WRITE),
}


@pytest.mark.slow
@both
@pytest.mark.parametrize("works", range(6))
@pytest.mark.parametrize("name", CALLS)
def test_a_call_cut_short_leaves_all_as_its_counts_say(mode, name, works):
    kernel, cpu, process = machine(mode)
    mm = process.mm
    start = mm.mmap(0x5000_0000, 6 * PAGE, Prot.READ, ANON | MapFlag.FIXED)
    mm.mprotect(start + 3 * PAGE, 3 * PAGE, RW)
    if name == "mremap":
        mm.mprotect(start, 6 * PAGE, RW)
        cpu.store(start, b"kept")
        mm.mlock(start, 6 * PAGE)
        mm.mmap(start + 6 * PAGE, PAGE, RW, ANON | MapFlag.FIXED)  # so that it must move
    if name == "brk":
        mm.start_brk = mm.brk_end = 0x6000_0000
        mm.def_flags = VmFlag.LOCKED
    allocator, left = kernel.state.allocator, iter(range(works))
    alloc_pages = allocator.alloc_pages

    def fail(*arguments):
        if next(left, None) is None:
            raise OutOfMemory(0, 0, ())
        return alloc_pages(*arguments)

    allocator.alloc_pages = fail
    with suppress(OutOfMemory), kernel.oom.disabled():
        CALLS[name](mm, start)
    allocator.alloc_pages = alloc_pages
    kernel.check()
    if name == "mremap":
        moved = next(vma.start for vma in mm if vma.flags & VmFlag.LOCKED)
        assert cpu.load(moved, 4) == b"kept"
    if name == "brk":
        assert mm.brk_end == mm.tree.lookup(mm.start_brk).end
    kernel.exit(process)
    kernel.check()
