"""Reclaim of a machine's frames: what its two ways in and its rules ask for, with real page tables.

The lists and the order of things are in ``lru``, ``reclaim`` and ``kswapd``. [mm/vmscan.c]
"""

from ..physical.errors import BrokenInvariant
from ..physical.freelist import AllocContext
from ..physical.node import Node
from ..physical.watermark import ALLOC_WMARK_HIGH
from ..physical.zone import Zone
from .reclaim.kswapd import balance_pgdat, try_to_free_pages
from .reclaim.lru import LruList
from .reclaim.scan import SWAP_CLUSTER_MAX, ScanControl
from .reclaim.shrink import Pageout, reclaim_pages
from .state import KernelState
from .swap.errors import SwapIoError

__all__ = ["Reclaimer"]

MAX_RECLAIM_RETRIES = 16


class Reclaimer:
    """Frees frames: the ``PageOps`` of reclaim and the ``Reclaim`` of the page allocator.

    Members
    -------
    kswapd_failures
        How often in a row kswapd could free nothing; after 16 it gives up. [kswapd_failures]
    write_errors, write_error
        How many writes to swap have failed, and what the latest failed with; None if it did not.
    """

    def __init__(self, state: KernelState) -> None:
        self._state = state
        self._active = False
        self.kswapd_failures = self.write_errors = 0
        self.write_error: SwapIoError | None = None

    # ---- PageOps

    def accessed(self, pfn: int) -> int:
        """Clear the accessed bits of all entries that map a page; return how many were set."""
        spaces = self._state.spaces
        return sum(spaces[number].test_clear_young(vaddr)
                   for number, vaddr in self._state.frames.rmap.places(pfn))

    def is_locked(self, pfn: int) -> bool:
        """Return whether a mapping that is locked in memory has a page."""
        return self._state.is_locked(pfn)

    def has_swap(self) -> bool:
        """Return whether a slot of swap is free."""
        return self._state.swap.nr_swap_pages > 0

    def add_to_swap(self, pfn: int) -> bool:
        """Give an anonymous page a slot of swap, unless it has one; return whether it has.

        True for shared memory, which gets one when it is written.
        """
        swap = self._state.swap
        if self._state.page_cache.is_shmem(pfn):
            return True
        return swap.cache.entry(pfn) is not None or swap.add_to_swap(pfn) is not None

    def try_to_free_swap(self, pfn: int) -> None:
        """Give up the slot of a page that stays, if it has one and swap is getting full."""
        if self._state.swap.swap_full:
            self._state.swap.free_swap(pfn)

    def try_to_unmap(self, pfn: int) -> bool:
        """Take a page out of all page tables, unless somebody works with it.

        One that is lazily free, and was written to, stays, too.
        """
        state, rmap = self._state, self._state.frames.rmap
        places = rmap.places(pfn)
        cached = (state.swap.cache.entry(pfn) is not None) + (not state.is_anon(pfn))
        if state.frames.refcount(pfn) != len(places) + cached:
            return False
        if not self._is_lazyfree(pfn):
            return all(state.spaces[number].unmap_page(vaddr, pfn) for number, vaddr in places)
        state.frames.get(pfn)  # which no cache has done
        if all(state.spaces[number].unmap_page(vaddr, pfn) for number, vaddr in places):
            return True
        state.frames.put(pfn)
        return False

    def _is_lazyfree(self, pfn: int) -> bool:
        return self._state.is_anon(pfn) and self._state.lruvec.is_file(pfn)

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page must be written before it goes."""
        if self._is_lazyfree(pfn):
            return False
        if self._state.is_anon(pfn):
            return self._state.swap.cache.is_dirty(pfn)
        return self._state.page_cache.is_dirty(pfn)

    def pageout(self, pfn: int) -> Pageout:
        """Write a page to its slot or its file; if that fails it stays, dirty, as in Linux.

        [end_swap_bio_write]
        """
        state = self._state
        if not state.is_anon(pfn) and not state.page_cache.is_shmem(pfn):
            state.page_cache.write_back(pfn)
            return Pageout.SUCCESS
        try:
            result = self._swap_out(pfn)
        except SwapIoError as error:
            self.write_errors += 1
            self.write_error = error
            return Pageout.KEEP
        if result is Pageout.SUCCESS:
            self.write_error = None
        return result

    def _swap_out(self, pfn: int) -> Pageout:
        """Write a page to swap; raise ``SwapIoError``. [swap_writepage, shmem_writepage]"""
        state = self._state
        if state.page_cache.is_shmem(pfn):
            return Pageout.SUCCESS if state.shmem.writepage(pfn) else Pageout.ACTIVATE
        written = state.swap.swap_writepage(pfn, state.frames.read(pfn))
        return Pageout.SUCCESS if written else Pageout.CLEAN

    def keeps_shadow(self, pfn: int) -> bool:
        """Return whether a clean page leaves a shadow: it has a place, in a file or in swap."""
        return not self._state.page_cache.is_shmem(pfn) and not self._is_lazyfree(pfn)

    def remove_mapping(self, pfn: int, shadow: int | None) -> None:
        """Free a clean page that nobody maps."""
        state = self._state
        if state.frames.refcount(pfn) != 1:
            raise BrokenInvariant(f"Page {pfn:#x} goes, but has {state.frames.refcount(pfn)} "
                                  "references")
        if self._is_lazyfree(pfn):
            state.frames.put(pfn)
        elif state.is_anon(pfn):
            state.swap.delete_from_swap_cache(pfn, shadow)
        else:
            state.page_cache.remove(pfn, shadow)

    # ---- Reclaim

    def try_to_free_pages(self, context: AllocContext, order: int) -> int:
        """Free pages of the zones of an allocation; return how many. [direct reclaim]"""
        if self._active:
            return 0
        zones = {zone.buddy.zone for zone in context.zones}
        control = ScanControl(nr_to_reclaim=max(SWAP_CLUSTER_MAX, 1 << order),
                              eligible=lambda pfn: self._zone(pfn) in zones)
        self._active = True
        try:
            return try_to_free_pages([self._state.lruvec], control, self)
        finally:
            self._active = False

    def reclaim_pages(self, pages: list[int]) -> int:
        """Free what can go of some pages, used or not; return how many. [MADV_PAGEOUT]"""
        if self._active:
            return 0
        self._active = True
        try:
            return reclaim_pages(self._state.lruvec, pages, self)
        finally:
            self._active = False

    def zone_reclaimable_pages(self, zone: Zone) -> int:
        """Return how many pages of a zone could be freed at best."""
        lists = [LruList.INACTIVE_FILE, LruList.ACTIVE_FILE]
        if self.has_swap():
            lists += [LruList.INACTIVE_ANON, LruList.ACTIVE_ANON]
        lruvec = self._state.lruvec
        if len(self._state.allocator.populated) == 1:
            return sum(lruvec.size(lru) for lru in lists)
        return sum(self._zone(pfn) == zone.buddy.zone for lru in lists
                   for pfn in lruvec.pages(lru))

    def _zone(self, pfn: int) -> int:
        mem_map = self._state.allocator.mem_map
        return mem_map.scalars.zone[pfn - mem_map.base]

    # ---- kswapd

    def run_kswapd(self) -> int:
        """Let kswapd of every node run, if it was woken; return how many pages it freed. [kswapd]

        It frees until one of the zones that it was woken for is above its high watermark.
        """
        return sum(self._kswapd(node) for node in self._state.allocator.nodes.values()
                   if node.kswapd_order is not None)

    def _kswapd(self, node: Node) -> int:
        order, highest = node.kswapd_order or 0, node.kswapd_highest_zoneidx or 0
        node.kswapd_order = node.kswapd_highest_zoneidx = None
        zones = [zone for zone in node.own_zonelist if zone.index <= highest]
        if self.kswapd_failures >= MAX_RECLAIM_RETRIES or self._active or not zones:
            return 0
        usable = {zone.buddy.zone for zone in zones}
        control = ScanControl(
            kswapd=True, eligible=lambda pfn: self._zone(pfn) in usable,
            nr_to_reclaim=sum(max(zone.mark(ALLOC_WMARK_HIGH), SWAP_CLUSTER_MAX)
                              for zone in zones))

        def balanced() -> bool:
            return any(zone.watermark_ok(order, zone.mark(ALLOC_WMARK_HIGH), highest, 0)
                       for zone in zones)

        self._active = True
        try:
            freed = balance_pgdat(self._state.lruvec, control, self, balanced)
        finally:
            self._active = False
        self.kswapd_failures = 0 if freed else self.kswapd_failures + 1
        return freed
