"""The entries that map transparent huge pages, in the page tables of one address space.

For each of them the table is there that it takes to split it, so that no split fails for lack of
memory. [mm/huge_memory.c, pgtable_trans_huge_deposit]
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.parts import LeafEntry
from ..address_space.vma import Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .state import SPECIAL, KernelState
from .tlb_flush import MmContext, MmuGather

__all__ = ["ThpEntries"]


class ThpSpace(Protocol):
    """The address space that the entries are of, and how it counts small pages."""

    state: KernelState
    tables: PageTables
    context: MmContext
    number: int
    thp: "ThpEntries"

    def add_page(self, vaddr: int, pfn: int) -> None:
        """Count an entry that maps a page."""
        ...

    def forget_page(self, vaddr: int, pfn: int) -> None:
        """Count an entry that no longer maps a page."""
        ...

    def move_rmap(self, pfn: int, old: int, new: int) -> None:
        """Note that a page is mapped at another address."""
        ...


class ThpEntries:
    """The transparent huge pages of one address space."""

    def __init__(self, space: ThpSpace) -> None:
        self._space = space
        self._thp = space.state.thp
        self._tables = space.tables
        self.depth = space.tables.depth_of(self._thp.page_bytes)
        self._shift = self._thp.page_bytes.bit_length() - 1

    @property
    def deposits(self) -> list[int]:
        """The frames of the tables that are kept for splits, one for each entry."""
        return self._tables.deposits.frames

    def pfn(self, entry: int) -> int:
        """Return the first frame that an entry maps. [pmd_pfn]"""
        return self._space.state.format.pfn(entry, self._shift)

    def _pages(self, vaddr: int, pfn: int) -> Iterator[tuple[int, int]]:
        """Yield address and frame of each small page, none for the huge zero page."""
        if pfn != self._thp.zero_pfn:
            for at in range(self._thp.page_count):
                yield vaddr + (at << PAGE_SHIFT), pfn + at

    def frames(self, leaf: LeafEntry) -> range:
        """Return the frames that a leaf of any size maps."""
        pfn = self._space.state.format.pfn(leaf.entry, leaf.level.shift)
        return range(pfn, pfn + (leaf.level.page_bytes >> PAGE_SHIFT))

    def find(self, vaddr: int) -> LeafEntry | None:
        """Return the entry that maps ``vaddr`` if it is one of these. [pmd_trans_huge]"""
        leaf = self._tables.lookup(vaddr) if self._tables.deposits else None
        return leaf if leaf is not None and leaf.level.page_bytes > PAGE_BYTES else None

    # ---- pages that come and go

    def map(self, vaddr: int, paddr: int, pfn: int, entry: int, table: int) -> None:
        """Point the clear entry at ``paddr`` to a page; ``table`` is the frame that is kept.

        References to its small pages are the entry's now. [set_pmd_at]
        """
        self._tables.write(paddr, entry)
        self._tables.deposits.deposit(paddr >> PAGE_SHIFT, table)
        for at, page in self._pages(vaddr, pfn):
            self._space.add_page(at, page)

    def zap(self, leaf: LeafEntry, gather: MmuGather) -> None:
        """Clear an entry; its pages go with the gather. [zap_huge_pmd]"""
        pfn = self.pfn(self._tables.exchange(leaf.paddr, 0))
        gather.flush_entry(leaf.vaddr, self._thp.page_bytes)
        table = self._tables.deposits.withdraw(leaf.paddr >> PAGE_SHIFT)
        self._space.state.frames.free_table(table)
        for vaddr, page in self._pages(leaf.vaddr, pfn):
            self._space.forget_page(vaddr, page)
            gather.remove_page(page)

    def protect(self, vma: Vma, leaf: LeafEntry, gather: MmuGather) -> None:
        """Give a page the rights of its mapping, but to be written: a fault does. [change_huge_pmd]
        """
        state, prot = self._space.state, self._space.state.page_prot(vma)
        before = self._tables.exchange(leaf.paddr, 0)
        pfn, kept = self.pfn(before), before & (Entry.A | Entry.D) | Entry.PS
        entry = (pfn << PAGE_SHIFT | prot & ~Entry.A | kept if prot
                 else state.format.encode_prot_none(pfn, kept, self._shift))
        self._tables.write(leaf.paddr, entry)
        gather.flush_entry(leaf.vaddr, self._thp.page_bytes)

    def move(self, leaf: LeafEntry, target: int, vaddr: int) -> None:
        """Take a page to the clear entry at ``target``, which maps ``vaddr``. [move_huge_pmd]"""
        entry, kept = self._tables.exchange(leaf.paddr, 0), self._tables.deposits
        if leaf.paddr >> PAGE_SHIFT != target >> PAGE_SHIFT:
            kept.deposit(target >> PAGE_SHIFT, kept.withdraw(leaf.paddr >> PAGE_SHIFT))
        self._tables.write(target, entry)
        for at, page in self._pages(vaddr, self.pfn(entry)):
            self._space.move_rmap(page, at - vaddr + leaf.vaddr, at)

    def copy_to(self, child: ThpSpace, leaf: LeafEntry) -> bool:
        """Give a forked child a page, which neither side can write any more.

        Return False, with nothing done, if the entry is no more: memory for the child's tables
        comes first, and it may have been split for that. [copy_huge_pmd]
        """
        frames = self._space.state.frames
        target, table = child.tables.alloc(leaf.vaddr, self.depth), frames.alloc_table()
        if self.find(leaf.vaddr) is None:
            frames.free_table(table)
            return False
        entry = self._tables.update(leaf.paddr, clear=Entry.RW) & ~(Entry.RW | Entry.A)
        pfn = self.pfn(entry)
        for _, page in self._pages(leaf.vaddr, pfn):
            frames.get(page)
            self._space.state.anon.share(page)
        child.thp.map(leaf.vaddr, target, pfn, entry, table)
        return True

    # ---- splitting

    def cut(self, *boundaries: int) -> None:
        """Split what lies on both sides of an address. [vma_adjust_trans_huge]"""
        for vaddr in boundaries:
            if self._tables.deposits and vaddr % self._thp.page_bytes:
                self.split_at(vaddr)

    def split_range(self, start: int, end: int) -> None:
        """Split all that a range holds."""
        for vaddr in range(start & -self._thp.page_bytes, end, self._thp.page_bytes):
            if not self._tables.deposits:
                return
            self.split_at(vaddr)

    def split_at(self, vaddr: int) -> None:
        """Let small entries map the page of ``vaddr``, if one of these does. [__split_huge_pmd]"""
        leaf = self.find(vaddr)
        if leaf is None:
            return
        space, tables, size = self._space, self._tables, self._thp.page_bytes
        before = tables.exchange(leaf.paddr, 0)
        space.state.tlb.flush_range(space.context, leaf.vaddr, leaf.vaddr + size, size)
        table = tables.deposits.withdraw(leaf.paddr >> PAGE_SHIFT)
        entries = np.array(list(self._small_entries(before)), f"<u{tables.mode.entry_bytes}")
        tables.memory.write_bytes(table << PAGE_SHIFT, entries.tobytes())
        tables.install(leaf.paddr, self.depth, table)

    def _small_entries(self, entry: int) -> Iterator[int]:
        """Yield the entries of the small pages of one. [__split_huge_pmd_locked]"""
        state, pfn = self._space.state, self.pfn(entry)
        kept = entry & (Entry.A | Entry.D)
        prot = entry ^ pfn << PAGE_SHIFT ^ Entry.PS if entry & Entry.P else 0
        for at in range(self._thp.page_count):
            if pfn == self._thp.zero_pfn:
                yield state.make_entry(state.zero_pfn, prot, SPECIAL)
            else:
                yield state.change_entry(pfn + at, prot, kept)

    # ---- check

    def check(self, leaf: LeafEntry, vma: Vma) -> int:
        """Raise ``BrokenInvariant`` if an entry is not sound; return how many pages it maps."""
        state, pfn, where = self._space.state, self.pfn(leaf.entry), f"Address {leaf.vaddr:#x}"
        if not leaf.entry & Entry.PS or not vma.is_anonymous or vma.flags & VmFlag.SHARED:
            raise BrokenInvariant(f"{where} has entry {leaf.entry:#x} where no huge page can be")
        if leaf.vaddr + self._thp.page_bytes > vma.end:
            raise BrokenInvariant(f"{where} has a huge page, but its mapping ends at "
                                  f"{vma.end:#x}")
        writable = leaf.entry & Entry.RW
        if writable and (pfn == self._thp.zero_pfn or not vma.flags & VmFlag.WRITE):
            raise BrokenInvariant(f"{where} must not be writable")
        count = 0
        for vaddr, page in self._pages(leaf.vaddr, pfn):
            count += 1
            if (self._space.number, vaddr) not in state.frames.rmap.places(page):
                raise BrokenInvariant(f"Page {page:#x} does not know that {vaddr:#x} maps it")
            if writable and state.frames.rmap.mapcount(page) != 1:
                raise BrokenInvariant(f"{where} may write page {page:#x}, which is shared")
        return count
