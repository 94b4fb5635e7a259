"""Making names and removing them: mkdir, symlink, link, unlink, rmdir. [fs/namei.c]

Each works on a ``Last``, a path whose last component need not be there, and raises ``SysError`` in
the order of Linux 6.1. Nothing reaches the host.
"""

import errno
import stat

from ...address_space.errors import SysError
from ...address_space.exec_arguments import Credentials
from .file_rights import EXEC, WRITE, check_permission, may_delete_sticky
from .folder import Folder, new_folder
from .pipe import NamedPipe
from .resolve import Last
from .vnode import RegularFile, SpecialFile, SymbolicLink, VfsNode

__all__ = ["check_create", "check_delete", "check_free", "drop_link", "link", "make_file", "mkdir",
           "mknod", "rmdir", "symlink", "unlink"]

MODE_BITS = 0o7777


def check_free(last: Last, *, folder: bool = False) -> None:
    """Raise ``SysError`` unless a new name may be made: EEXIST, or ENOENT for one before a slash.

    Only a folder may be made with a slash after it. [filename_create]
    """
    if not last.is_plain or last.folder.lookup(last.name) is not None:
        raise SysError(errno.EEXIST)
    if last.slash and not folder:
        raise SysError(errno.ENOENT)


def check_create(folder: Folder, who: Credentials, fixed_errno: int = errno.EPERM) -> None:
    """Raise ``SysError`` unless names may be made in a folder: ENOENT, EACCES. [may_create]"""
    if folder.dead:
        raise SysError(errno.ENOENT)
    check_permission(folder, WRITE | EXEC, who)
    if folder.fixed:
        raise SysError(fixed_errno)


def check_delete(folder: Folder, victim: VfsNode, who: Credentials, *, is_folder: bool) -> None:
    """Raise ``SysError`` unless a name may be removed: EACCES, EPERM, ENOTDIR, EISDIR, EBUSY.

    [may_delete]
    """
    check_permission(folder, WRITE | EXEC, who)
    if folder.fixed or not may_delete_sticky(folder, victim, who):
        raise SysError(errno.EPERM)
    if is_folder and not isinstance(victim, Folder):
        raise SysError(errno.ENOTDIR)
    if not is_folder and isinstance(victim, Folder):
        raise SysError(errno.EISDIR)


def drop_link(node: VfsNode) -> None:
    """Count one name of a node less; a folder is dead then. [drop_nlink, clear_nlink]"""
    if isinstance(node, Folder):
        node.dead, node.links = True, 0
        node.changed = node.volume.clock()
        return
    node.links = max(0, node.links - 1)
    node.touch(modified=False)


def _owned(folder: Folder, mode: int, who: Credentials) -> tuple[int, int]:
    """Return mode and group of a new node, which a set-group-ID folder gives. [inode_init_owner]"""
    if not folder.mode & stat.S_ISGID:
        return mode, who.egid
    return (mode | stat.S_ISGID if stat.S_ISDIR(mode) else mode), folder.gid


def mkdir(last: Last, mode: int, umask: int, who: Credentials) -> Folder:
    """Make a folder. [do_mkdirat, vfs_mkdir]"""
    check_free(last, folder=True)
    check_create(last.folder, who)
    mode, gid = _owned(last.folder, stat.S_IFDIR | mode & 0o1777 & ~umask, who)
    made = new_folder(last.folder, mode, who.euid, gid)
    last.folder.put(last.name, made)
    last.folder.count_folder(1)
    return made


def make_file(last: Last, mode: int, umask: int, who: Credentials) -> RegularFile:
    """Make a regular file where no name is; the name is free already. [vfs_create]"""
    check_create(last.folder, who, errno.EACCES)
    mode, gid = _owned(last.folder, stat.S_IFREG | mode & MODE_BITS & ~umask, who)
    made = RegularFile(last.folder.volume, mode, uid=who.euid, gid=gid)
    last.folder.put(last.name, made)
    return made


def mknod(last: Last, mode: int, umask: int, who: Credentials) -> VfsNode:
    """Make a regular file, a pipe or a socket; raise EPERM for a device. [do_mknodat]"""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        raise SysError(errno.EPERM)
    if kind not in (0, stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK):
        raise SysError(errno.EINVAL)
    check_free(last)
    if kind in (0, stat.S_IFREG):
        return make_file(last, mode, umask, who)
    check_create(last.folder, who)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        raise SysError(errno.EPERM)
    mode, gid = _owned(last.folder, kind | mode & MODE_BITS & ~umask, who)
    opener = NamedPipe().open if kind == stat.S_IFIFO else None
    made = SpecialFile(last.folder.volume, mode, uid=who.euid, gid=gid, opener=opener)
    last.folder.put(last.name, made)
    return made


def symlink(text: bytes, last: Last, who: Credentials) -> SymbolicLink:
    """Make a link that says ``text``. [do_symlinkat]"""
    check_free(last)
    check_create(last.folder, who)
    _, gid = _owned(last.folder, 0, who)
    made = SymbolicLink(last.folder.volume, stat.S_IFLNK | 0o777, uid=who.euid, gid=gid,
                        own_size=len(text), text=lambda: text)
    last.folder.put(last.name, made)
    return made


def link(node: VfsNode, last: Last, who: Credentials) -> None:
    """Give a node one more name. [do_linkat, vfs_link]"""
    check_free(last)
    if node.volume is not last.folder.volume:
        raise SysError(errno.EXDEV)
    check_create(last.folder, who)
    if isinstance(node, Folder):
        raise SysError(errno.EPERM)
    if not node.links:
        raise SysError(errno.ENOENT)
    node.links += 1
    node.touch(modified=False)
    last.folder.put(last.name, node)


def unlink(last: Last, who: Credentials) -> VfsNode:
    """Remove a name that is no folder's; return what it led to. [do_unlinkat]"""
    if not last.is_plain:
        raise SysError(errno.EISDIR)
    victim = last.folder.lookup(last.name)
    if victim is None:
        raise SysError(errno.ENOENT)
    if last.slash:
        raise SysError(errno.EISDIR if isinstance(victim, Folder) else errno.ENOTDIR)
    check_delete(last.folder, victim, who, is_folder=False)
    last.folder.take(last.name)
    drop_link(victim)
    return victim


def rmdir(last: Last, who: Credentials) -> None:
    """Remove an empty folder. [do_rmdir]"""
    if not last.is_plain:
        raise SysError({b".": errno.EINVAL, b"..": errno.ENOTEMPTY}.get(last.name, errno.EBUSY))
    victim = last.folder.lookup(last.name)
    if victim is None:
        raise SysError(errno.ENOENT)
    check_delete(last.folder, victim, who, is_folder=True)
    assert isinstance(victim, Folder), "checked"
    if victim.is_mount:
        raise SysError(errno.EBUSY)
    if not victim.is_empty():
        raise SysError(errno.ENOTEMPTY)
    last.folder.take(last.name)
    last.folder.count_folder(-1)
    drop_link(victim)
