"""System calls that move bytes of several ranges at once. [fs/read_write.c]"""

import errno
from collections.abc import Callable

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..process import Process
from .arguments import as_offset, as_position, as_uint
from .caller import Caller
from .stream_io import read_stream, write_stream
from .user_vector import import_iovec

__all__ = ["VectorCalls"]

RWF_HIPRI, RWF_DSYNC, RWF_SYNC = 1, 2, 4


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

    def preadv2(self, fd: int, vector: int, count: int, position: int, flags: int) -> int:
        """Do as ``preadv``, or at position -1 as ``readv``. [preadv2(2)]

        RWF_HIPRI, RWF_DSYNC and RWF_SYNC change nothing; RWF_NOWAIT and RWF_APPEND are left out.
        """
        return self._flagged(fd, vector, count, position, flags, writes=False)

    def pwritev2(self, fd: int, vector: int, count: int, position: int, flags: int) -> int:
        """Do as ``pwritev``, or at position -1 as ``writev``; flags as for ``preadv2``."""
        return self._flagged(fd, vector, count, position, flags, writes=True)

    def _flagged(self, fd: int, vector: int, count: int, position: int, flags: int, *,
                 writes: bool) -> int:
        """Do one of the calls with flags. [do_preadv, kiocb_set_rw_flags]"""
        if as_uint(flags) & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC):
            return -errno.EOPNOTSUPP
        at = None if as_offset(position) == -1 else position
        return self._move(fd, vector, count, at, writes=writes)

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
