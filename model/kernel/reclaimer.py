"""The ways into reclaim of a machine: an allocation that finds no page, an advice, and kswapd.

What a way in does to the lists stands in ``reclaim``, what is done to a page in ``page_reclaim``.
[mm/vmscan.c]
"""

from typing import Protocol

from ..physical.freelist import AllocContext
from ..physical.node import Node
from ..physical.page_alloc import PageAllocator
from ..physical.watermark import ALLOC_WMARK_HIGH
from ..physical.zone import Zone
from .page_reclaim import MachinePageOps
from .reclaim.direct_reclaim import try_to_free_pages
from .reclaim.kswapd import balance_pgdat
from .reclaim.lru import LruList, Lruvec
from .reclaim.scan import SWAP_CLUSTER_MAX, ScanControl
from .reclaim.shrink import reclaim_pages

__all__ = ["Reclaimer"]

MAX_RECLAIM_RETRIES = 16


class ReclaimedMemory(Protocol):
    """What the reclaimer needs of ``KernelState`` when it is asked for pages."""

    allocator: PageAllocator
    lruvec: Lruvec
    page_ops: MachinePageOps


class Reclaimer:
    """Frees frames: the ``Reclaim`` of the page allocator, and kswapd.

    Reclaim in reclaim frees nothing: whoever frees memory may use what is left. [PF_MEMALLOC]

    Parameters
    ----------
    memory
        What is reclaimed. It is not looked at before the first call: the allocator that it holds
        is made with this reclaimer.

    Members
    -------
    kswapd_failures
        How often in a row kswapd could free nothing; after 16 it gives up. [kswapd_failures]
    """

    def __init__(self, memory: ReclaimedMemory) -> None:
        self._memory = memory
        self._active = False
        self.kswapd_failures = 0

    # ---- direct reclaim

    def try_to_free_pages(self, context: AllocContext, order: int) -> int:
        """Free pages of the zones of an allocation; return how many. [direct reclaim]"""
        if self._active:
            return 0
        zones = {zone.buddy.zone for zone in context.zones}
        control = ScanControl(nr_to_reclaim=max(SWAP_CLUSTER_MAX, 1 << order),
                              eligible=lambda pfn: self._zone(pfn) in zones)
        self._active = True
        try:
            return try_to_free_pages([self._memory.lruvec], control, self._memory.page_ops)
        finally:
            self._active = False

    def reclaim_pages(self, pages: list[int]) -> int:
        """Free what can go of some pages, used or not; return how many. [MADV_PAGEOUT]"""
        if self._active:
            return 0
        self._active = True
        try:
            return reclaim_pages(self._memory.lruvec, pages, self._memory.page_ops)
        finally:
            self._active = False

    def zone_reclaimable_pages(self, zone: Zone) -> int:
        """Return how many pages of a zone could be freed at best."""
        lists = [LruList.INACTIVE_FILE, LruList.ACTIVE_FILE]
        if self._memory.page_ops.has_swap():
            lists += [LruList.INACTIVE_ANON, LruList.ACTIVE_ANON]
        lruvec = self._memory.lruvec
        if len(self._memory.allocator.populated) == 1:
            return sum(lruvec.size(lru) for lru in lists)
        return sum(self._zone(pfn) == zone.buddy.zone for lru in lists
                   for pfn in lruvec.pages(lru))

    def _zone(self, pfn: int) -> int:
        mem_map = self._memory.allocator.mem_map
        return mem_map.scalars.zone[pfn - mem_map.base]

    # ---- kswapd

    def run_kswapd(self) -> int:
        """Let kswapd of every node run, if it was woken; return how many pages it freed. [kswapd]

        It frees until one of the zones that it was woken for is above its high watermark.
        """
        return sum(self._kswapd(node) for node in self._memory.allocator.nodes.values()
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
            freed = balance_pgdat(self._memory.lruvec, control, self._memory.page_ops, balanced)
        finally:
            self._active = False
        self.kswapd_failures = 0 if freed else self.kswapd_failures + 1
        return freed
