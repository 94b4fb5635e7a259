"""Sets of times as lists of ascending intervals, each with its first and its last time."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

__all__ = ["Interval", "extend", "intersect", "last_before", "within"]

Interval = tuple[int, int]


def within(times: Sequence[Interval], low: int, high: int) -> list[Interval]:
    """Return the part of ``times`` from ``low`` to ``high``, both included."""
    return [(max(first, low), min(last, high)) for first, last in times
            if first <= high and last >= low]


def intersect(times: Sequence[Interval], others: Iterable[Interval]) -> list[Interval]:
    """Return what ``times`` and ``others`` have in common."""
    return [common for low, high in others for common in within(times, low, high)]


def extend(times: Sequence[Interval], drops: Sequence[Sequence[int]], start: int) -> list[Interval]:
    """Return when something that was made at one of ``times`` may still be there.

    It stays until a drop. ``drops`` are lists of ascending times, of which those from ``start`` on
    do not count. It may have been made as late as the end of an interval, so only a drop from there
    on is sure to end it.
    """
    return [(first, min((_next(drop, last, start) for drop in drops), default=FOREVER))
            for first, last in times]


def last_before(drops: Iterable[Sequence[int]], start: int) -> int:
    """Return the last time of ``drops`` before ``start``, -1 if there is none."""
    latest = -1
    for drop in drops:
        position = bisect_left(drop, start)
        if position and drop[position - 1] > latest:
            latest = drop[position - 1]
    return latest


def _next(drop: Sequence[int], time: int, start: int) -> int:
    position = bisect_left(drop, time)
    return drop[position] if position < len(drop) and drop[position] < start else FOREVER


FOREVER = 1 << 62
