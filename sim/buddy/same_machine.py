"""Whether a trace and free lists are of one machine, told by nothing that an allocator decides."""

from collections.abc import Iterable

from ..errors import InputError
from .free_lists import FreeLists, Snapshot
from .ftrace import Event, Kind
from .replay_events import buddy_events

__all__ = ["check_same_machine"]

FEWEST = 16
SHARE = 8  # one in so many pages


def check_same_machine(events: Iterable[Event], lists: FreeLists) -> None:
    """Raise ``InputError`` if ``events`` contradict ``lists`` for many of their pages.

    Whatever a kernel's policy is, a page that is allocated first must have been free before, one
    that is freed first must not; and the last event of a page says whether it is free after. The
    files of one machine agree on all pages, unless something took free pages that traces no event,
    as compaction does. So they are refused if they disagree on one page in eight, and on 16 at
    least; those of two machines do on a quarter and more. A few are for the replay to find, and so
    are pages that are in no zone.
    """
    first: dict[int, Event] = {}
    last: dict[int, Event] = {}
    for event in buddy_events(events, lists.pageblock_order):
        if event.kind is not Kind.ALLOC_EXTFRAG:
            for pfn in range(event.pfn, event.pfn + (1 << event.order)):
                first.setdefault(pfn, event)
                last[pfn] = event
    before, after = _free_pages(lists.before), _free_pages(lists.after)
    wrong_before = [pfn for pfn, event in first.items() if _allocates(event) != (pfn in before)]
    wrong_after = [pfn for pfn, event in last.items() if _allocates(event) == (pfn in after)]
    wrong = len(wrong_before) + len(wrong_after)
    if wrong < max(FEWEST, 2 * len(first) / SHARE) or not _in_zones(first, lists.before):
        return
    if wrong_before:
        what = _contradiction(wrong_before[0], first[wrong_before[0]], "before", "first")
    else:
        what = _contradiction(wrong_after[0], last[wrong_after[0]], "after", "last")
    raise InputError(f"{lists.path}: {what}, and the trace contradicts {wrong - 1} other pages; "
                     "expected the free lists of the machine that the trace is of")


def _free_pages(snapshot: Snapshot) -> set[int]:
    return {pfn for (_, order, _), blocks in snapshot.free.items() for block in blocks
            for pfn in range(block, block + (1 << order))}


def _allocates(event: Event) -> bool:
    return event.kind is Kind.ALLOC_ZONE_LOCKED


def _in_zones(pages: Iterable[int], snapshot: Snapshot) -> bool:
    spans = [range(zone.start, zone.end) for zone in snapshot.zones]
    return all(any(pfn in span for span in spans) for pfn in pages)


def _contradiction(pfn: int, event: Event, moment: str, place: str) -> str:
    """Say what the free lists have of a page, and what its event in the trace does."""
    does = "allocated" if _allocates(event) else "freed"
    has = "free" if _allocates(event) == (moment == "after") else "in use"
    return (f"{moment}_free: page {pfn:#x} is {has}, but is {does} by its {place} event, in line "
            f"{event.line}")
