"""The user half of a process's page tables: what changes of its mappings do to its pages.

Entries that map a page, and those that hold a swap entry, are counted here: RSS and VmSwap.
[mm/memory.c, mm/mprotect.c, mm/mremap.c, mm/rmap.c]
"""

import errno
from collections.abc import Callable, Sequence
from functools import partial

from ..address_space.errors import SysError
from ..address_space.kernel_files import Inode
from ..address_space.mm import Mm
from ..address_space.page_table_ops import PageTableOps
from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.software_entry import EntryKind
from ..address_space.uapi import Madvise
from ..address_space.vma import File, Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .advise import cold_or_pageout, free_lazily
from .collapse import madvise_collapse
from .fallocate import FallocFlag, fallocate
from .gup import FaultIn, get_user_pages, store_user, touch_page
from .hugetlb_entries import HugeEntries
from .move_tables import move_page_tables
from .prefetch import willneed
from .state import SPECIAL, KernelState
from .thp_entries import ThpEntries
from .tlb_flush import MmContext, MmuGather
from .zap import tells_of_use, zap_range

__all__ = ["UserTables"]

KEPT = Entry.A | Entry.D | Entry.PWT | Entry.PCD | Entry.PAT | SPECIAL
"""What stays of an entry when its mapping gets new rights. [_PAGE_CHG_MASK, without the frame]"""


