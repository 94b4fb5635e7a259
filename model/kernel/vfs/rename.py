"""Giving nodes other names. [do_renameat2, vfs_rename in fs/namei.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.exec_arguments import Credentials
from .change import check_create, check_delete, drop_link
from .file_rights import WRITE, check_permission
from .folder import Folder
from .resolve import Last
from .vnode import VfsNode

__all__ = ["RenameFlag", "check_rename_flags", "rename"]


class RenameFlag:
    """What renameat2 is told. [``RENAME_*``]"""

    NOREPLACE = 1
    EXCHANGE = 2
    WHITEOUT = 4


def check_rename_flags(flags: int) -> None:
    """Raise ``SysError(EINVAL)`` for flags that are not there, or not together.

    RENAME_WHITEOUT, which few file systems know, is refused, too.
    """
    both = RenameFlag.NOREPLACE | RenameFlag.EXCHANGE
    if flags & ~both or flags == both:
        raise SysError(errno.EINVAL)


def rename(old: Last, new: Last, flags: int, who: Credentials) -> VfsNode | None:
    """Give what ``old`` names the name ``new``; return what had that, if it has lost it.

    With RENAME_EXCHANGE both swap names. Raise ``SysError``.
    """
    exchange = bool(flags & RenameFlag.EXCHANGE)
    if old.folder.volume is not new.folder.volume:
        raise SysError(errno.EXDEV)
    if not old.is_plain:
        raise SysError(errno.EBUSY)
    if not new.is_plain:
        raise SysError(errno.EEXIST if flags & RenameFlag.NOREPLACE else errno.EBUSY)
    source, target = _both(old, new, flags)
    if source is target:
        return None
    _check(old, new, source, target, who, exchange)
    if target is not None and not exchange:
        if isinstance(target, Folder) and not target.is_empty():
            raise SysError(errno.ENOTEMPTY)
    _move(old, new, source, target, exchange)
    return target if not exchange else None


def _both(old: Last, new: Last, flags: int) -> tuple[VfsNode, VfsNode | None]:
    """Return what both paths name, after what is wrong with the paths alone."""
    exchange = bool(flags & RenameFlag.EXCHANGE)
    source = old.folder.lookup(old.name)
    if source is None:
        raise SysError(errno.ENOENT)
    target = new.folder.lookup(new.name)
    if flags & RenameFlag.NOREPLACE and target is not None:
        raise SysError(errno.EEXIST)
    if exchange:
        if target is None:
            raise SysError(errno.ENOENT)
        if not isinstance(target, Folder) and new.slash:
            raise SysError(errno.ENOTDIR)
    if not isinstance(source, Folder) and (old.slash or (new.slash and not exchange)):
        raise SysError(errno.ENOTDIR)
    if _is_above(source, new.folder):
        raise SysError(errno.EINVAL)
    if _is_above(target, old.folder):
        raise SysError(errno.EINVAL if exchange else errno.ENOTEMPTY)
    return source, target


def _is_above(node: VfsNode | None, folder: Folder) -> bool:
    """Return whether a folder lies in a node or is it. [lock_rename]"""
    at = folder
    while at is not node:
        if at.up is at:
            return False
        at = at.up
    return True


def _check(old: Last, new: Last, source: VfsNode, target: VfsNode | None, who: Credentials,
           exchange: bool) -> None:
    """Raise ``SysError`` unless somebody may do it. [vfs_rename]"""
    is_folder = isinstance(source, Folder)
    check_delete(old.folder, source, who, is_folder=is_folder)
    if target is None:
        check_create(new.folder, who)
    elif exchange:
        check_delete(new.folder, target, who, is_folder=isinstance(target, Folder))
    else:
        check_delete(new.folder, target, who, is_folder=is_folder)
    if old.folder is not new.folder:
        if is_folder:
            check_permission(source, WRITE, who)
        if exchange and isinstance(target, Folder):
            check_permission(target, WRITE, who)
    if any(isinstance(one, Folder) and one.is_mount for one in (source, target)):
        raise SysError(errno.EBUSY)


def _move(old: Last, new: Last, source: VfsNode, target: VfsNode | None, exchange: bool) -> None:
    """Change both folders."""
    old.folder.take(old.name)
    if target is not None:
        new.folder.take(new.name)
        if isinstance(target, Folder):
            new.folder.count_folder(-1)
    if isinstance(source, Folder):
        old.folder.count_folder(-1)
        new.folder.count_folder(1)
    new.folder.put(new.name, source)
    source.touch(modified=False)
    if target is not None and exchange:
        old.folder.put(old.name, target)
        target.touch(modified=False)
        if isinstance(target, Folder):
            old.folder.count_folder(1)
    elif target is not None:
        drop_link(target)
