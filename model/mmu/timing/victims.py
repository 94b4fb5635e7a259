"""Replacement policies: which of several entries goes next, by what was used and filled before.

After a reset the first entry is the one to go, and of those that were never used the lower one.
"""

from typing import Protocol

__all__ = ["VICTIMS", "FifoVictims", "LruVictims", "PlruVictims", "RandomVictims", "Victims"]


class Victims(Protocol):
    """What is kept of the past of ``count`` entries."""

    def __init__(self, count: int) -> None: ...

    def use(self, entry: int, filled: bool, /) -> None:
        """Note that an entry was hit, or ``filled``."""

    def next(self) -> int:
        """Return the entry to replace."""


class PlruVictims:
    """Tree pseudo-LRU: node 1 is the root, 2n and 2n+1 are below n, each points to a half."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._tree = [0] * count

    def use(self, entry: int, _filled: bool) -> None:
        node, tree = entry + self._count, self._tree
        while node > 1:
            tree[node >> 1] = ~node & 1
            node >>= 1

    def next(self) -> int:
        node = 1
        while node < self._count:
            node = 2 * node + self._tree[node]
        return node - self._count


class LruVictims:
    """The entry that was used longest ago."""

    def __init__(self, count: int) -> None:
        self._order = list(range(count))

    def use(self, entry: int, _filled: bool) -> None:
        if self._order[-1] != entry:
            self._order.remove(entry)
            self._order.append(entry)

    def next(self) -> int:
        return self._order[0]


class FifoVictims:
    """The entry behind the one that was filled last; hits change nothing."""

    def __init__(self, count: int) -> None:
        self._count, self._next = count, 0

    def use(self, entry: int, filled: bool) -> None:
        if filled:
            self._next = (entry + 1) % self._count

    def next(self) -> int:
        return self._next


class RandomVictims:
    """By a 16-bit LFSR, x^16 + x^14 + x^13 + x^11 + 1, from 0xACE1, which steps at each fill."""

    def __init__(self, count: int) -> None:
        self._count, self._lfsr = count, 0xACE1

    def use(self, _entry: int, filled: bool) -> None:
        if filled:
            word = self._lfsr
            self._lfsr = word >> 1 | ((word ^ word >> 2 ^ word >> 3 ^ word >> 5) & 1) << 15

    def next(self) -> int:
        return self._lfsr * self._count >> 16


VICTIMS: dict[str, type[Victims]] = {
    "plru": PlruVictims, "lru": LruVictims, "fifo": FifoVictims, "random": RandomVictims}
"""Every policy, by the name that the hardware gives it."""
