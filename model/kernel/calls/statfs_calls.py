"""System calls about file systems as a whole. [fs/statfs.c, fs/sync.c]

Every file system is told as one in memory, of half of the machine's: what is written is there.
"""

import errno
from struct import pack

from ...address_space.errors import SysError
from ...x86 import PAGE_BYTES
from ..process import Process
from ..vfs.open_flag import OpenFlag
from ..vfs.vnode import VfsNode, Volume
from .arguments import as_uint
from .path_base import AtFlag, PathBase

__all__ = ["StatfsCalls"]

NAME_MAX = 255
VALID, RELATIME = 0x20, 0x1000  # in f_flags [ST_VALID, ST_RELATIME]
STATFS64_BYTES = (84, 88)  # of a 32-bit program, with or without the end that pads it


class StatfsCalls(PathBase):
    """The calls that tell how large file systems are, and those that write all of one back."""

    def statfs(self, path: int | bytes, buffer: int) -> int:
        """Store what the file system of a path is. [statfs(2)]"""
        return self._call(lambda process: self._tell(
            self._node(process, AtFlag.FDCWD, self._path(path)), buffer, wide=False))

    def fstatfs(self, fd: int, buffer: int) -> int:
        """Store what the file system of an open file is. [fstatfs(2)]"""
        return self._call(lambda process: self._tell(
            self._opened(process, fd).node, buffer, wide=False))

    def statfs64(self, path: int | bytes, size: int, buffer: int) -> int:
        """Do as ``statfs`` in the wider form of 32-bit programs. [statfs64(2)]"""
        def work(process: Process) -> None:
            _check_size(size)
            self._tell(self._node(process, AtFlag.FDCWD, self._path(path)), buffer, wide=True)
        return self._call(work)

    def fstatfs64(self, fd: int, size: int, buffer: int) -> int:
        """Do as ``fstatfs`` in the wider form of 32-bit programs. [fstatfs64(2)]"""
        def work(process: Process) -> None:
            _check_size(size)
            self._tell(self._opened(process, fd).node, buffer, wide=True)
        return self._call(work)

    def syncfs(self, fd: int) -> int:
        """Return 0 for an open file: what is written is in memory, and stays. [syncfs(2)]"""
        def work(process: Process) -> None:
            if self._opened(process, fd).flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
        return self._call(work)

    def _tell(self, node: VfsNode | None, buffer: int, *, wide: bool) -> None:
        """Store a structure; raise ``SysError(EFAULT)``."""
        buffer, = self._words(buffer)
        long = self.kernel.space.word_bytes == 8
        form = "<2q5q2i3q32x" if long else "<2i5q2i3i16x" if wide else "<2i5i2i3i16x"
        allocator = self.kernel.state.allocator
        total = allocator.totalram_pages // 2
        free = min(total, sum(zone.free_pages for zone in allocator.populated))
        volume = node.volume if node is not None else None
        magic = volume.magic if volume is not None else Volume.TMPFS
        minor = volume.minor if volume is not None else 0
        data = pack(form, magic, PAGE_BYTES, total, free, free, total, free, minor, 0, NAME_MAX,
                    PAGE_BYTES, VALID | RELATIME)
        if self.user.copy_to_user(buffer, data):
            raise SysError(errno.EFAULT)


def _check_size(size: int) -> None:
    """Raise ``SysError(EINVAL)`` for a structure of another size."""
    if as_uint(size) not in STATFS64_BYTES:
        raise SysError(errno.EINVAL)
