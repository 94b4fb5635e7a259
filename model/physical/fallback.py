"""Stealing from the lists of another migrate type, and the reserve for high-order atomic use."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .free_area import BUDDY, FreeArea
from .page import MAX_ORDER, MIGRATE_PCPTYPES, MIGRATE_TYPES, MigrateType, PageFlag

__all__ = ["ALLOC_KSWAPD", "ALLOC_NOFRAGMENT", "Fallback", "StealingArea"]

# Bits of the allocation flags. [mm/internal.h]
ALLOC_NOFRAGMENT = 0x100  # rather fail than mix migrate types within a pageblock
ALLOC_KSWAPD = 0x800      # waking kswapd is allowed

UNMOVABLE, MOVABLE = int(MigrateType.UNMOVABLE), int(MigrateType.MOVABLE)
RECLAIMABLE, HIGHATOMIC = int(MigrateType.RECLAIMABLE), int(MigrateType.HIGHATOMIC)
MOVABLE_FLAGS = np.uint16(PageFlag.LRU | PageFlag.MOVABLE)

# Where to look, in this order, when a type has no block. [fallbacks]
FALLBACKS = {
    UNMOVABLE: (RECLAIMABLE, MOVABLE),
    MOVABLE: (RECLAIMABLE, UNMOVABLE),
    RECLAIMABLE: (UNMOVABLE, MOVABLE),
}


@dataclass(frozen=True, slots=True)
class Fallback:
    """One fallback to another migrate type. [mm_page_alloc_extfrag, a trace event]

    ``pfn`` is the first page of the block of ``fallback_order`` that was taken;
    ``change_ownership`` is whether its pageblock has now the type of the request.
    """

    pfn: int
    alloc_order: int
    fallback_order: int
    alloc_migratetype: int
    fallback_migratetype: int
    change_ownership: bool


def _no_boost(alloc_flags: int) -> None:
    """Leave the watermarks as they are."""


class StealingArea(FreeArea):
    """Free lists of which a migrate type takes from those of another when its own have no block.

    Members
    -------
    managed_pages
        The pages that the allocator was given. [zone_managed_pages]
    nr_reserved_highatomic
        The pages of the pageblocks that are ``HIGHATOMIC``.
    had_highatomic
        Whether there was ever such a pageblock.
    last_fallback
        The last fallback, or ``None``.
    boost_watermark
        Called with the allocation flags when a fallback fragments a pageblock, for the zone to
        raise its watermarks and wake kswapd. [boost_watermark]
    """

    managed_pages = 0
    nr_reserved_highatomic = 0
    had_highatomic = False
    last_fallback: Fallback | None = None
    boost_watermark: Callable[[int], None] = staticmethod(_no_boost)

    def rmqueue_fallback(self, order: int, start_type: int, alloc_flags: int = 0, *,
                         claim: bool | None = None) -> bool:
        """Move a block of another type, and perhaps its whole pageblock, to ``start_type``.

        Return whether there was one: the request then finds it there. ``claim`` says whether a
        pageblock whose free pages move becomes of ``start_type``; if it is None, what the pages are
        used for decides. [__rmqueue_fallback]

        A pageblock with pages of several types may never be free as a whole again. So it is better
        to mix once and thoroughly: the largest block is taken, as it probably lies in the pageblock
        with most free pages, and these come along for requests of the type to come. A movable
        request that may not take them takes the smallest block that is large enough, because its
        pages can be moved away again.
        """
        pageblock_order = self._pageblock_order
        nofragment = alloc_flags & ALLOC_NOFRAGMENT and order < pageblock_order
        least = pageblock_order if nofragment else order
        for current in range(MAX_ORDER - 1, least - 1, -1):
            found = self._find_suitable_fallback(current, start_type)
            if found is None:
                continue
            if start_type == MOVABLE and current > order and not self._can_steal(current, MOVABLE):
                current, found = self._smallest_fallback(order, MOVABLE)
            self._steal(found, order, current, start_type, alloc_flags, claim)
            return True
        return False

    def _smallest_fallback(self, order: int, start_type: int) -> tuple[int, int]:
        """Return order and type of the smallest sufficient block of another type; there is one."""
        while (found := self._find_suitable_fallback(order, start_type)) is None:
            order += 1
        return order, found

    def _find_suitable_fallback(self, order: int, migratetype: int) -> int | None:
        """Return the type to take a block of ``order`` from, or None. [find_suitable_fallback]"""
        if self.nr_free[order]:
            for other in FALLBACKS[migratetype]:
                head = self._heads + order * MIGRATE_TYPES + other
                if self._next[head] != head:
                    return other
        return None

    def _can_steal(self, order: int, start_type: int) -> bool:
        """Return whether the other free pages of the pageblock may be taken too.

        Pages that cannot be moved always may, to keep them together; movable ones only with a
        large block. [can_steal_fallback]
        """
        return (order >= self._pageblock_order // 2
                or start_type in (RECLAIMABLE, UNMOVABLE))

    def _steal(self, fallback_type: int, order: int, current: int, start_type: int,
               alloc_flags: int, claim: bool | None) -> None:
        head = self._heads + current * MIGRATE_TYPES + fallback_type
        index = self._next[head]
        self._steal_suitable_fallback(index, current, start_type, alloc_flags, claim)
        pfn = index + self._base
        claimed = self.pageblock_type(pfn) == start_type
        self.last_fallback = Fallback(pfn, order, current, start_type, fallback_type, claimed)

    def _steal_suitable_fallback(self, index: int, order: int, start_type: int,
                                 alloc_flags: int, claim: bool | None) -> None:
        """Move the block at ``index``, or all of its pageblock, to the lists of ``start_type``.

        The pageblock becomes of that type if at least half of it is free or has pages of that type.
        [steal_suitable_fallback]
        """
        pfn = index + self._base
        old_type = self.pageblock_type(pfn)
        if old_type == HIGHATOMIC:
            return self._move(index, order, start_type)
        if order >= self._pageblock_order:
            for block in range(pfn, pfn + (1 << order), self.mem_map.pageblock_pages):
                self.set_pageblock_type(block, start_type)
            return self._move(index, order, start_type)
        self.boost_watermark(alloc_flags)
        if not self._can_steal(order, start_type):
            return self._move(index, order, start_type)
        free, movable = self._move_freepages_block(pfn, start_type)
        if not free:
            return self._move(index, order, start_type)
        if claim is None:
            claim = self._is_compatible(free, movable, old_type, start_type)
        if claim:
            self.set_pageblock_type(pfn, start_type)
        return None

    def _is_compatible(self, free: int, movable: int, old_type: int, start_type: int) -> bool:
        """Return whether at least half of a pageblock is free or has pages of ``start_type``.

        ``free`` and ``movable`` count its free and its allocated movable pages.
        """
        if start_type == MOVABLE:
            alike = movable
        elif old_type == MOVABLE:
            alike = self.mem_map.pageblock_pages - (free + movable)
        else:
            alike = 0  # unmovable and reclaimable pages cannot be told apart
        return free + alike >= self.mem_map.pageblock_pages // 2

    def _move_freepages_block(self, pfn: int, migratetype: int) -> tuple[int, int]:
        """Move the free blocks of a pageblock to the tails of the lists of ``migratetype``.

        Return how many pages moved, and how many allocated ones are movable. Nothing moves, and
        both are 0, if the zone ends inside the pageblock. [move_freepages_block, move_freepages]
        """
        start = pfn & -self.mem_map.pageblock_pages
        last = start + self.mem_map.pageblock_pages - 1
        if not self.spans(last):
            return 0, 0
        first = (start if self.spans(start) else pfn) - self._base
        pages = slice(first, last + 1 - self._base)
        movable = (self.mem_map.flags[pages] & MOVABLE_FLAGS) != 0
        free = 0
        for place in np.flatnonzero(self.mem_map.state[pages] == BUDDY).tolist():
            order = self._order[first + place]
            self._move(first + place, order, migratetype)
            movable[place : place + (1 << order)] = False
            free += 1 << order
        return free, int(np.count_nonzero(movable))

    def reserve_highatomic_pageblock(self, pfn: int) -> None:
        """Reserve the pageblock of ``pfn`` for high-order atomic allocations.

        About 1 % of the zone is reserved at most. [reserve_highatomic_pageblock]
        """
        limit = self.managed_pages // 100 + self.mem_map.pageblock_pages
        if (self.nr_reserved_highatomic < limit
                and self.pageblock_type(pfn) < MIGRATE_PCPTYPES):
            self.had_highatomic = True
            self.nr_reserved_highatomic += self.mem_map.pageblock_pages
            self.set_pageblock_type(pfn, HIGHATOMIC)
            self._move_freepages_block(pfn, HIGHATOMIC)

    def unreserve_highatomic_pageblock(self, migratetype: int, *, force: bool = False) -> bool:
        """Give a reserved pageblock with free pages to ``migratetype``; return whether any was.

        The last reserved pageblock is only given up with ``force``.
        [unreserve_highatomic_pageblock]
        """
        if not force and self.nr_reserved_highatomic <= self.mem_map.pageblock_pages:
            return False
        for order in range(MAX_ORDER):
            pfn = self.first(order, HIGHATOMIC)
            if pfn is None:
                continue
            if self.pageblock_type(pfn) == HIGHATOMIC:
                self.nr_reserved_highatomic -= min(self.mem_map.pageblock_pages,
                                                   self.nr_reserved_highatomic)
            self.set_pageblock_type(pfn, migratetype)
            if self._move_freepages_block(pfn, migratetype)[0]:
                return True
        return False
