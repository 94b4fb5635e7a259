"""Page frames: ``mem_map``, the array of ``struct page``, as columns of numpy arrays.

There is no Python object per page: a page is an index into the columns. Free lists are linked
through the columns, as the kernel links ``struct page`` through ``page->buddy_list``.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
from numpy.typing import NDArray

from .errors import BrokenInvariant

__all__ = ["MAX_ORDER", "MIGRATE_PCPTYPES", "MIGRATE_TYPES", "MemMap", "MigrateType", "PageFlag",
           "PageState"]

MAX_ORDER = 11  # one more than the largest order, as in Linux 6.1
MAX_ORDER_PAGES = 1 << (MAX_ORDER - 1)
LIST_HEADS = 4096  # for all zones of the machine: 55 each


class MigrateType(IntEnum):
    """How movable the pages of a pageblock are. [enum migratetype, without CONFIG_CMA]"""

    UNMOVABLE = 0
    MOVABLE = 1
    RECLAIMABLE = 2
    HIGHATOMIC = 3
    ISOLATE = 4


MIGRATE_PCPTYPES = 3  # lower types have per-CPU lists, and fall back to one another
MIGRATE_TYPES = len(MigrateType)


class PageState(IntEnum):
    """What a page is. The first page of a block says it for the block; its others are ``TAIL``."""

    TAIL = 0
    """Inside a block that begins before it."""
    HOLE = 1
    """No memory."""
    RESERVED = 2
    """Memory that the allocator was never given. [PG_reserved]"""
    ALLOCATED = 3
    """The first of an allocated block of ``order``."""
    PCP = 4
    """The first of a block of ``order`` on a per-CPU list."""
    BUDDY = 5
    """The first of a free block of ``order`` on a free list. [PageBuddy]"""


class PageFlag(IntFlag):
    """What an allocated page is used for, as far as the allocator looks at it. [enum pageflags]"""

    LRU = 1
    """On an LRU list, and so movable. [PG_lru]"""
    MOVABLE = 2
    """Movable by its owner. [__PageMovable]"""


@dataclass(frozen=True, slots=True)
class Scalars:
    """The columns of a ``MemMap`` as memoryviews: much the fastest way to one page's field."""

    state: "memoryview[int]"
    order: "memoryview[int]"
    migratetype: "memoryview[int]"
    zone: "memoryview[int]"
    node: "memoryview[int]"
    flags: "memoryview[int]"
    refcount: "memoryview[int]"
    owner: "memoryview[int]"
    next: "memoryview[int]"
    prev: "memoryview[int]"


