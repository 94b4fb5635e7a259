"""Advice about pages: that they will not be used soon, or are to leave memory now.

[mm/madvise.c]
"""

from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.software_entry import EntryKind
from ..x86 import Entry
from .state import KernelState
from .tlb_flush import MmContext, MmuGather

__all__ = ["cold_or_pageout", "free_lazily"]


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
        state.reclaimer.reclaim_pages(pages)


def free_lazily(state: KernelState, tables: PageTables, context: MmContext, start: int,
                end: int) -> int:
    """Let the pages of a range go when memory is needed, unless they are written to before.

    Swap entries go at once; return how many. Pages that other page tables map, too, stay as they
    are if they have been out: their entries do not tell that they differ from what is in swap.
    [madvise_free_pte_range]
    """
    cleared = 0
    with MmuGather(state.tlb, context, state.put_anon) as gather:
        for leaf in tables.entries(start, end):
            if state.kind(leaf.entry) >= EntryKind.SWAP:
                state.swap.free_swap_and_cache(state.slot(tables.exchange(leaf.paddr, 0)))
                cleared += 1
                continue
            pfn = state.format.pfn(leaf.entry)
            if pfn == state.zero_pfn:
                continue
            cached = state.swap.cache.entry(pfn) is not None
            if cached or state.swap.is_dirty(pfn):
                shared = state.frames.rmap.mapcount(pfn) != 1
                if shared or (cached and not state.swap.free_swap(pfn)):
                    continue
                state.swap.clean(pfn)
            if tables.update(leaf.paddr, clear=Entry.A | Entry.D) & (Entry.A | Entry.D):
                gather.flush_entry(leaf.vaddr)
            state.lruvec.make_lazyfree(pfn)
    return cleared
