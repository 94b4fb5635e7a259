"""The state of all TLBs and walk caches: in arrays for compiled functions, or in lists."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backing.trace_pages import TracePage
from .compiled_function import FAST
from .tlb_layout import ACCESSED, COUNTS, DIRTY, LEVELS, MAPPED, NODE_RECORD, TlbLayout
from .tlb_steps import play

__all__ = ["TlbMemory"]

FIRST_ROOM = 1 << 12  # numbers


class TlbMemory:
    """All TLBs and walk caches, empty at first, and what is known of the pages."""

    def __init__(self, layout: TlbLayout) -> None:
        self._layout = layout
        row = layout.row()
        self._row: Any = np.array(row, np.int64) if FAST else row
        self._upper = row[LEVELS] - 1
        self._pages, self._nodes = _Records(), _Records()

    @property
    def counts(self) -> dict[str, int]:
        """What was counted, by the names of the hardware's events."""
        first = self._row[COUNTS]
        found = self._row[first:first + len(self._layout.names)]
        return dict(zip(self._layout.names, map(int, found), strict=True))

    def add(self, pages: list[TracePage], nodes: int, *, premapped: bool) -> None:
        """Take further pages, and that there are so many nodes now.

        They are not present, or with ``premapped`` they are, accessed and dirty.
        """
        flags = MAPPED | ACCESSED | DIRTY if premapped else 0
        banks = [-1] * len(self._layout.banks)
        for page in pages:  # one number after the other, for what is at hand is a list
            nodes_of = [*page.nodes, *[-1] * (self._upper - page.leaf)]
            self._pages.add([page.vpn, page.size, page.leaf, page.space, flags, *nodes_of, *banks])
        for _ in range(nodes - self._nodes.length // NODE_RECORD):
            self._nodes.add([int(premapped), -1])

    def play(self, pages: NDArray[np.int64], kinds: NDArray[np.uint8], counts: NDArray[np.int64],
             ports: tuple[int, ...]) -> None:
        """Carry out runs: of each the number of the page, the kind and the count.

        ``ports`` is the number of the port of each kind.
        """
        runs = [one if FAST else one.tolist() for one in (pages, kinds, counts)]
        play(self._row, self._pages.numbers, self._nodes.numbers, runs[0], runs[1], runs[2], ports)


class _Records:
    """Numbers that become more."""

    def __init__(self) -> None:
        self._numbers: Any = np.zeros(FIRST_ROOM, np.int64) if FAST else []
        self._waiting: list[int] = []
        self.length = 0

    def add(self, numbers: list[int]) -> None:
        """Add some numbers at the end."""
        self._waiting += numbers
        self.length += len(numbers)

    @property
    def numbers(self) -> Any:
        """All numbers, and if they are an array some behind them that mean nothing."""
        if self._waiting:
            if not FAST:
                self._numbers += self._waiting
            else:
                done = self.length - len(self._waiting)
                if self.length > len(self._numbers):
                    longer = np.zeros(2 * self.length, np.int64)
                    longer[:done] = self._numbers[:done]
                    self._numbers = longer
                self._numbers[done:self.length] = self._waiting
            self._waiting = []
        return self._numbers
