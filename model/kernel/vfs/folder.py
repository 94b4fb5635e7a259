"""Folders: the names in them, those of a folder of the host below among them."""

import errno
import stat
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ...address_space.errors import SysError
from .vnode import VfsNode

__all__ = ["Folder", "FolderEntry", "LowerFolder", "new_folder", "path_of"]

NAME_MAX = 255
FOLDER_BYTES = 4096


class FolderEntry(NamedTuple):
    """A name in a folder, and the number and kind of its node. [struct linux_dirent64]"""

    name: bytes
    inode: int
    kind: int


class LowerFolder(Protocol):
    """What a folder has in it before anything is changed."""

    def look(self, name: bytes) -> VfsNode | None:
        """Return the node of a name, None if there is none."""
        ...

    def listing(self) -> list[FolderEntry]:
        """Return all names."""
        ...


@dataclass(slots=True, eq=False)
class Folder(VfsNode):
    """A folder.

    Members
    -------
    lower
        What is in it unless it was changed; None for a new folder.
    is_mount
        Whether another file system begins here, so that it cannot be removed or renamed.
    fixed
        Whether nobody can make or remove names in it: a folder of ``/proc``.
    dead
        Whether it was removed. [S_DEAD]
    """

    lower: LowerFolder | None = None
    is_mount: bool = False
    fixed: bool = False
    dead: bool = False
    known: dict[bytes, VfsNode | None] = field(default_factory=dict)

    @property
    def up(self) -> "Folder":
        """The folder that it is in; the root is in itself."""
        return self.parent if isinstance(self.parent, Folder) else self

    def lookup(self, name: bytes) -> VfsNode | None:
        """Return the node of a name, None if there is none.

        Raise ``SysError(ENAMETOOLONG)``, and what the folder below raises.
        """
        if len(name) > NAME_MAX:
            raise SysError(errno.ENAMETOOLONG)
        if name in self.known:
            return self.known[name]
        node = self.lower.look(name) if self.lower is not None else None
        if node is not None:
            node.parent, node.name = self, name
            if not self.fixed:
                self.known[name] = node
        return node

    def entries(self) -> list[FolderEntry]:
        """Return all names but ``.`` and ``..``: first those below, then new ones."""
        below = self.lower.listing() if self.lower is not None else []
        names = {entry.name for entry in below}
        found = [entry for entry in below if entry.name not in self.known]
        kept = [name for name in self.known if name in names]
        for name in [*kept, *(name for name in self.known if name not in names)]:
            node = self.known[name]
            if node is not None:
                found.append(FolderEntry(name, node.inode, node.kind))
        order = {entry.name: place for place, entry in enumerate(below)}
        return sorted(found, key=lambda entry: order.get(entry.name, len(order)))

    def holds(self, name: bytes) -> bool:
        """Return whether a name that was listed is still there."""
        return self.known.get(name, self) is not None

    def is_empty(self) -> bool:
        """Return whether there is no name in it."""
        return not self.entries()

    def put(self, name: bytes, node: VfsNode) -> None:
        """Give a node a name here."""
        self.known.pop(name, None)
        self.known[name] = node
        node.parent, node.name = self, name
        self.touch()

    def take(self, name: bytes) -> None:
        """Remove a name that is here."""
        if self.lower is None:
            self.known.pop(name, None)
        else:
            self.known[name] = None
        self.touch()

    def count_folder(self, change: int) -> None:
        """Note that a folder in it has come or gone, if its links count folders."""
        if self.links >= 2:
            self.links += change


def path_of(node: VfsNode, root: VfsNode) -> bytes:
    """Return the path from ``root`` to where a node was last found.

    What has no name any more has `` (deleted)`` after it. [d_path]
    """
    parts: list[bytes] = []
    at, is_gone = node, node.links == 0 or (isinstance(node, Folder) and node.dead)
    while at is not root and at.parent is not None and at.parent is not at:
        parts.append(at.name)
        at = at.parent
    path = b"/" + b"/".join(reversed(parts))
    return path + b" (deleted)" if is_gone else path


def new_folder(parent: Folder, mode: int, uid: int, gid: int) -> Folder:
    """Return a folder that will be in ``parent``."""
    return Folder(parent.volume, stat.S_IFDIR | mode, uid=uid, gid=gid, links=2,
                  own_size=FOLDER_BYTES)
