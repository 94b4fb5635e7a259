"""System calls that change attributes of files, and ask for rights. [fs/open.c, fs/attr.c]"""

import errno
import stat
from collections.abc import Callable
from struct import unpack

from ...address_space.errors import SysError
from ...address_space.exec_arguments import Credentials
from ..process import Process
from ..vfs.file_rights import check_permission, is_owner
from ..vfs.vnode import RegularFile, VfsNode
from .arguments import as_int, as_uint
from .path_base import AtFlag, PathBase

__all__ = ["AttributeCalls"]

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
NSEC = 10 ** 9
KEEP = (1 << 32) - 1  # an ID that stays


class AttributeCalls(PathBase):
    """The calls that change modes, owners and times. They reach no file of the host."""

    def faccessat2(self, dirfd: int, path: int | bytes, mode: int, flags: int = 0) -> int:
        """Say whether a process may read, write or run a file. [faccessat2(2)]

        Its real user is asked for, unless AT_EACCESS is given.
        """
        mode, flags = as_int(mode), as_int(flags)

        def work(process: Process) -> None:
            if mode & ~7 or flags & ~(AtFlag.EACCESS | AtFlag.SYMLINK_NOFOLLOW
                                      | AtFlag.EMPTY_PATH):
                raise SysError(errno.EINVAL)
            node = self._node(process, dirfd, self._path(path),
                              follow=not flags & AtFlag.SYMLINK_NOFOLLOW,
                              empty=bool(flags & AtFlag.EMPTY_PATH))
            who = process.credentials
            if not flags & AtFlag.EACCESS:
                who = Credentials(who.uid, who.uid, who.gid, who.gid, groups=who.groups)
            check_permission(node, mode, who)
        return self._call(work)

    def fchmodat(self, dirfd: int, path: int | bytes, mode: int) -> int:
        """Change the rights of a path. [fchmodat(2)]"""
        return self._call(lambda process: _chmod(
            self._node(process, dirfd, self._path(path)), mode, process.credentials))

    def fchmod(self, fd: int, mode: int) -> int:
        """Change the rights of an open file. [fchmod(2)]"""
        return self._call(lambda process: _chmod(
            self._open_node(process, fd), mode, process.credentials))

    def fchownat(self, dirfd: int, path: int | bytes, uid: int, gid: int, flags: int = 0) -> int:
        """Change the owner and group of a path. [fchownat(2)]"""
        flags = as_int(flags)

        def work(process: Process) -> None:
            if flags & ~(AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH):
                raise SysError(errno.EINVAL)
            node = self._node(process, dirfd, self._path(path),
                              follow=not flags & AtFlag.SYMLINK_NOFOLLOW,
                              empty=bool(flags & AtFlag.EMPTY_PATH))
            _chown(node, as_uint(uid), as_uint(gid), process.credentials)
        return self._call(work)

    def fchown(self, fd: int, uid: int, gid: int) -> int:
        """Change the owner and group of an open file. [fchown(2)]"""
        return self._call(lambda process: _chown(
            self._open_node(process, fd), as_uint(uid), as_uint(gid), process.credentials))

    def getxattr(self, path: int | bytes, *, follow: bool = True) -> int:
        """Refuse an extended attribute: there are none. [getxattr(2), lgetxattr(2)]

        Setting and removing one is refused alike. Raise nothing; return ENOTSUP, or what is wrong
        with the path. [xattr_resolve_name]
        """
        def work(process: Process) -> None:
            self._node(process, AtFlag.FDCWD, self._path(path), follow=follow)
            raise SysError(errno.EOPNOTSUPP)
        return self._call(work)

    def fgetxattr(self, fd: int) -> int:
        """Refuse an extended attribute of an open file. [fgetxattr(2)]"""
        def work(process: Process) -> None:
            self._opened(process, fd)
            raise SysError(errno.EOPNOTSUPP)
        return self._call(work)

    def listxattr(self, path: int | bytes, *, follow: bool = True) -> int:
        """Return 0, the bytes of the names of the extended attributes of a path. [listxattr(2)]"""
        def work(process: Process) -> None:
            self._node(process, AtFlag.FDCWD, self._path(path), follow=follow)
        return self._call(work)

    def utimensat(self, dirfd: int, path: int | bytes, times: int, flags: int = 0, *,
                  wide: bool = True) -> int:
        """Set the times of a path, or of ``dirfd`` itself if the path is 0. [utimensat(2)]

        ``times`` are of 64 bits each if ``wide``: always but in the older call of 32-bit programs.
        """
        times, = self._words(times)
        return self._set(dirfd, path, lambda: self._times(times, wide=wide), flags)

    def utimes(self, dirfd: int, path: int | bytes, accessed: int, modified: int) -> int:
        """Set the times of a path, in nanoseconds since 1970. [utime(2), futimesat(2)]"""
        return self._set(dirfd, path, lambda: (accessed, modified), 0)

    def _set(self, dirfd: int, path: int | bytes,
             times: Callable[[], tuple[int | None, int | None]], flags: int) -> int:
        """Set the times that ``times`` returns. [do_utimes]"""
        flags = as_int(flags)

        def work(process: Process) -> None:
            wanted = times()
            if wanted == (None, None):
                return
            if flags & ~(AtFlag.SYMLINK_NOFOLLOW | AtFlag.EMPTY_PATH):
                raise SysError(errno.EINVAL)
            if path == 0 and as_int(dirfd) != AtFlag.FDCWD:
                if flags:
                    raise SysError(errno.EINVAL)
                node = self._open_node(process, dirfd)
            else:
                node = self._node(process, dirfd, self._path(path),
                                  follow=not flags & AtFlag.SYMLINK_NOFOLLOW,
                                  empty=bool(flags & AtFlag.EMPTY_PATH))
            _set_times(node, *wanted, process.credentials)
        return self._call(work)

    def _times(self, times: int, *, wide: bool) -> "tuple[int | None, int | None]":
        """Return both times, -1 for now and None for one that stays; raise ``SysError``."""
        if not times:
            return -1, -1
        size = 32 if wide else 16
        data, left = self.user.copy_from_user(times, size)
        if left:
            raise SysError(errno.EFAULT)
        first, first_nsec, second, second_nsec = unpack("<4q" if wide else "<4i", data)
        return _time(first, first_nsec), _time(second, second_nsec)

    def _open_node(self, process: Process, fd: int) -> VfsNode:
        """Return the node of an open file; raise ``SysError(EBADF)``."""
        opened = self._opened(process, fd)
        if opened.node is None:
            raise SysError(errno.EBADF)
        return opened.node


