"""Clearing entries of a process's page tables, with all that they stand for. [zap_pte_range]"""

from typing import Protocol

from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.software_entry import EntryKind
from ..x86 import PAGE_BYTES, Entry
from .hugetlb_entries import HugeEntries
from .state import KernelState
from .thp_entries import ThpEntries
from .tlb_flush import MmuGather

__all__ = ["zap_range"]


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


def zap_range(space: ZappedSpace, start: int, end: int, gather: MmuGather, *,
              even_cows: bool = True) -> None:
    """Clear all entries of a range, but, without ``even_cows``, those of private copies.

    Huge pages in the range must all be private or all go. [zap_pte_range]
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
        if entry & Entry.D and not state.is_anon(pfn):
            state.page_cache.set_dirty(pfn)
        space.forget_page(leaf.vaddr, pfn)
        gather.remove_page(pfn)


def _is_private(state: KernelState, entry: int) -> bool:
    """Return whether an entry maps an anonymous page, or has the slot of one. [should_zap_page]"""
    if state.kind(entry) >= EntryKind.SWAP:
        return True
    pfn = state.format.pfn(entry)
    return pfn != state.zero_pfn and state.is_anon(pfn)
