"""Workloads: loads and stores of data by user processes, made from a seed, and what they must load.

Every workload is drawn from its seed alone, which it carries: the same parameters give the same
accesses.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from ..model.x86 import PAGE_SHIFT

__all__ = ["DATA_ACCESS", "ORDERS", "Expected", "Region", "Workload", "paged", "sharing", "stack",
           "thrash"]

DATA_ACCESS = np.dtype(
    [
        ("process", "<u2"),  # number of the process, from 0
        ("store", "?"),
        ("size", "u1"),  # bytes: 1, 2, 4 or 8
        ("vaddr", "<u8"),  # a multiple of the size
        ("value", "<u8"),  # what is stored; of a load 0
    ],
    align=True,
)
"""One load or store of data in user memory, in program order."""

PAGE_BYTES = 1 << PAGE_SHIFT
HEAP = 0x1000_0000
STACK_TOP = 0x7FFF_0000


@dataclass(frozen=True, slots=True)
class Region:
    """An area of ``pages`` pages from ``start``, which every process of a workload has mapped.

    Each process has one of its own, unless it is ``shared``. The area of a stack ``grows_down``:
    only its uppermost page need be there from the beginning.
    """

    start: int
    pages: int
    shared: bool = False
    grows_down: bool = False

    @property
    def end(self) -> int:
        """The address behind the area."""
        return self.start + self.pages * PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Workload:
    """Data accesses (N,) of dtype ``DATA_ACCESS``, all within ``regions``."""

    name: str
    seed: int
    processes: int
    regions: tuple[Region, ...]
    accesses: NDArray[np.void]

    def __str__(self) -> str:
        pages = sum(region.pages for region in self.regions)
        return (f"{self.name}: {len(self.accesses)} accesses, {pages} pages, "
                f"{self.processes} processes, seed {self.seed}")


def sequential(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages from the first to the last, over and over."""
    return np.arange(visits) % pages


