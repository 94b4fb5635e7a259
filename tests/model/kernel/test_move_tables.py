"""mremap and the tables of what it moves.

Counts of 64-bit tables are those of VmPTE on Linux, before and after the same calls.
"""

from itertools import count

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import walk
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, InvalidateOp

from .machines import ANON, MODES, PAGE, RW, machine, owed
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED
FIXED = ANON | MapFlag.FIXED | MapFlag.NORESERVE
GBYTE = 1 << 30


class World:
    """A machine and a process; addresses are counted in ranges of one page table."""

    def __init__(self, mode, megabytes=16):
        self.kernel, self.cpu, self.process = machine(mode, megabytes)
        self.mm, self.space = self.process.mm, self.process.space
        self.span = mode.levels[-2].page_bytes
        self.area = 16 * self.span if mode is IA32 else 1 << 44

    def at(self, spans, pages=0):
        return self.area + spans * self.span + pages * PAGE

    def map(self, spans, length, *touched):
        """Map a length in bytes, and store to some of its pages, counted in bytes."""
        start = self.mm.mmap(self.at(spans), length, RW, FIXED)
        for offset in touched:
            self.cpu.store(start + offset, offset.to_bytes(8, "little"))
        owed(self.kernel)
        return start

    def move(self, old, length, new, flags=TO):
        assert self.mm.mremap(old, length, length, flags, new) == new
        self.kernel.check()

    def holds(self, start, *offsets):
        return all(self.cpu.load(start + offset, 8) == offset.to_bytes(8, "little")
                   for offset in offsets)

    @property
    def vm_pte(self):
        """Tables beside the root, in kB as in /proc/PID/status."""
        return self.space.tables.pgtables_bytes >> 10

    def table(self, vaddr, depth=-1):
        """The frame of the table that has the entry of an address, at a depth."""
        tables = self.space.tables
        depth %= len(self.kernel.mode.levels)
        return (tables.find(vaddr, depth) or 0) // PAGE


@both
def test_a_whole_table_moves_as_it_is(mode):
    world = World(mode)
    last = world.span - PAGE
    old = world.map(0, world.span, 0, last)
    frame, before = world.table(old), world.vm_pte
    world.move(old, world.span, world.at(64))
    assert [one.op for one in owed(world.kernel)] == [InvalidateOp.MOV_CR3]
    assert (world.table(world.at(64)), world.vm_pte) == (frame, before)
    assert world.holds(world.at(64), 0, last)
    assert world.space.tables.find(old) is None
    world.move(world.at(64), world.span, world.at(4, 1))  # not aligned alike: into two new ones
    assert world.vm_pte == before + 4
    assert frame not in (world.table(world.at(4, 1)), world.table(world.at(5)))
    assert world.holds(world.at(4, 1), 0, last)
    world.mm.munmap(world.at(4, 1), world.span)
    assert world.vm_pte == 0


@both
def test_a_walk_finds_the_same_entries_at_the_same_depth(mode):
    world = World(mode)
    old = world.map(0, world.span, 5 * PAGE)
    before = world.space.tables.lookup(old + 5 * PAGE)
    world.move(old, world.span, world.at(8))
    after = world.space.tables.lookup(world.at(8, 5))
    assert (after.paddr, after.entry) == (before.paddr, before.entry)
    found = walk(world.kernel.state.memory, mode, world.kernel.control,
                 Access(world.at(8, 5), AccessKind.READ, user=True))
    assert found.steps[-1].paddr == after.paddr
    assert len(found.steps) == len(mode.levels)


