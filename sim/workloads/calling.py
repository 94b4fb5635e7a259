"""Workloads whose processes call the kernel between their accesses: fork, mmap, kmap."""

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES
from .memory_only import HEAP
from .workload import (
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
    Window,
    Workload,
    draw_accesses,
)

__all__ = ["SPAN", "Draft", "churn", "forking", "kmapping"]

SPAN = 64  # bytes of a page that are accessed: so few that loads find what was stored
WINDOWS = tuple(Window)
LONGEST = 8  # pages that one call is about


@dataclass(slots=True)
class Draft:
    """A workload in the making: the accesses and events so far, in order.

    Members
    -------
    rng : numpy.random.Generator
        Where its random numbers come from.
    parts : list of numpy.ndarray
        The accesses, of dtype ``DATA_ACCESS``.
    events : list of tuple
        The events, each with the number of accesses before it.
    length : int
        The number of accesses.
    """

    rng: Generator
    parts: list[NDArray[np.void]] = field(default_factory=list)
    events: list[tuple[int, Event]] = field(default_factory=list)
    length: int = 0

    def add(self, accesses: NDArray[np.void]) -> None:
        """Add accesses (N,) of dtype ``DATA_ACCESS`` at the end."""
        self.parts.append(accesses)
        self.length += len(accesses)

    def happens(self, event: Event) -> None:
        """Add an event at the end: it happens after the accesses so far."""
        self.events.append((self.length, event))

    def finish(self, name: str, seed: int, *regions: Region) -> Workload:
        """Return the workload, of one process that has ``regions``."""
        return Workload(name, seed, 1, regions, np.concatenate(self.parts), tuple(self.events))


def forking(*, pages: int, rounds: int, processes: int = 5, burst: int = 16,
            seed: int = 0) -> Workload:
    """Return processes that fork, share pages until one of them writes, and end. [copy-on-write]

    The first process has ``pages`` private pages and an eighth as many shared ones. In each of
    ``rounds`` one of the living processes makes ``burst`` accesses. In one round of five it forks
    before, unless ``processes`` live already; in one of ten it ends afterwards, unless it is the
    first.
    """
    draft = Draft(default_rng(seed))
    rng = draft.rng
    private = Region(HEAP, pages)
    shared = Region(private.end, -(-pages // 8), shared=True)
    both = Region(HEAP, private.pages + shared.pages)
    draft.add(draw_accesses(rng, private, np.arange(pages), SPAN))
    living, born = [0], 1
    for _ in range(rounds):
        process = living[int(rng.integers(len(living)))]
        if len(living) < processes and rng.random() < 0.2:
            draft.happens(Fork(process))
            living.append(born)
            born += 1
        accesses = draw_accesses(rng, both, rng.integers(both.pages, size=burst), SPAN)
        accesses["process"] = process
        draft.add(accesses)
        if process and rng.random() < 0.1:
            draft.happens(Exit(process))
            living.remove(process)
    return draft.finish("fork", seed, private, shared)


def churn(*, pages: int, rounds: int, burst: int = 16, seed: int = 0) -> Workload:
    """Return a process that maps, unmaps, protects, moves and discards parts of ``pages`` pages.

    In each of ``rounds`` it makes such a call, then ``burst`` accesses to the pages that are mapped
    now; and now and then one access that must be refused: to a page that is not mapped, or a store
    to a page that is read-only.
    """
    draft = Draft(default_rng(seed))
    rng, region = draft.rng, Region(HEAP, pages)
    writable = dict.fromkeys(range(pages), True)  # those that are mapped
    draft.add(draw_accesses(rng, region, np.arange(pages), SPAN))
    for _ in range(rounds):
        event = _call(rng, pages, writable)
        draft.happens(event)
        if writable:
            chosen = rng.choice(sorted(writable), size=burst)
            accesses = draw_accesses(rng, region, chosen, SPAN)
            is_read_only = [not writable[page] for page in chosen.tolist()]
            accesses["store"][is_read_only] = accesses["value"][is_read_only] = 0
            draft.add(accesses)
        refused = rng.integers(pages, size=1)
        if not writable.get(int(refused[0])) and rng.random() < 0.3:
            access = draw_accesses(rng, region, refused, SPAN)
            access["store"] |= int(refused[0]) in writable
            draft.happens(Refused(access))
    return draft.finish("churn", seed, region)


def _call(rng: Generator, pages: int, writable: dict[int, bool]) -> Event:
    """Return a random call about some of the ``pages`` pages, and update ``writable`` with it.

    ``writable`` says of each mapped page whether it can be written. A call that is not possible
    now, as a move without a free page, becomes a call that maps.
    """
    first = int(rng.integers(pages))
    part = range(first, min(first + int(rng.integers(1, LONGEST + 1)), pages))
    region = Region(HEAP + first * PAGE_BYTES, len(part))
    kind = int(rng.integers(5))
    if kind == 0:
        for page in part:
            writable.pop(page, None)
        return Unmap(0, region)
    if kind == 1 and first in writable and len(writable) < pages:
        holes = sorted(set(range(pages)) - writable.keys())
        to = holes[int(rng.integers(len(holes)))]
        writable[to] = writable.pop(first)
        return Move(0, region.start, HEAP + to * PAGE_BYTES)
    if kind > 2 and writable.keys() >= set(part):
        if kind == 3:
            return Discard(0, region)
        may_write = not all(writable[page] for page in part)
        writable.update(dict.fromkeys(part, may_write))
        return Protect(0, region, may_write)
    writable.update(dict.fromkeys(part, True))
    return Map(0, region)


def kmapping(*, pages: int, visits: int, burst: int = 8, seed: int = 0) -> Workload:
    """Return a process whose ``pages`` pages the kernel accesses, too, by addresses of its own.

    In each of ``visits`` the kernel makes ``burst`` accesses to a random page, by kmap, kmap_local
    or vmap; then the process makes as many, half of the time to that page, else to random ones.
    """
    draft = Draft(default_rng(seed))
    rng, region = draft.rng, Region(HEAP, pages)
    visited = rng.integers(pages, size=visits)
    for page in visited.tolist():
        chosen = np.full(burst, page)
        window = WINDOWS[int(rng.integers(len(WINDOWS)))]
        draft.happens(Kmap(draw_accesses(rng, region, chosen, SPAN), window))
        if rng.random() < 0.5:
            chosen = rng.integers(pages, size=burst)
        draft.add(draw_accesses(rng, region, chosen, SPAN))
    return draft.finish("kmap", seed, region)
