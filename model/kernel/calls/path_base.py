"""What calls about paths share: strings of the process, where a path begins, opened nodes."""

import errno

from ...address_space.errors import SysError
from ...address_space.vma import File
from ...x86 import PAGE_BYTES
from ..file_table import OpenFile
from ..lazy_bytes import LazyBytes
from ..process import Process
from ..vfs.file_rights import WRITE, check_permission
from ..vfs.folder import path_of
from ..vfs.resolve import PATH_MAX, FsState, Last, Resolver
from ..vfs.vnode import RegularFile, VfsNode
from .arguments import as_int, as_uint
from .caller import Caller

__all__ = ["AtFlag", "PathBase"]


class AtFlag:
    """Where paths begin, and how they end. [``AT_*``]"""

    FDCWD = -100
    SYMLINK_NOFOLLOW = 0x100
    REMOVEDIR = 0x200
    SYMLINK_FOLLOW = 0x400
    NO_AUTOMOUNT = 0x800
    EMPTY_PATH = 0x1000
    EACCESS = 0x200


class PathBase(Caller):
    """Paths of the process that calls; a path is given by its address, or as bytes."""

    def _path(self, path: int | bytes) -> bytes:
        """Return a string of the process that may be empty.

        Raise ``SysError``: EFAULT, ENAMETOOLONG. [getname_flags, strncpy_from_user]
        """
        if isinstance(path, bytes):
            if len(path) >= PATH_MAX:
                raise SysError(errno.ENAMETOOLONG)
            return path
        address, = self._words(path)
        text = b""
        while len(text) < PATH_MAX:
            at = address + len(text)
            size = min(PAGE_BYTES - at % PAGE_BYTES, PATH_MAX - len(text))
            piece, left = self.user.copy_from_user(at, size)
            copied = piece[: size - left]
            if b"\0" in copied:
                return text + copied.partition(b"\0")[0]
            if left:
                raise SysError(errno.EFAULT)
            text += copied
        raise SysError(errno.ENAMETOOLONG)

    @staticmethod
    def _fs(process: Process) -> FsState:
        """Return where a process is; raise ``SysError(ENOSYS)`` if it has no file system."""
        if process.fs is None:
            raise SysError(errno.ENOSYS)
        return process.fs

    def _resolver(self, process: Process) -> Resolver:
        return Resolver(self._fs(process), process.credentials)

    def _start(self, process: Process, dirfd: int, path: bytes) -> VfsNode:
        """Return where a path begins; raise ``SysError``: EBADF, ENOTDIR. [path_init]"""
        fs = self._fs(process)
        if path.startswith(b"/") or as_int(dirfd) == AtFlag.FDCWD:
            return fs.folder
        node = process.files.get(as_uint(dirfd)).node
        if node is None:
            raise SysError(errno.ENOTDIR)
        return node

    def _last(self, process: Process, dirfd: int, path: bytes) -> Last:
        """Return the end of a path; raise ``SysError``."""
        if not path:
            raise SysError(errno.ENOENT)
        return self._resolver(process).last(self._start(process, dirfd, path), path)

    def _node(self, process: Process, dirfd: int, path: bytes, *, follow: bool = True,
              empty: bool = False, folder: bool = False) -> VfsNode:
        """Return the node of a path, or of ``dirfd`` if the path may be empty and is."""
        if not path:
            if not empty:
                raise SysError(errno.ENOENT)
            if as_int(dirfd) == AtFlag.FDCWD:
                return self._fs(process).folder
            found = process.files.get(as_uint(dirfd)).node
            if found is None:
                raise SysError(errno.ENOENT)
            return found
        start = self._start(process, dirfd, path)
        return self._resolver(process).node(start, path, follow=follow, folder=folder)

    def _cached(self, node: RegularFile) -> File:
        """Return what the page cache knows a file by; from now on it does."""
        if node.cached is None:
            node.inode_state.named = True
            node.cached = File("", node.volume.major, node.volume.minor, node.inode)
            source = node.source
            content = LazyBytes(source.read, node.size) if source is not None else LazyBytes()
            self.kernel.state.page_cache.add_lazy(node.cached, content, node.inode_state)
        return node.cached

    def _file(self, process: Process, node: VfsNode, *, readable: bool, writable: bool) -> File:
        """Return a file that is open on a node. [alloc_empty_file]"""
        name = path_of(node, self._fs(process).root).decode(errors="surrogateescape")
        first = self._cached(node) if isinstance(node, RegularFile) else None
        return File(name, node.volume.major, node.volume.minor, node.inode, readable=readable,
                    writable=writable, first=first, thp_aligned=first is not None)

    @staticmethod
    def _check_write(process: Process, node: VfsNode) -> None:
        """Raise ``SysError(EACCES)`` unless a process may write to a node."""
        check_permission(node, WRITE, process.credentials)

    def _lose(self, node: VfsNode | None) -> None:
        """Let the bytes of a file go that has no name any more, once nobody has it open."""
        if isinstance(node, RegularFile) and not node.links and node.cached is not None:
            self.kernel.files.lose_name(node.cached)

    @staticmethod
    def _opened(process: Process, fd: int) -> OpenFile:
        return process.files.get(as_uint(fd))
