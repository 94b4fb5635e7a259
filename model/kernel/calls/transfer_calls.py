"""System calls that move bytes from one file to another. [fs/read_write.c, fs/splice.c]"""

import errno
import stat

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..process import Process
from ..vfs.open_flag import OpenFlag
from ..vfs.stream import WouldBlock
from ..vfs.vnode import RegularFile
from .arguments import as_uint
from .caller import Caller
from .file_io import FileIo
from .kernel_bytes import KernelBytes
from .user_vector import MAX_RW_COUNT

__all__ = ["TransferCalls"]

PIECE = 1 << 16


class TransferCalls(Caller):
    """The calls that need no memory of the program for what they move."""

    def sendfile(self, to: int, source: int, offset: int, count: int, *,
                 offset_bytes: int = 8) -> int:
        """Copy bytes of a regular file to any other; return how many. [sendfile(2)]

        ``offset`` is the address of where to begin, of so many bytes, which is moved on; with 0
        the file's own position is.
        """
        offset, count = self._words(offset, count)

        def work(process: Process) -> int:
            at = self._position(offset, offset_bytes)
            read, written = self._pair(process, source, to)
            if at is not None and read.stream is not None and not read.file.readable:
                raise SysError(errno.ESPIPE)
            if written.flags & OpenFlag.APPEND or not _is_regular(read):
                raise SysError(errno.EINVAL)
            if count >> 8 * self.kernel.space.word_bytes - 1:
                raise SysError(errno.EINVAL)
            done = self._transfer(read, written, at, None, min(count, MAX_RW_COUNT))
            self._keep(offset, offset_bytes, at, done)
            return done
        return self._call(work)

    def copy_file_range(self, source: int, source_at: int, to: int, to_at: int, count: int,
                        flags: int = 0) -> int:
        """Copy bytes between two regular files of one file system. [copy_file_range(2)]

        Each position is at an address, or with 0 the file's own. Raise nothing; return EXDEV for
        files of two file systems, EINVAL for ranges that overlap. [generic_copy_file_checks]
        """
        source_at, to_at, count = self._words(source_at, to_at, count)

        def work(process: Process) -> int:
            read, written = self._pair(process, source, to)
            first, second = self._position(source_at, 8), self._position(to_at, 8)
            if as_uint(flags):
                raise SysError(errno.EINVAL)
            _check_ranges(read, written)
            start = read.position if first is None else first
            end = written.position if second is None else second
            wanted = min(count, MAX_RW_COUNT, max(0, _size(read) - start))
            if read.node is written.node and start < end + wanted and end < start + wanted:
                raise SysError(errno.EINVAL)
            done = self._transfer(read, written, first, second, wanted)
            self._keep(source_at, 8, first, done)
            self._keep(to_at, 8, second, done)
            return done
        return self._call(work)

    def _pair(self, process: Process, source: int, to: int) -> tuple[OpenFile, OpenFile]:
        """Return both open files; raise ``SysError(EBADF)`` unless they are open for this."""
        read, written = process.files.get(as_uint(source)), process.files.get(as_uint(to))
        if not read.file.readable or not written.file.writable:
            raise SysError(errno.EBADF)
        return read, written

    def _position(self, address: int, size: int) -> int | None:
        """Return the position at an address, None for none; raise ``SysError``."""
        if not address:
            return None
        data, left = self.user.copy_from_user(address, size)
        if left:
            raise SysError(errno.EFAULT)
        at = int.from_bytes(data, "little", signed=True)
        if at < 0:
            raise SysError(errno.EINVAL)
        return at

    def _keep(self, address: int, size: int, at: int | None, done: int) -> None:
        """Store where a position is now; raise ``SysError(EFAULT)``."""
        if at is not None and self.user.copy_to_user(
                address, (at + done).to_bytes(size, "little")):
            raise SysError(errno.EFAULT)

    def _transfer(self, read: OpenFile, written: OpenFile, at: int | None, to: int | None,
              count: int) -> int:
        """Copy piece by piece; return how many bytes. [do_splice_direct]

        Each position moves on if it is the file's own. What is not written is not read, either.
        """
        done = 0
        while done < count:
            start = None if at is None else at + done
            data = self._look(read, start, min(PIECE, count - done))
            if not data:
                break
            try:
                moved = self._put(written, data, None if to is None else to + done)
            except (WouldBlock, SysError):
                if done:
                    break
                raise
            self._skip(read, start, moved)
            done += moved
            if moved < len(data):
                break
        return done

    def _look(self, read: OpenFile, at: int | None, count: int) -> bytes:
        """Return what comes next in a file, or is at a position; it stays where it is read."""
        if read.stream is not None:
            return read.stream.look(count)
        buffer = KernelBytes()
        position = read.position if at is None else at
        FileIo(self.kernel, buffer).read(read, 0, count, position)
        return buffer.data

    @staticmethod
    def _skip(read: OpenFile, at: int | None, count: int) -> None:
        if read.stream is not None:
            read.stream.take(count)
        elif at is None:
            read.position += count

    def _put(self, written: OpenFile, data: bytes, at: int | None) -> int:
        """Write bytes; return how many. Raise a ``WouldBlock`` after which nothing was."""
        try:
            return FileIo(self.kernel, KernelBytes(data)).write(written, 0, len(data), at)
        except WouldBlock as blocked:
            if blocked.done:
                return blocked.done
            raise WouldBlock(blocked.ready) from None


def _is_regular(opened: OpenFile) -> bool:
    return opened.node is None or stat.S_ISREG(opened.node.mode)


def _size(opened: OpenFile) -> int:
    return opened.node.size if opened.node is not None else 0


def _check_ranges(read: OpenFile, written: OpenFile) -> None:
    """Raise ``SysError``: EISDIR, EINVAL, EXDEV, EBADF. [generic_copy_file_checks]"""
    nodes = read.node, written.node
    for node in nodes:
        if node is not None and stat.S_ISDIR(node.mode):
            raise SysError(errno.EISDIR)
        if node is None or not stat.S_ISREG(node.mode):
            raise SysError(errno.EINVAL)
    if written.flags & OpenFlag.APPEND:
        raise SysError(errno.EBADF)
    first, second = nodes
    if not (isinstance(first, RegularFile) and isinstance(second, RegularFile)
            and first.volume is second.volume):
        raise SysError(errno.EXDEV)
