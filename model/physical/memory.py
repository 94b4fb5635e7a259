"""Sparse physical memory in numpy page frames."""

import operator
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..x86 import PAGE_BYTES, PAGE_SHIFT

__all__ = ["BusError", "PhysicalMemory"]

FRAME_WORDS = PAGE_BYTES // 8
PFN_BITS = 52 - PAGE_SHIFT
"""The width of a frame number: no processor has physical addresses of more than 52 bits."""


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

    Memory that nobody has written yet need not take room: frames below ``zero_below`` that were not
    added can be read, as zeros, but not written. A frame that will be written has to be added.

    All methods raise ``ValueError`` for what no processor can ask for: a size, an address or a
    value out of range. ``BusError`` is for addresses that could have memory, but have none.

    Parameters
    ----------
    frame_count
        How many frames there is room for before the pool moves.
    zero_below
        The physical address, a multiple of the frame size, below which absent frames read as
        zero; 0 if there is no such memory.
    """

    def __init__(self, frame_count: int = 0, zero_below: int = 0) -> None:
        if frame_count < 0:
            raise ValueError(f"Frame count must not be negative, not {frame_count}")
        if zero_below % PAGE_BYTES or not 0 <= zero_below <= 1 << PFN_BITS + PAGE_SHIFT:
            raise ValueError("Memory that reads as zero must end at a multiple of 4096 up to 2**52,"
                             f" not {zero_below:#x}")
        self._zero_below = zero_below
        self._watched: set[int] = set()
        self._written: set[int] = set()  # of those watched
        self._rows: dict[int, int] = {}
        self._index: tuple[NDArray[np.uint64], NDArray[np.uint32]] | None = None
        self._adopt(np.zeros((max(frame_count, 15) + 1, FRAME_WORDS), "<u8"))

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

    @property
    def frames_and_zeros(self) -> NDArray[np.uint64]:
        """``frames`` and one more that is all zeros and must stay so, shape (len + 1, 512)."""
        return self._pool[: len(self._rows) + 1]

    @property
    def zero_below(self) -> int:
        """The physical address below which absent frames read as zero."""
        return self._zero_below

    def index(self) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
        """Return frame numbers in ascending order, and the row of ``frames`` of each."""
        if self._index is None:
            pfns = np.fromiter(self._rows, np.uint64, len(self._rows))
            rows = np.argsort(pfns, kind="stable").astype(np.uint32)
            self._index = pfns[rows], rows
        return self._index

    def add(self, pfns: Iterable[int]) -> None:
        """Make the frames ``pfns`` exist, filled with zeros; those that do already stay.

        Raise ``ValueError``, and add none, for a frame number that is negative or has more than
        40 bits, and ``TypeError`` for one that is no integer.
        """
        wanted = [operator.index(pfn) for pfn in pfns]
        if wanted and min(wanted) < 0:
            raise ValueError(f"Frame number must not be negative, not {min(wanted)}")
        if wanted and max(wanted) >> PFN_BITS:
            raise ValueError(f"Frame number must have at most {PFN_BITS} bits, "
                             f"not {max(wanted):#x}")
        for pfn in wanted:
            self._rows.setdefault(pfn, len(self._rows))
        self._index = None
        if len(self._rows) >= len(self._pool):
            pool = np.zeros((max(len(self._rows) + 1, 2 * len(self._pool)), FRAME_WORDS), "<u8")
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
        self._written.update(self._watched.intersection(pfns.tolist()))
        rows = [self._rows[pfn] for pfn in pfns.tolist()]
        self._pool[rows] = np.ascontiguousarray(data).view("<u8").reshape(-1, FRAME_WORDS)

    def copy(self) -> "PhysicalMemory":
        """Return an independent memory with the same frames."""
        other = PhysicalMemory(zero_below=self._zero_below)
        other._rows = dict(self._rows)
        other._adopt(self._pool.copy())
        return other

    def watch(self, pfns: Iterable[int]) -> None:
        """Note from now on what is written to the frames ``pfns`` by the methods of this class.

        What others store into ``frames`` is not seen.
        """
        self._watched.update(pfns)

    def take_written(self) -> set[int]:
        """Return the watched frames that were written; if any was, none is watched any more."""
        written, self._written = self._written, set()
        if written:
            self._watched.clear()
        return written

    def _at(self, paddr: int, size: int) -> int:
        """Return where in the pool, as a multiple of ``size``, the value at ``paddr`` lies.

        This is on the way of every entry of a walk: what is wrong is told apart only when known.
        """
        row = self._rows.get(paddr >> PAGE_SHIFT)
        if row is None or paddr & (size - 1):
            raise _wrong_place(paddr, size)
        return (row * PAGE_BYTES + (paddr & (PAGE_BYTES - 1))) // size

    def _at_zeros(self, paddr: int, size: int) -> int:
        """Return where zeros lie, for an absent frame; raise ``BusError`` if it reads otherwise."""
        if paddr >= self._zero_below:
            raise BusError(paddr)
        return (len(self._rows) * PAGE_BYTES + (paddr & (PAGE_BYTES - 1))) // size

    def read(self, paddr: int, size: int) -> int:
        """Return the ``size``-byte value at ``paddr``; raise ``BusError`` if there is no memory.

        An absent frame below ``zero_below`` has zeros. Raise ``ValueError`` for another size than
        1, 2, 4 or 8, and for an address that is negative or not a multiple of the size.
        """
        try:
            view = self._views[size]
        except KeyError:
            raise _wrong_size(size) from None
        try:
            return view[self._at(paddr, size)]
        except BusError:
            return view[self._at_zeros(paddr, size)]

    def write(self, paddr: int, size: int, value: int) -> None:
        """Store the ``size``-byte ``value`` at ``paddr``; raise as ``read`` does.

        Raise ``ValueError`` also, and store nothing, for a value that does not fit; ``TypeError``
        for one that is no integer.
        """
        try:
            view = self._views[size]
        except KeyError:
            raise _wrong_size(size) from None
        at = self._at(paddr, size)
        try:
            view[at] = value
        except (ValueError, TypeError):
            raise _wrong_value(value, size) from None
        if self._watched and paddr >> PAGE_SHIFT in self._watched:
            self._written.add(paddr >> PAGE_SHIFT)

    def read_bytes(self, paddr: int, count: int) -> bytes:
        """Return the ``count`` bytes at ``paddr``; raise ``BusError`` if any has no memory.

        Raise ``ValueError`` for a negative count, or bytes at negative addresses.
        """
        runs = self._runs(paddr, count, reading=True)
        return b"".join(self._bytes[start:stop] for start, stop in runs)

    def write_bytes(self, paddr: int, data: bytes) -> None:
        """Store ``data`` at ``paddr``; raise ``BusError``, and store nothing, if any lacks.

        Raise ``ValueError`` for bytes at negative addresses.
        """
        done = 0
        runs = self._runs(paddr, len(data))
        if self._watched:
            first = paddr >> PAGE_SHIFT
            self._written.update(self._watched.intersection(range(first, first + len(runs))))
        for start, stop in runs:
            self._bytes[start:stop] = data[done : done + stop - start]
            done += stop - start

    def _runs(
        self, paddr: int, count: int, *, reading: bool = False
    ) -> list[tuple[int, int]]:
        """Return where in the pool the bytes lie: one run, start and stop, for each frame.

        Those that are only for ``reading`` may lie among the zeros.
        """
        if count < 0:
            raise ValueError(f"Byte count must not be negative, not {count}")
        runs = []
        end = paddr + count
        while paddr < end:
            stop = min(end, (paddr | (PAGE_BYTES - 1)) + 1)
            absent = reading and paddr >= 0 and paddr >> PAGE_SHIFT not in self._rows
            start = self._at_zeros(paddr, 1) if absent else self._at(paddr, 1)
            runs.append((start, start + stop - paddr))
            paddr = stop
        return runs

    def compare_exchange(self, paddr: int, size: int, expected: int, desired: int) -> int:
        """Store ``desired`` if the value at ``paddr`` is ``expected``; return the value before.

        This is the locked update that the processor makes of accessed and dirty flags.
        Raise as ``read`` does, and ``ValueError`` if either value does not fit.
        """
        value = self.read(paddr, size)
        if (expected | desired) >> 8 * size:
            raise _wrong_value(desired if desired >> 8 * size else expected, size)
        if value == expected:
            self.write(paddr, size, desired)
        return value


def _wrong_place(paddr: int, size: int) -> Exception:
    """Return the error for an address at which ``size`` bytes cannot be, or where memory lacks."""
    if paddr < 0:
        return ValueError(f"Physical address must not be negative, not {paddr:#x}")
    if paddr & (size - 1):
        return ValueError(f"Physical address of {size} bytes must be a multiple of {size}, "
                          f"not {paddr:#x}")
    return BusError(paddr)


def _wrong_size(size: int) -> ValueError:
    return ValueError(f"Size must be 1, 2, 4 or 8 bytes, not {size!r}")


def _wrong_value(value: int, size: int) -> Exception:
    if not hasattr(value, "__index__"):
        return TypeError(f"Value must be an integer, not {value!r}")
    return ValueError(f"Value must fit {size} bytes, not be {value:#x}")
