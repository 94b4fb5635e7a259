"""What the replay of a recorded boot found, and what it cost."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ...model.x86 import PagingMode
from ..engine.base import Run
from ..result import Mismatch

__all__ = ["BootResult"]

FIRST_MISMATCHES = 10


@dataclass(slots=True)
class BootResult:
    """What a replay found, and what it cost.

    ``total`` counts the translations replayed, those that must fault included. ``mismatches``
    counts the translations that are wrong in any way, and the entries that are. Of these
    ``mismatches_by_kind`` counts

    - ``paddr``: another physical page than the recorded one,
    - ``fault``: a fault where the recording has an access, or the reverse,
    - ``vector``, ``error``, ``cr2``: another fault than the recorded one,

    and, when an entry is stored to and at the end,

    - ``tables``: an entry that is not as software stored it, but for accessed and dirty flags,
    - ``flags``: an entry that lacks one of these flags, or has one that no access asked for.

    ``spurious_faults`` counts accesses that a page fault with P=1 ended, and that then passed: a
    TLB may hold an entry with fewer rights than memory has by now. [SDM 4.10.4.3]

    ``first`` holds the first mismatches, not all. ``cycles`` are those of all records: a store of
    software takes some, too, as does each entry that a log begins with. They are 0, and ``events``
    is empty, without hardware.
    """

    mode: PagingMode
    total: int
    mismatches: int = 0
    mismatches_by_kind: Counter[str] = field(default_factory=Counter)
    spurious_faults: int = 0
    cycles: int = 0
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    first: list[Mismatch] = field(default_factory=list)

    @property
    def agreed(self) -> bool:
        """Whether no mismatch was found."""
        return not self.mismatches

    @property
    def has_room(self) -> bool:
        """Whether ``first`` takes another mismatch."""
        return len(self.first) < FIRST_MISMATCHES

    @property
    def translations_per_second(self) -> float:
        """Translations in a second of wall clock."""
        return self.total / self.seconds if self.seconds else 0.0

    def add_run(self, run: Run) -> None:
        """Add what a run cost."""
        self.cycles += run.cycles
        self.events.update(run.events)

    def as_json(self) -> dict[str, Any]:
        """Return the result as what ``json`` can write, without the single mismatches."""
        return {
            "mode": self.mode.name,
            "total": self.total,
            "mismatches": self.mismatches,
            "mismatches_by_kind": dict(self.mismatches_by_kind),
            "spurious_faults": self.spurious_faults,
            "cycles": self.cycles,
            "seconds": round(self.seconds, 3),
            "translations_per_second": round(self.translations_per_second),
            "events": dict(self.events),
        }
