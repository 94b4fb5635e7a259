"""The buddy allocator of one zone, as in Linux 6.1 ``mm/page_alloc.c``."""

import numpy as np

from .buddy_check import check_free_area
from .errors import (
    AllocationFailure,
    BadMigrateType,
    BadOrder,
    DoubleFree,
    ForeignPage,
    MisalignedBlock,
    OrderMismatch,
)
from .fallback import StealingArea
from .free_area import BUDDY, TAIL
from .page import MAX_ORDER, MIGRATE_PCPTYPES, MIGRATE_TYPES, MigrateType, PageState

__all__ = ["Buddy"]

ALLOCATED, PCP = int(PageState.ALLOCATED), int(PageState.PCP)
ISOLATE = int(MigrateType.ISOLATE)


class Buddy(StealingArea):
    """Blocks of 1 to 1024 pages, split and merged in pairs.

    The same calls give the same pages as in the kernel. A block that is too large is split from its
    end: each upper half goes to the head of a list. A freed block goes to the head of its list, or
    to the tail if it is likely to be merged soon. Free lists are not shuffled.

    Parameters and members are those of ``FreeArea`` and ``StealingArea``.
    """

    def free_memory(self, start_pfn: int, end_pfn: int) -> None:
        """Give the reserved pages ``start_pfn`` up to ``end_pfn`` to the allocator at boot.

        They go to the tails of the lists, in blocks as large as their alignment allows.
        Raise ``ForeignPage`` if one is not the zone's or not reserved.
        [__free_pages_memory, __free_pages_core]
        """
        pages = slice(start_pfn - self._base, end_pfn - self._base)
        usable = (self.mem_map.state[pages] == PageState.RESERVED) & (
            self.mem_map.zone[pages] == self.zone)
        if not (self.start_pfn <= start_pfn <= end_pfn <= self.end_pfn and usable.all()):
            raise ForeignPage(start_pfn, f"not all pages up to {end_pfn:#x} are reserved pages "
                                         f"of zone {self.name}")
        self.mem_map.state[pages] = TAIL
        self.managed_pages += end_pfn - start_pfn
        pfn = start_pfn
        while pfn < end_pfn:
            order = min(MAX_ORDER - 1, (end_pfn - pfn).bit_length() - 1)
            if pfn:
                order = min(order, (pfn & -pfn).bit_length() - 1)
            if order == MAX_ORDER - 1:
                pfn = self._free_largest(pfn, end_pfn)
                continue
            self.free_one_page(pfn, order, self.pageblock_type(pfn), to_tail=True)
            pfn += 1 << order

    def _free_largest(self, pfn: int, end_pfn: int) -> int:
        """Append blocks of the largest order, which never merge, all at once.

        Return the page after them: ``end_pfn``, or where less than a block is left or the
        pageblocks are of another type.
        """
        size = 1 << (MAX_ORDER - 1)
        blocks = np.arange(pfn - self._base, end_pfn - self._base - size + 1, size)
        types = self.pageblock[blocks >> self._pageblock_order]
        others = np.flatnonzero(types != types[0])
        blocks = blocks[: others[0]] if len(others) else blocks
        head = self.list_head(MAX_ORDER - 1, int(types[0]))
        before = self._prev[head]
        self.mem_map.prev[blocks] = np.append(before, blocks[:-1])
        self.mem_map.next[blocks] = np.append(blocks[1:], head)
        self._next[before], self._prev[head] = int(blocks[0]), int(blocks[-1])
        self.mem_map.state[blocks] = BUDDY
        self.mem_map.order[blocks] = MAX_ORDER - 1
        self.mem_map.migratetype[blocks] = types[0]
        self.nr_free[-1] += len(blocks)
        self.free_pages += len(blocks) * size
        return pfn + len(blocks) * size

    def alloc(self, order: int, migratetype: int = MigrateType.UNMOVABLE,
              alloc_flags: int = 0) -> int:
        """Return what ``rmqueue`` does, but raise ``AllocationFailure`` if it finds no block."""
        pfn = self.rmqueue(order, migratetype, alloc_flags)
        if pfn is None:
            raise AllocationFailure(order, self.name, self.buddyinfo())
        return pfn

    def rmqueue(self, order: int, migratetype: int, alloc_flags: int = 0) -> int | None:
        """Return the first page of a block of ``order``, or ``None`` if no block is large enough.

        A type without a sufficient block steals one from another type; ``ALLOC_NOFRAGMENT``
        lets it steal whole pageblocks only. Raise ``BadOrder``, ``BadMigrateType``.
        [__rmqueue]
        """
        pfn = self.rmqueue_smallest(order, migratetype)
        if pfn is None and migratetype < MIGRATE_PCPTYPES and self.rmqueue_fallback(
                order, migratetype, alloc_flags):
            return self.rmqueue_smallest(order, migratetype)
        return pfn

    def rmqueue_smallest(self, order: int, migratetype: int) -> int | None:
        """Return the first page of a block of ``order`` from the lists of ``migratetype`` alone.

        It is cut from the smallest block that is large enough; ``None`` if there is none. Raise
        ``BadOrder``, ``BadMigrateType``. [__rmqueue_smallest]
        """
        if not 0 <= order < MAX_ORDER:
            raise BadOrder(order, f"0 to {MAX_ORDER - 1}")
        if not 0 <= migratetype < ISOLATE:
            raise BadMigrateType(migratetype)
        head = self._heads + order * MIGRATE_TYPES + migratetype
        for current in range(order, MAX_ORDER):
            index = self._next[head]
            if index != head:
                self._delete(index, current)
                while current > order:  # [expand]
                    current -= 1
                    self._add(index + (1 << current), current, migratetype)
                self._hand_out(index, order, migratetype)
                return index + self._base
            head += MIGRATE_TYPES
        return None

    def take(self, pfn: int, order: int) -> bool:
        """Allocate the very block of ``order`` at ``pfn``; return whether it was free.

        The free block around it is split, and all other parts go to the heads of the lists of
        its type. Raise ``BadOrder``. [take_page_off_buddy, break_down_buddy_pages]
        """
        if not 0 <= order < MAX_ORDER:
            raise BadOrder(order, f"0 to {MAX_ORDER - 1}")
        head, state, current = self.mem_map.block_of(pfn)
        index, wanted = head - self._base, pfn - self._base
        if (state != PageState.BUDDY or current < order or pfn & ((1 << order) - 1)
                or self._zone[index] != self.zone):
            return False
        migratetype = self._migratetype[index]
        self._delete(index, current)
        while current > order:
            current -= 1
            upper = index + (1 << current)
            rest, index = (index, upper) if wanted >= upper else (upper, index)
            self._add(rest, current, migratetype)
        self._hand_out(index, order, migratetype)
        return True

    def _hand_out(self, index: int, order: int, migratetype: int) -> None:
        self._state[index] = ALLOCATED
        self._order[index] = order
        self._migratetype[index] = migratetype
        self.free_pages -= 1 << order

    def free(self, pfn: int, order: int) -> None:
        """Free the block of ``order`` that was allocated at ``pfn``.

        Raise ``BadOrder``, ``DoubleFree``, ``ForeignPage``, ``MisalignedBlock`` or
        ``OrderMismatch`` for anything else. [__free_pages_ok]
        """
        self.check_free(pfn, order)
        self.free_one_page(pfn, order, self.pageblock_type(pfn))

    def free_one_page(self, pfn: int, order: int, migratetype: int, *,
                      to_tail: bool = False) -> None:
        """Put a block on the list of ``migratetype``, merged with its buddies as far as it goes.

        The block is not checked, as ``free`` does that and finds the migrate type. ``to_tail`` puts
        it at the tail in any case. [__free_one_page; FPI_TO_TAIL]
        """
        state, orders, zones, zone = self._state, self._order, self._zone, self.zone
        index = buddy = pfn - self._base
        self.free_pages += 1 << order
        state[index] = TAIL
        while order < MAX_ORDER - 1:
            buddy = index ^ (1 << order)
            if state[buddy] != BUDDY or orders[buddy] != order or zones[buddy] != zone:
                break
            # From here on a merge joins pageblocks, and their types must go together.
            if order >= self._pageblock_order and not self._may_merge(buddy, migratetype):
                break
            self._delete(buddy, order)
            index &= buddy
            order += 1
        to_tail = to_tail or self.buddy_merge_likely(index & buddy, order)
        self._add(index, order, migratetype, tail=to_tail)

    def _may_merge(self, buddy: int, migratetype: int) -> bool:
        """Return whether a block of ``migratetype`` may merge with the whole pageblock ``buddy``.

        HIGHATOMIC and ISOLATE, which fall back to no other type, only merge with their own.
        [migratetype_is_mergeable]
        """
        other = self.pageblock_type(buddy + self._base)
        return migratetype == other or (
            migratetype < MIGRATE_PCPTYPES and other < MIGRATE_PCPTYPES)

    def buddy_merge_likely(self, index: int, order: int) -> bool:
        """Return whether the block of ``order + 1`` at ``index`` has a free buddy.

        One half of that block, of ``order``, is being freed. When the other half follows, all will
        merge to a block of ``order + 2``; so the freed half is better not allocated meanwhile, and
        goes to the tail of its list. [buddy_merge_likely]
        """
        if order >= MAX_ORDER - 2:
            return False
        buddy = index ^ (2 << order)
        return (self._state[buddy] == BUDDY and self._order[buddy] == order + 1
                and self._zone[buddy] == self._zone[index])

    def check_free(self, pfn: int, order: int) -> None:
        """Raise, as ``free`` does, unless a block of ``order`` is allocated at ``pfn``."""
        index = pfn - self._base
        if (0 <= index < len(self.mem_map) and self._state[index] == ALLOCATED
                and self._order[index] == order and self._zone[index] == self.zone):
            return
        if not 0 <= order < MAX_ORDER:
            raise BadOrder(order, f"0 to {MAX_ORDER - 1}")
        if pfn & ((1 << order) - 1):
            raise MisalignedBlock(pfn, order)
        state, actual = self.mem_map.block(pfn)
        if state in (PageState.HOLE, PageState.RESERVED):
            raise ForeignPage(pfn, "it is a hole" if state == PageState.HOLE else "it is reserved")
        if self._zone[index] != self.zone:
            raise ForeignPage(pfn, f"it is not of zone {self.name}")
        if state in (PageState.BUDDY, PageState.PCP):
            raise DoubleFree(pfn)
        if state == PageState.ALLOCATED:
            raise OrderMismatch(pfn, order, f"allocated with order {actual}")
        head, state, actual = self.mem_map.block_of(pfn)
        if state in (PageState.BUDDY, PageState.PCP):
            raise DoubleFree(pfn)
        raise OrderMismatch(pfn, order, f"is inside the block of order {actual} at {head:#x}")

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if lists, counts and pages contradict each other."""
        check_free_area(self)
