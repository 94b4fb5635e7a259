"""What the pages of a mapping add up to, by the page tables: the figures of ``smaps``.

[smap_gather_stats, smaps_pte_range and what they call, in fs/proc/task_mmu.c of Linux 6.1]

Left out: huge pages of hugetlbfs whose page tables two processes share (hugetlb_pmd_shared), and
memory of devices (ZONE_DEVICE). On 32-bit machines Linux 6.1 loses the share of a transparent
huge page that only one entry maps, which does not fit its 32 bits; here it counts.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from ...address_space.smaps_text import MemSizeStats
from ...address_space.tables.page_tables import PageTables
from ...address_space.tables.software_entry import PFN_KINDS, PROTNONE, EntryKind, SoftwareFormat
from ...address_space.vma import File, Vma, VmFlag
from ...x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from ..state import SPECIAL
from ..swap.cache import SwapEntry

__all__ = ["PageFacts", "gather_stats"]

PSS_SHIFT = 12
WHOLE_SHARE = PAGE_BYTES << PSS_SHIFT
SHARES = ("pss", "pss_dirty", "pss_anon", "pss_file", "pss_shmem", "swap_pss", "pss_locked")
"""Figures that are added up in fixed point."""

MAPPED = (EntryKind.PRESENT, EntryKind.PROT_NONE)
WITH_PAGE = MAPPED + PFN_KINDS
MIGRATION = (EntryKind.MIGRATION_READ, EntryKind.MIGRATION_READ_EXCLUSIVE,
             EntryKind.MIGRATION_WRITE)


class PageFacts(Protocol):
    """What the kernel knows of page frames and of swap, which page tables do not say.

    Of a transparent huge page the first frame is asked about, but for ``mapcount``.
    """

    def is_anon(self, pfn: int) -> bool:
        """Return whether a page belongs to no file. [PageAnon]"""
        ...

    def is_swap_backed(self, pfn: int) -> bool:
        """Return whether a page goes to swap: of shared memory, or anonymous. [PageSwapBacked]

        An anonymous page is not after MADV_FREE.
        """
        ...

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page is known to differ from its file or slot. [PageDirty]"""
        ...

    def is_referenced(self, pfn: int) -> bool:
        """Return whether a page is known to have been used. [PageReferenced, page_is_young]"""
        ...

    def is_huge_zero(self, pfn: int) -> bool:
        """Return whether this is the huge page that reads of untouched memory find.

        [is_huge_zero_page]
        """
        ...

    def mapcount(self, pfn: int) -> int:
        """Return how many entries map a frame, those of huge pages among them. [page_mapcount]"""
        ...

    def swapcount(self, slot: SwapEntry) -> int:
        """Return how many entries hold a slot. [swp_swapcount]"""
        ...

    def swapped_out(self, file: File, first: int, end: int) -> Collection[int]:
        """Return which pages of shared memory, from ``first`` up to ``end``, are in swap.

        [shmem_partial_swap_usage]
        """
        ...


def gather_stats(vmas: Iterable[Vma], tables: PageTables, swap_format: SoftwareFormat,
                 facts: PageFacts, *, numa: bool) -> MemSizeStats:
    """Return what the pages of mappings add up to, together, in bytes. [smap_gather_stats]

    Parameters
    ----------
    vmas, tables
        Mappings of one process, and its page tables.
    swap_format
        What the entries mean that the hardware takes for not present.
    facts
        What the kernel knows of the frames.
    numa
        Whether the kernel balances NUMA nodes: huge pages that nobody may access are hints to
        it and not counted. [CONFIG_NUMA_BALANCING, follow_trans_huge_pmd]
    """
    gathering = _Gathering(tables, swap_format, facts, numa)
    for vma in vmas:
        gathering.add(vma)
    stats = gathering.stats
    for share in SHARES:
        setattr(stats, share, getattr(stats, share) >> PSS_SHIFT)
    return stats


