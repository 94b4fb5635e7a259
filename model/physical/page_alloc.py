"""The page allocator of a machine, booted from its memory map: ``alloc_pages`` and ``free_pages``.

As in Linux 6.1: a request goes to the zones of its node's zonelist, first down to their low
watermarks; then kswapd is woken and the request may go further down, as its GFP flags allow; then
memory is reclaimed, by whatever plugs that in. There is no compaction and no OOM killer.
"""

from collections.abc import Iterable
from typing import Protocol

from .boot import build_nodes, memblock_free_all
from .errors import BrokenInvariant
from .fallback import ALLOC_KSWAPD
from .freelist import AllocContext, FreelistAllocator
from .gfp import Gfp
from .memory_map import MemoryMap, MemoryMapError
from .out_of_memory import OutOfMemory, ZoneRefusal
from .page import MIGRATE_TYPES, PageState
from .pcp import COSTLY_ORDER
from .ranges import Range
from .reserves import Reserves, Sysctl
from .watermark import (
    ALLOC_HIGHATOMIC,
    ALLOC_MIN_RESERVE,
    ALLOC_NO_WATERMARKS,
    ALLOC_NON_BLOCK,
    ALLOC_OOM,
    ALLOC_WMARK_MIN,
)
from .zone import Zone
from .zone_layout import vm_total_pages

__all__ = ["PageAllocator", "Reclaim"]

MAX_RECLAIM_RETRIES = 16


class Reclaim(Protocol):
    """What frees pages that are in use, when an allocation finds too few."""

    def try_to_free_pages(self, context: AllocContext, order: int) -> int:
        """Free pages of the zones of ``context``; return how many. [try_to_free_pages]"""
        ...

    def zone_reclaimable_pages(self, zone: Zone) -> int:
        """Return how many pages of a zone could be freed at best. [zone_reclaimable_pages]"""
        ...


