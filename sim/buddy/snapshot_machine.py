"""A machine whose free pages are those of a snapshot."""

from collections.abc import Iterable

import numpy as np

from ...model.physical.buddy import Buddy
from ...model.physical.errors import BrokenInvariant
from ...model.physical.page import MemMap, PageState
from ...model.physical.pcp import PerCpuPages, zone_batchsize, zone_highsize
from ..errors import InputError
from .free_lists import FreeLists, Snapshot
from .ftrace import Event

__all__ = ["SnapshotMachine"]


class SnapshotMachine:
    """The zones of recorded free lists, in the state before.

    Pages that are not free are allocated one by one: in which blocks they were allocated is not
    recorded. Raise ``InputError`` for free lists that no kernel can have.

    Parameters
    ----------
    lists : FreeLists
        The recorded free lists.
    buddy : type of Buddy
        The class of the allocators.

    Members
    -------
    mem_map : MemMap
        The page frames.
    zones : list of Buddy
        An allocator for each zone.
    """

    def __init__(self, lists: FreeLists, buddy: type[Buddy] = Buddy) -> None:
        zones = lists.before.zones
        self.path = lists.path
        self.mem_map = MemMap(min(zone.start for zone in zones), max(zone.end for zone in zones),
                              pageblock_order=lists.pageblock_order, sparse=lists.sparse)
        for number, row in enumerate(zones):
            self.mem_map.add_memory(row.start, row.end, number, row.node)
        memory = self.mem_map.state != PageState.HOLE
        self.mem_map.state[memory] = PageState.ALLOCATED
        self.zones = [buddy(self.mem_map, number, row.start, row.end, name=row.name)
                      for number, row in enumerate(zones)]
        for zone, types in zip(self.zones, lists.before.pageblocks, strict=True):
            zone.had_highatomic = True  # it may have had, before the events begin
            for pfn, migratetype in types.items():
                zone.set_pageblock_type(pfn, migratetype)
        try:
            for (number, order, migratetype), pfns in lists.before.free.items():
                self.zones[number].load(order, migratetype, np.array(pfns, np.int64))
            for zone in self.zones:
                zone.check()
        except (ValueError, BrokenInvariant) as error:
            raise InputError(f"{lists.path}: before_free: {error}; expected the free lists of a "
                             f"kernel at rest") from None

    def per_cpu_pages(self, before: Snapshot, high_fraction: int) -> list[PerCpuPages]:
        """Return the lists of the one CPU, a set for each zone, as recorded.

        ``high_fraction`` is ``vm.percpu_pagelist_high_fraction``. Raise ``InputError``.
        """
        pcps = []
        for row, zone in zip(before.zones, self.zones, strict=True):
            batch = zone_batchsize(row.managed)
            high = zone_highsize(row.wmark_low, batch, managed_pages=row.managed,
                                 high_fraction=high_fraction)
            pcps.append(PerCpuPages(zone, batch=batch, high=high))
        for (number, pindex), pfns in before.pcp.items():
            try:
                pcps[number].load(pindex, pfns)
            except ValueError as error:
                raise InputError(f"{self.path}: before_pcp: {error}; expected pages that are on "
                                 f"one list") from None
        return pcps

    def check_events(self, events: Iterable[Event]) -> None:
        """Raise ``InputError`` if one of ``events`` is about pages that are in no zone."""
        for event in events:
            first, last = event.pfn, event.pfn + (1 << event.order) - 1
            if not (first in self.mem_map and last in self.mem_map
                    and self.zone_of(first) is self.zone_of(last)):
                raise InputError(f"{self.path}: zone: none has page {event.pfn:#x}, which the "
                                 f"trace names in line {event.line}; expected the free lists of "
                                 f"the machine that the trace is of")

    def zone_of(self, pfn: int) -> Buddy:
        """Return the zone of page ``pfn``, which must be in one."""
        return self.zones[self.mem_map.scalars.zone[pfn - self.mem_map.base]]

    def adopt(self, pfn: int, order: int) -> bool:
        """Join allocated pages to a block of ``order`` at ``pfn``, which is to be freed.

        The model may have them in other blocks: the kernel may have split a block after allocating
        it, or have allocated it before the events begin. Return whether all pages are allocated.
        """
        if self.mem_map.block(pfn) == (PageState.ALLOCATED, order):
            return True
        try:
            self.mem_map.join_pages(pfn, order)
        except ValueError:
            return False
        return True