class MemMap:
    """The page frames from ``start_pfn`` up to ``end_pfn``, all of them holes at first.

    Both ends are widened to a multiple of 1024 pages, so that the buddy of an index is an index.
    A column is indexed with ``pfn - base``; ``scalars`` has the same columns as memoryviews.

    Parameters
    ----------
    start_pfn, end_pfn
        The first page frame number, and the one after the last.
    pageblock_order
        log2 of the pages of a pageblock: 9 for x86-64, 10 for two-level 32-bit paging.
        [pageblock_order]
    sparse
        Whether a pageblock has one migrate type, as on x86-64, or one in each zone that it
        reaches into, as on 32-bit machines. [CONFIG_SPARSEMEM]

    Members
    -------
    state, order
        ``uint8``: ``PageState``, and the order of the block that begins here.
    migratetype
        ``uint8``: the type that an allocated page was taken or is freed as, and the type of the
        list that a free block is on. [get_pcppage_migratetype]
    zone, node
        ``uint8``: which zone of the machine and which node the page belongs to. Zones are numbered
        over all nodes, so that no two have the same number. [page_zone_id]
    flags, refcount, owner
        ``uint16`` (``PageFlag``), ``int32``, ``int32``: for the user of an allocated page. The
        allocator counts movable pages by ``flags``, and references by ``refcount``.
    next, prev
        ``int32``: links of a list, as indices. The heads of lists are indices from ``len`` on.
    pageblock
        ``uint8``: ``MigrateType`` of each pageblock, indexed ``(pfn - base) >> pageblock_order``.
        The type in a zone, which may be another if not ``sparse``, is what
        ``FreeArea.pageblock_type`` returns.

    Raises
    ------
    ValueError
        If the range is empty or negative, or ``pageblock_order`` not 1 to 10.
    """

    def __init__(self, start_pfn: int, end_pfn: int, *, pageblock_order: int = 9,
                 sparse: bool = True) -> None:
        if not 0 <= start_pfn < end_pfn:
            raise ValueError(f"Page range must not be empty, not {start_pfn:#x} to {end_pfn:#x}")
        if not 1 <= pageblock_order < MAX_ORDER:
            raise ValueError(f"Pageblock order must be 1 to {MAX_ORDER - 1}, "
                             f"not {pageblock_order!r}")
        self.base = start_pfn & -MAX_ORDER_PAGES
        self.pageblock_order = pageblock_order
        self.sparse = sparse
        size = (end_pfn - self.base + MAX_ORDER_PAGES - 1) & -MAX_ORDER_PAGES
        self.state = np.full(size, PageState.HOLE, np.uint8)
        self.order = np.zeros(size, np.uint8)
        self.migratetype = np.zeros(size, np.uint8)
        self.zone = np.zeros(size, np.uint8)
        self.node = np.zeros(size, np.uint8)
        self.flags = np.zeros(size, np.uint16)
        self.refcount = np.zeros(size, np.int32)
        self.owner = np.zeros(size, np.int32)
        self.next = np.zeros(size + LIST_HEADS, np.int32)
        self.prev = np.zeros(size + LIST_HEADS, np.int32)
        self.pageblock = np.zeros(size >> pageblock_order, np.uint8)
        self.scalars = Scalars(**{name: memoryview(getattr(self, name))
                                  for name in Scalars.__slots__})
        self._list_heads = size
        self._memory_end = 0

    def __len__(self) -> int:
        """Return the number of pages, holes included."""
        return len(self.state)

    def __contains__(self, pfn: int) -> bool:
        """Return whether there is memory at page frame ``pfn``."""
        index = pfn - self.base
        return 0 <= index < len(self) and self.scalars.state[index] != PageState.HOLE

    @property
    def pageblock_pages(self) -> int:
        """The number of pages of a pageblock. [pageblock_nr_pages]"""
        return 1 << self.pageblock_order

    def add_memory(self, start_pfn: int, end_pfn: int, zone: int, node: int = 0) -> None:
        """Make ``start_pfn`` up to ``end_pfn`` memory of ``zone`` and ``node``, reserved for now.

        The pageblocks that begin there become movable; any other stays unmovable. A hole between
        the highest memory added before and this range gets the same zone and node.
        Raise ``ValueError`` for a range outside the map, empty, or that has memory already.
        [memmap_init_zone_range]
        """
        pages = slice(start_pfn - self.base, end_pfn - self.base)
        if not 0 <= pages.start < pages.stop <= len(self):
            raise ValueError(f"Pages {start_pfn:#x} to {end_pfn:#x} are not in the map")
        if (self.state[pages] != PageState.HOLE).any():
            raise ValueError(f"Pages {start_pfn:#x} to {end_pfn:#x} have memory already")
        self.state[pages] = PageState.RESERVED
        with_hole = slice(min(self._memory_end, pages.start), pages.stop)
        self.zone[with_hole] = zone
        self.node[with_hole] = node
        self._memory_end = max(self._memory_end, pages.stop)
        shift, up = self.pageblock_order, self.pageblock_pages - 1
        self.pageblock[(pages.start + up) >> shift : (pages.stop + up) >> shift] = (
            MigrateType.MOVABLE)

    def list_heads(self, count: int) -> int:
        """Return the first of ``count`` new indices of ``next`` and ``prev``: empty lists.

        Raise ``ValueError`` when there are no more.
        """
        first = self._list_heads
        if first + count > len(self.next):
            raise ValueError(f"List heads are used up: {count} more than {LIST_HEADS} wanted")
        self._list_heads += count
        heads = np.arange(first, first + count)
        self.next[heads] = self.prev[heads] = heads
        return first

    def split_page(self, pfn: int, order: int) -> None:
        """Turn an allocated block of ``order`` into single pages, each to be freed by itself.

        Raise ``ValueError`` if there is no such block. [split_page]
        """
        index = pfn - self.base
        pages = slice(index, index + (1 << order))
        if self.block(pfn) != (PageState.ALLOCATED, order):
            raise ValueError(f"No allocated block of order {order} begins at page {pfn:#x}")
        self.state[pages] = PageState.ALLOCATED
        self.order[pages] = 0
        self.migratetype[pages] = self.migratetype[index]

    def join_pages(self, pfn: int, order: int) -> None:
        """Make allocated pages one block of ``order``, whatever blocks they were in.

        A block that only partly lies in it is first split into single pages. Raise ``ValueError``
        if one of the pages is not allocated, or no such block begins there. [prep_compound_page]
        """
        if pfn & ((1 << order) - 1):
            raise ValueError(f"No block of order {order} begins at page {pfn:#x}")
        at = pfn
        while at < pfn + (1 << order):
            head, state, size = self.block_of(at)
            if state != PageState.ALLOCATED:
                raise ValueError(f"Page {at:#x} is not allocated")
            if head < pfn or head + (1 << size) > pfn + (1 << order):
                self.split_page(head, size)
                continue
            at += 1 << size
        index = pfn - self.base
        self.state[index : index + (1 << order)] = PageState.TAIL
        self.state[index] = PageState.ALLOCATED
        self.order[index] = order

    def block(self, pfn: int) -> tuple[PageState, int]:
        """Return the state of page ``pfn`` and the order of the block that begins there."""
        index = pfn - self.base
        if not 0 <= index < len(self):
            return PageState.HOLE, 0
        return PageState(self.scalars.state[index]), self.scalars.order[index]

    def block_of(self, pfn: int) -> tuple[int, PageState, int]:
        """Return the first page of the block that holds page ``pfn``, its state and order."""
        for order in range(MAX_ORDER):
            head = pfn & -(1 << order)
            state, size = self.block(head)
            if state != PageState.TAIL:
                return head, state, size
        raise BrokenInvariant(f"Page {pfn:#x} is in no block")

    def blocks(self) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
        """Return the index and the order of the first page of every block, ascending.

        A hole and a reserved page are blocks of one page. Raise ``BrokenInvariant`` unless the
        blocks cover every page once, each aligned to its size.
        """
        heads = np.flatnonzero(self.state)
        single = self.state[heads] <= PageState.RESERVED
        orders = np.where(single, np.uint8(0), self.order[heads])
        ends = heads + (1 << orders.astype(np.intp))
        wrong = np.flatnonzero(ends != np.append(heads[1:], len(self)))
        if not len(heads) or heads[0]:
            raise BrokenInvariant(f"Page {self.base:#x} is in no block")
        if len(wrong):
            at = int(wrong[0])
            raise BrokenInvariant(f"Block of order {orders[at]} at page "
                                  f"{heads[at] + self.base:#x} does not end where the next begins")
        crooked = np.flatnonzero(heads & ((1 << orders.astype(np.intp)) - 1))
        if len(crooked):
            at = int(crooked[0])
            raise BrokenInvariant(f"Block of order {orders[at]} at page "
                                  f"{heads[at] + self.base:#x} is not aligned")
        return heads, orders
