"""Clearing entries of a process's page tables, with all that they stand for. [zap_pte_range]"""

from typing import Protocol

from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..x86 import PAGE_BYTES, Entry
from .hugetlb_entries import HugeEntries
from .state import KernelState
from .thp_entries import ThpEntries
from .tlb_flush import MmuGather

__all__ = ["tells_of_use", "zap_range"]


class ZappedSpace(Protocol):
    """The address space whose entries are cleared, and how it counts them."""

    state: KernelState
    tables: PageTables
    huge: HugeEntries
    thp: ThpEntries
    swapped: int

    def forget_page(self, vaddr: int, pfn: int) -> None:
        """Count an entry that no longer maps a page."""
        ...


def tells_of_use(vma: Vma) -> bool:
    """Return whether a page that was accessed in a mapping is likely to be used again.

    Not so where the pages are read in sequence, each of them once. [VM_SEQ_READ]
    """
    return not vma.flags & VmFlag.SEQ_READ


def zap_range(space: ZappedSpace, vma: Vma, start: int, end: int, gather: MmuGather, *,
              even_cows: bool = True) -> None:
    """Clear all entries of a range, but, without ``even_cows``, those of private copies.

    ``vma`` is the mapping that holds the range, or did. Pages of files whose entries were accessed
    count as used, but for huge pages. Huge pages in the range must all be private or all go.
    [zap_pte_range, zap_huge_pmd]
    """
    state = space.state
    for leaf in space.tables.entries(start, end):
        if leaf.level.page_bytes > PAGE_BYTES:
            (space.huge if space.huge.owns(leaf) else space.thp).zap(leaf, gather)
            continue
        if not even_cows and _is_private(state, leaf.entry):
            continue
        entry = space.tables.exchange(leaf.paddr, 0)
        if state.kind(entry) >= EntryKind.SWAP:
            space.swapped -= 1
            state.swap.free_swap_and_cache(state.slot(entry))
            continue
        pfn = state.format.pfn(entry)
        gather.flush_entry(leaf.vaddr)
        if pfn == state.zero_pfn:
            continue
        if not state.is_anon(pfn):
            _tell_of_entry(state, vma, entry, pfn)
        space.forget_page(leaf.vaddr, pfn)
        gather.remove_page(pfn)


def _tell_of_entry(state: KernelState, vma: Vma, entry: int, pfn: int) -> None:
    """Let the page of a file have what its entry knew: that it was written, or used."""
    if entry & Entry.D:
        state.page_cache.set_dirty(pfn)
    if entry & Entry.A and tells_of_use(vma):
        state.mark_accessed(pfn)


def _is_private(state: KernelState, entry: int) -> bool:
    """Return whether an entry maps an anonymous page, or has the slot of one. [should_zap_page]"""
    if state.kind(entry) >= EntryKind.SWAP:
        return True
    pfn = state.format.pfn(entry)
    return pfn != state.zero_pfn and state.is_anon(pfn)
