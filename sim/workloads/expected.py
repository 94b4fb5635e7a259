"""User memory as a plain dictionary, which says what a workload must find."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES
from .workload import (
    DATA_ACCESS,
    Discard,
    Event,
    Exit,
    Fork,
    Kmap,
    Map,
    Move,
    Protect,
    Refused,
    Region,
    Unmap,
    masks,
)

__all__ = ["Expected"]

SHARED = -1
WORDS = PAGE_BYTES // 8  # of a page


class Expected:
    """The memory of processes, without frames, entries or translation: what accesses must find.

    Memory that was never stored to is zero.

    Parameters
    ----------
    regions : tuple of Region
        The areas that every process has at first.
    processes : int
        The number of processes at first.
    """

    CHUNK = 1 << 16  # of accesses turned into Python numbers at a time

    def __init__(self, regions: tuple[Region, ...], processes: int = 1) -> None:
        self._shared = [region for region in regions if region.shared]
        self._processes = processes
        # By owner, a process or SHARED: 8 bytes by the number of their word.
        self._words: defaultdict[int, dict[int, int]] = defaultdict(dict)

    def values(self, accesses: NDArray[np.void]) -> NDArray[np.uint64]:
        """Carry out ``accesses`` (N,); return what each finds, a store before it stores."""
        found = np.empty(len(accesses), np.uint64)
        for start in range(0, len(accesses), self.CHUNK):
            part = accesses[start : start + self.CHUNK]
            found[start : start + len(part)] = [*self._carry_out(part)]
        return found

    def _carry_out(self, accesses: NDArray[np.void]) -> Iterator[int]:
        words, vaddr = self._words, accesses["vaddr"]
        columns = (self._owners(accesses), vaddr >> 3, 8 * (vaddr & 7), masks(accesses["size"]),
                   accesses["store"], accesses["value"])
        for owner, number, shift, mask, is_store, value in zip(
                *(column.tolist() for column in columns), strict=True):
            own = words[owner]
            word = own.get(number, 0)
            yield word >> shift & mask
            if is_store:
                own[number] = word & ~(mask << shift) | value << shift

    def _owners(self, accesses: NDArray[np.void]) -> NDArray[np.int64]:
        """Return the owner of the memory of each access: the number of its process, or SHARED."""
        owners = accesses["process"].astype(np.int64)
        for region in self._shared:
            vaddr = accesses["vaddr"]
            owners[(vaddr >= region.start) & (vaddr < region.end)] = SHARED
        return owners

    def happens(self, event: Event) -> None:
        """Change the memory as an event does. The accesses of a ``Kmap`` are left to the caller."""
        match event:
            case Fork(process):
                self._words[self._processes] = dict(self._words[process])
                self._processes += 1
            case Exit(process):
                self._words.pop(process, None)
            case Map(process, region) | Unmap(process, region) | Discard(process, region):
                for page in range(region.pages):
                    self._take_page(process, (region.start >> 3) + WORDS * page)
            case Move(process, start, to, pages):
                own = self._words[process]
                for page in range(pages):
                    taken = self._take_page(process, (start >> 3) + WORDS * page)
                    own.update({word + (to - start >> 3): value for word, value in taken.items()})
            case Protect() | Refused() | Kmap():
                pass

    def _take_page(self, process: int, first: int) -> dict[int, int]:
        """Remove the words of a page, of which ``first`` is the first; return them."""
        own = self._words[process]
        return {word: own.pop(word) for word in range(first, first + WORDS) if word in own}

    def sweep(self) -> NDArray[np.void]:
        """Return a load of every word that is known, by the process that owns it.

        Shared words are loaded by the living process with the lowest number.
        """
        loads = np.zeros(sum(map(len, self._words.values())), DATA_ACCESS)
        living = min((owner for owner in self._words if owner != SHARED), default=0)
        keys = [(owner, word) for owner, own in sorted(self._words.items()) for word in sorted(own)]
        columns = np.array(keys, np.int64).reshape(-1, 2)
        loads["process"] = np.where(columns[:, 0] == SHARED, living, columns[:, 0])
        loads["vaddr"] = columns[:, 1] << 3
        loads["size"] = 8
        return loads