class UserTables:
    """Page tables of a process, and the ``PageTableOps`` of its ``Mm``.

    Parameters
    ----------
    state
        What all processes share.
    number
        The number that the reverse map knows the address space by.
    make_mm
        Makes the mappings, given these tables, which they call at every change.
    fault_in
        Makes a page present as an access would; see ``make_present.fault_in``.

    Members
    -------
    mm
        The mappings.
    tables, context
        The tables, and what the TLB knows them by.
    rss, swapped
        How many entries map a page, the zero page not counted, and how many hold a swap entry.
        [get_mm_rss, MM_SWAPENTS]
    hiwater_rss
        The most that ``rss`` was before it last fell. [hiwater_rss]
    huge, thp
        Its huge pages: those set aside, which ``rss`` does not count, and transparent ones.
    min_flt, maj_flt
        How many faults were dealt with without and with a read from disk. [mm_account_fault]
    fault_in
        As given, for these tables.
    users
        How many processes have it as theirs. [mm_users]
    """

    def __init__(self, state: KernelState, number: int, make_mm: Callable[[PageTableOps], Mm],
                 fault_in: Callable[["UserTables", int, bool, bool], None]) -> None:
        self.state = state
        self.number = number
        self.mm = make_mm(self)
        self.fault_in: FaultIn = partial(fault_in, self)
        kernel = state.kernel_tables
        self.tables = PageTables(state.mode, state.memory, state.frames, kernel.kernel_start,
                                 kernel)
        self.context = MmContext(self.tables.root)
        self.huge = HugeEntries(self.tables, state.hugetlb, state.format)
        self.thp = ThpEntries(self)
        self.rss = self.swapped = self.hiwater_rss = 0
        self.min_flt = self.maj_flt = 0
        self.users = 1
        state.spaces[number] = self

    def gather(self) -> MmuGather:
        """Return what collects the pages that go from here at once. [tlb_gather_mmu]"""
        return MmuGather(self.state.tlb, self.context, self.state.put_anon)

    def kind(self, entry: int) -> EntryKind:
        """Return what an entry is for the kernel."""
        return self.state.kind(entry)

    # ---- pages that come and go

    def map_page(self, vaddr: int, paddr: int, pfn: int, entry: int) -> None:
        """Point the clear entry at ``paddr`` to a frame, whose reference is the entry's now.

        [set_pte_at, page_add_anon_rmap]
        """
        self.tables.write(paddr, entry)
        if pfn != self.state.zero_pfn:
            self.add_page(vaddr, pfn)

    def add_page(self, vaddr: int, pfn: int) -> None:
        """Count an entry that maps a page; it has a reference."""
        self.state.frames.rmap.add(pfn, self.number, vaddr)
        self.rss += 1

    def forget_page(self, vaddr: int, pfn: int) -> None:
        """Count an entry that no longer maps a page; its reference is the caller's to drop."""
        self.state.frames.rmap.remove(pfn, self.number, vaddr)
        self.hiwater_rss = max(self.hiwater_rss, self.rss)
        self.rss -= 1
        if self.state.lruvec.is_unevictable(pfn):
            self.state.lruvec.set_unevictable(pfn, self.state.is_locked(pfn))

    # ---- PageTableOps

    def unmap(self, gone: Sequence[Vma], start: int, end: int) -> None:
        """Forget the pages of mappings and free tables that serve no other mapping."""
        following, previous = self.mm.find_vma_prev(start)
        floor = previous.end if previous is not None else 0
        ceiling = following.start if following is not None else 0
        with self.gather() as gather:
            for vma in gone:
                zap_range(self, vma, vma.start, vma.end, gather)
            if self.tables.free_pgtables(start, end, floor, ceiling):
                gather.flush_tables(start)

    def cut(self, address: int) -> None:
        """Split a transparent huge page that a mapping is not to hold whole any more."""
        self.thp.cut(address)

    def discard(self, vma: Vma, start: int, end: int) -> None:
        """Forget the pages of a range whose mapping stays."""
        self.thp.cut(start, end)
        with self.gather() as gather:
            zap_range(self, vma, start, end, gather)

    def protect(self, vma: Vma, start: int, end: int) -> None:
        """Give the pages of a range the rights of their mapping. [change_pte_range]

        Private pages that are this process's own become writable at once.
        """
        state, prot = self.state, self.state.page_prot(vma)
        with self.gather() as gather:
            for leaf in self.tables.entries(start, end):
                if self.kind(leaf.entry) >= EntryKind.SWAP:
                    continue
                if leaf.level.page_bytes > PAGE_BYTES and not self.huge.owns(leaf):
                    self.thp.protect(vma, leaf, gather)
                    continue
                entry = self.tables.exchange(leaf.paddr, 0)
                pfn = state.format.pfn(entry)
                rw = Entry.RW if prot and self._may_write(vma, pfn, entry) else 0
                self.tables.write(leaf.paddr, state.change_entry(pfn, prot | rw, entry & KEPT))
                gather.flush_entry(leaf.vaddr, leaf.level.page_bytes)

    def _may_write(self, vma: Vma, pfn: int, entry: int) -> bool:
        """Return whether a page can be written with no more ado. [can_change_pte_writable]"""
        if not vma.flags & VmFlag.WRITE or pfn == self.state.zero_pfn:
            return False
        if vma.flags & VmFlag.HUGETLB:
            return bool(vma.flags & VmFlag.SHARED)
        if vma.flags & VmFlag.SHARED:
            return bool(entry & Entry.D)
        return self.state.anon.is_exclusive(pfn)

    def move(self, source: Vma, old: int, _target: Vma, new: int, length: int) -> None:
        """Take the pages of a range to another; raise ``OutOfMemory``, with all where it was."""
        move_page_tables(self, source, old, new, length)

    def move_rmap(self, pfn: int, old: int, new: int) -> None:
        """Note that a page is mapped at another address; nobody counts the pages of zeros."""
        if pfn != self.state.zero_pfn and pfn not in self.state.thp.own_frames:
            self.state.frames.rmap.remove(pfn, self.number, old)
            self.state.frames.rmap.add(pfn, self.number, new)

    def advise(self, vma: Vma, start: int, end: int, advice: int) -> None:
        """Take an advice; raise as ``madvise_collapse``, ``fallocate`` and ``willneed``."""
        if advice == Madvise.WILLNEED:
            willneed(self.state, self.tables, vma, start, end)
        if advice == Madvise.COLLAPSE:
            madvise_collapse(self, vma, start, end)
        if advice == Madvise.REMOVE:
            assert vma.file is not None
            start, end = (vma.pgoff_of(at) << PAGE_SHIFT for at in (start, end))
            fallocate(self.state, vma.file, FallocFlag.PUNCH_HOLE | FallocFlag.KEEP_SIZE, start,
                      end - start, self.mm.rlimits)
        if advice in (Madvise.COLD, Madvise.PAGEOUT, Madvise.FREE):
            self.thp.split_range(start, end)
        if advice in (Madvise.COLD, Madvise.PAGEOUT):
            cold_or_pageout(self.state, self.tables, self.context, start, end,
                            pageout=advice == Madvise.PAGEOUT)
        if advice == Madvise.FREE:
            self.swapped -= free_lazily(self.state, self.tables, self.context, start, end)

    def mlock(self, _vma: Vma, start: int, end: int) -> None:
        """Keep each page of a range from reclaim if any mapping of the page is locked."""
        for leaf in self.tables.entries(start, end):
            if self.kind(leaf.entry) < EntryKind.SWAP:
                for pfn in self.thp.frames(leaf):
                    self.state.lruvec.set_unevictable(pfn, self.state.is_locked(pfn))

    def populate(self, vma: Vma, start: int, end: int, write: bool) -> None:
        """Fault in the pages of a range; raise as ``get_user_pages``.

        Raise ``SysError(EFAULT)`` if nobody may access the mapping so. [check_vma_flags]
        """
        if not vma.flags & (VmFlag.WRITE if write else VmFlag.ACCESS):
            raise SysError(errno.EFAULT)
        touch = partial(touch_page, self.state, self.tables, write=write)
        get_user_pages(self.tables, self.fault_in, start, end, write=write, touch=touch,
                       page_bytes=vma.page_bytes)

    def store(self, start: int, data: bytes) -> None:
        """Store bytes; raise as ``store_user``."""
        store_user(self.tables, self.fault_in, start, data)

    def evict(self, file: File, _inode: Inode) -> None:
        """Free the pages of a file that nobody maps or has open any more."""
        self.state.page_cache.drop(file)

    # ---- exec and exit

    def take_over_faults(self, old: "UserTables") -> None:
        """Add the fault counts of the address space that this one replaces in an exec."""
        self.min_flt += old.min_flt
        self.maj_flt += old.maj_flt

    def put(self) -> None:
        """Have one process less that uses it; end with the last. [mmput]"""
        self.users -= 1
        if not self.users:
            self.end()

    def end(self) -> None:
        """Unmap all, and free the root table. [exit_mmap, mmdrop]"""
        self.mm.exit()
        if self.state.tlb.loaded is self.context:
            self.state.tlb.switch(self.state.tlb.kernel)
        del self.state.spaces[self.number]
        self.tables.free()

    # ---- what others ask

    def mappings(self, file: File) -> list[Vma]:
        """Return the mappings of a file. [i_mmap]"""
        return [vma for vma in self.mm.tree if vma.file is not None and vma.file.key is file.key]

    def unmap_file(self, file: File, first: int, end: int, *, even_cows: bool) -> None:
        """Take pages of a file away, from ``first`` up to ``end``; private copies if wanted.

        [unmap_mapping_range_tree]
        """
        with self.gather() as gather:
            for vma in self.mappings(file):
                if vma.pgoff < end and first < vma.pgoff + vma.pages:
                    low, high = (vma.start + (min(max(at, vma.pgoff), vma.pgoff + vma.pages)
                                              - vma.pgoff << PAGE_SHIFT) for at in (first, end))
                    zap_range(self, vma, low, high, gather, even_cows=even_cows)

    def unmap_huge(self, file: File, index: int, pfn: int) -> None:
        """Take a huge page of a file away from mappings that have no reserve of their own."""
        with self.gather() as gather:
            for vma in self.mappings(file):
                self.huge.unmap_ref(vma, index, pfn, gather)

    def test_clear_young(self, vaddr: int) -> bool:
        """Clear the accessed bit of an address; return whether it was set, and tells of a use.

        The TLB is not told: a page that it knows may seem unused. [folio_referenced_one,
        ptep_clear_flush_young]
        """
        huge = self.thp.find(vaddr)
        paddr = huge.paddr if huge is not None else self.tables.find(vaddr)
        if paddr is None or not self.tables.update(paddr, clear=Entry.A) & Entry.A:
            return False
        vma = self.mm.tree.lookup(vaddr)
        assert vma is not None
        return huge is not None or tells_of_use(vma)

    def is_executable(self, vaddr: int) -> bool:
        """Return whether the mapping of an address may be executed."""
        vma = self.mm.tree.lookup(vaddr)
        return vma is not None and bool(vma.flags & VmFlag.EXEC)

    def is_locked(self, vaddr: int) -> bool:
        """Return whether the mapping of an address is locked in memory."""
        vma = self.mm.tree.lookup(vaddr)
        return vma is not None and bool(vma.flags & VmFlag.LOCKED)

    def clean_page(self, vaddr: int) -> bool:
        """Make the entry of a page clean and read-only; return whether it was dirty.

        [page_vma_mkclean_one]
        """
        paddr = self.tables.find(vaddr)
        assert paddr is not None
        entry = self.tables.update(paddr, clear=Entry.RW | Entry.D)
        if entry & (Entry.RW | Entry.D):
            self.state.tlb.flush_range(self.context, vaddr, vaddr + PAGE_BYTES)
        return bool(entry & Entry.D)

    def unmap_page(self, vaddr: int, pfn: int) -> bool:
        """Take a page away; anonymous, it leaves its swap entry. [try_to_unmap_one]

        One that is lazily free leaves nothing, but stays if it was written to: return False then.
        """
        self.thp.split_at(vaddr)
        state, paddr = self.state, self.tables.find(vaddr)
        if paddr is None:
            raise BrokenInvariant(f"Page {pfn:#x} should be mapped at {vaddr:#x}")
        exclusive = state.anon.is_exclusive(pfn)
        entry = self.tables.exchange(paddr, 0)
        state.tlb.flush_range(self.context, vaddr, vaddr + PAGE_BYTES)
        if not state.is_anon(pfn):
            if entry & Entry.D:
                state.page_cache.set_dirty(pfn)
        elif state.lruvec.is_file(pfn):
            if entry & Entry.D or state.swap.is_dirty(pfn):
                self.tables.write(paddr, entry)
                state.lruvec.make_swapbacked(pfn)
                return False
        else:
            slot = state.swap.cache.entry(pfn)
            if slot is None:
                raise BrokenInvariant(f"Page {pfn:#x} is unmapped, but has no slot")
            if entry & Entry.D:
                state.swap.cache.set_dirty(pfn)
            state.swap.swap_duplicate(slot)
            self.tables.write(paddr, state.swap_entry(slot, exclusive))
            state.anon.share(pfn)
            self.swapped += 1
        self.forget_page(vaddr, pfn)
        state.frames.put(pfn)
        return True
