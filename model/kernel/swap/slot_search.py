"""The search for free slots of a swap area. [scan_swap_map_slots in mm/swapfile.c]

A rotating disk gives them out one after the other in runs of a cluster, each run beginning at the
first free cluster in a row, so that pages swapped out together lie together; a solid-state disk in
the order of ``SwapClusters``. Linux goes slot by slot and lets others run when it has looked at
more than ``LATENCY_LIMIT``; a search for many slots then ends early. Here whole ranges are searched
at once, but the slots in them are counted as if Linux had looked at each.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from .clusters import SwapClusters

__all__ = ["SWAP_HAS_CACHE", "scan_swap_map_slots"]

SWAP_HAS_CACHE = 0x40
LATENCY_LIMIT = 256
FREE, CACHE_ONLY = b"\0", bytes([SWAP_HAS_CACHE])


class SearchedArea(Protocol):
    """The swap area that slots are looked for in."""

    swap_map: bytearray
    pages: int
    inuse_pages: int
    lowest_bit: int
    highest_bit: int
    cluster: int
    cluster_next: int
    cluster_nr: int
    clusters: SwapClusters | None

    def take(self, offset: int) -> None:
        """Give a free slot to the swap cache."""
        ...

    def set_cluster_next(self, offset: int) -> None:
        """Note where the next search begins."""
        ...


class _Then(Enum):
    """What comes next: to look at a slot, for another, or nothing, with or without a place kept."""

    CHECKS = auto()
    SCAN = auto()
    DONE = auto()
    NO_PAGE = auto()


def scan_swap_map_slots(area: SearchedArea, count: int, swap_full: Callable[[], bool],
                        reclaim: Callable[[int], bool]) -> list[int]:
    """Give out up to ``count`` free slots for the swap cache; return which.

    There may be fewer even if more are free. Once ``swap_full()``, slots that only the swap cache
    holds are given out again: ``reclaim`` is asked about each on the way, and says whether the page
    in it was freed.
    """
    search = _Search(area, count, swap_full, reclaim)
    then = search.begin()
    while then in (_Then.CHECKS, _Then.SCAN):
        then = search.checks() if then is _Then.CHECKS else search.scan()
    if then is _Then.DONE:
        area.set_cluster_next(search.offset + 1)
    return search.found


class _Search:
    """One search: where it is, and where it began."""

    def __init__(self, area: SearchedArea, count: int, swap_full: Callable[[], bool],
                 reclaim: Callable[[int], bool]) -> None:
        self._area, self._map = area, area.swap_map
        self._count = count
        self._swap_full, self._reclaim = swap_full, reclaim
        self.offset = self._base = area.cluster_next
        self.found: list[int] = []
        self._latency = LATENCY_LIMIT
        self._scanned_many = False

    def begin(self) -> _Then:
        """Choose the first slot to look at: behind the last, or where a cluster is free."""
        area = self._area
        if area.clusters is not None:
            return _Then.CHECKS if self._try_cluster() else _Then.SCAN
        if area.cluster_nr:
            area.cluster_nr -= 1
            return _Then.CHECKS
        area.cluster_nr = area.cluster - 1
        if area.pages - area.inuse_pages < area.cluster:
            return _Then.CHECKS
        low, high = area.lowest_bit, area.highest_bit
        self.offset = self._base = low
        start = self._map.find(FREE * area.cluster, low, high + 1)
        if start >= 0:
            self._spend(start + area.cluster - 1 - low)
            self.offset = area.cluster_next = start
        else:  # up to the first slot in use with less than a cluster behind it
            last = next(at for at in range(high - area.cluster + 1, high + 1) if self._map[at])
            self._spend(last - low + 1)
        return _Then.CHECKS

    def _try_cluster(self) -> bool:
        """Go to the next slot of the processor's cluster; return whether there is one."""
        assert self._area.clusters is not None
        found = self._area.clusters.next_slot()
        if found is None:
            return False
        self.offset = self._base = found
        return True

    def checks(self) -> _Then:
        """Take the slot if it is free, or can be freed, and look for the next one."""
        area = self._area
        if area.clusters is not None:
            while area.clusters.conflicts(self.offset):
                if self.found:
                    return _Then.DONE
                if not self._try_cluster():
                    return _Then.SCAN
        if not area.highest_bit:
            return _Then.NO_PAGE
        if self.offset > area.highest_bit:
            self.offset = self._base = area.lowest_bit
        value = self._map[self.offset]
        if value == SWAP_HAS_CACHE and self._swap_full():
            return _Then.CHECKS if self._reclaim(self.offset) else _Then.SCAN
        if value:
            return _Then.DONE if self.found else _Then.SCAN
        area.take(self.offset)
        self.found.append(self.offset)
        if len(self.found) == self._count or self.offset >= area.highest_bit:
            return _Then.DONE
        self._latency -= 1
        return _Then.DONE if self._latency < 0 else self._another()

    def _another(self) -> _Then:
        """Go to one more slot if it is near. [from "try to get more slots in cluster" on]"""
        area = self._area
        if area.clusters is not None:
            if self._try_cluster():
                return _Then.CHECKS
        elif area.cluster_nr:
            self.offset += 1
            if not self._map[self.offset]:
                area.cluster_nr -= 1
                return _Then.CHECKS
        if self._scanned_many:
            return _Then.DONE
        limit = self._base if self.offset < self._base else area.highest_bit
        free = self._map.find(FREE, self.offset, limit + 1)
        steps = (free if free >= 0 else limit + 1) - self.offset
        if free >= 0 and steps + 1 < self._latency:
            self.offset = free
            self._latency -= steps + 1
            return _Then.CHECKS
        self.offset += min(steps, max(self._latency - 1, 0))
        return _Then.DONE

    def scan(self) -> _Then:
        """Go to the next slot that is free or could be, beyond this one and then from below on."""
        area = self._area
        for start, end in ((self.offset + 1, area.highest_bit + 1),
                           (area.lowest_bit, self._base)):
            found = self._available(start, end)
            steps = (end if found is None else found + 1) - start
            self._scanned_many |= self._spend(max(steps, 0))
            if found is not None:
                self.offset = found
                return _Then.CHECKS
        return _Then.NO_PAGE

    def _available(self, start: int, end: int) -> int | None:
        """Return the first slot of a range that may be looked at.

        [swap_offset_available_and_locked]
        """
        found = [self._map.find(FREE, start, end)]
        if self._swap_full():
            found.append(self._map.find(CACHE_ONLY, start, end))
        return min((at for at in found if at >= 0), default=None)

    def _spend(self, steps: int) -> bool:
        """Count slots looked at; return whether others could run meanwhile. [cond_resched]"""
        left = self._latency - steps
        if left >= 0:
            self._latency = left
            return False
        self._latency = LATENCY_LIMIT - (-left - 1) % (LATENCY_LIMIT + 1)
        return True
