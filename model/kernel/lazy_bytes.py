"""The bytes of a file on a disk that is read a page at a time, when a page is asked for."""

import errno
from collections.abc import Callable

from ..address_space.errors import SysError
from ..x86 import PAGE_BYTES, PAGE_SHIFT

__all__ = ["LazyBytes"]


class LazyBytes:
    """What a file holds, whatever the page cache has of it; what is written stays in memory.

    Parameters
    ----------
    read
        Returns bytes of the file as it was at first, given an offset and how many; None for a file
        that had none. Fewer than asked for are those of a file that has shrunk, which is as if its
        disk failed. It may raise ``SysError``.
    size
        How many bytes it had.
    """

    def __init__(self, read: Callable[[int, int], bytes] | None = None, size: int = 0) -> None:
        self._read = read
        self._end = size if read is not None else 0
        self._written: dict[int, bytes] = {}

    def read(self, index: int) -> bytes:
        """Return a page, with zeros past the end of the file and in holes.

        Raise ``SysError(EIO)`` if ``read`` returns less than it is asked for, or what it raises.
        """
        at, found = index << PAGE_SHIFT, self._written.get(index)
        if found is None:
            found = b""
            if at < self._end and self._read is not None:
                size = min(PAGE_BYTES, self._end - at)
                found = self._read(at, size)
                if len(found) < size:
                    raise SysError(errno.EIO)
        return found.ljust(PAGE_BYTES, b"\0")

    def write(self, index: int, data: bytes) -> None:
        """Store what a page holds, up to the end of the file."""
        self._written[index] = bytes(data)

    def resize(self, size: int) -> None:
        """Give the file so many bytes; new ones are zeros."""
        self._end = min(self._end, size)
        last = size >> PAGE_SHIFT
        self._written = {index: data for index, data in self._written.items()
                         if index << PAGE_SHIFT < size}
        if last in self._written:
            self._written[last] = self._written[last][: size % PAGE_BYTES]

    def clear(self, first: int, end: int) -> None:
        """Fill the pages ``first`` up to ``end`` with zeros."""
        below = range(first, min(end, -(-self._end // PAGE_BYTES)))
        for index in [index for index in self._written if first <= index < end]:
            del self._written[index]
        self._written.update((index, b"") for index in below)