def _time(seconds: int, nanoseconds: int) -> int | None:
    if nanoseconds == UTIME_OMIT:
        return None
    if nanoseconds == UTIME_NOW:
        return -1
    if not 0 <= nanoseconds < NSEC:
        raise SysError(errno.EINVAL)
    return seconds * NSEC + nanoseconds


def _chmod(node: VfsNode, mode: int, who: Credentials) -> None:
    """Change rights; only the owner's group may have the set-group-ID bit. [chmod_common]"""
    if stat.S_ISLNK(node.mode):
        raise SysError(errno.EOPNOTSUPP)
    if not is_owner(node, who):
        raise SysError(errno.EPERM)
    mode &= 0o7777
    if who.euid and not who.in_group(node.gid):
        mode &= ~stat.S_ISGID
    node.mode = node.kind | mode
    node.touch(modified=False)


def _chown(node: VfsNode, uid: int, gid: int, who: Credentials) -> None:
    """Change owner and group; a file loses its set-ID bits. [chown_common, chown_ok, chgrp_ok]"""
    if who.euid:
        keeps = uid in (KEEP, node.uid) and who.euid == node.uid
        if uid != KEEP and not keeps:
            raise SysError(errno.EPERM)
        if gid != KEEP and not (who.euid == node.uid and (gid == node.gid or who.in_group(gid))):
            raise SysError(errno.EPERM)
    node.uid = node.uid if uid == KEEP else uid
    node.gid = node.gid if gid == KEEP else gid
    if isinstance(node, RegularFile):
        node.mode &= ~stat.S_ISUID
        if node.mode & stat.S_IXGRP:
            node.mode &= ~stat.S_ISGID
    node.touch(modified=False)


def _set_times(node: VfsNode, accessed: int | None, modified: int | None, who: Credentials) -> None:
    """Set times. [vfs_utimes, may_setattr]"""
    if not is_owner(node, who):
        if (accessed, modified) != (-1, -1):
            raise SysError(errno.EPERM)
        check_permission(node, 2, who)
    now = node.volume.clock()
    if accessed is not None:
        node.accessed = now if accessed == -1 else accessed
    if modified is not None:
        node.modified = now if modified == -1 else modified
    node.changed = now
