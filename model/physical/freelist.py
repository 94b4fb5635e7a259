"""Taking pages from the first zone that can spare them, and giving them back."""

from dataclasses import dataclass

from .errors import BadOrder, ForeignPage
from .fallback import ALLOC_KSWAPD, ALLOC_NOFRAGMENT
from .gfp import Gfp, gfp_migratetype, gfp_zone
from .kernel_config import KernelConfig, ZoneType
from .node import Node
from .page import MAX_ORDER, MemMap, MigrateType, PageState
from .watermark import (
    ALLOC_HIGHATOMIC,
    ALLOC_NO_WATERMARKS,
    ALLOC_NON_BLOCK,
    ALLOC_OOM,
    ALLOC_WMARK_LOW,
)
from .zone import Zone

__all__ = ["AllocContext", "FreelistAllocator"]

HIGHATOMIC, UNMOVABLE = int(MigrateType.HIGHATOMIC), int(MigrateType.UNMOVABLE)
RESERVED, ALLOCATED = int(PageState.RESERVED), int(PageState.ALLOCATED)


@dataclass(frozen=True, slots=True)
class AllocContext:
    """What an allocation's flags and its node decide. [``struct alloc_context``]

    Members
    -------
    gfp
        The flags of the caller, bits of ``Gfp``.
    highest_zoneidx
        The index of the highest zone that the allocation may use.
    zones
        The zones that it may use, in the order in which they are tried; the first is preferred.
    migratetype
        What the pages are allocated as.
    alloc_flags
        What the first attempt may do, bits of ``ALLOC_*``.
    """

    gfp: int
    highest_zoneidx: int
    zones: tuple[Zone, ...]
    migratetype: int
    alloc_flags: int


