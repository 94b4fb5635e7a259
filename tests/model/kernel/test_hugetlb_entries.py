"""What calls do to the entries of huge pages, and a seeded churn against a plain dictionary."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.hugetlb_entries import HugeEntries
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.table_check import check_user_tables
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import Entry, ErrorCode, InvalidateOp

from . import machines
from .huge_churn import HugeChurn
from .huge_machines import PAGE, PRIVATE_HUGE, SHARED_HUGE, Huge
from .machines import ANON, RW, counted

both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED


def owed(huge):
    """What the TLB is owed, which is then carried out."""
    pending = machines.owed(huge.kernel)
    huge.cpu.pcid = huge.cpu.tlb.carry_out(pending, huge.cpu.pcid)
    return [(one.op, one.vaddr) for one in pending]


@both
def test_one_invlpg_is_enough_for_a_huge_page(mode):
    huge = Huge(mode, 8)
    start, count, size = huge.map(4), 4, huge.size
    mm = huge.process.mm
    each = [(InvalidateOp.INVLPG, start + at * size) for at in range(count)]

    def fill():
        for at in range(count):
            huge.cpu.store(start + at * size, b"x")
        owed(huge)

    fill()
    mm.mprotect(start, count * size, Prot.READ)
    assert owed(huge) == each
    mm.mprotect(start, count * size, RW)
    assert owed(huge) == each
    mm.madvise(start, count * size, Madvise.DONTNEED)
    assert owed(huge) == each
    fill()
    child = huge.fork()
    assert [op for op, _ in owed(huge)] == [InvalidateOp.MOV_CR3]
    error = ErrorCode.P | ErrorCode.WR | ErrorCode.US
    result = huge.kernel.handle_page_fault(start + size + PAGE, error)
    assert result.cause is FaultCause.COPY_ON_WRITE
    assert owed(huge) == each[1:2]
    huge.kernel.exit(child)
    assert mm.mremap(start, count * size, count * size, TO, start - 64 * size)
    assert owed(huge) == each


@pytest.mark.slow
@both
def test_many_huge_pages_go_with_the_whole_tlb(mode):
    huge = Huge(mode, 34, 256)
    start = huge.map(34, PRIVATE_HUGE | MapFlag.POPULATE)
    owed(huge)
    huge.process.mm.madvise(start, 33 * huge.size, Madvise.DONTNEED)
    assert len(owed(huge)) == 33
    huge.process.mm.madvise(start, 34 * huge.size, Madvise.POPULATE_WRITE)
    owed(huge)
    huge.process.mm.munmap(start, 34 * huge.size)
    assert [op for op, _ in owed(huge)] == [InvalidateOp.MOV_CR3]


@both
def test_a_page_that_nobody_may_access_keeps_its_frame(mode):
    huge = Huge(mode, 1)
    start = huge.map(1)
    huge.cpu.store(start, b"kept")
    before = huge.process.space.tables.lookup(start)
    huge.process.mm.mprotect(start, huge.size, Prot.NONE)
    leaf = huge.process.space.tables.lookup(start)
    assert (leaf.vaddr, leaf.level) == (before.vaddr, before.level)
    assert leaf.entry & (Entry.P | Entry.PS | Entry.RW) == Entry.PS
    assert huge.kernel.state.format.pfn(leaf.entry) == huge.process.space.tables.pfn(before.entry)
    child = huge.fork()
    assert huge.counts == (1, 0, 0)
    huge.process.mm.mprotect(start, huge.size, Prot.READ)
    assert huge.cpu.load(start, 4) == b"kept"
    huge.kernel.exit(huge.process)
    child.mm.mprotect(start, huge.size, RW)
    cpu = huge.run(child)
    assert cpu.load(start, 4) == b"kept"
    cpu.store(start, b"KEPT")
    huge.kernel.exit(child)
    assert huge.counts == (1, 1, 0)


@both
def test_tables_come_and_go_with_huge_pages(mode):
    huge = Huge(mode, 2)
    tables, free = huge.process.space.tables, counted(huge.kernel)
    start = huge.map(2)
    huge.cpu.store(start, b"x")
    assert tables.tables[-1] == 0  # no table of small pages
    target = start & -(1 << 30) if mode.entry_bytes == 4 else start - (3 << 39)
    huge.process.mm.mremap(start, 2 * huge.size, 2 * huge.size, TO, target - 2 * huge.size)
    huge.process.mm.munmap(target - 2 * huge.size, 2 * huge.size)
    assert sum(tables.tables) == 1
    small = huge.process.mm.mmap(start, PAGE, RW, ANON | MapFlag.FIXED)
    huge.cpu.store(small, b"y")
    assert huge.process.mm.mmap(start, huge.size, RW, PRIVATE_HUGE | MapFlag.FIXED) == start
    huge.cpu.store(start, b"z")  # where a table was
    huge.kernel.exit(huge.process)
    assert huge.counts == (2, 2, 0)
    assert counted(huge.kernel)[0] == free[0] + 1  # the root


@both
def test_a_fork_leaves_shared_pages_to_faults_and_counts_private_ones(mode):
    huge = Huge(mode, 3)
    private, shared = huge.map(2), huge.map(1, SHARED_HUGE)
    for vaddr in (private, shared):
        huge.cpu.store(vaddr, b"x")
    frames = huge.size // PAGE
    child = huge.fork()
    assert (huge.process.space.huge.usage, child.space.huge.usage) == (2 * frames, frames)
    assert sorted(huge.pool.mapcount.values()) == [1, 2]
    assert huge.counts == (3, 1, 1)


@both
def test_check_finds_entries_that_are_not_those_of_their_mapping(mode):
    huge = Huge(mode, 3)
    start = huge.map(1)
    huge.cpu.store(start, b"x")
    tables, counts = huge.process.space.tables, huge.counts
    leaf = tables.lookup(start)
    vma = huge.process.mm.tree.lookup(start)

    def broken(match, entry=None, **changes):
        before = {name: getattr(vma, name) for name in changes}
        for name, value in changes.items():
            setattr(vma, name, value)
        if entry is not None:
            tables.exchange(leaf.paddr, entry)
        with pytest.raises(BrokenInvariant, match=match):
            check_user_tables(huge.process.space)
        tables.exchange(leaf.paddr, leaf.entry)
        for name, value in before.items():
            setattr(vma, name, value)
        assert huge.counts == counts

    frame = huge.size
    broken("which is no huge page in use", leaf.entry ^ frame)
    broken("must not be writable", flags=vma.flags & ~2)
    broken("where no huge page can be", flags=vma.flags & ~(1 << 22))
    broken("of another place", flags=vma.flags | 0x88)
    broken("frames of huge pages are counted", 0)


@pytest.mark.slow
@both
@pytest.mark.parametrize("seed", range(3))
def test_churn_agrees_with_a_dictionary(mode, seed):
    churn = HugeChurn(mode, seed, pool=24)  # enough for all pages that can be
    churn.run()
    assert churn.copies > 3
    assert churn.killed == 0


@pytest.mark.slow
@both
def test_churn_with_too_few_pages_kills_children_and_loses_nothing(mode):
    killed = 0
    for seed in range(3):
        churn = HugeChurn(mode, seed, pool=10)
        churn.run()
        killed += churn.killed
    assert killed > 0


@pytest.mark.slow
@both
def test_a_flush_left_out_is_noticed(mode, monkeypatch):
    zap = HugeEntries.zap

    class Deaf:
        """A gather that forgets which entries changed."""

        def __init__(self, gather):
            self.remove_page = gather.remove_page

        def flush_entry(self, vaddr, page_bytes):
            pass

    monkeypatch.setattr(
        HugeEntries, "zap", lambda self, leaf, gather: zap(self, leaf, Deaf(gather)))
    churn = HugeChurn(mode, 0, pool=24)
    with pytest.raises(AssertionError):
        churn.run()