class _Gathering:
    """The sums so far, ``SHARES`` in fixed point. [struct mem_size_stats]"""

    def __init__(self, tables: PageTables, swap_format: SoftwareFormat, facts: PageFacts,
                 numa: bool) -> None:
        self.stats = MemSizeStats()
        self._tables, self._format, self._facts = tables, swap_format, facts
        self._numa = numa

    def add(self, vma: Vma) -> None:
        """Add the pages of a mapping. [walk_page_vma]"""
        if vma.file is not None and vma.file.is_shmem:
            self._shmem_swap(vma, vma.file)
        if vma.flags & VmFlag.PFNMAP:
            return
        for leaf in self._tables.entries(vma.start, vma.end):
            if vma.flags & VmFlag.HUGETLB:
                self._hugetlb_entry(leaf.entry, leaf.level.shift)
            elif leaf.level.shift > PAGE_SHIFT:
                self._pmd_entry(leaf.entry, leaf.level.shift, vma)
            else:
                self._pte_entry(leaf.entry, vma)

    def _shmem_swap(self, vma: Vma, file: File) -> None:
        """Count the pages of a file that are in swap, where no private page hides them.

        [smaps_pte_hole]
        """
        swapped = set(self._facts.swapped_out(file, vma.pgoff, vma.pgoff + vma.pages))
        if swapped and vma.flags & (VmFlag.SHARED | VmFlag.WRITE) == VmFlag.WRITE:
            swapped -= {vma.pgoff_of(leaf.vaddr)
                        for leaf in self._tables.entries(vma.start, vma.end)
                        if self._format.kind(leaf.entry, leaf.level.shift) != EntryKind.NONE}
        self.stats.swap += len(swapped) << PAGE_SHIFT

    def _hugetlb_entry(self, entry: int, shift: int) -> None:
        """Count a page of hugetlbfs, which is in no other figure. [smaps_hugetlb_range]"""
        if self._format.kind(entry, shift) in WITH_PAGE:
            if self._facts.mapcount(self._format.pfn(entry, shift)) >= 2:
                self.stats.shared_hugetlb += 1 << shift
            else:
                self.stats.private_hugetlb += 1 << shift

    def _pmd_entry(self, entry: int, shift: int, vma: Vma) -> None:
        """Count a transparent huge page. [smaps_pmd_entry]"""
        kind, facts, stats = self._format.kind(entry, shift), self._facts, self.stats
        hint = self._numa and entry & (Entry.P | PROTNONE) == PROTNONE
        if kind not in MAPPED + MIGRATION or hint:
            return
        pfn = self._format.pfn(entry, shift)
        if facts.is_huge_zero(pfn):
            return
        if facts.is_anon(pfn):
            stats.anonymous_thp += 1 << shift
        elif facts.is_swap_backed(pfn):
            stats.shmem_thp += 1 << shift
        else:
            stats.file_thp += 1 << shift
        self._account(pfn, 1 << shift - PAGE_SHIFT, entry, kind, vma)

    def _pte_entry(self, entry: int, vma: Vma) -> None:
        """Count a small page, or one that is out. [smaps_pte_entry]"""
        kind = self._format.kind(entry)
        if kind is EntryKind.SWAP:
            found = self._format.decode_swap(entry)
            count = self._facts.swapcount(SwapEntry(found.type, found.offset))
            self.stats.swap += PAGE_BYTES
            self.stats.swap_pss += WHOLE_SHARE // max(count, 1)
        elif kind in PFN_KINDS or (kind in MAPPED and not entry & SPECIAL):
            self._account(self._format.pfn(entry), 1, entry, kind, vma)

    def _account(self, pfn: int, count: int, entry: int, kind: EntryKind, vma: Vma) -> None:
        """Count the page of ``count`` frames that an entry maps. [smaps_account]"""
        facts, stats = self._facts, self.stats
        size = count << PAGE_SHIFT
        young, dirty = (bool(kind in MAPPED and entry & flag) for flag in (Entry.A, Entry.D))
        anon, dirty = facts.is_anon(pfn), dirty or facts.is_dirty(pfn)
        owner = "anon" if anon else "shmem" if facts.is_swap_backed(pfn) else "file"
        if anon:
            stats.anonymous += size
            if not dirty and not facts.is_swap_backed(pfn):
                stats.lazyfree += size
        stats.resident += size
        if young or facts.is_referenced(pfn):
            stats.referenced += size
        for frame in range(pfn, pfn + count):
            # A page that migrates is not mapped anywhere while it does.
            mapcount = 1 if kind in MIGRATION else facts.mapcount(frame)
            self._accumulate(mapcount, owner, dirty, bool(vma.flags & VmFlag.LOCKED))

    def _accumulate(self, mapcount: int, owner: str, dirty: bool, locked: bool) -> None:
        """Count a frame as shared or private, and the share of it. [smaps_page_accumulate]"""
        share = WHOLE_SHARE // max(mapcount, 1)
        self._add("pss", share)
        self._add(f"pss_{owner}", share)
        if locked:
            self._add("pss_locked", share)
        if dirty:
            self._add("pss_dirty", share)
        self._add(f"{'private' if mapcount < 2 else 'shared'}_{'dirty' if dirty else 'clean'}",
                  PAGE_BYTES)

    def _add(self, figure: str, amount: int) -> None:
        setattr(self.stats, figure, getattr(self.stats, figure) + amount)
