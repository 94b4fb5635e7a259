"""Who may do what with a node. [generic_permission in fs/namei.c]

User 0 has all capabilities.
"""

import errno
import stat

from ...address_space.errors import SysError
from ...address_space.exec_arguments import Credentials
from .vnode import VfsNode

__all__ = ["EXEC", "READ", "WRITE", "check_permission", "is_owner", "may_delete_sticky",
           "remove_privileges"]

EXEC, WRITE, READ = 1, 2, 4


def check_permission(node: VfsNode, mask: int, who: Credentials) -> None:
    """Raise ``SysError(EACCES)`` unless all rights of a mask are there.

    User 0 lacks only the right to run a file that nobody may run. [acl_permission_check,
    capable_wrt_inode_uidgid]
    """
    if who.euid == node.uid:
        rights = node.mode >> 6
    elif who.in_group(node.gid):
        rights = node.mode >> 3
    else:
        rights = node.mode
    if not mask & ~rights & 7:
        return
    runnable = stat.S_ISDIR(node.mode) or node.mode & 0o111
    if who.euid == 0 and (runnable or not mask & EXEC):
        return
    raise SysError(errno.EACCES)


def is_owner(node: VfsNode, who: Credentials) -> bool:
    """Return whether somebody may change the attributes. [inode_owner_or_capable]"""
    return who.euid in (0, node.uid)


def remove_privileges(node: VfsNode, who: Credentials) -> None:
    """Take the set-ID bits of a file that somebody else than user 0 writes to.

    [file_remove_privs, setattr_should_drop_suidgid]
    """
    if who.euid and stat.S_ISREG(node.mode):
        node.mode &= ~stat.S_ISUID
        if node.mode & stat.S_IXGRP:
            node.mode &= ~stat.S_ISGID


def may_delete_sticky(folder: VfsNode, victim: VfsNode, who: Credentials) -> bool:
    """Return whether the sticky bit of a folder lets somebody remove a node. [check_sticky]"""
    return not folder.mode & stat.S_ISVTX or who.euid in (0, victim.uid, folder.uid)
