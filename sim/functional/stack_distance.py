"""LRU stack distances: the misses of fully associative LRU TLBs of every size, in one pass."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled_function import FAST, compiled

__all__ = ["StackDistances"]

FIRST_ROOM = 1 << 12  # accesses until the times are made anew
Row = Any  # an array or a list of whole numbers


class StackDistances:
    """The distances of accesses to pages, and so the misses of a TLB of any number of entries.

    The distance of an access is how many different pages were accessed since the last access to
    its page, that one included: with LRU it hits in every TLB of at least so many entries. Marks at
    the time of the last access to each page are counted in a tree of sums. [Bennett and Kruskal,
    LRU stack processing, 1975]

    Members
    -------
    accesses
        How many there were.
    """

    def __init__(self) -> None:
        self.accesses = 0
        self._tree: Row = self._row(FIRST_ROOM + 1, 0)
        self._last: Row = self._row(1, -1)
        self._counts: Row = self._row(2, 0)  # of first accesses, then by distance
        self._state: Row = self._row(2, 0)  # time, and how many pages

    @staticmethod
    def _row(length: int, value: int) -> Row:
        return np.full(length, value, np.int64) if FAST else [value] * length

    def take(self, pages: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
        """Take runs of accesses: the number of the page of each, and how many they are."""
        if not len(pages):
            return
        self.accesses += int(lengths.sum())
        self._last = self._longer(self._last, int(pages.max()) + 1, -1)
        self._counts = self._longer(self._counts, len(self._last) + 2, 0)
        rows = [one if FAST else one.tolist() for one in (pages, lengths)]
        done = 0
        while True:
            done = _measure(rows[0], rows[1], done, self._last, self._tree, self._counts,
                            self._state)
            if done == len(pages):
                return
            self._renew()

    def _longer(self, row: Row, length: int, value: int) -> Row:
        if length <= len(row):
            return row
        more = self._row(max(length, 2 * len(row)) - len(row), value)
        return np.concatenate((row, more)) if FAST else row + more

    def _renew(self) -> None:
        """Give the last accesses of all pages the first times, in their order."""
        last = np.array(self._last, np.int64)
        known = np.flatnonzero(last >= 0)
        order = known[np.argsort(last[known])]
        last[order] = np.arange(len(order))
        size = max(FIRST_ROOM, 4 * len(order))
        marks = np.zeros(size + 1, np.int64)
        marks[1:len(order) + 1] = 1
        place = np.arange(size + 1)
        sums = np.cumsum(marks)
        tree = sums - sums[place - (place & -place)]
        self._last, self._tree = (last, tree) if FAST else (last.tolist(), tree.tolist())
        self._state[0] = len(order)

    def misses(self) -> NDArray[np.int64]:
        """Return the misses of TLBs of 0, 1, 2, ... entries, up to where no more help."""
        counts = np.array(self._counts, np.int64)
        hits = np.concatenate(([0], np.cumsum(counts[1:])))
        found: NDArray[np.int64] = counts[0] + counts[1:].sum() - hits
        enough = int(np.argmax(found == counts[0]))
        return found[:enough + 1]


@compiled
def _measure(pages: Row, lengths: Row, begin: int, last: Row, tree: Row, counts: Row,
             state: Row) -> int:
    """Count the distances of runs from ``begin`` on, until times run out; return where it stopped.

    ``tree`` has in place n the marks of the times from n - (n & -n) up to before n.
    """
    size, time, known = len(tree) - 1, state[0], state[1]
    at = begin
    while at < len(pages) and time < size:
        page = pages[at]
        before = last[page]
        if before < 0:
            counts[0] += 1
            known += 1
        else:
            older, place = 0, before + 1
            while place > 0:
                older += tree[place]
                place -= place & -place
            counts[known - older + 1] += 1
            place = before + 1
            while place <= size:
                tree[place] -= 1
                place += place & -place
        counts[1] += lengths[at] - 1
        last[page] = time
        time += 1
        place = time
        while place <= size:
            tree[place] += 1
            place += place & -place
        at += 1
    state[0], state[1] = time, known
    return at