@both
def test_parts_of_tables_move_entry_by_entry(mode):
    world = World(mode)
    old = world.map(0, 3 * world.span, *range(PAGE, 3 * world.span, world.span // 2))
    start, length = old + 3 * PAGE, 2 * world.span
    tables = [world.table(old + at * world.span) for at in range(3)]
    world.move(start, length, world.at(8, 3))
    assert world.table(world.at(9)) == tables[1]  # the one in the middle
    assert {world.table(world.at(8, 3)), world.table(world.at(10))}.isdisjoint(tables)
    touched = [at - 3 * PAGE for at in range(PAGE, 3 * world.span, world.span // 2)]
    for offset in touched:
        if 0 <= offset < length:
            assert world.cpu.load(world.at(8, 3) + offset, 8) == (
                offset + 3 * PAGE).to_bytes(8, "little")
    assert world.holds(old, PAGE)


@both
def test_empty_tables_have_tables_at_the_new_place(mode):
    world = World(mode)
    old = world.map(0, world.span, 0)
    world.mm.madvise(old, world.span, Madvise.DONTNEED)
    before = world.vm_pte
    half = world.span // 2
    world.move(old, half, world.at(8))
    assert world.vm_pte == before + 4  # 12 and 16 kB for 64 bits
    world.move(old + half, half, world.at(16))
    assert world.vm_pte == before + 4  # the old table went with its last mapping


@both
def test_memory_that_was_never_touched_takes_no_tables_along(mode):
    world = World(mode)
    old = world.map(0, 2 * world.span)
    world.move(old, 2 * world.span, world.at(8))
    assert world.vm_pte == 0
    world.cpu.store(world.at(8), b"x")
    before = world.vm_pte
    far = world.at(200) if mode is IA32 else world.area + 512 * GBYTE
    world.move(world.at(9), world.span, far)
    # Where there is an upper table at the old place, there is one at the new.
    assert world.vm_pte == before + (0 if mode is IA32 else 4)


def test_a_table_of_tables_moves_too_for_64_bits():
    world = World(X86_64)
    touched = (0, GBYTE // 2, GBYTE - PAGE)
    old = world.map(0, GBYTE, *touched)
    middle, lasts = world.table(old, 2), [world.table(old + at) for at in touched]
    assert world.vm_pte == 20
    new = world.area + 5 * GBYTE
    world.move(old, GBYTE, new)
    assert [one.op for one in owed(world.kernel)] == [InvalidateOp.MOV_CR3]
    assert (world.table(new, 2), world.vm_pte) == (middle, 20)
    assert world.holds(new, *touched)
    shifted = world.area + 9 * GBYTE + world.span
    world.move(new, GBYTE, shifted)
    assert [world.table(shifted + at) for at in touched] == lasts
    assert world.table(shifted, 2) != middle
    assert world.vm_pte == 24
    assert world.holds(shifted, *touched)
    world.mm.munmap(shifted, GBYTE)
    assert world.vm_pte == 0


@both
def test_swap_entries_and_pages_that_nobody_may_access_move_along(mode, tmp_path):
    world = World(mode)
    with flaky_swap(tmp_path, "swap", 100) as device:
        world.kernel.swapon(device)
        pages = [at * PAGE for at in range(4)]
        old = world.map(0, world.span, *pages)
        world.mm.madvise(old, 2 * PAGE, Madvise.PAGEOUT)
        world.mm.mprotect(old + 2 * PAGE, PAGE, Prot.NONE)
        world.cpu.load(old + 9 * PAGE)  # zeros
        assert (world.space.rss, world.space.swapped) == (2, 2)
        for new in (world.at(8), world.at(16, 1)):
            for vma in list(world.mm):
                start, length = vma.start, vma.end - vma.start
                world.move(start, length, new + (start - old))
            old = new
        assert (world.space.rss, world.space.swapped) == (2, 2)
        world.mm.mprotect(old + 2 * PAGE, PAGE, RW)
        assert world.holds(old, *pages)
        assert world.cpu.load(old + 9 * PAGE) == b"\0"
        world.kernel.exit(world.process)
        world.kernel.check()


@both
@pytest.mark.parametrize("works", range(3))
def test_what_has_moved_moves_back_if_there_is_no_memory_for_the_rest(mode, works):
    world = World(mode)
    touched = [at * world.span + 3 * PAGE for at in range(3)]
    old = world.map(0, 3 * world.span, *touched)
    before = world.vm_pte, [world.table(old + at) for at in touched]
    frames, made = world.kernel.state.frames, count()
    alloc_table = frames.alloc_table

    def fail():
        if next(made) >= works:
            raise OutOfMemory(0, 0, ())
        return alloc_table()

    frames.alloc_table = fail
    with pytest.raises(OutOfMemory):
        world.move(old, 3 * world.span - PAGE, world.at(64, 1))
    frames.alloc_table = alloc_table
    world.kernel.check()
    assert (world.vm_pte, [world.table(old + at) for at in touched]) == before
    assert world.holds(old, *touched)


@both
def test_a_table_that_moved_moves_back_if_there_is_no_memory_for_the_rest(mode):
    world = World(mode)
    old = world.map(0, 2 * world.span, 0, world.span)
    before = world.vm_pte, world.table(old), world.table(old + world.span)
    frames = world.kernel.state.frames
    world.mm.mmap(world.at(70), PAGE, RW, FIXED | MapFlag.POPULATE)

    def fail():
        raise OutOfMemory(0, 0, ())

    alloc_table, frames.alloc_table = frames.alloc_table, fail
    with pytest.raises(OutOfMemory):
        world.move(old, 2 * world.span - PAGE, world.at(64))
    frames.alloc_table = alloc_table
    world.kernel.check()
    assert (world.vm_pte - 4, world.table(old), world.table(old + world.span)) == before
    assert world.holds(old, 0, world.span)


@both
def test_a_huge_page_takes_the_table_along_that_is_kept_for_it(mode):
    world = World(mode, 64)
    world.kernel.state.thp.enabled = ThpEnabled.ALWAYS
    size, tables = world.span, world.space.tables
    old = world.map(0, 3 * size, 0, size)
    world.cpu.load(old + 2 * size)  # the huge zero page has one, too
    upper = 0 if mode is IA32 else 8
    assert world.vm_pte == upper + 12
    kept = tables.deposits.frames
    far = world.at(200) if mode is IA32 else world.area + 512 * GBYTE
    world.move(old, size, far)
    assert world.vm_pte == 2 * upper + 12
    assert sorted(tables.deposits.frames) == sorted(kept)
    world.space.thp.split_at(far)
    assert world.table(far) == kept[0]  # the latest
    assert world.holds(far, 0)
    world.mm.munmap(far, size)
    assert world.vm_pte == upper + 8
    child = world.kernel.fork(world.process)
    assert child.space.tables.pgtables_bytes >> 10 == upper + 8
