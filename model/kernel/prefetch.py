"""Bringing pages into memory before they are asked for. [madvise_willneed in mm/madvise.c]

They are in the page cache or the swap cache then, and mapped nowhere.
"""

from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma
from ..physical.gfp import Gfp
from ..x86 import PAGE_BYTES
from .page_cache import CachedFile
from .state import KernelState
from .swap.cache import SwapEntry
from .swap.errors import SwapIoError

__all__ = ["willneed"]

MAX_READ = 320
"""Pages of a file that are read at most: the size of a request to a disk. [BLK_DEF_MAX_SECTORS]"""

READAHEAD = Gfp.HIGHUSER_MOVABLE | Gfp.NORETRY | Gfp.NOWARN


def willneed(state: KernelState, tables: PageTables, vma: Vma, start: int, end: int) -> None:
    """Bring in what a range of a mapping has on a disk: pages of a file, or pages in swap.

    What cannot be read is passed over. Of shared memory the page after the range comes, too, as in
    Linux 6.1. Raise ``OutOfMemory`` for pages of swap.
    [madvise_willneed, force_shm_swapin_readahead]
    """
    if vma.file is None:
        for leaf in list(tables.entries(start, end)):
            if state.kind(leaf.entry) is EntryKind.SWAP:
                _swap_in(state, state.slot(leaf.entry))
        return
    try:
        space = state.page_cache.space(vma.file)
    except KeyError:
        return
    first, last = vma.pgoff_of(start), vma.pgoff_of(end)
    if space.content is None:
        for slot in [slot for at, slot in sorted(space.slots.items()) if first <= at <= last]:
            _swap_in(state, slot)
    else:
        _read_ahead(state, space, first, min(last, first + MAX_READ))


def _swap_in(state: KernelState, slot: SwapEntry) -> None:
    """Bring a page into the swap cache. [read_swap_cache_async]"""
    try:
        pfn, _ = state.read_swap(slot)
    except SwapIoError:
        return
    state.frames.put(pfn)


def _read_ahead(state: KernelState, space: CachedFile, first: int, end: int) -> None:
    """Read pages of a file as long as there is memory for them. [force_page_cache_ra]"""
    last = -(-space.inode.size // PAGE_BYTES)
    for index in range(first, min(end, last)):
        if index in space.pages:
            continue
        pfn = state.frames.alloc_block(READAHEAD, 0)
        if pfn is None:
            return
        shadow = state.page_cache.read(space, index, pfn)
        state.add_to_lru(pfn, file=True, shadow=shadow)
