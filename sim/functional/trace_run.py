"""A trace played on the TLBs of a configuration."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.x86 import PAGE_SHIFT, PagingMode
from ..backing.relocation import relocated
from ..backing.trace_pages import TracePages
from ..trace.page_runs import PageRuns
from ..trace.trace_error import TraceError
from ..trace.trace_file import TraceFile
from .miss_curves import MissCurves
from .page_numbers import PAGE_BITS, PageNumbers
from .tlb_layout import TlbLayout
from .tlb_memory import TlbMemory

__all__ = ["NumberedRuns", "RunTimes", "TraceNumbers", "TraceRun"]

MOST_SPACES = 1 << 17
MOST_PCIDS = 1 << 12
PAGE_MASK = (1 << PAGE_BITS) - 1


@dataclass(frozen=True, slots=True)
class NumberedRuns:
    """Runs with numbers for pages, and the pages that come up for the first time.

    ``pages`` are small numbers of the page numbers. ``new`` has for each that is new its address
    space and page number, in order.
    """

    pages: NDArray[np.int64]
    kinds: NDArray[np.uint8]
    counts: NDArray[np.int64]
    new: list[tuple[int, int]]


class TraceNumbers:
    """Numbers the address spaces and pages of a trace as they come up.

    Parameters
    ----------
    path
        The trace, for messages.
    mode
        The paging mode, which every address must be one of.
    relocate
        A seed to spread the pages by over the upper levels, None to leave them where they are.
    most_spaces
        How many address spaces there may be.
    """

    def __init__(self, path: str, mode: PagingMode, *, relocate: int | None = None,
                 most_spaces: int = MOST_SPACES) -> None:
        self._path, self._mode, self._relocate = path, mode, relocate
        self._most = most_spaces
        self._spaces: dict[int, int] = {}
        self._numbers = PageNumbers()

    @property
    def spaces(self) -> int:
        """How many address spaces there are."""
        return max(len(self._spaces), 1)

    @property
    def pages(self) -> int:
        """How many pages of 4 Kbytes were touched."""
        return self._numbers.count

    def of(self, runs: PageRuns) -> NumberedRuns:
        """Return runs with numbers; raise ``TraceError`` for an address that the mode has not."""
        pages, new = self._numbers.of(self.keys(runs))
        return NumberedRuns(pages, runs.kind, runs.count,
                            [(key >> PAGE_BITS, key & PAGE_MASK) for key in new])

    def keys(self, runs: PageRuns) -> NDArray[np.int64]:
        """Return the page number of each run, with the number of its address space above it.

        The page number is without what only repeats the sign, and moved if that was asked for.
        Raise as ``of`` does.
        """
        vpn = self._translated(runs.page)
        if self._relocate is not None:
            vpn = relocated(self._mode, vpn, self._relocate)
        if runs.space is not None:
            vpn = vpn | self._numbered(runs.space) << PAGE_BITS
        return vpn

    def _translated(self, page: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return page numbers without the bits that only repeat the sign. [SDM 3.3.7.1]"""
        bits = self._mode.translated_bits - PAGE_SHIFT
        if self._mode.vaddr_bits == self._mode.translated_bits:
            wrong, rule = page >> np.uint64(bits) != 0, f"below 2**{self._mode.vaddr_bits}"
        else:
            top = page >> np.uint64(bits - 1)
            ones = np.uint64((1 << 64 - PAGE_SHIFT - bits + 1) - 1)
            wrong = (top != 0) & (top != ones)
            rule = f"one of {self._mode.translated_bits} bits, whose highest is repeated above"
        if wrong.any():
            address = int(page[np.argmax(wrong)]) << PAGE_SHIFT
            raise TraceError(self._path, f"accesses the page at {address:#x}",
                             f"an address of --mode {self._mode.name}: {rule}")
        return (page & np.uint64((1 << bits) - 1)).astype(np.int64)

    def _numbered(self, space: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return small numbers for address spaces, in the order in which they come up."""
        named, first, place = np.unique(space, return_index=True, return_inverse=True)
        for one in named[np.argsort(first)].tolist():
            self._spaces.setdefault(one, len(self._spaces))
        if len(self._spaces) > self._most:
            raise TraceError(self._path, f"has more than {self._most} address spaces",
                             "fewer, or no --pcid")
        small = np.array([self._spaces[one] for one in named.tolist()], np.int64)
        return small[place.reshape(-1)]


@dataclass(slots=True)
class RunTimes:
    """Seconds that a run has taken: to read the trace, to map its pages, to play it."""

    read: float = 0.0
    map: float = 0.0
    play: float = 0.0


@dataclass(slots=True)
class TraceRun:
    """A trace on the TLBs of a configuration, each access after the one before.

    The counts are those of the hardware's events if every access waits until the one before is
    answered, through whichever port; with ``misses`` of 1 also if accesses of one port alone follow
    each other at once.

    Parameters
    ----------
    config
        The hardware; its first port takes fetches, its last one loads and stores.
    trace
        The accesses.
    pages
        Maps their pages.
    premapped
        Whether all pages are present from the beginning, with A and D set.
    pcids
        Whether an address space keeps what is cached of it while others run.
    relocate
        As ``TraceNumbers`` has it.
    curves
        Is told of all runs; None if nobody is.

    Members
    -------
    times
        What it took.
    counts
        What was counted, by the names of the hardware's events.
    played
        How many accesses were played, those across a page's end once for each page.
    spaces, touched
        How many address spaces there were, and pages of 4 Kbytes.
    """

    config: Config
    trace: TraceFile
    pages: TracePages
    premapped: bool = False
    pcids: bool = False
    relocate: int | None = None
    curves: MissCurves | None = None
    times: RunTimes = field(default_factory=RunTimes)
    counts: dict[str, int] = field(default_factory=dict)
    played: int = 0
    spaces: int = 1
    touched: int = 0

    def run(self, limit: int | None = None,
            progress: Callable[[int], None] = lambda _: None) -> "TraceRun":
        """Play the trace, or its first runs of ``limit`` accesses, and return this.

        ``progress`` is told how many accesses are done.
        """
        memory = TlbMemory(TlbLayout(self.config, flushes=not self.pcids))
        numbers = TraceNumbers(str(self.trace.path), self.config.mode, relocate=self.relocate,
                               most_spaces=MOST_PCIDS if self.pcids else MOST_SPACES)
        ports = (0, len(self.config.ports) - 1, len(self.config.ports) - 1)
        page_of = np.zeros(1 << 10, np.int64)
        known, sizes = 0, list[int]()
        for runs in self._read(limit):
            start = perf_counter()
            numbered = numbers.of(runs)
            mapped = [self.pages.number(space, vpn) for space, vpn in numbered.new]
            if numbers.pages > len(page_of):
                page_of = np.resize(page_of, 2 * numbers.pages)
            page_of[numbers.pages - len(mapped):numbers.pages] = mapped
            memory.add(self.pages.pages[known:], self.pages.nodes, premapped=self.premapped)
            known = len(self.pages.pages)
            begun = perf_counter()
            self.times.map += begun - start
            places = page_of[numbered.pages]
            memory.play(places, numbered.kinds, numbered.counts, ports)
            self.times.play += perf_counter() - begun
            if self.curves is not None:
                sizes += [page.size for page in self.pages.pages[len(sizes):]]
                self.curves.take(places, np.array(sizes, np.int64)[places], numbered.kinds,
                                 numbered.counts)
            self.played += int(runs.count.sum())
            progress(self.played)
        self.counts, self.spaces, self.touched = memory.counts, numbers.spaces, numbers.pages
        return self

    def _read(self, limit: int | None) -> Iterator[PageRuns]:
        """Yield the runs of the trace up to ``limit`` accesses, the last one cut there."""
        left, start = limit, perf_counter()
        for runs in self.trace.runs():
            if left is not None:
                ends = np.cumsum(runs.count)
                stop = int(np.searchsorted(ends, left)) + 1
                if stop <= len(ends):
                    runs = first_runs(runs, stop, left - int(ends[stop - 1]))
                left -= int(runs.count.sum())
            self.times.read += perf_counter() - start
            yield runs
            start = perf_counter()
            if left is not None and left <= 0:
                break


def first_runs(runs: PageRuns, stop: int, less: int) -> PageRuns:
    """Return the first ``stop`` runs, the last one with ``less``, not positive, added to it."""
    count = runs.count[:stop].copy()
    count[-1] += less
    return PageRuns(runs.page[:stop], runs.kind[:stop], count,
                    None if runs.space is None else runs.space[:stop])
