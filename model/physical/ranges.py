"""Sets of integers as sorted, disjoint, half-open ranges: what e820, nodes and memblock consist of.
"""

from collections.abc import Iterable

__all__ = ["Range", "intersect", "subtract", "total", "union"]

Range = tuple[int, int]
"""The first number of a range, and the first one after it."""


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the numbers of all ``ranges``, which may overlap; ranges that touch become one."""
    merged: list[Range] = []
    for start, end in sorted(ranges):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def intersect(ranges: Iterable[Range], windows: Iterable[Range]) -> list[Range]:
    """Return the numbers that are both in ``ranges`` and in ``windows``."""
    right = union(windows)
    parts = [
        (max(start, low), min(end, high))
        for start, end in union(ranges)
        for low, high in right
    ]
    return [part for part in parts if part[0] < part[1]]


def subtract(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """Return the numbers of ``ranges`` that are in none of ``holes``."""
    left: list[Range] = []
    cuts = union(holes)
    for start, end in union(ranges):
        for low, high in cuts:
            if low < end and high > start:
                if start < low:
                    left.append((start, low))
                start = high
        if start < end:
            left.append((start, end))
    return left


def total(ranges: Iterable[Range]) -> int:
    """Return how many numbers ``ranges``, which must not overlap, hold."""
    return sum(end - start for start, end in ranges)
