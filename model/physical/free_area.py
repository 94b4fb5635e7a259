"""The free lists of a zone: ``zone->free_area[order].free_list[migratetype]``."""

import numpy as np
from numpy.typing import NDArray

from .errors import BadMigrateType, BadOrder, BrokenInvariant
from .page import MAX_ORDER, MIGRATE_TYPES, MemMap, PageState

__all__ = ["FreeArea"]

TAIL, BUDDY = int(PageState.TAIL), int(PageState.BUDDY)


class FreeArea:
    """The free blocks of one zone, in lists by order and migrate type.

    A list is circular. It is linked through the columns ``next`` and ``prev`` of the map, and its
    head is an index beyond the pages, so that a block can leave its list without knowing which one
    it is on. The kernel links ``page->buddy_list`` in the same way.

    Parameters
    ----------
    mem_map, zone
        The pages, with all of the zone's memory added, and the number of this zone in
        ``mem_map.zone``.
    start_pfn, end_pfn
        The pages that the zone spans; there may be holes and pages of other zones among them.
    name
        The name that messages and ``/proc/buddyinfo`` give to the zone.

    Members
    -------
    pageblock
        ``uint8``: the migrate type of each pageblock of the map. It is ``MemMap.pageblock`` itself
        if the map is sparse, else the zone's own. [zone->pageblock_flags]
    nr_free
        The number of free blocks of each order. [free_area->nr_free]
    free_pages
        The number of pages in them. [NR_FREE_PAGES]
    """

    def __init__(self, mem_map: MemMap, zone: int, start_pfn: int, end_pfn: int, *,
                 name: str = "Normal") -> None:
        self.mem_map = mem_map
        self.zone = zone
        self.start_pfn = start_pfn
        self.end_pfn = end_pfn
        self.name = name
        self.nr_free = [0] * MAX_ORDER
        self.free_pages = 0
        self.pageblock = self._pageblocks()
        self._base = mem_map.base
        self._heads = mem_map.list_heads(MAX_ORDER * MIGRATE_TYPES)
        self._pageblock_order = mem_map.pageblock_order
        self._types: memoryview[int] = self.pageblock.data
        columns = mem_map.scalars
        self._next, self._prev = columns.next, columns.prev
        self._state, self._order, self._zone = columns.state, columns.order, columns.zone
        self._migratetype = columns.migratetype

    def _pageblocks(self) -> NDArray[np.uint8]:
        """Return the zone's type of every pageblock of the map.

        A zone with types of its own has a type 0, unmovable, for a pageblock that begins in another
        zone: boot sets the type at the first page only. [memmap_init_range]
        """
        mem_map = self.mem_map
        if mem_map.sparse:
            return mem_map.pageblock
        first = slice(None, None, mem_map.pageblock_pages)
        ours = (mem_map.zone[first] == self.zone) & (mem_map.state[first] != PageState.HOLE)
        return np.where(ours, mem_map.pageblock, np.uint8(0))

    def pageblock_type(self, pfn: int) -> int:
        """Return the migrate type of the pageblock of ``pfn``. [get_pfnblock_migratetype]"""
        return self._types[(pfn - self._base) >> self._pageblock_order]

    def set_pageblock_type(self, pfn: int, migratetype: int) -> None:
        """Set the migrate type of the pageblock of ``pfn``. [set_pageblock_migratetype]"""
        self._types[(pfn - self._base) >> self._pageblock_order] = migratetype

    def spans(self, pfn: int) -> bool:
        """Return whether the zone spans page ``pfn``. [zone_spans_pfn]"""
        return self.start_pfn <= pfn < self.end_pfn

    def list_head(self, order: int, migratetype: int) -> int:
        """Return the index of the head of a list; raise ``BadOrder``, ``BadMigrateType``."""
        if not 0 <= order < MAX_ORDER:
            raise BadOrder(order, f"0 to {MAX_ORDER - 1}")
        if not 0 <= migratetype < MIGRATE_TYPES:
            raise BadMigrateType(migratetype)
        return self._heads + order * MIGRATE_TYPES + migratetype

    def first(self, order: int, migratetype: int) -> int | None:
        """Return the page of the block at the head of a list. [get_page_from_free_area]"""
        head = self.list_head(order, migratetype)
        index = self._next[head]
        return None if index == head else index + self._base

    def has_block(self, order: int, migratetype: int) -> bool:
        """Return whether a list of ``migratetype`` holds a block of ``order`` or more."""
        return any(self.first(size, migratetype) is not None for size in range(order, MAX_ORDER))

    def free_list(self, order: int, migratetype: int) -> NDArray[np.int64]:
        """Return the pages that the blocks of a list begin with, ``int64``, in list order.

        Raise ``BrokenInvariant`` if there are more of them than free blocks.
        """
        head = self.list_head(order, migratetype)
        blocks, index = [], self._next[head]
        while index != head:
            blocks.append(index)
            if len(blocks) > self.nr_free[order]:
                raise BrokenInvariant(f"A list of order {order} of zone {self.name} is longer than "
                                      f"the count of {self.nr_free[order]} free blocks")
            index = self._next[index]
        return np.array(blocks, np.int64) + self._base

    def buddyinfo(self) -> str:
        """Return the zone's line of ``/proc/buddyinfo``, without the node. [frag_show_print]"""
        return f"zone {self.name:>8} " + "".join(f"{count:6d} " for count in self.nr_free)

    def load(self, order: int, migratetype: int, pfns: NDArray[np.int64]) -> None:
        """Append free blocks to a list without merging them, to restore a recorded state.

        Their pages must be reserved, or allocated one by one. Raise ``ValueError`` for a block
        that is not, or not aligned, or not the zone's.
        """
        self.list_head(order, migratetype)
        for pfn in pfns.tolist():
            index = pfn - self._base
            block = slice(index, index + (1 << order))
            if not self.spans(pfn) or pfn & ((1 << order) - 1):
                raise ValueError(f"No block of order {order} begins at page {pfn:#x}")
            states = self.mem_map.state[block]
            taken = (states != PageState.RESERVED) & (states != PageState.ALLOCATED)
            if taken.any() or (self.mem_map.zone[block] != self.zone).any():
                raise ValueError(f"Block of order {order} at page {pfn:#x} overlaps a free block, "
                                 f"a hole or another zone")
            self.mem_map.state[block] = TAIL
            self._add(index, order, migratetype, tail=True)
            self.free_pages += 1 << order

    def _add(self, index: int, order: int, migratetype: int, *, tail: bool = False) -> None:
        """Put a block on a list. [add_to_free_list, add_to_free_list_tail]"""
        head = self._heads + order * MIGRATE_TYPES + migratetype
        before = self._prev[head] if tail else head
        after = self._next[before]
        self._next[before] = self._prev[after] = index
        self._next[index] = after
        self._prev[index] = before
        self._state[index] = BUDDY
        self._order[index] = order
        self._migratetype[index] = migratetype
        self.nr_free[order] += 1

    def _delete(self, index: int, order: int) -> None:
        """Take a block off the list that it is on. [del_page_from_free_list]"""
        before, after = self._prev[index], self._next[index]
        self._next[before] = after
        self._prev[after] = before
        self._state[index] = TAIL
        self.nr_free[order] -= 1

    def _move(self, index: int, order: int, migratetype: int) -> None:
        """Put a free block at the tail of another list. [move_to_free_list]"""
        self._delete(index, order)
        self._add(index, order, migratetype, tail=True)
