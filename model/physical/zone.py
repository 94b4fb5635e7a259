"""A zone: a span of one node's page frames with its allocator, its watermarks and its counters."""

from dataclasses import dataclass

from .buddy import Buddy
from .errors import BrokenInvariant
from .fallback import ALLOC_KSWAPD
from .page import MAX_ORDER, MIGRATE_PCPTYPES, PageState
from .pcp import PerCpuPages, zone_batchsize, zone_highsize
from .watermark import (
    ALLOC_HIGHATOMIC,
    ALLOC_OOM,
    ALLOC_RESERVES,
    ALLOC_WMARK_LOW,
    ALLOC_WMARK_MASK,
    ALLOC_WMARK_MIN,
    Watermarks,
    reserve,
)
from .zone_layout import ZoneSpan

__all__ = ["NumaCounters", "Zone"]

BOOST_FREE_PAGEBLOCKS = 4


@dataclass(slots=True)
class NumaCounters:
    """How many allocations a zone served, by where they were meant to go. [numa_stat_item]

    Members
    -------
    hit, miss
        Served by this zone, meant for its node or for another node.
    foreign
        Meant for this zone's node, but served by another one.
    interleave
        Not modelled: always 0.
    local, other
        Served by this zone to a processor of its node, or of another node.
    """

    hit: int = 0
    miss: int = 0
    foreign: int = 0
    interleave: int = 0
    local: int = 0
    other: int = 0


