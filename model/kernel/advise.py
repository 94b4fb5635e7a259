"""Advice about pages: that they will not be used soon, or are to leave memory now.

[mm/madvise.c]
"""

from ..address_space.pagetable import PageTables
from ..address_space.software_entry import EntryKind
from ..x86 import Entry
from .state import KernelState
from .tlb import MmContext, MmuGather

__all__ = ["cold_or_pageout"]


def cold_or_pageout(state: KernelState, tables: PageTables, context: MmContext, start: int,
                    end: int, *, pageout: bool) -> None:
    """Take the pages of a range for unused: they become inactive, or with ``pageout`` go.

    Pages that other page tables map, too, are left alone. [madvise_cold_or_pageout_pte_range]
    """
    pages = []
    with MmuGather(state.tlb, context, state.put_anon) as gather:
        for leaf in tables.entries(start, end):
            if state.kind(leaf.entry) >= EntryKind.SWAP:
                continue
            pfn = state.format.pfn(leaf.entry)
            if pfn == state.zero_pfn or state.frames.rmap.mapcount(pfn) != 1:
                continue
            if tables.update(leaf.paddr, clear=Entry.A) & Entry.A:
                gather.flush_entry(leaf.vaddr)
            state.lruvec.test_clear_referenced(pfn)
            if pageout:
                pages.append(pfn)
            else:
                state.lruvec.deactivate(pfn)
    if pages:
        state.reclaim_pages(pages)
