"""System calls that move bytes of several ranges at once. [fs/read_write.c]"""

from collections.abc import Callable

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..process import Process
from .arguments import as_position, as_uint
from .caller import Caller
from .stream_io import read_stream, write_stream
from .user_vector import import_iovec

__all__ = ["VectorCalls"]


class VectorCalls(Caller):
    """The calls that take a list of ranges."""

    def readv(self, fd: int, vector: int, count: int) -> int:
        """Read to ranges, one after the other. [readv(2)]"""
        return self._move(fd, vector, count, None, writes=False)

    def writev(self, fd: int, vector: int, count: int) -> int:
        """Write ranges, one after the other. [writev(2)]"""
        return self._move(fd, vector, count, None, writes=True)

    def preadv(self, fd: int, vector: int, count: int, position: int) -> int:
        """Read to ranges from a position on. [preadv(2)]"""
        return self._move(fd, vector, count, position, writes=False)

    def pwritev(self, fd: int, vector: int, count: int, position: int) -> int:
        """Write ranges from a position on. [pwritev(2)]"""
        return self._move(fd, vector, count, position, writes=True)

    def _move(self, fd: int, vector: int, count: int, position: int | None, *,
              writes: bool) -> int:
        """Do one of the calls. [do_readv, vfs_readv, do_iter_read]"""
        vector, count = self._words(vector, count)

        def work(process: Process) -> int:
            at = None if position is None else as_position(position)
            opened = process.files.get(as_uint(fd))
            move = self.io.write if writes else self.io.read
            move(opened, 0, 0, at)  # its checks of the file
            ranges = import_iovec(self.user, vector, count, self.kernel.space.word_bytes)
            if opened.stream is not None:
                return (write_stream if writes else read_stream)(opened, opened.stream, ranges)
            return _each(move, opened, ranges.segments, at)
        return self._call(work)


def _each(move: Callable[[OpenFile, int, int, int | None], int], opened: OpenFile,
          segments: list[tuple[int, int]], at: int | None) -> int:
    """Move bytes of one range after the other, until one is not moved whole."""
    done = 0
    for address, size in segments:
        try:
            moved = move(opened, address, size, None if at is None else at + done)
        except SysError:
            if done:
                break
            raise
        done += moved
        if moved < size:
            break
    return done
