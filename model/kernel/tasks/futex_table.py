"""Tasks that wait at a word of memory until others wake them. [kernel/futex]"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass

__all__ = ["FutexTable", "FutexWaiter"]

ANY = 0xFFFF_FFFF


@dataclass(slots=True, eq=False)
class FutexWaiter:
    """One who waits: for wakes with a bit of ``bitset``; whether it was woken. [struct futex_q]

    ``lives`` returns whether the task is still there, which may have ended while it waited.
    """

    key: Hashable
    bitset: int = ANY
    woken: bool = False
    lives: Callable[[], bool] = lambda: True


class FutexTable:
    """Who waits, by the word; of one word in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: list[FutexWaiter] = []

    def wait(self, key: Hashable, bitset: int = ANY,
             lives: Callable[[], bool] = lambda: True) -> FutexWaiter:
        """Add one who waits. [futex_queue]"""
        waiter = FutexWaiter(key, bitset, lives=lives)
        self._waiters.append(waiter)
        return waiter

    def leave(self, waiter: FutexWaiter) -> None:
        """Have one wait no more. [futex_unqueue]"""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def wake(self, key: Hashable, count: int, bitset: int = ANY) -> int:
        """Wake at most so many who wait at a word; return how many. [futex_wake]"""
        found = [one for one in self._at(key) if one.bitset & bitset][:count]
        for one in found:
            one.woken = True
            self._waiters.remove(one)
        return len(found)

    def requeue(self, key: Hashable, other: Hashable, count: int) -> int:
        """Have at most so many wait at another word; return how many. [futex_requeue]"""
        found = self._at(key)[:count]
        for one in found:
            self._waiters.remove(one)
            one.key = other
            self._waiters.append(one)
        return len(found)

    def _at(self, key: Hashable) -> list[FutexWaiter]:
        """Return who waits at a word; those whose task has ended wait no more."""
        self._waiters = [one for one in self._waiters if one.key != key or one.lives()]
        return [one for one in self._waiters if one.key == key]
