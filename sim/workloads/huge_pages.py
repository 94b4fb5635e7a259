"""A workload on huge pages: copy-on-write after fork, and calls about them, beside small pages."""

from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng

from ...model.x86 import PAGE_BYTES
from .calling import SPAN, Draft
from .memory_only import HEAP
from .workload import (
    HUGE_BYTES,
    Discard,
    Exit,
    Fork,
    Map,
    Move,
    Protect,
    Region,
    Unmap,
    Workload,
    draw_accesses,
)

__all__ = ["huge"]

BLOCK_PAGES = HUGE_BYTES // PAGE_BYTES
PLACES = np.array([0, 1, 511, 512, 1023])
"""Small pages of a block that are accessed, so few that loads find what was stored."""
SMALL_PAGES = 16


@dataclass(slots=True)
class _Process:
    """A process: its number, and of each block that it has mapped whether it can be written."""

    number: int
    writable: dict[int, bool]


class _Huge:
    """A workload in the making, whose processes have up to ``blocks`` private blocks.

    A block is ``HUGE_BYTES`` of huge pages.
    """

    def __init__(self, blocks: int, seed: int) -> None:
        self.draft = Draft(default_rng(seed))
        self.rng = self.draft.rng
        self.blocks = blocks
        self.living = [_Process(0, dict.fromkeys(range(blocks), True))]
        self.born = 1
        start = HEAP & -HUGE_BYTES
        self.private = Region(start, blocks * BLOCK_PAGES, huge=True)
        self.shared = Region(self.private.end, BLOCK_PAGES, shared=True, huge=True)
        self.small = Region(self.shared.end, SMALL_PAGES)

    def block(self, first: int, count: int = 1) -> Region:
        return Region(self.private.start + first * HUGE_BYTES, count * BLOCK_PAGES, huge=True)

    def access(self, process: _Process, burst: int) -> None:
        """Access the private blocks, then the shared one and small pages half as often.

        These are ``2 * burst`` accesses or more, also if no private block is mapped.
        """
        rng, writable = self.rng, process.writable
        if writable:
            blocks = rng.choice(sorted(writable), size=burst)
            accesses = draw_accesses(
                rng, self.private, blocks * BLOCK_PAGES + rng.choice(PLACES, size=burst), SPAN)
            read_only = [not writable[block] for block in blocks.tolist()]
            accesses["store"][read_only] = accesses["value"][read_only] = 0
            self._add(process, accesses)
        half = -(-burst // 2) if writable else burst
        self._add(process, draw_accesses(rng, self.shared, rng.choice(PLACES, size=half), SPAN))
        self._add(process, draw_accesses(rng, self.small, rng.integers(SMALL_PAGES, size=half),
                                         SPAN))

    def _add(self, process: _Process, accesses: np.ndarray) -> None:
        accesses["process"] = process.number
        self.draft.add(accesses)

    def fork(self, process: _Process) -> None:
        self.draft.happens(Fork(process.number))
        self.living.append(_Process(self.born, dict(process.writable)))
        self.born += 1

    def exit(self, process: _Process) -> None:
        self.draft.happens(Exit(process.number))
        self.living.remove(process)

    def call(self, process: _Process) -> None:
        """Let a process map, unmap, move, protect or discard a block."""
        rng, writable, number = self.rng, process.writable, process.number
        block = int(rng.integers(self.blocks))
        region = self.block(block)
        if block not in writable:
            writable[block] = True
            self.draft.happens(Map(number, region))
            return
        kind = int(rng.integers(4))
        holes = sorted(set(range(self.blocks)) - writable.keys())
        if kind == 0:
            del writable[block]
            self.draft.happens(Unmap(number, region))
        elif kind == 1 and holes:
            to = holes[int(rng.integers(len(holes)))]
            writable[to] = writable.pop(block)
            self.draft.happens(Move(number, region.start, self.block(to).start, BLOCK_PAGES))
        elif kind == 2:
            writable[block] = not writable[block]
            self.draft.happens(Protect(number, region, writable[block]))
        else:
            self.draft.happens(Discard(number, region))


def huge(*, blocks: int, rounds: int, processes: int = 3, burst: int = 16,
         seed: int = 0) -> Workload:
    """Return processes that share huge pages after forks until one of them writes.

    The first process has ``blocks`` private blocks of 4 Mbytes of huge pages, one shared block, and
    some small pages. In each of ``rounds`` one of the living processes makes ``2 * burst``
    accesses. Now and then it forks before, unless ``processes`` live already, or makes a call about
    a block; and now and then it ends afterwards, unless it is the first.
    """
    made = _Huge(blocks, seed)
    made.access(made.living[0], 8 * blocks)
    for _ in range(rounds):
        process = made.living[int(made.rng.integers(len(made.living)))]
        if len(made.living) < processes and made.rng.random() < 0.2:
            made.fork(process)
        elif made.rng.random() < 0.3:
            made.call(process)
        made.access(process, burst)
        if process.number and made.rng.random() < 0.1:
            made.exit(process)
    return made.draft.finish("huge", seed, made.private, made.shared, made.small)