def uniform(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages that are all as likely, at any time."""
    return rng.integers(pages, size=visits)


def zipf(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages of which the *n*-th most popular is 1/*n* as popular as the first."""
    shares = np.cumsum(1 / np.arange(1, pages + 1))
    ranks = np.searchsorted(shares, rng.random(visits) * shares[-1])
    chosen: NDArray[np.int64] = rng.permutation(pages)[np.minimum(ranks, pages - 1)]
    return chosen


def hot(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages of which a tenth, anywhere, gets nine visits in ten."""
    order = rng.permutation(pages)
    among = np.where(rng.random(visits) < 0.9, max(pages // 10, 1), pages)
    chosen: NDArray[np.int64] = order[rng.integers(among)]
    return chosen


def thrashing(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages that are all as likely, and between them, every fourth, one of the first two.

    As a program's stack is, these are used so often that they may stay in the TLB for long.
    """
    chosen = uniform(rng, visits, pages)
    chosen[::4] = rng.integers(min(2, pages), size=len(chosen[::4]))
    return chosen


Order = Callable[[Generator, int, int], NDArray[np.int64]]

ORDERS: dict[str, Order] = {
    "sequential": sequential, "random": uniform, "zipf": zipf, "hot": hot, "thrash": thrashing,
}
"""In which order pages are visited: from a generator, the numbers of visits and of pages."""


def paged(
    order: str,
    *,
    pages: int,
    visits: int,
    burst: int = 32,
    span: int = PAGE_BYTES,
    seed: int = 0,
) -> Workload:
    """Return a workload of one process that makes ``burst`` accesses in each page it visits.

    ``order`` is a key of ``ORDERS``; only the first ``span`` bytes of pages are accessed, a
    multiple of 8: the fewer, the more loads find what was stored.
    """
    rng = default_rng(seed)
    visited = np.repeat(ORDERS[order](rng, visits, pages), burst)
    region = Region(HEAP, pages)
    return Workload(order, seed, 1, (region,), _accesses(rng, region, visited, span))


def thrash(
    frames: int,
    *,
    factor: int = 4,
    visits: int,
    burst: int = 32,
    span: int = PAGE_BYTES,
    seed: int = 0,
) -> Workload:
    """Return random visits to ``factor`` times as many pages as there are ``frames`` of memory."""
    return paged("thrash", pages=factor * frames, visits=visits, burst=burst, span=span, seed=seed)


def stack(*, pages: int, calls: int, seed: int = 0) -> Workload:
    """Return ``calls`` calls and returns of a program whose stack grows down to ``pages`` pages.

    It goes deeper until the stack is full, then back until it is empty, with smaller steps both
    ways on the way. A call takes 64 to 1024 bytes of stack and stores the eight lowest words,
    which the return from it loads again.
    """
    rng = default_rng(seed)
    region = Region(STACK_TOP - pages * PAGE_BYTES, pages, grows_down=True)
    pointers, is_deepening = [STACK_TOP], True
    bottoms, stores = np.zeros(calls, np.uint64), np.zeros(calls, np.bool_)
    for step in range(calls):
        deeper = pointers[-1] - 8 * int(rng.integers(8, 129))
        if deeper < region.start or len(pointers) == 1:
            is_deepening = len(pointers) == 1
        stores[step] = len(pointers) == 1 or (
            deeper >= region.start and rng.random() < (0.75 if is_deepening else 0.25))
        if stores[step]:
            pointers.append(deeper)
        bottoms[step] = pointers[-1] if stores[step] else pointers.pop()
    accesses = np.zeros(8 * calls, DATA_ACCESS)
    accesses["vaddr"] = (bottoms[:, None] + 8 * np.arange(8, dtype=np.uint64)).reshape(-1)
    accesses["size"], accesses["store"] = 8, np.repeat(stores, 8)
    value = rng.integers(1 << 64, size=8 * calls, dtype=np.uint64)
    accesses["value"] = np.where(accesses["store"], value, np.uint64(0))
    return Workload("stack", seed, 1, (region,), accesses)


def sharing(
    *,
    pages: int,
    slices: int,
    slice_visits: int = 8,
    burst: int = 16,
    span: int = PAGE_BYTES,
    seed: int = 0,
) -> Workload:
    """Return two processes that take turns, each with ``pages`` private and as many shared pages.

    The private areas have the same addresses. In each of its ``slices`` a process makes
    ``slice_visits`` visits to pages of either area.
    """
    rng = default_rng(seed)
    private = Region(HEAP, pages)
    shared = Region(private.end, pages, shared=True)
    both = Region(HEAP, 2 * pages)
    visits = 2 * slices * slice_visits
    accesses = _accesses(rng, both, np.repeat(uniform(rng, visits, both.pages), burst), span)
    accesses["process"] = np.arange(len(accesses)) // (slice_visits * burst) % 2
    return Workload("sharing", seed, 2, (private, shared), accesses)


def _accesses(
    rng: Generator, region: Region, pages: NDArray[np.int64], span: int
) -> NDArray[np.void]:
    """Return an access to each of ``pages`` of a region, half of them stores, of any size."""
    accesses = np.zeros(len(pages), DATA_ACCESS)
    size_bits = rng.integers(4, size=len(pages), dtype=np.uint64)
    offset = rng.integers(span, size=len(pages), dtype=np.uint64) >> size_bits << size_bits
    accesses["size"] = 1 << size_bits
    accesses["vaddr"] = region.start + (pages << PAGE_SHIFT) + offset.astype(np.int64)
    accesses["store"] = rng.integers(2, size=len(pages))
    value = rng.integers(1 << 64, size=len(pages), dtype=np.uint64)
    accesses["value"] = np.where(
        accesses["store"], value & _masks(accesses["size"]), np.uint64(0))
    return accesses


def _masks(size: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the value of ``size`` bytes of ones."""
    return ~np.uint64(0) >> (64 - 8 * size.astype(np.uint64))


class Expected:
    """User memory as a plain dictionary: what every access must find there.

    It knows nothing of pages, frames or translation. Memory never stored to is zero.
    """

    CHUNK = 1 << 16  # of accesses turned into Python numbers at a time

    def __init__(self, regions: tuple[Region, ...]) -> None:
        self._shared = [region for region in regions if region.shared]
        self._words: dict[tuple[int, int], int] = {}  # (owner, word number) to 8 bytes

    def values(self, accesses: NDArray[np.void]) -> NDArray[np.uint64]:
        """Carry out ``accesses`` (N,); return what each finds, a store before it stores."""
        found = np.empty(len(accesses), np.uint64)
        for start in range(0, len(accesses), self.CHUNK):
            part = accesses[start : start + self.CHUNK]
            found[start : start + len(part)] = [*self._carry_out(part)]
        return found

    def _carry_out(self, accesses: NDArray[np.void]) -> Iterator[int]:
        words, vaddr = self._words, accesses["vaddr"]
        columns = (self._owners(accesses), vaddr >> 3, 8 * (vaddr & 7), _masks(accesses["size"]),
                   accesses["store"], accesses["value"])
        for owner, number, shift, mask, is_store, value in zip(
                *(column.tolist() for column in columns), strict=True):
            word = words.get((owner, number), 0)
            yield word >> shift & mask
            if is_store:
                words[owner, number] = word & ~(mask << shift) | value << shift

    def _owners(self, accesses: NDArray[np.void]) -> NDArray[np.int64]:
        """Return whose the memory of each access is: the number of a process, or -1."""
        owners = accesses["process"].astype(np.int64)
        for region in self._shared:
            vaddr = accesses["vaddr"]
            owners[(vaddr >= region.start) & (vaddr < region.end)] = -1
        return owners

    def sweep(self) -> NDArray[np.void]:
        """Return loads of every word ever stored to, by page; shared ones by process 0."""
        accesses = np.zeros(len(self._words), DATA_ACCESS)
        keys = np.array(sorted(self._words), np.int64).reshape(-1, 2)
        accesses["process"] = np.maximum(keys[:, 0], 0)
        accesses["vaddr"] = keys[:, 1] << 3
        accesses["size"] = 8
        return accesses
