"""The bytes of a file on its disk."""

from ..x86 import PAGE_BYTES, PAGE_SHIFT

__all__ = ["FileBytes"]

DENSE_BYTES = 16 << 20


class FileBytes:
    """What a file holds, whatever the page cache has of it.

    Parameters
    ----------
    start
        All bytes of the file at first; kept, and changed. It has the first 16 Mbytes of a file, or
        as many as it had at first. Pages beyond that are held only if they were written: a file may
        be far larger than what it holds.
    """

    def __init__(self, start: bytearray) -> None:
        self._start = start
        self._dense = max(DENSE_BYTES, -(-len(start) // PAGE_BYTES) * PAGE_BYTES)
        self._far: dict[int, bytes] = {}

    def read(self, index: int) -> bytes:
        """Return a page, with zeros past the end of the file and in holes."""
        at = index << PAGE_SHIFT
        found = self._far.get(index, b"") if at >= self._dense else bytes(
            self._start[at : at + PAGE_BYTES])
        return found.ljust(PAGE_BYTES, b"\0")

    def write(self, index: int, data: bytes) -> None:
        """Store what a page holds, up to the end of the file."""
        at = index << PAGE_SHIFT
        if at >= self._dense:
            self._far[index] = bytes(data)
        else:
            self._start[at : at + len(data)] = data

    def resize(self, size: int) -> None:
        """Give the file so many bytes; new ones are zeros."""
        near = min(size, self._dense)
        del self._start[near:]
        self._start.extend(bytes(near - len(self._start)))
        last = size >> PAGE_SHIFT
        self._far = {index: data for index, data in self._far.items() if index << PAGE_SHIFT < size}
        if last in self._far:
            self._far[last] = self._far[last][: size % PAGE_BYTES]

    def clear(self, first: int, end: int) -> None:
        """Fill the pages ``first`` up to ``end`` with zeros."""
        start = min(first << PAGE_SHIFT, len(self._start))
        stop = max(start, min(end << PAGE_SHIFT, len(self._start)))
        self._start[start:stop] = bytes(stop - start)
        for index in [index for index in self._far if first <= index < end]:
            del self._far[index]
