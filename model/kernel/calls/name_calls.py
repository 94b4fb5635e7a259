"""System calls that make, remove and change names. [fs/namei.c]"""

import errno
import stat

from ...address_space.errors import SysError
from ..process import Process
from ..vfs.change import link, mkdir, mknod, rmdir, symlink, unlink
from ..vfs.file_rights import EXEC, check_permission
from ..vfs.folder import Folder, path_of
from ..vfs.rename import check_rename_flags, rename
from ..vfs.vnode import SymbolicLink
from .arguments import as_int, as_uint
from .path_base import AtFlag, PathBase

__all__ = ["NameCalls"]


class NameCalls(PathBase):
    """The calls about names; those without ``at`` begin in the folder that the process is in."""

    def mkdirat(self, dirfd: int, path: int | bytes, mode: int) -> int:
        """Make a folder. [mkdirat(2)]"""
        def work(process: Process) -> None:
            last = self._last(process, dirfd, self._path(path))
            mkdir(last, mode, self._fs(process).umask, process.credentials)
        return self._call(work)

    def mknodat(self, dirfd: int, path: int | bytes, mode: int) -> int:
        """Make a file, a pipe or a socket; a device is refused with EPERM. [mknodat(2)]"""
        def work(process: Process) -> None:
            if stat.S_IFMT(as_uint(mode)) == stat.S_IFDIR:
                raise SysError(errno.EPERM)
            last = self._last(process, dirfd, self._path(path))
            mknod(last, as_uint(mode), self._fs(process).umask, process.credentials)
        return self._call(work)

    def symlinkat(self, text: int | bytes, dirfd: int, path: int | bytes) -> int:
        """Make a symbolic link. [symlinkat(2)]"""
        def work(process: Process) -> None:
            says = self._path(text)
            if not says:
                raise SysError(errno.ENOENT)
            symlink(says, self._last(process, dirfd, self._path(path)), process.credentials)
        return self._call(work)

    def linkat(self, old_dirfd: int, old: int | bytes, new_dirfd: int, new: int | bytes,
               flags: int = 0) -> int:
        """Give a file one more name. [linkat(2)]"""
        flags = as_int(flags)

        def work(process: Process) -> None:
            if flags & ~(AtFlag.SYMLINK_FOLLOW | AtFlag.EMPTY_PATH):
                raise SysError(errno.EINVAL)
            if flags & AtFlag.EMPTY_PATH and process.credentials.euid:
                raise SysError(errno.ENOENT)
            node = self._node(process, old_dirfd, self._path(old),
                              follow=bool(flags & AtFlag.SYMLINK_FOLLOW),
                              empty=bool(flags & AtFlag.EMPTY_PATH))
            link(node, self._last(process, new_dirfd, self._path(new)), process.credentials)
        return self._call(work)

    def unlinkat(self, dirfd: int, path: int | bytes, flags: int = 0) -> int:
        """Remove a name, with AT_REMOVEDIR that of a folder. [unlinkat(2)]"""
        flags = as_int(flags)

        def work(process: Process) -> None:
            if flags & ~AtFlag.REMOVEDIR:
                raise SysError(errno.EINVAL)
            last = self._last(process, dirfd, self._path(path))
            if flags:
                rmdir(last, process.credentials)
            else:
                self._lose(unlink(last, process.credentials))
        return self._call(work)

    def renameat2(self, old_dirfd: int, old: int | bytes, new_dirfd: int, new: int | bytes,
                  flags: int = 0) -> int:
        """Give a node another name. [renameat2(2)]"""
        flags = as_uint(flags)

        def work(process: Process) -> None:
            check_rename_flags(flags)
            source = self._last(process, old_dirfd, self._path(old))
            target = self._last(process, new_dirfd, self._path(new))
            self._lose(rename(source, target, flags, process.credentials))
        return self._call(work)

    def readlinkat(self, dirfd: int, path: int | bytes, buffer: int, size: int) -> int:
        """Store what a link says; return how many bytes, without a zero. [readlinkat(2)]"""
        buffer, = self._words(buffer)

        def work(process: Process) -> int:
            if as_int(size) <= 0:
                raise SysError(errno.EINVAL)
            name = self._path(path)
            node = self._node(process, dirfd, name, follow=False, empty=True)
            if not isinstance(node, SymbolicLink):
                raise SysError(errno.EINVAL if name else errno.ENOENT)
            text = node.text()[: as_int(size)]
            if self.user.copy_to_user(buffer, text):
                raise SysError(errno.EFAULT)
            return len(text)
        return self._call(work)

    def getcwd(self, buffer: int, size: int) -> int:
        """Store the path of the folder that the process is in; return its bytes. [getcwd(2)]"""
        buffer, size = self._words(buffer, size)

        def work(process: Process) -> int:
            fs = self._fs(process)
            if fs.folder.dead:
                raise SysError(errno.ENOENT)
            path = path_of(fs.folder, fs.root) + b"\0"
            if len(path) > size:
                raise SysError(errno.ERANGE)
            if self.user.copy_to_user(buffer, path):
                raise SysError(errno.EFAULT)
            return len(path)
        return self._call(work)

    def chdir(self, path: int | bytes) -> int:
        """Go to a folder. [chdir(2)]"""
        def work(process: Process) -> None:
            node = self._node(process, AtFlag.FDCWD, self._path(path), folder=True)
            assert isinstance(node, Folder), "asked for"
            check_permission(node, EXEC, process.credentials)
            self._fs(process).folder = node
        return self._call(work)

    def fchdir(self, fd: int) -> int:
        """Go to an open folder. [fchdir(2)]"""
        def work(process: Process) -> None:
            node = self._opened(process, fd).node
            if not isinstance(node, Folder):
                raise SysError(errno.ENOTDIR)
            check_permission(node, EXEC, process.credentials)
            self._fs(process).folder = node
        return self._call(work)

    def umask(self, mask: int) -> int:
        """Set the rights that new files lack; return those before. [umask(2)]"""
        def work(process: Process) -> int:
            fs = self._fs(process)
            before, fs.umask = fs.umask, mask & 0o777
            return before
        return self._call(work)
