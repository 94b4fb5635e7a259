"""Sparse physical memory in numpy page frames."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..x86 import PAGE_BYTES, PAGE_SHIFT

__all__ = ["BusError", "PhysicalMemory"]

FRAME_WORDS = PAGE_BYTES // 8


class BusError(Exception):
    """An access to a physical address where there is no memory."""

    def __init__(self, paddr: int) -> None:
        super().__init__(f"No memory at physical address {paddr:#x}")
        self.paddr = paddr


class PhysicalMemory:
    """Page frames that are added one by one, anywhere among physical addresses.

    Frames lie in one growing pool of shape (capacity, 512), little-endian ``uint64``, which the
    compiled engine works on in place. Adding frames may move the pool: ``frames`` and ``index()``
    must be asked for again then. Accesses are 1, 2, 4 or 8 bytes wide and naturally aligned; runs
    of bytes may begin anywhere and cross frames.
    """

    def __init__(self, frame_count: int = 0) -> None:
        self._rows: dict[int, int] = {}
        self._index: tuple[NDArray[np.uint64], NDArray[np.uint32]] | None = None
        self._adopt(np.zeros((max(frame_count, 16), FRAME_WORDS), "<u8"))

    def _adopt(self, pool: NDArray[np.uint64]) -> None:
        """Take ``pool`` as the frames; the flat memoryviews make scalar access fast."""
        self._pool = pool
        self._bytes = pool.data.cast("B")
        self._views = {1: self._bytes, 2: self._bytes.cast("H"), 4: self._bytes.cast("I"),
                       8: self._bytes.cast("Q")}

    def __contains__(self, pfn: int) -> bool:
        return pfn in self._rows

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._rows)

    @property
    def frames(self) -> NDArray[np.uint64]:
        """All frames in the order they were added, shape (len, 512), a view and not a copy."""
        return self._pool[: len(self._rows)]

    def index(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """Return frame numbers in ascending order, and the row of ``frames`` of each."""
        if self._index is None:
            pfns = np.fromiter(self._rows, np.uint64, len(self._rows))
            rows = np.argsort(pfns, kind="stable").astype(np.uint32)
            self._index = pfns[rows], rows
        return self._index

    def add(self, pfns: Iterable[int]) -> None:
        """Make the frames ``pfns`` exist, filled with zeros; those that do already stay.

        Raise ``ValueError`` for a negative frame number.
        """
        wanted = [int(pfn) for pfn in pfns]
        if wanted and min(wanted) < 0:
            raise ValueError(f"Frame number must not be negative, not {min(wanted)}")
        for pfn in wanted:
            self._rows.setdefault(pfn, len(self._rows))
        self._index = None
        if len(self._rows) > len(self._pool):
            pool = np.zeros((max(len(self._rows), 2 * len(self._pool)), FRAME_WORDS), "<u8")
            pool[: len(self._pool)] = self._pool
            self._adopt(pool)

    def load(self, pfns: NDArray[np.uint64], data: NDArray[np.unsignedinteger]) -> None:
        """Make the frames ``pfns`` (N,) exist and fill them from the rows of ``data``.

        ``data`` is (N, 512) ``uint64`` or (N, 1024) ``uint32``, little-endian; anything else is
        a ``ValueError``.
        """
        if data.ndim != 2 or len(data) != len(pfns) or data[:1].nbytes not in (0, PAGE_BYTES):
            raise ValueError(f"Frame data must be {len(pfns)} rows of {PAGE_BYTES} bytes, "
                             f"not an array {data.shape} of {data.dtype}")
        self.add(pfns.tolist())
        rows = [self._rows[pfn] for pfn in pfns.tolist()]
        self._pool[rows] = np.ascontiguousarray(data).view("<u8").reshape(-1, FRAME_WORDS)

    def copy(self) -> "PhysicalMemory":
        """Return an independent memory with the same frames."""
        other = PhysicalMemory()
        other._rows = dict(self._rows)
        other._adopt(self._pool.copy())
        return other

    def _at(self, paddr: int, size: int) -> int:
        row = self._rows.get(paddr >> PAGE_SHIFT)
        if row is None:
            raise BusError(paddr)
        return (row * PAGE_BYTES + (paddr & (PAGE_BYTES - 1))) // size

    def read(self, paddr: int, size: int) -> int:
        """Return the ``size``-byte value at ``paddr``; raise ``BusError`` if there is no memory."""
        return self._views[size][self._at(paddr, size)]

    def write(self, paddr: int, size: int, value: int) -> None:
        """Store the ``size``-byte ``value`` at ``paddr``; raise ``BusError`` as ``read`` does."""
        self._views[size][self._at(paddr, size)] = value

    def read_bytes(self, paddr: int, count: int) -> bytes:
        """Return the ``count`` bytes at ``paddr``; raise ``BusError`` if any has no memory."""
        return b"".join(self._bytes[start:stop] for start, stop in self._runs(paddr, count))

    def write_bytes(self, paddr: int, data: bytes) -> None:
        """Store ``data`` at ``paddr``; raise ``BusError``, and store nothing, if any lacks."""
        done = 0
        for start, stop in self._runs(paddr, len(data)):
            self._bytes[start:stop] = data[done : done + stop - start]
            done += stop - start

    def _runs(self, paddr: int, count: int) -> list[tuple[int, int]]:
        """Return where in the pool the bytes lie: one run, start and stop, for each frame."""
        runs = []
        end = paddr + count
        while paddr < end:
            stop = min(end, (paddr | (PAGE_BYTES - 1)) + 1)
            start = self._at(paddr, 1)
            runs.append((start, start + stop - paddr))
            paddr = stop
        return runs

    def compare_exchange(self, paddr: int, size: int, expected: int, desired: int) -> int:
        """Store ``desired`` if the value at ``paddr`` is ``expected``; return the value before.

        This is the locked update that the processor makes of accessed and dirty flags.
        Raise ``BusError`` as ``read`` does.
        """
        value = self.read(paddr, size)
        if value == expected:
            self.write(paddr, size, desired)
        return value
