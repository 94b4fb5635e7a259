"""What a comparison of answers found, and what it cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.mmu.walk import Control, Walk
from ..model.physical.memory import PhysicalMemory
from ..model.x86 import PAGE_SHIFT, PagingMode
from .engine.base import Run

__all__ = ["Difference", "Mismatch", "Result"]

FIRST_MISMATCHES = 10

Numbers = NDArray[np.integer | np.bool_]


@dataclass(frozen=True, slots=True)
class Difference:
    """Answers whose ``field`` is wrong: their positions, what was expected and what came."""

    field: str
    rows: NDArray[np.int64]
    expected: Numbers
    got: Numbers

    @classmethod
    def where(
        cls,
        field: str,
        wrong: NDArray[np.bool_],
        expected: Numbers,
        got: Numbers,
    ) -> "Difference":
        """Return the differences at the positions where ``wrong`` (M,) is set."""
        rows = np.flatnonzero(wrong)
        return cls(field, rows, expected[rows], got[rows])


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing found wrong: ``field`` of an answer, or an entry in memory.

    ``place`` names the place in the input, such as a view and a probe. ``walk`` is the golden walk
    of the access, under the registers ``control``, on the page tables as the input has them. A
    mismatch of the field ``frames`` has neither; its values are those of the 8 bytes at ``paddr``.
    """

    place: str
    field: str
    expected: int
    got: int
    control: Control | None = None
    walk: Walk | None = None
    paddr: int | None = None


@dataclass(slots=True)
class Result:
    """What a comparison found, and what it cost.

    ``total`` counts the ``items`` compared, such as probes, each of which may take several
    accesses. ``mismatches`` counts the items with at least one mismatch, and the page-table frames
    that are not as they should be afterwards. ``mismatches_by_field`` counts each item once per
    field, and the frames as ``frames``. ``first`` holds the first mismatches, not all. ``cycles``
    is 0 and ``events`` empty without hardware.
    """

    mode: PagingMode
    items: str
    total: int
    mismatches: int = 0
    mismatches_by_field: Counter[str] = field(default_factory=Counter)
    accesses: int = 0
    cycles: int = 0
    seconds: float = 0.0
    events: Counter[str] = field(default_factory=Counter)
    first: list[Mismatch] = field(default_factory=list)

    @property
    def mismatched_items(self) -> int:
        """The number of items with at least one mismatch."""
        return self.mismatches - self.mismatches_by_field["frames"]

    @property
    def agreed(self) -> bool:
        """Whether no mismatch was found."""
        return not self.mismatches

    def add_run(self, run: Run) -> None:
        """Add what a run cost."""
        self.cycles += run.cycles
        self.events.update(run.events)

    def add_differences(
        self, found: Iterable[Difference], item: NDArray[np.int64]
    ) -> list[tuple[int, str, int, int]]:
        """Count differences between answers, where ``item`` (M,) is the item of each answer.

        Return those that ``first`` has room for as position, field, expected value and value got,
        in the order of the answers, and of each item and field the first.
        """
        wrong, first = [np.empty(0, np.int64)], []
        for difference in found:
            of_item, index = np.unique(item[difference.rows], return_index=True)
            if len(of_item):
                self.mismatches_by_field[difference.field] += len(of_item)
            wrong.append(of_item)
            first += [(int(difference.rows[i]), difference.field, int(difference.expected[i]),
                       int(difference.got[i])) for i in index[: self._room()]]
        self.mismatches += len(np.unique(np.concatenate(wrong)))
        return sorted(first)[: self._room()]

    def add_frames(self, place: str, memory: PhysicalMemory, expected: NDArray[np.uint64]) -> None:
        """Count the frames of ``memory`` that are not as ``expected``, of the same shape."""
        wrong = np.flatnonzero((memory.frames != expected).any(axis=1))
        if not len(wrong):
            return
        self.mismatches += len(wrong)
        self.mismatches_by_field["frames"] += len(wrong)
        pfns, rows = memory.index()
        for row in wrong[: self._room()]:
            word = int(np.flatnonzero(memory.frames[row] != expected[row])[0])
            pfn = int(pfns[np.flatnonzero(rows == row)[0]])
            self.first.append(Mismatch(
                place, "frames", int(expected[row, word]), int(memory.frames[row, word]),
                paddr=(pfn << PAGE_SHIFT) + 8 * word))

    def _room(self) -> int:
        return FIRST_MISMATCHES - len(self.first)

    def as_json(self) -> dict[str, Any]:
        """Return the result as what ``json`` can write, without the single mismatches."""
        return {
            "mode": self.mode.name,
            "total": self.total,
            "mismatches": self.mismatches,
            "mismatches_by_field": dict(self.mismatches_by_field),
            "accesses": self.accesses,
            "cycles": self.cycles,
            "seconds": round(self.seconds, 3),
            "events": dict(self.events),
        }
