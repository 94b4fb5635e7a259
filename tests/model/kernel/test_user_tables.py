"""What calls on mappings do to pages and tables."""

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, SHARED, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@both
def test_tables_go_with_the_last_mapping_that_needs_them(mode):
    _, cpu, process = machine(mode)
    tables = process.space.tables
    start = process.mm.mmap(0x5000_0000, 20 * PAGE, RW, ANON | MapFlag.FIXED)
    cpu.store(start, b"x" * (20 * PAGE))
    full = list(tables.tables)
    process.mm.munmap(start, 10 * PAGE)
    assert tables.tables == full
    process.mm.madvise(start + 10 * PAGE, 10 * PAGE, Madvise.DONTNEED)
    assert tables.tables == full  # empty, but the mapping may need it again
    process.mm.munmap(start + 10 * PAGE, 10 * PAGE)
    assert sum(tables.tables) == 1
    assert process.space.rss == 0


@both
def test_moving_takes_the_frames_along(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 8 * PAGE, RW, ANON)
    cpu.store(start, b"".join(bytes([number]) * PAGE for number in range(8)))
    frames = [process.space.tables.pfn(leaf.entry)
              for leaf in process.space.tables.entries(start, start + 8 * PAGE)]
    moved = process.mm.mremap(start, 8 * PAGE, 10 * PAGE, MremapFlag.MAYMOVE | MremapFlag.FIXED,
                              0x6000_0000)
    assert [process.space.tables.pfn(leaf.entry) for leaf in
            process.space.tables.entries(moved, moved + 8 * PAGE)] == frames
    assert cpu.load(moved + 7 * PAGE) == b"\7"
    kernel.check()


@both
def test_protect_makes_own_pages_writable_and_no_others(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 3 * PAGE, RW, ANON)
    cpu.store(start, b"own")
    cpu.load(start + PAGE)
    process.mm.mprotect(start, 2 * PAGE, Prot.READ)
    process.mm.mprotect(start, 2 * PAGE, RW)
    writable = [bool(leaf.entry & Entry.RW) for leaf in
                process.space.tables.entries(start, start + 2 * PAGE)]
    assert writable == [True, False]
    child = kernel.fork(process)
    process.mm.mprotect(start, PAGE, Prot.READ)
    process.mm.mprotect(start, PAGE, RW)
    assert not process.space.tables.lookup(start).entry & Entry.RW
    kernel.exit(child)
    kernel.check()


@both
def test_what_is_not_to_be_copied_is_not(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"a")
    cpu.store(start + PAGE, b"b")
    process.mm.madvise(start, PAGE, Madvise.WIPEONFORK)
    shared = process.mm.mmap(0, PAGE, RW, SHARED)
    cpu.store(shared, b"c")
    child = kernel.fork(process)
    assert child.space.rss == 1  # shared memory is filled by faults
    kernel.switch(child)
    assert cpu.load(start) + cpu.load(start + PAGE) + cpu.load(shared) == b"\0bc"
    kernel.check()


@both
def test_advice_and_population(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON | MapFlag.POPULATE)
    assert process.space.rss == 4
    process.mm.madvise(start, 2 * PAGE, Madvise.DONTNEED)
    assert process.space.rss == 2
    process.mm.madvise(start, 4 * PAGE, Madvise.POPULATE_WRITE)
    assert process.space.rss == 4
    shared = process.mm.mmap(0, PAGE, RW, SHARED)
    with pytest.raises(SysError, match="ENOTSUP"):
        process.mm.madvise(shared, PAGE, Madvise.REMOVE)
    assert cpu.load(shared) == b"\0"
    kernel.check()


@both
def test_check_finds_what_contradicts(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, b"x")
    cpu.load(start + PAGE)
    tables = process.space.tables
    zero = tables.find(start + PAGE)
    tables.update(zero, set=Entry.RW)
    with pytest.raises(BrokenInvariant, match="must not be writable"):
        kernel.check()
    tables.update(zero, clear=Entry.RW)
    kernel.check()
    lost = tables.exchange(tables.find(start), 0)
    with pytest.raises(BrokenInvariant, match="are counted, but there are"):
        kernel.check()
    tables.write(tables.find(start), lost)
    free = counted(kernel)
    pfn = kernel.state.frames.alloc()
    with pytest.raises(BrokenInvariant, match="frames are allocated, but"):
        kernel.check()
    kernel.state.frames.put(pfn)
    assert counted(kernel) == free


@both
def test_pages_locked_on_fault_are_not_populated(mode):
    _, cpu, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON)
    process.mm.mlock(start, 2 * PAGE, on_fault=True)
    assert process.space.rss == 0
    cpu.store(start, b"x")
    process.mm.mlock(start, 4 * PAGE)  # all of it now
    assert process.space.rss == 4
