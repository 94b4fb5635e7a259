"""What calls on mappings do to pages and tables."""

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.physical.out_of_memory import OutOfMemory
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
@pytest.mark.parametrize("works", [0, 1])
def test_a_move_without_memory_for_tables_leaves_all_where_it_was(mode, works):
    kernel, cpu, process = machine(mode)
    span = mode.levels[-2].page_bytes
    start = process.mm.mmap(span, span + PAGE, RW, ANON | MapFlag.FIXED)
    cpu.store(start, b"first")
    cpu.store(start + span, b"last")
    process.mm.mmap(0x7000_0000, PAGE, RW, ANON | MapFlag.FIXED | MapFlag.POPULATE)
    tables, free = list(process.space.tables.tables), counted(kernel)
    alloc_table = kernel.state.frames.alloc_table
    left = iter(range(works))

    def fail():
        if next(left, None) is None:
            raise OutOfMemory(0, 0, ())
        return alloc_table()

    kernel.state.frames.alloc_table = fail
    with pytest.raises(OutOfMemory):
        process.mm.mremap(start, span + PAGE, span + PAGE, MremapFlag.MAYMOVE | MremapFlag.FIXED,
                          start + 32 * span + PAGE)
    kernel.state.frames.alloc_table = alloc_table
    assert cpu.load(start, 5) + cpu.load(start + span, 4) == b"firstlast"
    assert (process.space.tables.tables, counted(kernel)) == (tables, free)
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
@pytest.mark.parametrize("prot", [Prot.NONE, Prot.READ, RW])
def test_protect_says_of_no_page_that_it_was_accessed(mode, prot):
    _, cpu, process = machine(mode)
    start = process.mm.mmap(0, 2 * PAGE, RW, ANON)
    cpu.store(start, bytes(2 * PAGE))
    process.mm.madvise(start, PAGE, Madvise.COLD)  # clears A
    process.mm.mprotect(start, 2 * PAGE, prot)
    process.mm.mprotect(start, 2 * PAGE, RW)
    assert [bool(leaf.entry & Entry.A) for leaf in
            process.space.tables.entries(start, start + 2 * PAGE)] == [False, True]


@both
def test_advice_and_population(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 4 * PAGE, RW, ANON | MapFlag.POPULATE)
    assert process.space.rss == 4
    process.mm.madvise(start, 2 * PAGE, Madvise.DONTNEED)
    assert process.space.rss == 2
    process.mm.madvise(start, 4 * PAGE, Madvise.POPULATE_WRITE)
    assert process.space.rss == 4
    driver = process.mm.mmap(0, PAGE, RW, MapFlag.SHARED, File("/dev/driver"))
    with pytest.raises(SysError, match="ENOTSUP"):
        process.mm.madvise(driver, PAGE, Madvise.REMOVE)
    shared = process.mm.mmap(0, PAGE, RW, SHARED)
    cpu.store(shared, b"\1")
    process.mm.madvise(shared, PAGE, Madvise.REMOVE)
    assert cpu.load(shared) == b"\0"
    kernel.check()


@both
def test_a_program_s_zeros_begin_where_its_file_ends(mode):
    kernel, cpu, process = machine(mode)
    file = File("program")
    content = kernel.register_file(file, b"\x11" * (4 * PAGE))
    data = ProgramHeader(PAGE, 0x60_1000, 0x100, 3 * PAGE, RW)
    constants = ProgramHeader(2 * PAGE, 0x60_8000, 0x100, 0x200, Prot.READ)
    kernel.exec(process, Program(file, [
        ProgramHeader(0, 0x40_0000, PAGE, PAGE, Prot.READ | Prot.EXEC), data, constants]))
    assert process.space.rss == 2  # the page that was filled up is there already, and the stack
    assert cpu.load(0x60_1000, 2 * PAGE) == b"\x11" * 0x100 + bytes(2 * PAGE - 0x100)
    assert cpu.load(0x60_8000, PAGE) == b"\x11" * PAGE  # may not be written, so was not
    kernel.check()
    kernel.exit(process)
    kernel.state.page_cache.drop(file)
    assert content == b"\x11" * (4 * PAGE)
