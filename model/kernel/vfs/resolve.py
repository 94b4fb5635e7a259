"""From a path to a node, as fs/namei.c of Linux 6.1 goes. [link_path_walk, path_lookupat]"""

import errno
from dataclasses import dataclass, replace
from typing import NamedTuple

from ...address_space.errors import SysError
from ...address_space.exec_arguments import Credentials
from .file_rights import EXEC, check_permission
from .folder import Folder
from .vnode import MagicLink, SymbolicLink, VfsNode, Volume

__all__ = ["PATH_MAX", "FsState", "Last", "Resolver"]

PATH_MAX = 4096
MAX_LINKS = 40


@dataclass(slots=True)
class FsState:
    """Where a process is in the file system. [struct fs_struct]

    Members
    -------
    root, folder
        Where its absolute and its relative paths begin.
    umask
        The rights that its new files lack.
    pipes
        Where the pipes of all processes are, None if there can be none.
    """

    root: Folder
    folder: Folder
    umask: int = 0o022
    pipes: Volume | None = None

    def copy(self) -> "FsState":
        """Return the state of a child. [copy_fs_struct]"""
        return replace(self)


class Last(NamedTuple):
    """The last component of a path, and the folder that it is looked for in.

    ``name`` is empty for the root, and ``is_plain`` false for that, ``.`` and ``..``. ``slash``
    says whether a slash follows.
    """

    folder: Folder
    name: bytes
    slash: bool

    @property
    def is_plain(self) -> bool:
        """Whether it is a name. [LAST_NORM]"""
        return self.name not in (b"", b".", b"..")


class Resolver:
    """One lookup for a process; links count for all of it.

    Parameters
    ----------
    fs
        Where the process is.
    who
        Whose rights are looked at.
    """

    def __init__(self, fs: FsState, who: Credentials) -> None:
        self.fs = fs
        self.who = who
        self._links = 0

    def last(self, start: VfsNode, path: bytes) -> Last:
        """Return the last component of a path, all before it resolved; it need not be there.

        Raise ``SysError``: ENOENT for an empty path, ENAMETOOLONG, ENOTDIR, EACCES, ELOOP.
        [filename_parentat]
        """
        if not path:
            raise SysError(errno.ENOENT)
        if len(path) >= PATH_MAX:
            raise SysError(errno.ENAMETOOLONG)
        return self._walk(start, path)

    def node(self, start: VfsNode, path: bytes, *, follow: bool = True,
             folder: bool = False) -> VfsNode:
        """Return the node of a path; raise as ``last``. [filename_lookup]

        Parameters
        ----------
        follow
            Whether a link at the end is followed; one before a slash is in any case.
        folder
            Whether it must be a folder.
        """
        last = self.last(start, path)
        while True:
            follow, folder = follow or last.slash, folder or last.slash
            found = self.component(last.folder, last.name)
            if found is None:
                raise SysError(errno.ENOENT)
            if not isinstance(found, SymbolicLink) or not follow:
                break
            after = self.follow(last.folder, found)
            if isinstance(after, VfsNode):
                found = after
                break
            last = after
        if folder and not isinstance(found, Folder):
            raise SysError(errno.ENOTDIR)
        return found

    def _walk(self, start: VfsNode, path: bytes) -> Last:
        at: VfsNode = start
        if path.startswith(b"/"):
            at = self.fs.root
            path = path.lstrip(b"/")
        if not isinstance(at, Folder):
            raise SysError(errno.ENOTDIR)
        if not path:
            return Last(at, b"", False)
        while True:
            check_permission(at, EXEC, self.who)
            name, slash, rest = path.partition(b"/")
            path = rest.lstrip(b"/")
            if not path:
                return Last(at, name, bool(slash))
            at = self._step(at, name)

    def _step(self, at: Folder, name: bytes) -> Folder:
        """Return the folder that a component leads to, which another follows."""
        found = self.component(at, name)
        while isinstance(found, SymbolicLink):
            after = self.follow(at, found)
            if isinstance(after, Last):
                at = after.folder
                found = self.component(at, after.name)
                if after.slash and found is not None and not isinstance(
                        found, Folder | SymbolicLink):
                    raise SysError(errno.ENOTDIR)
            else:
                found = after
        if found is None:
            raise SysError(errno.ENOENT)
        if not isinstance(found, Folder):
            raise SysError(errno.ENOTDIR)
        return found

    def component(self, at: Folder, name: bytes) -> VfsNode | None:
        """Return what one component is, links not followed; None if there is none.

        ``..`` of the root is the root. [walk_component]
        """
        if name in (b"", b"."):
            return at
        if name == b"..":
            return at if at is self.fs.root else at.up
        return at.lookup(name)

    def follow(self, at: Folder, link: SymbolicLink) -> Last | VfsNode:
        """Return the last component of what a link says, or where it jumps to.

        Raise ``SysError(ELOOP)`` for more than 40 links in one lookup. [pick_link]
        """
        self._links += 1
        if self._links > MAX_LINKS:
            raise SysError(errno.ELOOP)
        if isinstance(link, MagicLink):
            return link.jump()
        text = link.text()
        if not text:
            raise SysError(errno.ENOENT)
        return self._walk(at, text)

