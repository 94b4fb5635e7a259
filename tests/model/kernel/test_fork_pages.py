"""What a fork gives a child of its parent's pages."""

from itertools import count

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag
from pagewalk.model.address_space.vma import SpecialMapping, Vma, VmFlag
from pagewalk.model.kernel.thp import ThpEnabled

from .machines import ANON, MODES, PAGE, RW, SHARED, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
AREA = 0x4000_0000


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
def test_a_child_has_every_table_that_its_parent_has_even_empty_ones(mode):
    kernel, cpu, process = machine(mode)
    span = mode.levels[-2].page_bytes
    process.mm.mmap(AREA, 4 * span, RW, ANON | MapFlag.FIXED | MapFlag.NORESERVE)
    for at in (0, 2):
        cpu.store(AREA + at * span, b"x")
    process.mm.madvise(AREA, span, Madvise.DONTNEED)
    parent = process.space.tables
    child = kernel.fork(process).space.tables
    assert child.tables == parent.tables
    assert [child.find(AREA + at * span) is None for at in range(4)] == [False, True, False, True]
    kernel.check()


@both
def test_a_child_has_no_tables_for_what_faults_can_fill(mode):
    kernel, cpu, process = machine(mode)
    process.mm.mmap(AREA, PAGE, RW, ANON | MapFlag.FIXED)
    cpu.load(AREA)
    assert process.space.tables.pgtables_bytes == (len(mode.levels) - 1) * PAGE
    assert kernel.fork(process).space.tables.pgtables_bytes == 0


@both
def test_a_child_has_the_frames_that_nobody_counts(mode):
    """A fault could not fill them in anew. [vma_needs_copy]"""
    kernel, cpu, process = machine(mode)
    special = SpecialMapping("[vvar]")
    for at, flags in ((0, VmFlag.PFNMAP | VmFlag.IO), (1, 0)):
        process.mm.tree.insert(Vma(AREA + at * PAGE, AREA + (at + 1) * PAGE, VmFlag.READ
                                   | VmFlag.MAYREAD | flags, 0, special=special))
        process.mm.account(VmFlag.READ, 1)
        cpu.load(AREA + at * PAGE)
    child = kernel.fork(process)
    assert [leaf.vaddr for leaf in child.space.tables.entries(AREA, AREA + 2 * PAGE)] == [AREA]
    kernel.check()


def with_huge_page(mode):
    """A machine whose process has filled a transparent huge page."""
    kernel, cpu, process = machine(mode, 64)
    kernel.state.thp.enabled = ThpEnabled.ALWAYS
    size = kernel.state.thp.page_bytes
    process.mm.mmap(AREA, size, RW, ANON | MapFlag.FIXED)
    for at in range(0, size, 64 * PAGE):
        cpu.store(AREA + at, bytes([1 + at // PAGE % 251]))
    assert process.space.thp.deposits
    return kernel, cpu, process, size


def split_by_a_table(kernel, process, monkeypatch, number):
    """Let the table of that number be had by a split of the huge page, as reclaim may do."""
    alloc_table, calls = kernel.state.frames.alloc_table, count(1)

    def alloc():
        if next(calls) == number:
            process.space.thp.split_at(AREA)
        return alloc_table()

    monkeypatch.setattr(kernel.state.frames, "alloc_table", alloc)


@both
def test_a_huge_page_that_is_split_meanwhile_is_copied_small(mode, monkeypatch):
    kernel, cpu, process, size = with_huge_page(mode)
    split_by_a_table(kernel, process, monkeypatch, 2)  # after the root
    child = kernel.fork(process)
    assert (process.space.thp.deposits, child.space.thp.deposits) == ([], [])
    assert child.space.rss == process.space.rss == size // PAGE
    kernel.check()
    kernel.switch(child)
    assert all(cpu.load(AREA + at) == bytes([1 + at // PAGE % 251])
               for at in range(0, size, 64 * PAGE))


@both
def test_a_huge_page_that_is_split_meanwhile_moves_small(mode, monkeypatch):
    kernel, cpu, process, size = with_huge_page(mode)
    if mode.entry_bytes == 8:
        split_by_a_table(kernel, process, monkeypatch, 1)
    to = AREA + (1 << 39) if mode.entry_bytes == 8 else AREA + 8 * size
    process.mm.mremap(AREA, size, size, MremapFlag.MAYMOVE | MremapFlag.FIXED, to)
    assert len(process.space.thp.deposits) == (mode.entry_bytes == 4)  # which needs no table
    kernel.check()
    assert all(cpu.load(to + at) == bytes([1 + at // PAGE % 251])
               for at in range(0, size, 64 * PAGE))