class Zone:
    """One zone of one node. [struct zone]

    Its watermarks and reserves depend on all zones of the machine, so ``Reserves`` sets them when
    these are there, and again whenever a tunable changes. Until then they are 0, and keep nothing
    back. [setup_per_zone_wmarks, setup_per_zone_lowmem_reserve]

    Parameters
    ----------
    span
        The zone's place in memory.
    index
        The zone's number among those of its node. [zone_idx]
    buddy
        The allocator of its pages; None if there are none.
    zone_count, cpus
        The number of zones of each node, and of processors of the machine.
    is_highmem
        Whether the zone is outside the kernel's direct map. [is_highmem]

    Members
    -------
    watermarks
        The watermarks in pages, without the boost. [_watermark]
    watermark_boost
        By how many pages the watermarks are raised for a while, after migrate types were mixed.
    watermark_boost_factor
        The limit of the boost: ``vm.watermark_boost_factor``.
    boosted
        Whether kswapd is to be woken because of the boost. [ZONE_BOOSTED_WATERMARK]
    lowmem_reserve
        By index of a zone, the pages kept from allocations that may use zones up to that one.
    pcp
        The per-CPU lists, one for each processor; none without pages.
    stat_threshold
        How many pages a processor of the kernel counts for itself before it tells the zone.
    numa
        How many allocations the zone served.
    """

    def __init__(self, span: ZoneSpan, index: int, buddy: Buddy | None, *, zone_count: int,
                 cpus: int, is_highmem: bool = False) -> None:
        self.span = span
        self.nid = span.nid
        self.index = index
        self.name = span.kind.value
        self.is_highmem = is_highmem
        self._buddy = buddy
        self.watermarks = Watermarks()
        self.watermark_boost = 0
        self.watermark_boost_factor = 0
        self.boosted = False
        self.lowmem_reserve = [0] * zone_count
        self.stat_threshold = 0
        self.numa = NumaCounters()
        self.pcp: list[PerCpuPages] = []
        if buddy is not None:
            # Until set_pageset_sizes no page stays on the lists. [BOOT_PAGESET_HIGH, _BATCH]
            self.pcp = [PerCpuPages(buddy, batch=1, high=0) for _ in range(cpus)]
            # A buddy allocator works without a zone, too, and raises no watermarks then.
            buddy.boost_watermark = self.boost_watermark

    @property
    def populated(self) -> bool:
        """Whether there is memory in it. [populated_zone]"""
        return self.span.present > 0

    @property
    def buddy(self) -> Buddy:
        """The allocator of its pages; raise ``ValueError`` if there are none."""
        if self._buddy is None:
            raise ValueError(f"Zone {self.name} of node {self.nid} has no pages")
        return self._buddy

    @property
    def managed_pages(self) -> int:
        """The pages that the allocator was given. [zone_managed_pages]"""
        return self._buddy.managed_pages if self._buddy else 0

    @property
    def free_pages(self) -> int:
        """The pages on the free lists, without per-CPU lists. [NR_FREE_PAGES]"""
        return self._buddy.free_pages if self._buddy else 0

    def mark(self, alloc_flags: int) -> int:
        """Return the watermark that ``alloc_flags`` name, boosted. [wmark_pages]"""
        which, marks = alloc_flags & ALLOC_WMARK_MASK, self.watermarks
        mark = (marks.low if which == ALLOC_WMARK_LOW else
                marks.min if which == ALLOC_WMARK_MIN else marks.high)
        return mark + self.watermark_boost

    def unusable_free(self, order: int, alloc_flags: int) -> int:
        """Return how many free pages the allocation cannot rely on.

        Those are all pages but one of the block itself, and for most callers the pageblocks that
        are reserved for high-order atomic allocations. [__zone_watermark_unusable_free]
        """
        if alloc_flags & ALLOC_RESERVES:
            return (1 << order) - 1
        return (1 << order) - 1 + self.buddy.nr_reserved_highatomic

    def watermark_ok(self, order: int, mark: int, highest_zoneidx: int, alloc_flags: int,
                     free_pages: int | None = None) -> bool:
        """Return whether the zone can spare a block of ``order`` and stay above ``mark``.

        There must be more free pages than the mark and the reserve against allocations that may
        use zones up to ``highest_zoneidx`` together, and a free block that is large enough.
        ``free_pages`` stands in for the number of free pages, unless None. [__zone_watermark_ok]
        """
        if free_pages is None:
            free_pages = self.buddy.free_pages
        usable = free_pages - self.unusable_free(order, alloc_flags)
        if usable <= reserve(mark, alloc_flags) + self.lowmem_reserve[highest_zoneidx]:
            return False
        return not order or self.has_block(order, alloc_flags)

    def has_block(self, order: int, alloc_flags: int) -> bool:
        """Return whether there is a free block of ``order`` or more that may be used."""
        types = MIGRATE_PCPTYPES + bool(alloc_flags & (ALLOC_HIGHATOMIC | ALLOC_OOM))
        return any(
            self.buddy.first(size, migratetype) is not None
            for size in range(order, MAX_ORDER) if self.buddy.nr_free[size]
            for migratetype in range(types)
        )

    def watermark_fast(self, order: int, mark: int, highest_zoneidx: int, alloc_flags: int,
                       atomic: bool) -> bool:
        """Return what ``watermark_ok`` does, with a short cut for single pages.

        An allocation of a single page that is ``atomic`` (__GFP_ATOMIC) need not leave the boost
        that ``mark`` contains. [zone_watermark_fast]
        """
        free_pages = self.buddy.free_pages
        if not order:
            usable = max(0, free_pages - self.unusable_free(0, alloc_flags))
            if usable > mark + self.lowmem_reserve[highest_zoneidx]:
                return True
        if self.watermark_ok(order, mark, highest_zoneidx, alloc_flags, free_pages):
            return True
        if not order and atomic and self.watermark_boost and not alloc_flags & ALLOC_WMARK_MASK:
            mark = self.watermarks.min
            return self.watermark_ok(0, mark, highest_zoneidx, alloc_flags, free_pages)
        return False

    def shortfall(self, order: int, mark: int, highest_zoneidx: int,
                  alloc_flags: int) -> str | None:
        """Return in words why ``watermark_ok`` returns false; None if it returns true."""
        free_pages, unusable = self.buddy.free_pages, self.unusable_free(order, alloc_flags)
        least, kept = reserve(mark, alloc_flags), self.lowmem_reserve[highest_zoneidx]
        if free_pages - unusable <= least + kept:
            return (f"{free_pages} pages free, {unusable} of which do not count, but more than "
                    f"{least} (watermark) + {kept} (lowmem reserve) must stay free")
        if order and not self.has_block(order, alloc_flags):
            return f"{free_pages} pages free, but no block of order {order} or more"
        return None

    def boost_watermark(self, alloc_flags: int) -> None:
        """Raise the watermarks by a pageblock, as migrate types were mixed in one.

        kswapd then frees more pages, so that the next allocation finds a pageblock of its type. The
        boost is at most ``vm.watermark_boost_factor`` ten-thousandths of the high watermark.
        [boost_watermark]
        """
        pageblock = self.buddy.mem_map.pageblock_pages
        limit = self.watermarks.high * self.watermark_boost_factor // 10000
        if limit and self.managed_pages >= BOOST_FREE_PAGEBLOCKS * pageblock:
            self.watermark_boost = min(self.watermark_boost + pageblock, max(limit, pageblock))
            self.boosted = self.boosted or bool(alloc_flags & ALLOC_KSWAPD)

    def set_pageset_sizes(self, node_cpus: int, high_fraction: int) -> None:
        """Set how many pages the per-CPU lists hold. [zone_set_pageset_high_and_batch]

        The zone's low watermark is shared by the ``node_cpus`` processors of its node, or by all
        if it has none; ``high_fraction`` is ``vm.percpu_pagelist_high_fraction``.
        """
        batch = zone_batchsize(self.managed_pages)
        high = zone_highsize(self.watermarks.low + self.watermark_boost, batch,
                             node_cpus or len(self.pcp),
                             managed_pages=self.managed_pages, high_fraction=high_fraction)
        for pcp in self.pcp:
            pcp.batch, pcp.high = batch, high

    def count_allocation(self, preferred: "Zone", cpu_nid: int) -> None:
        """Count a block that this zone served to a processor of node ``cpu_nid``.

        It was meant for the node of ``preferred``. [zone_statistics]
        """
        if self.nid == preferred.nid:
            self.numa.hit += 1
        else:
            self.numa.miss += 1
            preferred.numa.foreign += 1
        if self.nid == cpu_nid:
            self.numa.local += 1
        else:
            self.numa.other += 1

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if the zone, its allocator and its lists disagree."""
        marks, reserves = self.watermarks, self.lowmem_reserve
        if not 0 <= marks.min <= marks.low <= marks.high <= marks.promo:
            raise BrokenInvariant(f"Watermarks of zone {self.name} do not rise: {marks}")
        if reserves != sorted(reserves) or any(reserves[: self.index + 1]):
            raise BrokenInvariant(f"Zone {self.name} of index {self.index} reserves {reserves}")
        if self._buddy is None:
            return
        self._buddy.check()
        for pcp in self.pcp:
            pcp.check()
        pages = slice(self.span.start_pfn - self._buddy.mem_map.base,
                      self.span.end_pfn - self._buddy.mem_map.base)
        mine = self._buddy.mem_map.zone[pages] == self._buddy.zone
        memory = mine & (self._buddy.mem_map.state[pages] != PageState.HOLE)
        reserved = memory & (self._buddy.mem_map.state[pages] == PageState.RESERVED)
        present, managed = int(memory.sum()), int(memory.sum() - reserved.sum())
        if (present, managed) != (self.span.present, self.managed_pages):
            raise BrokenInvariant(f"Zone {self.name} has {present} pages, {managed} managed, not "
                                  f"{self.span.present} and {self.managed_pages}")