class FreelistAllocator:
    """The pages of a machine, taken from its zones and given back, without any waiting.

    Parameters
    ----------
    config
        The kernel.
    mem_map, nodes
        The machine's pages, and its nodes by ascending number.
    mobility_grouped
        Whether migrate types are kept apart. [page_group_by_mobility_disabled]
    """

    def __init__(self, config: KernelConfig, mem_map: MemMap, nodes: list[Node], *,
                 mobility_grouped: bool = True) -> None:
        self.config = config
        self.mem_map = mem_map
        self.nodes = {node.nid: node for node in nodes}
        self.mobility_grouped = mobility_grouped
        self.cpu_nodes = [nid for _, nid in sorted(
            (cpu, node.nid) for node in nodes for cpu in node.cpus)]
        self.populated = sorted((zone for node in nodes for zone in node.own_zonelist),
                                key=lambda zone: zone.buddy.zone)
        self._contexts: dict[tuple[int, int], AllocContext] = {}
        self._refcount = mem_map.scalars.refcount
        self._zone_number = mem_map.scalars.zone

    def context(self, gfp: int, nid: int) -> AllocContext:
        """Return what ``gfp`` decides for an allocation meant for node ``nid``.

        Raise ``ValueError`` for flags that contradict each other, or for a node that is not
        there. [prepare_alloc_pages]
        """
        context = self._contexts.get((gfp, nid))
        if context is None:
            if nid not in self.nodes:
                raise ValueError(f"Node must be one of {sorted(self.nodes)}, not {nid!r}")
            node, highest = self.nodes[nid], gfp_zone(gfp, self.config)
            zonelist = node.own_zonelist if gfp & Gfp.THISNODE else node.zonelist
            zones = tuple(zone for zone in zonelist if zone.index <= highest)
            migratetype = gfp_migratetype(gfp) if self.mobility_grouped else UNMOVABLE
            flags = ALLOC_WMARK_LOW | self._nofragment(zones, gfp)
            context = AllocContext(gfp, highest, zones, migratetype, flags)
            self._contexts[gfp, nid] = context
        return context

    def _nofragment(self, zones: tuple[Zone, ...], gfp: int) -> int:
        """Return the flags of a first attempt that rather takes another zone than mixes types.

        ALLOC_NOFRAGMENT is only set if the preferred zone is a ZONE_NORMAL with a ZONE_DMA32 below
        it to take from. [alloc_flags_nofragment]
        """
        flags = gfp & ALLOC_KSWAPD  # the bit of __GFP_KSWAPD_RECLAIM, too
        if not zones or ZoneType.DMA32 not in self.config.zones:
            return flags
        below = self.nodes[zones[0].nid].zones[zones[0].index - 1]
        if zones[0].span.kind is not ZoneType.NORMAL or (
                len(self.nodes) > 1 and not below.populated):
            return flags
        return flags | ALLOC_NOFRAGMENT

    def get_page_from_freelist(self, context: AllocContext, order: int, alloc_flags: int,
                               cpu: int) -> int | None:
        """Return a block of ``order`` from the first zone that can spare it, None if none can.

        With ALLOC_NOFRAGMENT no zone may mix migrate types in a pageblock, and only zones of the
        preferred node are tried: remote memory would be worse than mixed pageblocks. If they have
        no block, all zones are tried without that flag. [get_page_from_freelist]
        """
        if not context.zones:
            return None
        preferred = context.zones[0]
        atomic = bool(context.gfp & Gfp.ATOMIC_CONTEXT)
        for zone in context.zones:
            if alloc_flags & ALLOC_NOFRAGMENT and zone.nid != preferred.nid:
                break
            if not (zone.watermark_fast(order, zone.mark(alloc_flags), context.highest_zoneidx,
                                        alloc_flags, atomic)
                    or alloc_flags & ALLOC_NO_WATERMARKS):
                continue
            pfn = self._rmqueue(context, zone, order, alloc_flags, cpu)
            if pfn is not None:
                if alloc_flags & ALLOC_HIGHATOMIC:
                    zone.buddy.reserve_highatomic_pageblock(pfn)
                self._refcount[pfn - self.mem_map.base] = 1  # [prep_new_page]
                return pfn
        if alloc_flags & ALLOC_NOFRAGMENT:
            return self.get_page_from_freelist(context, order, alloc_flags & ~ALLOC_NOFRAGMENT,
                                               cpu)
        return None

    def _rmqueue(self, context: AllocContext, zone: Zone, order: int, alloc_flags: int,
                 cpu: int) -> int | None:
        """Return a block of one zone, by way of the per-CPU list if it keeps ``order``. [rmqueue]
        """
        pfn, pcp = None, zone.pcp[cpu]
        if pcp.takes(order):
            pfn = pcp.alloc(order, context.migratetype, alloc_flags)
        if pfn is None:
            pfn = self._rmqueue_buddy(context, zone, order, alloc_flags)
        if pfn is not None and self.config.numa:
            zone.count_allocation(context.zones[0], self.cpu_nodes[cpu])
        if zone.boosted:
            zone.boosted = False
            self.nodes[zone.nid].wakeup_kswapd(0, zone.index)
        return pfn

    def _rmqueue_buddy(self, context: AllocContext, zone: Zone, order: int,
                       alloc_flags: int) -> int | None:
        """Return a block from a zone's free lists, None if there is none. [rmqueue_buddy]

        An atomic allocation of several pages looks first among the pageblocks reserved for such.
        Any other caller that cannot wait, or is being killed, may take from these as a last resort.
        """
        buddy, pfn = zone.buddy, None
        if alloc_flags & ALLOC_HIGHATOMIC:
            pfn = buddy.rmqueue_smallest(order, HIGHATOMIC)
        if pfn is None:
            pfn = buddy.rmqueue(order, context.migratetype, alloc_flags)
        if pfn is None and alloc_flags & (ALLOC_OOM | ALLOC_NON_BLOCK):
            pfn = buddy.rmqueue_smallest(order, HIGHATOMIC)
        return pfn

    def zone_of(self, pfn: int) -> Zone:
        """Return the zone of page ``pfn``; raise ``ForeignPage`` if there is no memory."""
        if pfn not in self.mem_map:
            raise ForeignPage(pfn, "it is a hole")
        return self.populated[self._zone_number[pfn - self.mem_map.base]]

    def page_to_nid(self, pfn: int) -> int:
        """Return the node of page ``pfn``; raise ``ForeignPage`` if there is no memory."""
        return self.zone_of(pfn).nid

    def free_pages(self, pfn: int, order: int = 0, cpu: int = 0) -> None:
        """Drop a reference to the block of ``order`` that was allocated at ``pfn``.

        Dropping the last reference frees it, by way of the per-CPU list of ``cpu`` if that keeps
        blocks of ``order``. Raise as ``Buddy.free`` does. [__free_pages]
        """
        zone = self.zone_of(pfn)
        index = pfn - self.mem_map.base
        if self._refcount[index] > 1:
            zone.buddy.check_free(pfn, order)
            self._refcount[index] -= 1
            return
        pcp = zone.pcp[cpu]
        if pcp.takes(order):
            pcp.free(pfn, order)
        else:
            zone.buddy.free(pfn, order)
        self._refcount[index] = 0

    def free_reserved_area(self, start_pfn: int, end_pfn: int, cpu: int = 0) -> None:
        """Free pages that boot reserved, such as the initramfs or the kernel's init code.

        The allocator manages them from then on, but no watermark changes. Raise ``ForeignPage`` if
        one is not reserved. [free_reserved_area]
        """
        for pfn in range(start_pfn, end_pfn):
            zone, index = self.zone_of(pfn), pfn - self.mem_map.base
            if self.mem_map.scalars.state[index] != RESERVED:
                raise ForeignPage(pfn, "it is not reserved")
            self.mem_map.scalars.state[index] = ALLOCATED
            zone.buddy.managed_pages += 1
            self.free_pages(pfn, 0, cpu)

    def drain_all_pages(self) -> None:
        """Empty the per-CPU lists of all processors. [drain_all_pages]"""
        for cpu in range(len(self.cpu_nodes)):
            for zone in self.populated:
                zone.pcp[cpu].drain()

    def check_order(self, order: int) -> None:
        """Raise ``BadOrder`` for an order that no block has."""
        if not 0 <= order < MAX_ORDER:
            raise BadOrder(order, f"0 to {MAX_ORDER - 1}")
