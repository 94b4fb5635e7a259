"""The same trace on an engine with the hardware's events, to compare what both count."""

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.mmu.control import Control
from ...model.x86 import PAGE_SHIFT, AccessKind, Cr3, InvalidateOp, Vector
from ..backing.trace_pages import TracePages
from ..engine.base import Engine
from ..engine.command import accesses, invalidation
from ..trace.page_runs import FETCH_RUN, STORE_RUN, PageRuns
from .page_numbers import PAGE_BITS
from .trace_run import TraceNumbers

__all__ = ["HardwareCounts"]

LONGEST = 1 << 16  # accesses of one run of the engine


class HardwareCounts:
    """Plays runs of accesses on an engine, each access after the one before is answered.

    A page is mapped when its first access has faulted, or if ``premapped`` before it, by ``pages``,
    which nobody else has mapped anything in. Not for page numbers that were moved.

    Parameters
    ----------
    config, engine
        The hardware.
    numbers
        Numbers the address spaces.
    pages
        Maps the pages.
    premapped, pcids
        As ``TraceRun`` has them.

    Members
    -------
    counts
        The events so far.
    """

    def __init__(self, config: Config, engine: Engine, numbers: TraceNumbers, pages: TracePages, *,
                 premapped: bool = False, pcids: bool = False) -> None:
        self.counts: dict[str, int] = {}
        self._config, self._engine, self._numbers = config, engine, numbers
        self._pages, self._premapped, self._pcids = pages, premapped, pcids
        self._mapped: set[tuple[int, int]] = set()
        self._control: Control | None = None

    def play(self, runs: PageRuns) -> None:
        """Carry out some runs."""
        keys = self._numbers.keys(runs)
        spaces = (keys >> PAGE_BITS).tolist()
        ends = [*(np.flatnonzero(np.diff(spaces)) + 1).tolist(), len(spaces)]
        start = 0
        for end in ends:
            self._enter(spaces[start])
            rows = np.repeat(np.arange(start, end), runs.count[start:end])
            for first in range(0, len(rows), LONGEST):
                part = rows[first:first + LONGEST]
                self._play(spaces[start], keys[part], runs.kind[part])
            start = end

    def _enter(self, space: int) -> None:
        """Let another address space run, if it does not already. [switch_mm_irqs_off]"""
        control = self._pages.control(space, pcids=self._pcids)
        if self._control is not None and control != self._control:
            cr3 = control.cr3 | (Cr3.NO_FLUSH if self._pcids else 0)
            self._run(invalidation(self._control, InvalidateOp.MOV_CR3, new=cr3))
        self._control = control

    def _play(self, space: int, keys: NDArray[np.int64], kinds: NDArray[np.uint8]) -> None:
        """Carry out accesses of one address space, of which each has the kind of its run."""
        tables, vpns = self._pages.tables(space), (keys & (1 << PAGE_BITS) - 1).tolist()
        vaddr = np.array([tables.canonical(vpn << PAGE_SHIFT) for vpn in vpns], np.uint64)
        kind = np.where(kinds == FETCH_RUN, AccessKind.FETCH,
                        np.where(kinds == STORE_RUN, AccessKind.WRITE, AccessKind.READ))
        if self._premapped:
            for vpn in vpns:
                self._map(space, vpn, is_dirty=True)
        port = np.where(kinds == FETCH_RUN, 0, len(self._config.ports) - 1)
        commands = accesses(self._control, vaddr, kind, user=1, port=port)
        done, asked = 0, len(commands)
        while done < len(commands):
            run = self._run(commands[done:done + asked])
            done += run
            if done < len(commands) and run < asked:
                self._map(space, vpns[done], is_dirty=bool(kind[done] == AccessKind.WRITE))
                asked = max(2 * run, 64)
            else:
                asked = 2 * asked

    def _run(self, commands: NDArray[np.void]) -> int:
        """Carry out commands up to a page fault; return how many are done."""
        run = self._engine.run(self._pages.supply.memory, commands, stop_on_fault=True)
        for name, count in run.events.items():
            self.counts[name] = self.counts.get(name, 0) + count
        if run.stopped and run.answers[-1]["vector"] != Vector.PF:
            raise AssertionError(f"Access ends in vector {run.answers[-1]['vector']}")
        return run.done

    def _map(self, space: int, vpn: int, *, is_dirty: bool) -> None:
        if (space, vpn) not in self._mapped:
            self._mapped.add((space, vpn))
            self._pages.number(space, vpn, is_dirty=is_dirty)
