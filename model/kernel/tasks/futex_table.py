"""Tasks that wait at a word of memory until others wake them. [kernel/futex]"""

from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["FutexTable", "FutexWaiter"]

ANY = 0xFFFF_FFFF


@dataclass(slots=True, eq=False)
class FutexWaiter:
    """One who waits: for wakes with a bit of ``bitset``; whether it was woken. [struct futex_q]"""

    key: Hashable
    bitset: int = ANY
    woken: bool = False


class FutexTable:
    """Who waits, by the word; of one word in the order in which they came."""

    def __init__(self) -> None:
        self._waiters: list[FutexWaiter] = []

    def wait(self, key: Hashable, bitset: int = ANY) -> FutexWaiter:
        """Add one who waits. [futex_queue]"""
        waiter = FutexWaiter(key, bitset)
        self._waiters.append(waiter)
        return waiter

    def leave(self, waiter: FutexWaiter) -> None:
        """Have one wait no more. [futex_unqueue]"""
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def wake(self, key: Hashable, count: int, bitset: int = ANY) -> int:
        """Wake at most so many who wait at a word; return how many. [futex_wake]"""
        found = [one for one in self._waiters if one.key == key and one.bitset & bitset][:count]
        for one in found:
            one.woken = True
            self._waiters.remove(one)
        return len(found)

    def requeue(self, key: Hashable, other: Hashable, count: int) -> int:
        """Have at most so many wait at another word; return how many. [futex_requeue]"""
        found = [one for one in self._waiters if one.key == key][:count]
        for one in found:
            self._waiters.remove(one)
            one.key = other
            self._waiters.append(one)
        return len(found)
