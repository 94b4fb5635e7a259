"""The replay of a kernel's requests for pages, which per-CPU lists and buddy allocator must serve.

From the trace come only the requests, ``mm_page_alloc`` and ``mm_page_free``, and their zone. The
model must hand out the same page each time. Which pages move between the per-CPU lists and the
buddy allocator, and when, must be as the events ``mm_page_alloc_zone_locked`` and
``mm_page_pcpu_drain`` tell. Drains that no free explains are housekeeping of the kernel
(``refresh_cpu_vm_stats``, ``drain_all_pages``): the model drains as many pages.

Some pages are allocated without such an event (``alloc_pages_bulk``), or without the per-CPU list
because an interrupt finds it locked; the model cannot know of them. So the replay stops at the
first mismatch: from there on the lists differ, and everything after it would be a mismatch, too.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from ...model.physical.buddy import Buddy
from ...model.physical.page import MigrateType
from ...model.physical.pcp import PerCpuPages
from .findings import BuddyResult
from .free_lists import FreeLists
from .ftrace import Event, Kind
from .snapshot_machine import SnapshotMachine

__all__ = ["replay_requests"]

REFILL, DRAIN = Kind.ALLOC_ZONE_LOCKED, Kind.PCPU_DRAIN


class PageMove(NamedTuple):
    """A block that leaves the buddy allocator (``REFILL``) or returns to it (``DRAIN``)."""

    kind: Kind
    pfn: int
    order: int
    migratetype: int

    def __str__(self) -> str:
        return f"page {self.pfn:#x}, order {self.order}, {MigrateType(self.migratetype).name}"


@dataclass(slots=True)
class Request:
    """A request for pages or to free pages, and the moves that the kernel made for it."""

    event: Event
    refills: list[PageMove]
    drains: list[PageMove] = field(default_factory=list)


class RecordingBuddy(Buddy):
    """A buddy allocator that adds to ``moves`` what the kernel would trace."""

    moves: list[PageMove]

    def rmqueue_smallest(self, order: int, migratetype: int) -> int | None:
        """Allocate, and record it."""
        pfn = super().rmqueue_smallest(order, migratetype)
        if pfn is not None:
            self.moves.append(PageMove(REFILL, pfn, order, migratetype))
        return pfn

    def free_one_page(self, pfn: int, order: int, migratetype: int, *,
                      to_tail: bool = False) -> None:
        """Free, and record it."""
        super().free_one_page(pfn, order, migratetype, to_tail=to_tail)
        self.moves.append(PageMove(DRAIN, pfn, order, migratetype))


def replay_requests(events: Sequence[Event], lists: FreeLists, limit: int | None = None, *,
                    high_fraction: int = 0, buddy: type[RecordingBuddy] = RecordingBuddy,
                    ) -> BuddyResult:
    """Replay the requests among ``events`` on the zones and per-CPU lists of ``lists.before``.

    ``high_fraction`` is what ``vm.percpu_pagelist_high_fraction`` was. With ``limit`` only that
    many requests are replayed, and unless these are all the lists at the end are not compared.
    Raise ``InputError`` for events that cannot be of the machine of ``lists``.
    """
    machine = SnapshotMachine(lists, buddy)
    machine.check_events(events)
    pcps = machine.per_cpu_pages(lists.before, high_fraction)
    requests = _requests(events)
    replay = _Replay(machine, pcps, BuddyResult("pcp", len(requests[:limit]), complete=True))
    start = time.perf_counter()
    replay.run(requests[:limit])
    result = replay.result
    result.seconds = time.perf_counter() - start
    for zone, pcp in zip(machine.zones, pcps, strict=True):
        zone.check()
        pcp.check()
    result.complete = result.agreed and result.total == len(requests)
    if result.complete:
        result.compare_zones(machine.zones, lists.after)
        for number, pcp in enumerate(pcps):
            for pindex, pages in enumerate(pcp.lists):
                result.compare_list(f"per-CPU list {pindex} of zone {pcp.buddy.name}", "pcp_list",
                                    lists.after.pcp.get((number, pindex), []), list(pages))
    return result


def _requests(events: Sequence[Event]) -> list[Request]:
    """Return the requests, each with the moves around it: refills before, drains after.

    The kernel traces a refill before the allocation that needs it, and a drain after the free that
    fills the list. A page that is freed in a batch has two events: the request is made at
    ``mm_page_free_batched``; the ``mm_page_free`` before only prepares the page.
    """
    requests: list[Request] = []
    refills: list[PageMove] = []
    prepared = _prepared(events)
    for place, event in enumerate(events):
        move = PageMove(event.kind, event.pfn, event.order, event.migratetype)
        if event.kind is REFILL:
            refills.append(move)
        elif event.kind is DRAIN and requests:
            requests[-1].drains.append(move)
        elif event.kind is not Kind.ALLOC_EXTFRAG and place not in prepared:
            requests.append(Request(event, refills))
            refills = []
    return requests


def _prepared(events: Sequence[Event]) -> set[int]:
    """Return the positions of frees that only prepare: the next event of the page is batched."""
    following: dict[int, Kind] = {}
    prepared = set()
    for place in range(len(events) - 1, -1, -1):
        event = events[place]
        if event.kind is Kind.FREE and following.get(event.pfn) is Kind.FREE_BATCHED:
            prepared.add(place)
        following[event.pfn] = event.kind
    return prepared


class _Replay:
    """Carries out requests until the first mismatch."""

    def __init__(self, machine: SnapshotMachine, pcps: list[PerCpuPages],
                 result: BuddyResult) -> None:
        self.machine = machine
        self.pcps = pcps
        self.result = result
        self.moves: list[PageMove] = []
        for zone in machine.zones:
            if isinstance(zone, RecordingBuddy):
                zone.moves = self.moves

    def run(self, requests: list[Request]) -> None:
        """Carry out the requests in turn."""
        for request in requests:
            self.moves.clear()
            if request.event.kind is Kind.ALLOC:
                self._allocate(request)
            else:
                self._free(request)
            if not self.result.agreed:
                return

    def _allocate(self, request: Request) -> None:
        event = request.event
        self.result.allocations += 1
        zone, pcp = self._where(event)
        source = pcp.alloc if pcp.takes(event.order) else zone.rmqueue
        pfn = source(event.order, event.migratetype)
        self._compare_moves(request, "refill", request.refills)
        if pfn != event.pfn:
            self.result.note(f"line {event.line}, order {event.order}", "pfn", event.pfn, pfn)
        self.moves.clear()
        self._drain(request, request.drains)

    def _free(self, request: Request) -> None:
        event = request.event
        self.result.frees += 1
        zone, pcp = self._where(event)
        if not self.machine.adopt(event.pfn, event.order):
            self.result.note(f"line {event.line}, order {event.order}", "free",
                             f"page {event.pfn:#x} in use", "a free page")
            return
        if pcp.takes(event.order):
            pcp.free(event.pfn, event.order)
        else:
            zone.free(event.pfn, event.order)
            self.moves.clear()
        done = len(self.moves)
        self._compare_moves(request, "drain", request.drains[:done])
        self.moves.clear()
        self._drain(request, request.drains[done:])

    def _drain(self, request: Request, drains: list[PageMove]) -> None:
        """Drain as many pages of each zone as the kernel's housekeeping does in ``drains``."""
        for number, pcp in enumerate(self.pcps):
            ours = [move for move in drains
                    if self.machine.zone_of(move.pfn) is self.machine.zones[number]]
            if ours and self.result.agreed:
                pcp.free_bulk(sum(1 << move.order for move in ours))
                self._compare_moves(request, "drain", ours)
                self.moves.clear()

    def _where(self, event: Event) -> tuple[Buddy, PerCpuPages]:
        zone = self.machine.zone_of(event.pfn)
        return zone, self.pcps[zone.zone]

    def _compare_moves(self, request: Request, name: str, expected: list[PageMove]) -> None:
        for one, other in zip_longest(expected, self.moves):
            if one != other:
                self.result.note(f"line {request.event.line}", name, one, other)
                return
