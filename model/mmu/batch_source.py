"""Where a batch of walks finds its entries: in physical memory, or in rows of recorded entries."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..physical.memory import PhysicalMemory
from ..x86 import PAGE_BYTES, PAGE_SHIFT, PagingMode
from .widths import words

__all__ = ["MISSING", "EntrySource", "FrameSource", "RowSource"]

MISSING = -(1 << 16)
"""The place of an entry that does not exist: negative even with an index into a table added."""

Words = NDArray[np.unsignedinteger]
Places = NDArray[np.intp]
Rows = slice | NDArray[np.intp]


class EntrySource(Protocol):
    """Entries in one flat array, and the way to them from physical addresses.

    Places are positions in ``words``. An entry has one place, however often and at whichever
    levels it is used, so that a walk meets the flags that an earlier one set in it.
    """

    @property
    def words(self) -> Words:
        """All entries, shape (W,); the walks set accessed and dirty flags in it."""
        ...

    def locate(
        self,
        level: int,
        rows: Rows,
        tables: NDArray[np.uint64],
        indices: NDArray[np.uint64],
        out: Places,
        /,
    ) -> None:
        """Put into ``out`` the places of entries, or something negative where there are none.

        ``tables`` (n,) are the frame numbers of the tables that the walks of ``rows`` have come
        to at ``level``, the root being level 0; ``indices`` (n,) are those of the entries.
        """
        ...


class FrameSource:
    """The entries of ``mode`` in the frames of ``memory``, which walks change in place.

    Make a new one after frames were added to the memory. Absent frames that read as zero have their
    places among the zeros, where no walk sets a flag, as the entries are not present.
    """

    SPARSE = 32
    """How many frame numbers there may be for each frame, from the lowest frame to the highest, for
    a table of the numbers to be worth its memory; a wider range is searched."""

    def __init__(self, memory: PhysicalMemory, mode: PagingMode) -> None:
        self.words: Words = memory.frames_and_zeros.reshape(-1).view(f"<u{mode.entry_bytes}")
        self._pfns, rows = memory.index()
        per_frame = PAGE_BYTES // mode.entry_bytes
        self._places = rows.astype(np.intp) * per_frame
        self._zeros = len(memory) * per_frame
        self._zero_pfns = memory.zero_below >> PAGE_SHIFT
        self._first = int(self._pfns[0]) if len(memory) else 0
        span = int(self._pfns[-1]) - self._first + 1 if len(memory) else 0
        self._dense: Places | None = None
        if span <= self.SPARSE * len(memory):
            # One place more at either end: ``np.take`` clips numbers out of range to these.
            self._dense = np.full(span + 2, MISSING, np.intp)
            self._dense[self._pfns.view(np.intp) - (self._first - 1)] = self._places

    def locate(
        self,
        _level: int,
        _rows: Rows,
        tables: NDArray[np.uint64],
        indices: NDArray[np.uint64],
        out: Places,
        /,
    ) -> None:
        """Put into ``out`` the places of entries; see ``EntrySource``."""
        if self._dense is not None:
            offsets = tables.view(np.intp) - (self._first - 1)
            np.take(self._dense, offsets, out=out, mode="clip")
        else:
            found = np.searchsorted(self._pfns[:-1], tables)
            out[:] = np.where(self._pfns[found] == tables, self._places[found], MISSING)
        if self._zero_pfns:
            out[(out < 0) & (tables < self._zero_pfns)] = self._zeros
        np.add(out, indices.view(np.intp), out=out)


class RowSource:
    """Entries that each walk of a batch has to itself, as access vectors record them.

    Parameters
    ----------
    mode
        The paging mode, of L levels.
    paddrs
        Physical address of the entry of each level, shape (N, L), the root first, or 0 if there
        is none. At no other address is there memory for that level of that row.
    entries
        The entries before the walk, shape (N, L). Where a row uses one address at two levels,
        the entry of the upper level counts.

    Raises
    ------
    ValueError
        If the shapes are not these, or an entry is wider than those of the mode.
    """

    def __init__(
        self, mode: PagingMode, paddrs: NDArray[np.uint64], entries: NDArray[np.uint64]
    ) -> None:
        levels = len(mode.levels)
        if paddrs.shape != entries.shape or paddrs.shape[1:] != (levels,):
            raise ValueError(f"Addresses and entries must have the shape (N, {levels}), "
                             f"not {paddrs.shape} and {entries.shape}")
        self._entry_bytes = mode.entry_bytes
        self._paddrs = paddrs.astype(np.uint64)
        self.words: Words = words("Entry", entries, 8 * mode.entry_bytes).flatten()
        # The place of an entry: where the row has its address first.
        same = paddrs[:, :, None] == paddrs[:, None, :]
        first = np.where(paddrs != 0, same.argmax(axis=2), np.arange(levels))
        self._places = first + levels * np.arange(len(paddrs))[:, None]

    @property
    def entries(self) -> NDArray[np.unsignedinteger]:
        """The entries (N, L) as the walks have left them."""
        return self.words[self._places]

    def locate(
        self,
        level: int,
        rows: Rows,
        tables: NDArray[np.uint64],
        indices: NDArray[np.uint64],
        out: Places,
        /,
    ) -> None:
        """Put into ``out`` the places of entries; see ``EntrySource``."""
        paddrs = (tables << PAGE_SHIFT) + indices * self._entry_bytes
        recorded = self._paddrs[rows, level]
        there = (recorded == paddrs) & (recorded != 0)
        out[:] = np.where(there, self._places[rows, level], MISSING)
