"""Accesses by their pages: as they stand in a trace, and merged into runs within a page."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT, AccessKind

__all__ = ["FETCH_RUN", "LOAD_RUN", "RUN_KINDS", "STORE_RUN", "AccessBlock", "PageRuns",
           "TraceTotals", "merged"]

FETCH_RUN, LOAD_RUN, STORE_RUN = range(3)
RUN_KINDS = 3


@dataclass(frozen=True, slots=True)
class AccessBlock:
    """Some accesses in a row, of which each array has one value for each.

    Members
    -------
    vaddr
        Linear addresses, ``uint64``.
    kind
        Numbers of ``AccessKind``, ``uint8``.
    size
        Bytes from there on, ``int64``; None if no access is known to reach beyond its page.
    space
        Numbers of address spaces, ``int64``; None if all are in one.
    instructions
        How many instructions began.
    skipped
        How many records beside them are no accesses of the program.
    """

    vaddr: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    size: NDArray[np.int64] | None = None
    space: NDArray[np.int64] | None = None
    instructions: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class PageRuns:
    """Runs of accesses within a page, of which each array has one value for each.

    A run is of fetches, or of loads alone, or of loads and stores that begin with a store. Runs
    stand in the order in which they begin; those of fetches and those of data are merged apart,
    so that all stays exact for a TLB of each.

    Members
    -------
    page
        Page numbers, linear addresses without their lowest 12 bits, ``uint64``.
    kind
        ``FETCH_RUN``, ``LOAD_RUN`` or ``STORE_RUN``, ``uint8``.
    count
        How many accesses each has, ``int64``.
    space
        Numbers of address spaces, ``int64``; None if all are in one.
    """

    page: NDArray[np.uint64]
    kind: NDArray[np.uint8]
    count: NDArray[np.int64]
    space: NDArray[np.int64] | None = None


@dataclass(slots=True)
class TraceTotals:
    """What a trace held, as far as it was read.

    ``translations`` are the accesses, and one more for each page beyond the first that an access
    reaches into. ``instructions`` is None where the trace does not tell; fetches, loads and stores
    are 0 where it only has runs of both.
    """

    accesses: int = 0
    translations: int = 0
    runs: int = 0
    instructions: int | None = 0
    skipped: int = 0
    by_kind: dict[str, int] = field(
        default_factory=lambda: {"loads": 0, "stores": 0, "fetches": 0})

    def take(self, block: AccessBlock, runs: PageRuns) -> None:
        """Count a block of accesses, and the runs that it was merged into."""
        self.accesses += len(block.vaddr)
        self.translations += int(runs.count.sum())
        self.runs += len(runs.count)
        self.skipped += block.skipped
        self.instructions = (self.instructions or 0) + block.instructions
        found = np.bincount(block.kind, minlength=len(AccessKind)).tolist()
        for name, count in zip(self.by_kind, found, strict=True):
            self.by_kind[name] += count


def merged(block: AccessBlock) -> PageRuns:
    """Return the runs of some accesses. An access across a page's end is one to each page."""
    page, kind, space = _translated(block)
    epoch = None  # counts the switches between address spaces, at which all runs end
    if space is not None:
        epoch = np.zeros(len(space), np.int64)
        np.cumsum(space[1:] != space[:-1], out=epoch[1:])
    is_fetch = kind == AccessKind.FETCH
    starts, counts, kinds = [], [], []
    for rows, is_data in ((np.flatnonzero(is_fetch), False), (np.flatnonzero(~is_fetch), True)):
        found, length, store = _runs(rows, page, epoch, kind == AccessKind.WRITE if is_data
                                     else None)
        starts.append(found)
        counts.append(length)
        kinds.append(np.where(store, STORE_RUN, LOAD_RUN) if is_data
                     else np.full(len(found), FETCH_RUN))
    start = np.concatenate(starts)
    order = np.argsort(start, kind="stable")
    start = start[order]
    return PageRuns(page[start], np.concatenate(kinds)[order].astype(np.uint8),
                    np.concatenate(counts)[order], None if space is None else space[start])


def _translated(block: AccessBlock) -> tuple[
        NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64] | None]:
    """Return page, kind and space of each page that the accesses reach into, in order."""
    page, kind, space = block.vaddr >> np.uint64(PAGE_SHIFT), block.kind, block.space
    if block.size is not None:
        offset = (block.vaddr & np.uint64(PAGE_BYTES - 1)).astype(np.int64)
        pages = np.maximum(offset + block.size - 1, 0) >> PAGE_SHIFT
        if pages.any():
            times = pages + 1
            row = np.repeat(np.arange(len(page)), times)
            within = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
            page = page[row] + within.astype(np.uint64) & np.uint64((1 << 52) - 1)
            kind, space = kind[row], None if space is None else space[row]
    return page, kind, space


def _runs(rows: NDArray[np.int64], page: NDArray[np.uint64], epoch: NDArray[np.int64] | None,
          is_store: NDArray[np.bool_] | None) -> tuple[
              NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return where the runs of the accesses ``rows`` begin, their lengths, and if with a store.

    They end where the page does, or the epoch, or where ``is_store`` has the first store.
    """
    if not len(rows):
        return rows, rows, np.zeros(0, np.bool_)
    pages = page[rows]
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = pages[1:] != pages[:-1]
    if epoch is not None:
        epochs = epoch[rows]
        begins[1:] |= epochs[1:] != epochs[:-1]
    stored = np.zeros(len(rows), np.bool_)
    if is_store is not None:
        place = np.arange(len(rows))
        last_store = np.maximum.accumulate(np.where(is_store[rows], place, -1))
        stored = last_store >= np.maximum.accumulate(np.where(begins, place, 0))
        begins[1:] |= stored[1:] & ~stored[:-1]
    at = np.flatnonzero(begins)
    return rows[at], np.diff(at, append=len(rows)), stored[at]
