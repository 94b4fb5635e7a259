"""What the replay of a kernel's page allocator found, and what it cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from ...model.physical.buddy import Buddy
from ...model.physical.page import MAX_ORDER, MigrateType
from .free_lists import Snapshot

__all__ = ["BuddyMismatch", "BuddyResult"]

FIRST_MISMATCHES = 10


@dataclass(frozen=True, slots=True)
class BuddyMismatch:
    """One thing found wrong: its place, and what the kernel had and the model has, in words."""

    place: str
    field: str
    expected: str
    got: str


@dataclass(slots=True)
class BuddyResult:
    """What a replay found, and what it cost.

    ``mismatches_by_field`` counts

    - ``pfn``: allocations of another page than the kernel's,
    - ``fallback``: fallbacks to another migrate type that are not the kernel's,
    - ``free``: frees of a page that is free in the model,
    - ``refill``, ``drain``: moves between per-CPU lists and the buddy allocator that are not the
      kernel's,

    and, if the replay is ``complete``, what differs at its end: positions in the free lists
    (``free_list``) and the per-CPU lists (``pcp_list``), and ``pageblock`` types.

    ``level`` is what was replayed: ``buddy`` or ``pcp``. ``total`` counts the events to replay,
    ``allocations`` and ``frees`` those that were replayed. ``first`` holds the first mismatches,
    not all.
    """

    level: str
    total: int
    complete: bool
    allocations: int = 0
    frees: int = 0
    seconds: float = 0.0
    mismatches_by_field: Counter[str] = field(default_factory=Counter)
    first: list[BuddyMismatch] = field(default_factory=list)

    @property
    def mismatches(self) -> int:
        """The number of all mismatches."""
        return self.mismatches_by_field.total()

    @property
    def agreed(self) -> bool:
        """Whether no mismatch was found."""
        return not self.mismatches

    def note(self, place: str, name: str, expected: object, got: object) -> None:
        """Count a mismatch of the field ``name``; a value that is an int is a page frame number."""
        self.mismatches_by_field[name] += 1
        if len(self.first) < FIRST_MISMATCHES:
            self.first.append(BuddyMismatch(place, name, _text(expected), _text(got)))

    def compare_zones(self, zones: Iterable[Buddy], after: Snapshot) -> None:
        """Compare the free lists and the types of pageblocks with those recorded at the end."""
        for number, zone in enumerate(zones):
            for order in range(MAX_ORDER):
                for migratetype in MigrateType:
                    self.compare_list(
                        f"free list of zone {zone.name}, order {order}, {migratetype.name}",
                        "free_list", after.free.get((number, order, migratetype), []),
                        zone.free_list(order, migratetype).tolist())
            for pfn, expected in after.pageblocks[number].items():
                if (got := zone.pageblock_type(pfn)) != expected:
                    self.note(f"pageblock at page {pfn:#x} of zone {zone.name}", "pageblock",
                              MigrateType(expected).name, MigrateType(got).name)

    def compare_list(self, place: str, name: str, expected: list[int], got: list[int]) -> None:
        """Compare two lists of pages position by position."""
        for position, (one, other) in enumerate(zip_longest(expected, got)):
            if one != other:
                self.note(f"{place}, position {position}", name, one, other)

    def as_json(self) -> dict[str, Any]:
        """Return the result as what ``json`` can write, without the single mismatches."""
        done = self.allocations + self.frees
        return {
            "level": self.level,
            "total": self.total,
            "mismatches": self.mismatches,
            "mismatches_by_field": dict(self.mismatches_by_field),
            "allocations": self.allocations,
            "frees": self.frees,
            "complete": self.complete,
            "seconds": self.seconds,
            "events_per_second": done / self.seconds if self.seconds else 0.0,
        }


def _text(value: object) -> str:
    """Return a page frame number, None for no page, or any other value as people write it."""
    if value is None:
        return "none"
    return f"{value:#x}" if isinstance(value, int) else str(value)
