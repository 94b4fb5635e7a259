"""Per-CPU page lists in front of the buddy allocator, as in Linux 6.1 ``mm/page_alloc.c``."""

from collections import deque
from collections.abc import Iterable

from ..x86 import PAGE_BYTES
from .buddy import ALLOCATED, PCP, Buddy
from .errors import BadMigrateType, BadOrder, BrokenInvariant
from .page import MIGRATE_PCPTYPES, MigrateType

__all__ = ["COSTLY_ORDER", "PerCpuPages", "zone_batchsize", "zone_highsize"]

COSTLY_ORDER = 3  # the largest order of the lists but for whole pageblocks
LOW_ORDER_LISTS = MIGRATE_PCPTYPES * (COSTLY_ORDER + 1)
LISTS = LOW_ORDER_LISTS + 2  # two of whole pageblocks: not movable, movable
BATCH_SCALE_MAX = 5  # [CONFIG_PCP_BATCH_SCALE_MAX]
MOVABLE, ISOLATE = int(MigrateType.MOVABLE), int(MigrateType.ISOLATE)


def zone_batchsize(managed_pages: int) -> int:
    """Return how many pages a list takes from a zone of ``managed_pages`` at once.

    That is about a quarter of a thousandth of the zone, and at most 63. It is one less than a power
    of two, because batches of a power of two made pages compete for the same cache lines.
    [zone_batchsize]
    """
    batch = max(1, min(managed_pages >> 10, (1 << 20) // PAGE_BYTES) // 4)
    return max(1, (1 << ((batch + batch // 2).bit_length() - 1)) - 1)


def zone_highsize(low_watermark: int, batch: int, cpus: int = 1, *, managed_pages: int = 0,
                  high_fraction: int = 0) -> int:
    """Return how many pages the lists of one CPU hold at most. [zone_highsize]

    ``low_watermark`` is in pages, ``cpus`` the number of CPUs of the zone's node, or of all
    CPUs if the node has none. ``high_fraction`` is ``vm.percpu_pagelist_high_fraction``: if it
    is not 0, the limit is that fraction of ``managed_pages``.
    """
    pages = managed_pages // high_fraction if high_fraction else low_watermark
    return max(pages // cpus, batch << 2)


class PerCpuPages:
    """The pages of a zone that one CPU keeps at hand. [struct per_cpu_pages]

    Blocks of order 0 to 3 and whole pageblocks are taken from the buddy allocator in batches,
    and given back in batches when there are too many: so the zone's lock is taken once for many
    pages. The batches given back double while a CPU frees and hardly allocates, as when a process
    ends, because the lists would only overflow again; allocations bring them down.

    Parameters
    ----------
    buddy
        The zone's allocator.
    batch, high
        How many pages to move at once, and how many to hold at most: see ``zone_batchsize`` and
        ``zone_highsize``. They may be changed at any time.

    Members
    -------
    count
        The number of pages on the lists.
    free_factor
        log2 of how many batches are given back at once. It grows each time that more is freed than
        fits, and each allocation halves it.
    lists
        Page frame numbers, head first, by ``pindex``.
    reclaim_active
        Whether the zone is being reclaimed, which lowers ``high``. [ZONE_RECLAIM_ACTIVE]
    """

    def __init__(self, buddy: Buddy, *, batch: int, high: int) -> None:
        self.buddy = buddy
        self.batch = batch
        self.high = high
        self.count = 0
        self.free_factor = 0
        self.reclaim_active = False
        self.lists: list[deque[int]] = [deque() for _ in range(LISTS)]
        self._thp_order = buddy.mem_map.pageblock_order
        self._base = buddy.mem_map.base
        columns = buddy.mem_map.scalars
        self._state, self._migratetype = columns.state, columns.migratetype

    def load(self, pindex: int, pfns: Iterable[int]) -> None:
        """Append allocated pages to a list, to restore a recorded state.

        Raise ``ValueError`` for pages that are not allocated, or not the zone's.
        """
        order = self.order(pindex)
        for pfn in pfns:
            if not (self.buddy.spans(pfn) and self.buddy.spans(pfn + (1 << order) - 1)):
                raise ValueError(f"Page {pfn:#x} is not of zone {self.buddy.name}")
            self.buddy.mem_map.join_pages(pfn, order)
            blocktype = self.buddy.pageblock_type(pfn)
            listed = blocktype >= MIGRATE_PCPTYPES or pindex >= LOW_ORDER_LISTS
            self._migratetype[pfn - self._base] = (
                blocktype if listed else pindex % MIGRATE_PCPTYPES)
            self._state[pfn - self._base] = PCP
            self.lists[pindex].append(pfn)
            self.count += 1 << order

    def takes(self, order: int) -> bool:
        """Return whether blocks of ``order`` are kept here. [pcp_allowed_order]"""
        return 0 <= order <= COSTLY_ORDER or order == self._thp_order

    def pindex(self, order: int, migratetype: int) -> int:
        """Return the number of the list of an order and a migrate type; raise ``BadOrder``.

        [order_to_pindex]
        """
        if 0 <= order <= COSTLY_ORDER:
            return order * MIGRATE_PCPTYPES + migratetype
        if order != self._thp_order:
            raise BadOrder(order, f"0 to {COSTLY_ORDER} or {self._thp_order}")
        return LOW_ORDER_LISTS + (migratetype == MOVABLE)

    def order(self, pindex: int) -> int:
        """Return the order of the blocks of a list. [pindex_to_order]"""
        return self._thp_order if pindex >= LOW_ORDER_LISTS else pindex // MIGRATE_PCPTYPES

    def alloc(self, order: int, migratetype: int, alloc_flags: int = 0) -> int | None:
        """Return the first page of a block of ``order``; ``None`` if the zone has none.

        Raise ``BadOrder``, ``BadMigrateType``. [rmqueue_pcplist]
        """
        if not 0 <= migratetype < MIGRATE_PCPTYPES:
            raise BadMigrateType(migratetype)
        blocks = self.lists[self.pindex(order, migratetype)]
        self.free_factor >>= 1
        if not blocks:
            self._refill(blocks, order, migratetype, alloc_flags)
            if not blocks:
                return None
        pfn = blocks.popleft()
        self.count -= 1 << order
        self._state[pfn - self._base] = ALLOCATED
        return pfn

    def _refill(self, blocks: deque[int], order: int, migratetype: int, alloc_flags: int) -> None:
        """Take a batch, of fewer blocks if they are larger, from the buddy allocator.

        [__rmqueue_pcplist, rmqueue_bulk]
        """
        wanted = max(self.batch >> order, 2) if self.batch > 1 else self.batch
        for _ in range(wanted):
            pfn = self.buddy.rmqueue(order, migratetype, alloc_flags)
            if pfn is None:
                break
            self._state[pfn - self._base] = PCP
            blocks.append(pfn)
            self.count += 1 << order

    def free(self, pfn: int, order: int) -> None:
        """Free the block of ``order`` that was allocated at ``pfn``.

        Raise ``BadOrder`` for one that is not kept here, and as ``Buddy.free`` does.
        [free_unref_page, free_unref_page_commit]
        """
        self.buddy.check_free(pfn, order)
        migratetype = self.buddy.pageblock_type(pfn)
        if migratetype == ISOLATE:
            self.buddy.free_one_page(pfn, order, migratetype)
            return
        self._migratetype[pfn - self._base] = migratetype
        pindex = self.pindex(order, migratetype if migratetype < MIGRATE_PCPTYPES else MOVABLE)
        self.lists[pindex].appendleft(pfn)
        self._state[pfn - self._base] = PCP
        self.count += 1 << order
        # While the lists keep overflowing, a larger block makes all go back: blocks that are kept
        # here do not merge, and so fragment memory. [free_high]
        everything = self.free_factor > 0 and 0 < order <= COSTLY_ORDER
        high = 0 if everything else self._high()
        if self.count >= high:
            self.free_bulk(self.count if everything else self._nr_free(high), pindex)

    def free_list(self, pfns: Iterable[int]) -> None:
        """Free single pages; raise as ``free`` does. [free_unref_page_list]"""
        for pfn in pfns:
            self.free(pfn, 0)

    def _high(self) -> int:
        """Return the number of pages from which on some are given back. [nr_pcp_high]"""
        return min(self.batch << 2, self.high) if self.reclaim_active else self.high

    def _nr_free(self, high: int) -> int:
        """Return how many pages to give back, twice as many each time in a row. [nr_pcp_free]

        A batch at least stays on the lists, for the next allocations.
        """
        if high < self.batch:
            return 1  # the lists of early boot keep nothing
        batch = self.batch << self.free_factor
        if batch < high - self.batch and self.free_factor < BATCH_SCALE_MAX:
            self.free_factor += 1
        return min(batch, high - self.batch)

    def free_bulk(self, count: int, pindex: int = 0) -> list[int]:
        """Give ``count`` pages back to the buddy allocator, or somewhat more with larger blocks.

        The list ``pindex`` is emptied from its tail first, then those after it in turn. Return
        the blocks in the order they went. [free_pcppages_bulk]
        """
        freed: list[int] = []
        count = min(count, self.count)
        while count > 0:
            blocks, order = self.lists[pindex], self.order(pindex)
            while count > 0 and blocks:
                pfn = blocks.pop()
                self.count -= 1 << order
                count -= 1 << order
                self.buddy.free_one_page(pfn, order, self._migratetype[pfn - self._base])
                freed.append(pfn)
            pindex = (pindex + 1) % LISTS
        return freed

    def drain(self) -> None:
        """Give everything back. [drain_pages_zone]"""
        while self.count:
            self.free_bulk(self.batch << BATCH_SCALE_MAX)

    def expire(self) -> None:
        """Give a batch back, as for a node that this CPU no longer uses. [drain_zone_pages]"""
        self.free_bulk(self.batch)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if the lists, their count and the pages disagree."""
        count = 0
        for pindex, blocks in enumerate(self.lists):
            order = self.order(pindex)
            count += len(blocks) << order
            for pfn in blocks:
                if self.buddy.mem_map.block(pfn) != (PCP, order):
                    raise BrokenInvariant(f"Page {pfn:#x} on list {pindex} is not a block of order "
                                          f"{order} of per-CPU pages")
        if count != self.count:
            raise BrokenInvariant(f"{self.count} pages are counted on per-CPU lists, not {count}")
        if len(set().union(*self.lists)) != sum(map(len, self.lists)):
            raise BrokenInvariant("A page is on per-CPU lists twice")
