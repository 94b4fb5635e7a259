"""The bytes of a file, mapped by the operating system and never read as a whole."""

import mmap
import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from .memory_file_error import CutMemoryFile

__all__ = ["ByteSource", "MappedBytes"]


class ByteSource(Protocol):
    """Bytes at offsets, of which those never written are known to be zero without reading them."""

    @property
    def path(self) -> str:
        """What the file is called in messages."""
        ...

    @property
    def size(self) -> int:
        """The number of bytes."""
        ...

    def read(self, offset: int, count: int, what: str) -> bytes:
        """Return ``count`` bytes at ``offset``; raise ``CutMemoryFile``, which tells ``what``."""
        ...

    def written(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield where from ``start`` to ``stop`` there may be other bytes than zeros."""
        ...


class MappedBytes:
    """A file that the operating system maps; ``file`` may be closed afterwards.

    Holes of a sparse file are found once, and never read [lseek(2), SEEK_DATA]. Raise ``OSError``
    if the file cannot be mapped.
    """

    def __init__(self, path: str | Path, file: BinaryIO) -> None:
        self._path = str(path)
        self._size = os.fstat(file.fileno()).st_size
        self._map = (mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._size
                     else b"")
        self._extents = [*_extents(file.fileno(), self._size)]

    @property
    def path(self) -> str:
        """What the file is called in messages."""
        return self._path

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self._size

    def read(self, offset: int, count: int, what: str) -> bytes:
        """Return ``count`` bytes at ``offset``; raise ``CutMemoryFile``, which tells ``what``."""
        if offset + count > self._size:
            raise CutMemoryFile(self._path, f"ends at byte {self._size}, within {what}",
                                f"{count} bytes at byte {offset}")
        return self._map[offset : offset + count]

    def written(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """Yield where from ``start`` to ``stop`` there may be other bytes than zeros."""
        at = bisect_right(self._extents, start, key=lambda extent: extent[1])
        while at < len(self._extents) and self._extents[at][0] < stop:
            first, last = self._extents[at]
            yield max(first, start), min(last, stop)
            at += 1


def _extents(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a file that are not holes, as start and end."""
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # a hole up to the end, or a file system that does not tell
            if end == 0 and os.fstat(descriptor).st_blocks:
                yield 0, size
            return
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
