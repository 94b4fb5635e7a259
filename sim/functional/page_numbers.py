"""Small numbers for the pages of a trace, in the order in which they come up."""

import numpy as np
from numpy.typing import NDArray

from .compiled_function import FAST, compiled

__all__ = ["PAGE_BITS", "PageNumbers"]

Row = NDArray[np.int64]

PAGE_BITS = 45  # of a page number: no mode translates more than 57 bits


class PageNumbers:
    """Numbers the pages of a trace from 0 on.

    A key is a page number, and the number of its address space above it. Given to the fast path as
    an open hash table, to the plain one as a dictionary.

    Members
    -------
    count
        How many there are.
    """

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[int, int] | None = None if FAST else {}
        self._keys = np.full(1 << 12, -1, np.int64)
        self._numbers = np.zeros(1 << 12, np.int64)

    def of(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[int]]:
        """Return the number of each key, and the keys that were new, in order."""
        if self._known is not None:
            return self._of_plain(keys, self._known)
        numbers, new, done = np.empty(len(keys), np.int64), [], 0
        while done < len(keys):
            room = len(self._keys) // 2 - self.count
            if room < len(self._keys) // 4:
                self._grow()
                continue
            fresh = np.empty(room, np.int64)
            stop, found = _number(keys, done, self._keys, self._numbers, self.count, numbers, fresh)
            new += fresh[:found].tolist()
            self.count += found
            done = stop
        return numbers, new

    def _of_plain(self, keys: NDArray[np.int64], known: dict[int, int]) -> tuple[
            NDArray[np.int64], list[int]]:
        numbers, new = [], []
        for key in keys.tolist():
            number = known.get(key)
            if number is None:
                number = known[key] = len(known)
                new.append(key)
            numbers.append(number)
        self.count = len(known)
        return np.array(numbers, np.int64), new

    def _grow(self) -> None:
        keys, numbers = self._keys, self._numbers
        self._keys = np.full(4 * len(keys), -1, np.int64)
        self._numbers = np.zeros(4 * len(keys), np.int64)
        _enter(keys, numbers, self._keys, self._numbers)


@compiled
def _place(key: int, size: int) -> int:
    """Return where a key is looked for first, in a table of a power of two."""
    mixed = (key ^ (key >> 15)) * 0x9E3779B1
    return (mixed ^ (mixed >> 17)) & (size - 1)


@compiled
def _enter(old_keys: Row, old_numbers: Row, keys: Row, numbers: Row) -> None:
    """Enter all of one table into another, which is empty and larger."""
    size = len(keys)
    for at in range(len(old_keys)):
        if old_keys[at] >= 0:
            place = _place(old_keys[at], size)
            while keys[place] >= 0:
                place = (place + 1) & (size - 1)
            keys[place] = old_keys[at]
            numbers[place] = old_numbers[at]


@compiled
def _number(wanted: Row, begin: int, keys: Row, numbers: Row, count: int, result: Row,
            fresh: Row) -> tuple[int, int]:
    """Number the keys ``wanted`` from ``begin`` on, until there is no room for a new one.

    Return where it stopped, and how many were new, which are in ``fresh``.
    """
    size, found = len(keys), 0
    for at in range(begin, len(wanted)):
        key = wanted[at]
        place = _place(key, size)
        while keys[place] != key:
            if keys[place] < 0:
                if found == len(fresh):
                    return at, found
                keys[place] = key
                numbers[place] = count + found
                fresh[found] = key
                found += 1
                break
            place = (place + 1) & (size - 1)
        result[at] = numbers[place]
    return len(wanted), found
