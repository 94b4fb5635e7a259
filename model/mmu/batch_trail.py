"""The steps of a batch of walks, and the accessed and dirty flags that they set. [SDM 4.8]

The way of a walk does not depend on these flags, so the flags are set when all walks of a chunk are
done. What a step *reads* does depend on them: it must show the flags that earlier rows, and earlier
steps of its own row, set in the same entry.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..x86 import PAGE_SHIFT, Entry, PagingMode
from .batch_rows import Front
from .batch_rules import LevelRules
from .batch_source import EntrySource

__all__ = ["FlagTrail", "StepTrail", "Steps", "Trail"]

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """The steps of N walks over up to L levels: those of row n are the first ``count[n]``.

    As in ``walk.Step``: the entry's physical address, as read, and after A/D updates; 0 where
    there is no step.
    """

    count: NDArray[np.uint8]
    paddr: Words
    entry: Words
    updated: Words

    @classmethod
    def empty(cls, rows: int, levels: int) -> "Steps":
        """Return arrays for ``rows`` walks, none of which has made a step."""
        return cls(np.zeros(rows, np.uint8), *np.zeros((3, rows, levels), np.uint64))


class Trail(Protocol):
    """Notes the steps of the walks of a chunk, and sets their flags when all have ended."""

    def step(self, level: LevelRules, front: Front, flags: int | Words, /) -> None:
        """Note that the walks of ``front`` set ``flags`` in the entries they have just read."""
        ...

    def commit(self, chunk: slice, /) -> None:
        """Set the flags in the source, now that the walks of the rows ``chunk`` have ended."""
        ...


class FlagTrail:
    """The trail of a batch whose steps nobody asked for: it only sets the flags.

    With ``vector`` (N,), in which the batch notes the faults of all its rows, none of those that
    faulted.
    """

    def __init__(self, source: EntrySource, vector: NDArray[np.uint8] | None = None) -> None:
        self._source, self._vector = source, vector
        self._updates: list[tuple[NDArray[np.intp], Words, NDArray[np.intp]]] = []

    def step(self, _level: LevelRules, front: Front, flags: int | Words, /) -> None:
        """Keep the flags that are not set yet; see ``Trail``."""
        clear = ~int(np.bitwise_and.reduce(front.entries))
        if not clear & int(np.bitwise_or.reduce(flags, axis=None)):
            return
        missing = np.bitwise_and(~front.entries, flags)
        at = np.flatnonzero(missing)
        rows = front.rows.start + at if isinstance(front.rows, slice) else front.rows[at]
        self._updates.append((front.places[at], missing[at], rows))

    def commit(self, _chunk: slice, /) -> None:
        """Set the flags; see ``Trail``."""
        for places, flags, rows in self._updates:
            if self._vector is not None:
                kept = self._vector[rows] == 0
                places, flags = places[kept], flags[kept]
            _set_flags(self._source, places, flags)
        self._updates.clear()


class StepTrail:
    """The trail of a batch whose steps were asked for: it writes each to ``steps``.

    ``vector`` is as in ``FlagTrail``. With it a walk does not meet flags that it sets itself.
    """

    def __init__(self, source: EntrySource, mode: PagingMode, steps: Steps,
                 vector: NDArray[np.uint8] | None = None) -> None:
        self._source, self._vector = source, vector
        self._entry_bytes = mode.entry_bytes
        self._steps = steps
        # Beside what ``steps`` tells of each: its place in the source, and the flags it sets.
        self._places = np.zeros(steps.paddr.shape, np.intp)
        self._flags = np.zeros(steps.paddr.shape, np.uint64)

    def step(self, level: LevelRules, front: Front, flags: int | Words, /) -> None:
        """Record the step; see ``Trail``."""
        at = front.rows, level.number
        self._steps.count[front.rows] = level.number + 1
        self._steps.paddr[at] = ((front.tables << PAGE_SHIFT)
                                 + level.index(front.vaddr) * self._entry_bytes)
        self._steps.entry[at] = front.entries
        self._places[at] = front.places
        self._flags[at] = flags

    def commit(self, chunk: slice, /) -> None:
        """Set the flags, and add those that earlier steps set to what each step read.

        See ``Trail``.
        """
        steps = self._steps
        if self._vector is not None:
            self._flags[chunk][self._vector[chunk] != 0] = 0
        made = np.arange(steps.paddr.shape[1]) < steps.count[chunk, None]
        places, flags = self._places[chunk][made], self._flags[chunk][made]
        entries = steps.entry[chunk][made]  # in the order of rows, and of levels within each
        missing, ends = ~entries & flags, np.arange(len(places))
        if self._vector is not None:
            counts = steps.count[chunk].astype(np.intp)
            ends = np.repeat(np.cumsum(counts) - counts, counts)
        for flag in (Entry.A, Entry.D):
            entries |= np.where(_set_before(places, missing & flag != 0, ends), np.uint64(flag), 0)
        steps.entry[chunk][made] = entries
        steps.updated[chunk][made] = entries | flags
        _set_flags(self._source, places, missing)


def _set_before(
    places: NDArray[np.intp], sets: NDArray[np.bool_], ends: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return for each step whether one before step ``ends``, at the same place, ``sets`` the flag.

    An entry is shown with the flag to all steps after the first one that sets it, or after that
    one's walk.
    """
    setters = np.flatnonzero(sets)
    if not len(setters):
        return np.zeros(len(places), bool)
    changed, first = np.unique(places[setters], return_index=True)
    found = np.minimum(np.searchsorted(changed, places), len(changed) - 1)
    is_changed: NDArray[np.bool_] = changed[found] == places
    return is_changed & (setters[first][found] < ends)


def _set_flags(source: EntrySource, places: NDArray[np.intp], flags: Words) -> None:
    """Set ``flags`` in the entries at ``places``, where one place may come up many times."""
    for flag in (Entry.A, Entry.D):
        at = places[flags & flag != 0]
        source.words[at] |= source.words.dtype.type(flag)
