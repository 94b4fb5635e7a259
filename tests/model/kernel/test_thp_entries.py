"""What calls, reclaim and forks do to transparent huge pages."""

from functools import partial
from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.kernel.platform import KERNEL_MODES
from pagewalk.model.kernel.reclaim.lru import LruList
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.table_check import check_user_tables
from pagewalk.model.kernel.thp import ThpEnabled
from pagewalk.model.kernel.thp_entries import ThpEntries
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import X86_64, Entry, InvalidateOp

from .huge_churn import ThpChurn
from .machines import ANON, MIB, PAGE, RW, counted, machine, owed

AREA = 0x4000_0000
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED


class Thp:
    """A machine with transparent huge pages, whose process has filled two of them."""

    def __init__(self, mode):
        self.kernel, self.cpu, self.process = machine(mode, 64)
        self.kernel.state.thp.enabled = ThpEnabled.ALWAYS
        self.size = self.kernel.state.thp.page_bytes
        self.count = self.kernel.state.thp.page_count
        self.free = counted(self.kernel)[0]
        self.mm, self.space = self.process.mm, self.process.space
        self.mm.mmap(AREA, 2 * self.size, RW, ANON | MapFlag.FIXED)
        self.kernel.switch(self.process)
        for at in range(0, 2 * self.size, PAGE):
            self.cpu.store(AREA + at, self.byte(at))
        self.owed()
        assert self.huge == 2

    def byte(self, at):
        return bytes([1 + at // PAGE % 251])

    def holds(self, start=0, end=None, shift=0):
        """Whether the bytes of pages are as they were stored, ``shift`` bytes further on."""
        end = 2 * self.size if end is None else end
        return all(self.cpu.load(AREA + at + shift) == self.byte(at)
                   for at in range(start, end, PAGE))

    @property
    def huge(self):
        """How many huge pages are mapped, the machine found sound."""
        self.kernel.check()
        return len(self.space.thp.deposits)

    def owed(self):
        """What the TLB is owed, which is then carried out."""
        pending = owed(self.kernel)
        self.cpu.pcid = self.cpu.tlb.carry_out(pending, self.cpu.pcid)
        return [one.op if one.op is not InvalidateOp.INVLPG else one.vaddr for one in pending]

    def end(self):
        for process in list(self.kernel.processes.values()):
            self.kernel.exit(process)
        self.kernel.check()
        assert counted(self.kernel)[0] == self.free + 1  # the root, that was there before


@pytest.fixture(params=KERNEL_MODES.values(), ids=KERNEL_MODES)
def thp(request):
    made = Thp(request.param)
    yield made
    made.end()


def test_a_whole_page_goes_at_once(thp):
    thp.mm.munmap(AREA, thp.size)
    assert thp.owed() == [AREA]
    assert (thp.huge, thp.space.rss) == (1, thp.count)
    thp.mm.madvise(AREA + thp.size, thp.size, Madvise.DONTNEED)
    assert thp.owed() == [AREA + thp.size]
    assert (thp.huge, thp.space.rss) == (0, 0)


def test_a_part_that_goes_splits_the_page(thp):
    thp.mm.munmap(AREA + thp.size + PAGE, 3 * PAGE)
    owed = thp.owed()
    assert owed[0] == AREA + thp.size
    assert (thp.huge, thp.space.rss) == (1, 2 * thp.count - 3)
    assert thp.holds(0, thp.size + PAGE)
    assert thp.holds(thp.size + 4 * PAGE)
    thp.mm.madvise(AREA + PAGE, PAGE, Madvise.DONTNEED)
    assert (thp.huge, thp.space.rss) == (0, 2 * thp.count - 4)
    assert thp.cpu.load(AREA + PAGE) == b"\0"


def test_the_small_entries_of_a_page_are_as_the_huge_one_was(thp):
    before = thp.space.tables.lookup(AREA).entry
    thp.space.thp.split_at(AREA + 5 * PAGE)
    leaves = list(thp.space.tables.entries(AREA, AREA + thp.size))
    assert [leaf.vaddr for leaf in leaves] == list(range(AREA, AREA + thp.size, PAGE))
    assert [leaf.entry for leaf in leaves] == [
        (before ^ Entry.PS) + at * PAGE for at in range(thp.count)]


def test_a_range_over_two_pages_splits_both(thp):
    thp.mm.mprotect(AREA + thp.size - PAGE, 2 * PAGE, Prot.READ)
    assert thp.huge == 0
    assert thp.holds()
    writable = [bool(leaf.entry & Entry.RW) for leaf in
                thp.space.tables.entries(AREA + thp.size - 2 * PAGE, AREA + thp.size + 2 * PAGE)]
    assert writable == [True, False, False, True]


def test_rights_of_a_whole_page_change_in_its_entry(thp):
    thp.mm.mprotect(AREA, thp.size, Prot.READ)
    assert thp.owed() == [AREA]
    thp.mm.mprotect(AREA, thp.size, Prot.NONE)
    leaf = thp.space.tables.lookup(AREA)
    assert leaf.entry & (Entry.P | Entry.PS) == Entry.PS
    assert leaf.entry & (Entry.A | Entry.D) == Entry.A | Entry.D
    assert leaf.entry & (thp.size - PAGE) == 0  # not flipped with the frame
    assert thp.huge == 2
    thp.mm.mprotect(AREA, thp.size, RW)
    assert thp.holds()
    assert not thp.space.tables.lookup(AREA).entry & Entry.RW
    thp.cpu.store(AREA, thp.byte(0))
    assert thp.space.tables.lookup(AREA).entry & Entry.RW
    assert thp.huge == 2


def test_a_page_that_nobody_may_access_can_be_split(thp):
    thp.mm.mprotect(AREA, 2 * thp.size, Prot.NONE)
    thp.mm.mprotect(AREA, PAGE, Prot.READ)
    assert thp.huge == 1
    dirty = [leaf.entry & (Entry.P | Entry.A | Entry.D) for leaf in
             thp.space.tables.entries(AREA + PAGE, AREA + thp.size)]
    assert dirty == [Entry.A | Entry.D] * (thp.count - 1)
    thp.mm.mprotect(AREA, 2 * thp.size, Prot.READ)
    assert thp.holds()


def test_a_page_moves_whole_if_it_stays_aligned(thp):
    shift = 16 * thp.size
    thp.mm.mremap(AREA, thp.size, thp.size, TO, AREA + shift)
    assert thp.owed() == [AREA]
    assert thp.huge == 2
    assert thp.holds(0, thp.size, shift)
    thp.mm.mremap(AREA + shift, thp.size, thp.size, TO, AREA + shift + 8 * thp.size + PAGE)
    assert thp.huge == 1
    assert thp.holds(0, thp.size, shift + 8 * thp.size + PAGE)
    thp.mm.mremap(AREA + thp.size, 5 * PAGE, 5 * PAGE, TO, AREA)
    assert thp.huge == 0
    assert thp.holds(thp.size, thp.size + 5 * PAGE, -thp.size)


def test_a_fork_copies_entries_not_pages(thp):
    free, _ = counted(thp.kernel)
    child = thp.kernel.fork(thp.process)
    assert thp.owed()[-1] is InvalidateOp.MOV_CR3
    assert counted(thp.kernel)[0] == free - sum(child.space.tables.tables) - 2
    assert (thp.huge, len(child.space.thp.deposits)) == (2, 2)
    assert child.space.rss == thp.space.rss
    thp.mm.munmap(AREA, 2 * thp.size)
    thp.kernel.switch(child)
    assert thp.holds()


def test_mappings_that_were_cut_within_a_page_are_copied_apart(thp):
    thp.mm.madvise(AREA + 7 * PAGE, PAGE, Madvise.DONTFORK)
    child = thp.kernel.fork(thp.process)
    assert child.space.rss == 2 * thp.count - 1
    thp.kernel.switch(child)
    assert thp.holds(0, 7 * PAGE)
    assert thp.holds(8 * PAGE)


def test_a_mapping_that_comes_to_end_within_a_page_splits_it(thp):
    thp.mm.madvise(AREA, thp.size + 5 * PAGE, Madvise.DONTDUMP)
    assert thp.huge == 1
    thp.mm.madvise(AREA + 5 * PAGE, thp.size, Madvise.DODUMP)  # as the mapping behind, which grows
    assert [(vma.start, vma.end) for vma in thp.mm] == [
        (AREA, AREA + 5 * PAGE), (AREA + 5 * PAGE, AREA + 2 * thp.size)]
    assert thp.huge == 0
    thp.mm.madvise(AREA, 9 * PAGE, Madvise.DODUMP)
    assert thp.holds()


def test_the_entry_says_for_all_its_pages_whether_they_were_used(thp):
    assert thp.space.test_clear_young(AREA + 5 * PAGE)
    assert not thp.space.test_clear_young(AREA + 6 * PAGE)
    assert not thp.space.tables.lookup(AREA).entry & Entry.A
    thp.mm.mprotect(AREA, thp.size, Prot.READ)
    thp.mm.mprotect(AREA, thp.size, Prot.NONE)
    assert not thp.space.tables.lookup(AREA).entry & Entry.A
    thp.space.thp.split_at(AREA + thp.size)
    thp.space.thp.split_at(AREA)
    assert [leaf.entry & Entry.A for leaf in thp.space.tables.entries(AREA, AREA + 2 * thp.size)
            ] == [0] * thp.count + [Entry.A] * thp.count
    thp.cpu.tlb.entries.clear()
    assert thp.huge == 0


def test_locks_hold_for_every_small_page(thp):
    unevictable = partial(thp.kernel.state.lruvec.size, LruList.UNEVICTABLE)
    thp.mm.privileged = True
    thp.mm.mlock(AREA, thp.size)
    assert (unevictable(), thp.huge) == (thp.count, 2)
    thp.mm.munlock(AREA, 5 * PAGE)
    assert (unevictable(), thp.huge) == (thp.count - 5, 1)
    thp.mm.munlock(AREA, thp.size)
    assert unevictable() == 0
    area = AREA + 16 * thp.size
    thp.mm.mmap(area, thp.size, RW, ANON | MapFlag.FIXED | MapFlag.LOCKED)
    assert (unevictable(), thp.huge) == (thp.count, 2)
    thp.mm.munmap(area, thp.size)
    assert unevictable() == 0


@pytest.mark.slow
def test_reclaim_splits_what_it_wants_a_part_of(thp, tmp_path):
    with SwapFile.create(tmp_path / "swap", 16384, uuid=UUID(int=1)) as swap:
        thp.kernel.swapon(swap)
        small = thp.mm.mmap(0, 60 * MIB, RW, ANON)
        thp.mm.madvise(small, 60 * MIB, Madvise.NOHUGEPAGE)
        for at in range(0, 60 * MIB, PAGE):
            thp.cpu.store(small + at, b"s")
        assert thp.huge < 2
        assert thp.space.swapped > 1000
        thp.mm.munmap(small, 60 * MIB)
        assert thp.holds()
        thp.kernel.check()
        thp.end()


@pytest.mark.slow
def test_advice_that_pages_may_go_splits(thp, tmp_path):
    with SwapFile.create(tmp_path / "swap", 16384, uuid=UUID(int=1)) as swap:
        thp.kernel.swapon(swap)
        thp.mm.madvise(AREA, thp.size, Madvise.COLD)
        assert thp.huge == 1
        thp.mm.madvise(AREA + thp.size, thp.size, Madvise.PAGEOUT)
        assert thp.huge == 0
        assert thp.space.swapped == thp.count
        assert thp.holds()
        thp.end()


def test_check_finds_what_contradicts(thp):
    leaf = thp.space.tables.lookup(AREA)
    vma = thp.mm.tree.lookup(AREA)
    rmap = thp.kernel.state.frames.rmap
    pfn = thp.space.thp.pfn(leaf.entry)

    def broken(match, change, undo):
        change()
        with pytest.raises(BrokenInvariant, match=match):
            check_user_tables(thp.space)
        undo()
        assert thp.huge == 2

    broken("must not be writable", lambda: setattr(vma, "flags", vma.flags ^ 2),
           lambda: setattr(vma, "flags", vma.flags ^ 2))
    broken("where no huge page can be", lambda: setattr(vma, "flags", vma.flags ^ 8),
           lambda: setattr(vma, "flags", vma.flags ^ 8))
    broken("but its mapping ends", lambda: thp.mm.tree.resize(vma, AREA, AREA + 9 * PAGE),
           lambda: thp.mm.tree.resize(vma, AREA, AREA + 2 * thp.size))
    broken("does not know that", lambda: rmap.remove(pfn + 3, thp.space.number, AREA + 3 * PAGE),
           lambda: rmap.add(pfn + 3, thp.space.number, AREA + 3 * PAGE))
    broken("which is shared", lambda: rmap.add(pfn + 3, 99, AREA),
           lambda: rmap.remove(pfn + 3, 99, AREA))
    kept = thp.space.tables.deposits
    broken("tables are kept", lambda: kept.deposit(0, 1), lambda: kept.withdraw(0))
    broken("are counted", lambda: thp.space.tables.exchange(leaf.paddr, 0),
           lambda: thp.space.tables.exchange(leaf.paddr, leaf.entry))


both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)


@pytest.mark.slow
@both
@pytest.mark.parametrize("seed", range(3))
def test_churn_agrees_with_a_dictionary(mode, seed):
    churn = ThpChurn(mode, seed, 128)
    free = counted(churn.kernel)[0]
    churn.run()
    assert churn.copies > 10
    assert churn.killed == 0
    kept = len(churn.kernel.state.thp.own_frames)
    assert kept in (0, churn.kernel.state.thp.page_count)
    assert free - kept <= counted(churn.kernel)[0] <= free - kept + 2  # the first process's tables


@pytest.mark.slow
@both
def test_churn_that_swaps_agrees_with_a_dictionary(mode, tmp_path):
    churn = ThpChurn(mode, 5, 16 if mode is X86_64 else 24, advised=True)
    with SwapFile.create(tmp_path / "swap", 1 << 15, uuid=UUID(int=1)) as swap:
        churn.kernel.swapon(swap)
        churn.run()
        assert swap.counters.pages_out > 100


@pytest.mark.slow
@both
def test_a_flush_left_out_is_noticed(mode, monkeypatch):
    zap = ThpEntries.zap

    class Deaf:
        """A gather that forgets which entries changed."""

        def __init__(self, gather):
            self.remove_page = gather.remove_page

        def flush_entry(self, vaddr, page_bytes):
            pass

    monkeypatch.setattr(ThpEntries, "zap", lambda self, leaf, gather: zap(self, leaf, Deaf(gather)))
    churn = ThpChurn(mode, 1, 128)
    with pytest.raises(AssertionError):
        churn.run()
