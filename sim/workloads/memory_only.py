"""Workloads of loads and stores alone: programs larger than memory, stacks, shared memory."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES
from .workload import DATA_ACCESS, Region, Workload, draw_accesses

__all__ = ["HEAP", "ORDERS", "paged", "sharing", "stack", "thrash"]

HEAP = 0x1000_0000
STACK_TOP = 0x7FFF_0000


def sequential(_rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages from the first to the last, over and over."""
    return np.arange(visits) % pages


def uniform(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages drawn evenly."""
    return rng.integers(pages, size=visits)


def zipf(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages of which the *n*-th most popular is 1/*n* as popular as the first."""
    shares = np.cumsum(1 / np.arange(1, pages + 1))
    ranks = np.searchsorted(shares, rng.random(visits) * shares[-1])
    chosen: NDArray[np.int64] = rng.permutation(pages)[np.minimum(ranks, pages - 1)]
    return chosen


def hot(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages of which a random tenth gets nine visits in ten."""
    order = rng.permutation(pages)
    among = np.where(rng.random(visits) < 0.9, max(pages // 10, 1), pages)
    chosen: NDArray[np.int64] = order[rng.integers(among)]
    return chosen


def thrashing(rng: Generator, visits: int, pages: int) -> NDArray[np.int64]:
    """Return pages drawn evenly, but every fourth is one of the first two.

    These two are used as often as a program's stack, so that they may stay in the TLB for long.
    """
    chosen = uniform(rng, visits, pages)
    chosen[::4] = rng.integers(min(2, pages), size=len(chosen[::4]))
    return chosen


Order = Callable[[Generator, int, int], NDArray[np.int64]]

ORDERS: dict[str, Order] = {
    "sequential": sequential, "random": uniform, "zipf": zipf, "hot": hot, "thrash": thrashing,
}
"""The orders in which pages are visited: functions of a generator, and how many visits and pages.
"""


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
    return Workload(order, seed, 1, (region,), draw_accesses(rng, region, visited, span))


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

    The stack fills, then empties, over and over: on the way up three steps of four are calls, on
    the way back three of four are returns. A call takes 64 to 1024 bytes of stack and stores the
    eight lowest words, which the return from it loads again.
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
    accesses = draw_accesses(rng, both, np.repeat(uniform(rng, visits, both.pages), burst), span)
    accesses["process"] = np.arange(len(accesses)) // (slice_visits * burst) % 2
    return Workload("sharing", seed, 2, (private, shared), accesses)
