"""The replay of a kernel's page allocator events: every page compared, and the final free lists.

The model starts with the free lists that were recorded before. Each event stands for a call in the
kernel, which is made on the model:

========================= ==================================================================
mm_page_alloc_zone_locked ``__rmqueue_smallest``: the model chooses the page
mm_page_alloc_extfrag     ``__rmqueue_fallback``: the model chooses what to steal. Whether the
                          whole pageblock changes its type depends on what its other pages are
                          used for, which is not recorded: that is taken from the event.
mm_page_pcpu_drain        ``__free_one_page`` with the migrate type of the event, which the page
                          was given when it went to the per-CPU list
mm_page_free              of order 4 and more, but for whole pageblocks: ``__free_pages_ok``.
                          All others only go to a per-CPU list.
========================= ==================================================================

No event tells that a pageblock is reserved for high-order atomic requests or given back, or that
compaction takes free pages: if that happened, the replay finds mismatches. After a mismatch the
model is changed to what the kernel did, so that one mismatch is not the cause of others.
"""

import time
from collections.abc import Iterable

from ...model.physical.buddy import Buddy
from ...model.physical.fallback import Fallback
from ...model.physical.pcp import COSTLY_ORDER
from .findings import BuddyResult
from .free_lists import FreeLists
from .ftrace import Event, Kind
from .snapshot_machine import SnapshotMachine

__all__ = ["buddy_events", "replay_events"]

ALLOC, FALLBACK, DRAIN = Kind.ALLOC_ZONE_LOCKED, Kind.ALLOC_EXTFRAG, Kind.PCPU_DRAIN


def buddy_events(events: Iterable[Event], pageblock_order: int) -> list[Event]:
    """Return the events about the buddy allocator; the others concern only per-CPU lists."""
    return [event for event in events
            if event.kind in (ALLOC, FALLBACK, DRAIN)
            or (event.kind is Kind.FREE and event.order > COSTLY_ORDER
                and event.order != pageblock_order)]


def replay_events(events: Iterable[Event], lists: FreeLists, limit: int | None = None, *,
                  buddy: type[Buddy] = Buddy) -> BuddyResult:
    """Replay ``events`` on zones of the class ``buddy`` that start as ``lists.before``.

    With ``limit`` only that many events are replayed, and unless these are all the free lists at
    the end are not compared. Raise ``InputError`` for events that cannot be of the machine of
    ``lists``.
    """
    all_events = buddy_events(events, lists.pageblock_order)
    machine = SnapshotMachine(lists, buddy)
    machine.check_events(all_events)
    chosen = all_events[:limit]
    result = BuddyResult("buddy", len(chosen), complete=len(chosen) == len(all_events))
    start = time.perf_counter()
    for event in chosen:
        if event.kind is ALLOC:
            _allocate(machine, event, result)
        elif event.fallback is not None:
            _fall_back(machine, event, event.fallback, result)
        else:
            _free(machine, event, result)
    result.seconds = time.perf_counter() - start
    for zone in machine.zones:
        zone.check()
    if result.complete:
        result.compare_zones(machine.zones, lists.after)
    return result


def _allocate(machine: SnapshotMachine, event: Event, result: BuddyResult) -> None:
    """Allocate as the kernel does; if the page is another, take the kernel's in its place."""
    result.allocations += 1
    zone = machine.zone_of(event.pfn)
    pfn = zone.rmqueue_smallest(event.order, event.migratetype)
    if pfn != event.pfn:
        result.note(f"line {event.line}, order {event.order}", "pfn", event.pfn, pfn)
        if pfn is not None:
            zone.free_one_page(pfn, event.order, event.migratetype)
        zone.take(event.pfn, event.order)


def _fall_back(machine: SnapshotMachine, event: Event, expected: Fallback,
               result: BuddyResult) -> None:
    """Steal as the kernel does; if the model steals other pages, take over the pageblock's type."""
    zone = machine.zone_of(event.pfn)
    zone.last_fallback = None
    if not zone.has_block(event.order, event.migratetype):
        zone.rmqueue_fallback(event.order, event.migratetype, claim=expected.change_ownership)
    if zone.last_fallback != expected:
        result.note(f"line {event.line}", "fallback", expected, zone.last_fallback)
        if expected.change_ownership:
            zone.set_pageblock_type(event.pfn, event.migratetype)


def _free(machine: SnapshotMachine, event: Event, result: BuddyResult) -> None:
    """Free a block as the kernel does; it is a mismatch if one of its pages is free already."""
    result.frees += 1
    zone = machine.zone_of(event.pfn)
    if not machine.adopt(event.pfn, event.order):
        result.note(f"line {event.line}, order {event.order}", "free",
                    f"page {event.pfn:#x} in use", "a free page")
        return
    migratetype = (event.migratetype if event.kind is DRAIN
                   else zone.pageblock_type(event.pfn))
    zone.free_one_page(event.pfn, event.order, migratetype)
