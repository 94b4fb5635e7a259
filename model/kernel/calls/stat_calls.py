"""System calls that tell what a file is, and what is in a folder. [fs/stat.c, fs/readdir.c]"""

import errno
import stat
from collections.abc import Callable
from struct import pack

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..process import Process
from ..vfs.folder import Folder, FolderEntry
from ..vfs.open_flag import OpenFlag
from ..vfs.vnode import VfsNode
from .arguments import as_int, as_uint
from .path_base import AtFlag, PathBase
from .stat_layout import FileStat, old_stat_bytes, stat_bytes, statx_bytes

__all__ = ["StatCalls"]

SYNC_TYPE = 0x6000  # AT_STATX_SYNC_TYPE
STAT_FLAGS = (AtFlag.SYMLINK_NOFOLLOW | AtFlag.NO_AUTOMOUNT | AtFlag.EMPTY_PATH | SYNC_TYPE)
STATX_RESERVED = 1 << 31


class StatCalls(PathBase):
    """The calls about attributes that change nothing, and those that list folders."""

    def fstat(self, fd: int, buffer: int) -> int:
        """Store what an open file is. [fstat(2), on 32-bit machines fstat64(2)]"""
        return self._call(lambda process: self._store_stat(
            buffer, self._stat_open(self._opened(process, fd))))

    def newfstatat(self, dirfd: int, path: int | bytes, buffer: int, flags: int = 0) -> int:
        """Store what a path leads to. [newfstatat(2), on 32-bit machines fstatat64(2)]"""
        flags = as_int(flags)
        return self._call(lambda process: self._store_stat(
            buffer, self._stat_path(process, dirfd, path, flags)))

    def oldstat(self, dirfd: int, path: int | bytes, buffer: int, flags: int) -> int:
        """Store what a path leads to, in the form of 32-bit programs that is older. [newstat]

        Raise nothing; return EOVERFLOW for what the form does not hold.
        """
        def work(process: Process) -> None:
            data = old_stat_bytes(self._stat_path(process, dirfd, path, flags))
            if data is None:
                raise SysError(errno.EOVERFLOW)
            self._store(buffer, data)
        return self._call(work)

    def statx(self, dirfd: int, path: int | bytes, flags: int, mask: int, buffer: int) -> int:
        """Store what a path leads to, in the newer form. [statx(2)]"""
        flags = as_uint(flags)

        def work(process: Process) -> None:
            if as_uint(mask) & STATX_RESERVED or flags & SYNC_TYPE == SYNC_TYPE:
                raise SysError(errno.EINVAL)
            self._store(buffer, statx_bytes(self._stat_path(process, dirfd, path, flags)))
        return self._call(work)

    def _stat_path(self, process: Process, dirfd: int, path: int | bytes, flags: int) -> FileStat:
        """Return what a path leads to. [vfs_fstatat, vfs_statx]"""
        if flags & ~STAT_FLAGS:
            raise SysError(errno.EINVAL)
        name = self._path(path)
        if not name and flags & AtFlag.EMPTY_PATH and as_int(dirfd) != AtFlag.FDCWD:
            return self._stat_open(self._opened(process, dirfd))
        return FileStat.of(self._node(process, dirfd, name, empty=bool(flags & AtFlag.EMPTY_PATH),
                                      follow=not flags & AtFlag.SYMLINK_NOFOLLOW))

    def _stat_open(self, opened: OpenFile) -> FileStat:
        """Return what an open file is; one that has no name is as memfd_create makes it."""
        if opened.node is not None:
            return FileStat.of(opened.node)
        file, inode = opened.file, self.kernel.files.inodes.get(opened.file.key)
        size = inode.size if inode is not None else 0
        return FileStat(file.major, file.minor, file.inode, stat.S_IFREG | 0o777, 0, 0, 0, 0, size,
                        -(-size // 4096) * 8, 0, 0, 0)

    def _store_stat(self, buffer: int, found: FileStat) -> None:
        self._store(buffer, stat_bytes(found, self.kernel.space.word_bytes))

    def _store(self, buffer: int, data: bytes) -> None:
        """Store a structure; raise ``SysError(EFAULT)``."""
        buffer, = self._words(buffer)
        if self.user.copy_to_user(buffer, data):
            raise SysError(errno.EFAULT)

    # ---- folders

    def getdents64(self, fd: int, buffer: int, size: int) -> int:
        """Store the names in a folder that come next; return how many bytes. [getdents64(2)]"""
        return self._list(fd, buffer, size, _dirent64)

    def getdents(self, fd: int, buffer: int, size: int) -> int:
        """Do as ``getdents64``, in the older form. [getdents(2)]"""
        word_bytes = self.kernel.space.word_bytes
        return self._list(fd, buffer, size, lambda entry, at: _dirent(entry, at, word_bytes))

    def _list(self, fd: int, buffer: int, size: int,
              form: Callable[[FolderEntry, int], bytes]) -> int:
        """Store names as ``form`` lays them out. [iterate_dir, filldir64]"""
        buffer, = self._words(buffer)

        def work(process: Process) -> int:
            opened = self._opened(process, fd)
            if opened.flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
            folder = opened.node
            if not isinstance(folder, Folder):
                raise SysError(errno.ENOTDIR)
            if folder.dead:
                raise SysError(errno.ENOENT)
            if not opened.position:
                opened.listing = _listing(folder, process.fs.root if process.fs else folder)
            data, at = b"", opened.position
            for entry in opened.listing[at:]:
                at += 1
                if not folder.holds(entry.name):
                    continue
                piece = form(entry, at)
                if len(data) + len(piece) > as_uint(size):
                    if not data:
                        raise SysError(errno.EINVAL)
                    at -= 1
                    break
                data += piece
            if self.user.copy_to_user(buffer, data):
                raise SysError(errno.EFAULT)
            opened.position = at
            return len(data)
        return self._call(work)


def _listing(folder: Folder, root: VfsNode) -> list[FolderEntry]:
    """Return all names, first ``.`` and ``..``. [dir_emit_dots]"""
    up = folder if folder is root else folder.up
    return [FolderEntry(b".", folder.inode, stat.S_IFDIR),
            FolderEntry(b"..", up.inode, stat.S_IFDIR), *folder.entries()]


def _dirent64(entry: FolderEntry, at: int) -> bytes:
    size = -(-(19 + len(entry.name) + 1) // 8) * 8
    head = pack("<QqHB", entry.inode, at, size, entry.kind >> 12)
    return (head + entry.name).ljust(size, b"\0")


def _dirent(entry: FolderEntry, at: int, word_bytes: int) -> bytes:
    head = pack("<QQ" if word_bytes == 8 else "<II", entry.inode, at)
    size = -(-(len(head) + 2 + len(entry.name) + 2) // word_bytes) * word_bytes
    head += pack("<H", size)
    return (head + entry.name).ljust(size - 1, b"\0") + bytes([entry.kind >> 12])