class PageAllocator(FreelistAllocator):
    """The page allocator of a machine.

    Members
    -------
    machine, reserves
        The machine, and the tunables with what follows from them.
    reclaim
        As given to ``boot``.
    memalloc
        Whether the caller is freeing memory itself, and so may use all there is. [PF_MEMALLOC]
    oom_victim
        Whether the caller is being killed for its memory. [tsk_is_oom_victim]
    """

    def __init__(self, machine: MemoryMap, reserved: Iterable[Range], sysctl: Sysctl,
                 reclaim: Reclaim | None) -> None:
        reserved = list(reserved)
        mem_map, nodes = build_nodes(machine)
        grouped = vm_total_pages(machine, reserved) >= MIGRATE_TYPES * mem_map.pageblock_pages
        super().__init__(machine.config, mem_map, nodes, mobility_grouped=grouped)
        self.machine = machine
        self.reclaim = reclaim
        self.memalloc = self.oom_victim = False
        memblock_free_all(machine, nodes, reserved)
        if not any(zone.managed_pages for node in nodes for zone in node.zones
                   if not zone.is_highmem):
            raise MemoryMapError("Memory map leaves no memory to the kernel, but the first Mbyte "
                                 "and highmem")
        boot_node = self.nodes[machine.cpu_nodes[0]]
        self.reserves = Reserves(machine.config, nodes, boot_node, sysctl)
        self.reserves.init_per_zone_wmark_min()
        if sysctl.transparent_hugepages:
            self.reserves.set_recommended_min_free_kbytes()

    @property
    def totalram_pages(self) -> int:
        """How many pages the allocator was given, whoever has them now. [totalram_pages]"""
        return sum(zone.managed_pages for zone in self.populated)

    @classmethod
    def boot(cls, machine: MemoryMap, *, reserved: Iterable[Range] = (),
             sysctl: Sysctl | None = None, reclaim: Reclaim | None = None) -> "PageAllocator":
        """Return the allocator of a machine that has just booted.

        Raise ``MemoryMapError`` if no memory is left that the kernel can use itself.

        Parameters
        ----------
        machine
            Its memory, nodes, processors and kernel.
        reserved
            Page frames that boot keeps, beside the first MiB: the kernel's image, its page
            tables, ``mem_map`` and more.
        sysctl
            Tunables that differ from what a kernel boots with.
        reclaim
            What frees pages that are in use, when there are too few free ones; None if nothing
            does.
        """
        return cls(machine, reserved, sysctl or Sysctl(), reclaim)

    def alloc_pages(self, gfp: int, order: int = 0, nid: int | None = None, cpu: int = 0) -> int:
        """Return the first page frame of a block of ``order``, its reference count 1.

        ``nid`` is the node it should be on, None for that of ``cpu``. Raise ``OutOfMemory``,
        ``BadOrder``, or ``ValueError`` for flags that contradict each other and for a node that
        is not there. [__alloc_pages]
        """
        self.check_order(order)
        context = self.context(gfp, self.cpu_nodes[cpu] if nid is None else nid)
        pfn = self.get_page_from_freelist(context, order, context.alloc_flags, cpu)
        return self._alloc_slowpath(context, order, cpu) if pfn is None else pfn

    def _alloc_slowpath(self, context: AllocContext, order: int, cpu: int) -> int:
        """Return a block although the zones are below their low watermarks, or raise.

        First kswapd is woken and the zones are tried down to their min watermarks, or below as the
        flags allow. A caller that may wait then frees pages itself, and tries again as long as that
        could lead to a block: so long as pages are freed, or enough could be freed, for small
        orders; only once for large ones, which depend on luck, unless __GFP_RETRY_MAYFAIL insists.
        A caller that is freeing memory already must not wait for itself, and gets the last pages
        instead. The kernel tries for ever with __GFP_NOFAIL; here that only opens the reserves.
        [__alloc_pages_slowpath]
        """
        flags = self._alloc_flags(context.gfp, order)
        self._wake_all_kswapds(context, order, flags)
        pfn = self.get_page_from_freelist(context, order, flags, cpu)
        fruitless = 0
        while pfn is None:
            self._wake_all_kswapds(context, order, flags)
            if reserve_flags := self._pfmemalloc_flags(context.gfp):
                flags = reserve_flags | flags & ALLOC_KSWAPD
            pfn = self.get_page_from_freelist(context, order, flags, cpu)
            if pfn is not None or not context.gfp & Gfp.DIRECT_RECLAIM or self.memalloc:
                break
            freed, pfn = self._direct_reclaim(context, order, flags, cpu)
            if pfn is not None or context.gfp & Gfp.NORETRY:
                break
            if order > COSTLY_ORDER and not (context.gfp & Gfp.RETRY_MAYFAIL
                                             and context.gfp & Gfp.IO):
                break
            fruitless = 0 if freed and order <= COSTLY_ORDER else fruitless + 1
            if not self._should_reclaim_retry(context, order, flags, fruitless):
                break
        if pfn is None and context.gfp & Gfp.NOFAIL:
            flags = ALLOC_WMARK_MIN | ALLOC_MIN_RESERVE
            pfn = self.get_page_from_freelist(context, order, flags, cpu)
        if pfn is None:
            raise OutOfMemory(order, context.gfp, tuple(self._refusals(context, order, flags)))
        return pfn

    def _alloc_flags(self, gfp: int, order: int) -> int:
        """Return what an allocation may do once the zones are below their low watermarks.

        [gfp_to_alloc_flags]
        """
        flags = ALLOC_WMARK_MIN | gfp & (ALLOC_MIN_RESERVE | ALLOC_KSWAPD)  # bits of gfp, too
        if not gfp & Gfp.DIRECT_RECLAIM and not gfp & Gfp.NOMEMALLOC:
            flags |= ALLOC_NON_BLOCK
            if order and gfp & Gfp.HIGH:
                flags |= ALLOC_HIGHATOMIC
        return flags

    def _pfmemalloc_flags(self, gfp: int) -> int:
        """Return the flags of a caller that will soon free more than it takes, 0 for any other.

        [__gfp_pfmemalloc_flags]
        """
        if gfp & Gfp.NOMEMALLOC:
            return 0
        if gfp & Gfp.MEMALLOC or self.memalloc:
            return ALLOC_NO_WATERMARKS
        return ALLOC_OOM if self.oom_victim else 0

    def _wake_all_kswapds(self, context: AllocContext, order: int, alloc_flags: int) -> None:
        """Wake kswapd of every node that the allocation may use. [wake_all_kswapds]"""
        if alloc_flags & ALLOC_KSWAPD:
            for zone in context.zones:
                if zone.managed_pages:
                    self.nodes[zone.nid].wakeup_kswapd(order, context.highest_zoneidx)

    def _direct_reclaim(self, context: AllocContext, order: int, alloc_flags: int,
                        cpu: int) -> tuple[int, int | None]:
        """Free pages that are in use and try again, draining per-CPU lists if that fails.

        Return how many pages were freed, and the block or None. [__alloc_pages_direct_reclaim]
        """
        if self.reclaim is None:
            return 0, None
        self.memalloc = True
        try:
            freed = self.reclaim.try_to_free_pages(context, order)
        finally:
            self.memalloc = False
        pfn = None
        if freed:
            pfn = self.get_page_from_freelist(context, order, alloc_flags, cpu)
            if pfn is None:
                self._unreserve_highatomic(context, force=False)
                self.drain_all_pages()
                pfn = self.get_page_from_freelist(context, order, alloc_flags, cpu)
        return freed, pfn

    def _should_reclaim_retry(self, context: AllocContext, order: int, alloc_flags: int,
                              fruitless: int) -> bool:
        """Return whether another round of reclaim may lead to a block.

        ``fruitless`` counts the rounds without progress since the last one with. As long as they
        are not too many, it may if some zone could serve the allocation with all its reclaimable
        pages free. Otherwise it may if a pageblock reserved for atomic allocations is given up.
        [should_reclaim_retry]
        """
        if fruitless <= MAX_RECLAIM_RETRIES:
            for zone in context.zones:
                available = zone.free_pages
                if self.reclaim is not None:
                    available += self.reclaim.zone_reclaimable_pages(zone)
                mark = zone.mark(ALLOC_WMARK_MIN)
                if zone.watermark_ok(order, mark, context.highest_zoneidx, alloc_flags, available):
                    return True
        return self._unreserve_highatomic(context, force=True)

    def _unreserve_highatomic(self, context: AllocContext, *, force: bool) -> bool:
        return any(
            zone.buddy.unreserve_highatomic_pageblock(context.migratetype, force=force)
            for zone in context.zones
        )

    def _refusals(self, context: AllocContext, order: int,
                  alloc_flags: int) -> Iterable[ZoneRefusal]:
        """Yield why each zone of a failed allocation did not serve it."""
        for zone in context.zones:
            reason = zone.shortfall(order, zone.mark(alloc_flags), context.highest_zoneidx,
                                    alloc_flags)
            yield ZoneRefusal(
                zone.nid, zone.name, reason or f"{zone.free_pages} pages free, but none of a "
                "migrate type that the allocation may take",
                f"Node {zone.nid}, {zone.buddy.buddyinfo()}")

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if anything contradicts itself, or as ``Node.check`` does."""
        for node in self.nodes.values():
            node.check()
        memory = int((self.mem_map.state != PageState.HOLE).sum())
        present = sum(zone.span.present for zone in self.populated)
        if memory != present:
            raise BrokenInvariant(f"There are {memory} pages, but {present} in all zones")
