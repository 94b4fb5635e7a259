"""Page tables that are read from a file when a walk comes to them, for the golden walks."""

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.batch_source import FrameSource
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_SHIFT, PagingMode
from .frame_file import FrameFile

__all__ = ["FileEntries", "FileMemory"]


class FileMemory(PhysicalMemory):
    """The frames of a file that were asked for, which ``walk`` reads and sets flags in.

    The file itself is never written. A frame that the file has only a part of has zeros in the
    rest. Reading raises ``BusError`` where the file has no memory, and ``MemoryFileError`` where it
    is damaged.
    """

    def __init__(self, file: FrameFile) -> None:
        super().__init__()
        self._file = file
        self._absent: set[int] = set()

    def fetch(self, pfns: NDArray[np.uint64]) -> None:
        """Make those of the frames ``pfns`` (N,) exist that the file has."""
        wanted = np.array([pfn for pfn in np.unique(pfns).tolist()
                           if pfn not in self and pfn not in self._absent], np.uint64)
        if len(wanted):
            frames, there = self._file.frames(wanted)
            self.load(wanted[there], frames[there])
            self._absent.update(wanted[~there].tolist())

    def read(self, paddr: int, size: int) -> int:
        """Return the value at ``paddr``, as in any memory, reading the frame if need be."""
        pfn = paddr >> PAGE_SHIFT
        if pfn >= 0 and pfn not in self:
            self.fetch(np.array([pfn], np.uint64))
        return super().read(paddr, size)


class FileEntries:
    """The entries of ``mode`` in a file, which ``walk_batch`` reads and sets flags in."""

    def __init__(self, memory: FileMemory, mode: PagingMode) -> None:
        self._memory, self._mode = memory, mode
        self._source = FrameSource(memory, mode)

    @property
    def words(self) -> NDArray[np.unsignedinteger]:
        """All entries of the frames read so far, shape (W,)."""
        return self._source.words

    def locate(
        self, level: int, rows: slice | NDArray[np.intp], tables: NDArray[np.uint64],
        indices: NDArray[np.uint64], out: NDArray[np.intp], /,
    ) -> None:
        """Put into ``out`` the places of entries; see ``EntrySource``."""
        before = len(self._memory)
        self._memory.fetch(tables)
        if len(self._memory) != before:
            self._source = FrameSource(self._memory, self._mode)
        self._source.locate(level, rows, tables, indices, out)
