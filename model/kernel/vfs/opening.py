"""Opening a path: which node it is, and whether it may be opened. [path_openat in fs/namei.c]"""

import errno
import stat
from dataclasses import dataclass

from ...address_space.errors import SysError
from .change import make_file
from .file_rights import EXEC, READ, WRITE, check_permission, is_owner
from .folder import Folder, new_folder
from .open_flag import OpenFlag
from .resolve import Last, Resolver
from .vnode import RegularFile, SymbolicLink, VfsNode

__all__ = ["OpenHow", "Opened", "open_how", "open_node"]


@dataclass(frozen=True, slots=True)
class OpenHow:
    """What ``open`` is to do: flags, mode of a new file, and the rights that are needed.

    [struct open_flags]
    """

    flags: int
    mode: int
    mask: int


def open_how(flags: int, mode: int) -> OpenHow:
    """Return what flags and mode say; raise ``SysError(EINVAL)``. [build_open_flags]"""
    flags &= OpenFlag.VALID
    if flags & OpenFlag.PATH:
        flags &= OpenFlag.DIRECTORY | OpenFlag.NOFOLLOW | OpenFlag.PATH | OpenFlag.CLOEXEC
    access = flags & OpenFlag.ACCESS
    tmpfile = flags & OpenFlag.TMPFILE & ~OpenFlag.DIRECTORY
    if not flags & OpenFlag.CREAT and not tmpfile:
        mode = 0
    if tmpfile and (not flags & OpenFlag.DIRECTORY or not access or flags & OpenFlag.CREAT):
        raise SysError(errno.EINVAL)
    mask = 0 if flags & OpenFlag.PATH else (READ, WRITE, READ | WRITE, READ | WRITE)[access]
    if flags & OpenFlag.TRUNC:
        mask |= WRITE
    if flags & OpenFlag.CREAT and flags & OpenFlag.EXCL:
        flags |= OpenFlag.NOFOLLOW
    return OpenHow(flags, mode & 0o7777, mask)


@dataclass(frozen=True, slots=True)
class Opened:
    """What was found: the node, and whether it is to lose its bytes."""

    node: VfsNode
    truncate: bool = False


def open_node(resolver: Resolver, start: VfsNode, path: bytes, how: OpenHow) -> Opened:
    """Return the node that a path leads to, made if it is to be.

    Raise ``SysError``. [path_openat, do_open]
    """
    if how.flags & OpenFlag.TMPFILE & ~OpenFlag.DIRECTORY:
        return _nameless(resolver, start, path, how)
    node, created = _find(resolver, start, path, how)
    if how.flags & OpenFlag.CREAT and not created:
        if how.flags & OpenFlag.EXCL:
            raise SysError(errno.EEXIST)
        if isinstance(node, Folder):
            raise SysError(errno.EISDIR)
    if how.flags & OpenFlag.DIRECTORY and not isinstance(node, Folder):
        raise SysError(errno.ENOTDIR)
    if not how.flags & OpenFlag.PATH:
        may_open(resolver, node, 0 if created else how.mask, how.flags)
    return Opened(node, truncate=not created and bool(how.flags & OpenFlag.TRUNC)
                  and isinstance(node, RegularFile))


def _find(resolver: Resolver, start: VfsNode, path: bytes, how: OpenHow) -> tuple[VfsNode, bool]:
    """Return the node, and whether it was made. [open_last_lookups]"""
    follow, last = not how.flags & OpenFlag.NOFOLLOW, resolver.last(start, path)
    folder = False
    while True:
        if how.flags & OpenFlag.CREAT:
            if last.is_plain and last.slash:
                raise SysError(errno.EISDIR)
        else:
            follow, folder = follow or last.slash, folder or last.slash
        found = resolver.component(last.folder, last.name)
        if found is None:
            if not how.flags & OpenFlag.CREAT or last.folder.dead:
                raise SysError(errno.ENOENT)
            return make_file(last, how.mode, resolver.fs.umask, resolver.who), True
        if not isinstance(found, SymbolicLink) or not follow:
            break
        after = resolver.follow(last.folder, found)
        if isinstance(after, VfsNode):
            found = after
            break
        last = after
    if folder and not isinstance(found, Folder):
        raise SysError(errno.ENOTDIR)
    return found, False


def may_open(resolver: Resolver, node: VfsNode, mask: int, flags: int) -> None:
    """Raise ``SysError`` unless a node may be opened with rights and flags. [may_open]"""
    kind = node.kind
    if kind == stat.S_IFLNK:
        raise SysError(errno.ELOOP)
    if kind == stat.S_IFDIR and mask & WRITE:
        raise SysError(errno.EISDIR)
    if mask & EXEC and kind != stat.S_IFREG:
        raise SysError(errno.EACCES)
    check_permission(node, mask, resolver.who)
    if flags & OpenFlag.NOATIME and not is_owner(node, resolver.who):
        raise SysError(errno.EPERM)


def _nameless(resolver: Resolver, start: VfsNode, path: bytes, how: OpenHow) -> Opened:
    """Return a new file without a name. [do_tmpfile]"""
    at = resolver.node(start, path, follow=not how.flags & OpenFlag.NOFOLLOW, folder=True)
    assert isinstance(at, Folder), "asked for"
    spare = new_folder(at, 0o700, resolver.who.euid, resolver.who.egid)
    check_permission(at, WRITE | EXEC, resolver.who)
    node = make_file(Last(spare, b"#" + str(spare.inode).encode(), False), how.mode,
                     resolver.fs.umask, resolver.who)
    node.links, node.parent, node.inode_state.nameless = 0, at, True
    return Opened(node)

