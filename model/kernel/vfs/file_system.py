"""The file system that programs see: a folder of the host, or nothing, and what is made in it."""

import stat
from collections.abc import Callable
from pathlib import Path

from .folder import FOLDER_BYTES, Folder
from .host import HostTree
from .resolve import FsState
from .vnode import VfsNode, Volume

__all__ = ["FileSystem"]

FIRST_MINOR = 0x20
PIPE_MINOR = 13


class FileSystem:
    """All that paths lead to.

    Use it in a ``with`` statement or ``close`` it, as it keeps descriptors of the host open.
    Raise ``OSError`` for a folder that cannot be opened.

    Parameters
    ----------
    root
        A folder of the host, which is only read; None for an empty root.
    clock
        Returns the time in nanoseconds since 1970.
    """

    def __init__(self, root: Path | None, clock: Callable[[], int]) -> None:
        self.clock = clock
        self._minor = FIRST_MINOR
        self._pipes = Volume(0, PIPE_MINOR, clock, Volume.PIPEFS)
        self._tree = HostTree(root, clock) if root is not None else None
        self.root = self._tree.root if self._tree is not None else self.new_root()

    def __enter__(self) -> "FileSystem":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open of the host."""
        if self._tree is not None:
            self._tree.close()

    def start(self, umask: int = 0o022) -> FsState:
        """Return where a program starts: in the root."""
        return FsState(self.root, self.root, umask, self._pipes)

    def new_volume(self, magic: int = Volume.TMPFS) -> Volume:
        """Return a file system of its own, on a device that is none. [get_anon_bdev]"""
        self._minor += 1
        return Volume(0, self._minor, self.clock, magic)

    def new_root(self, mode: int = 0o755, magic: int = Volume.TMPFS) -> Folder:
        """Return the empty root of a new file system in memory."""
        return Folder(self.new_volume(magic), stat.S_IFDIR | mode, links=2, own_size=FOLDER_BYTES)

    def mount(self, folder: Folder, name: bytes, root: Folder) -> None:
        """Put the root of another file system in the place of a name, which may be there or not."""
        place: VfsNode | None = folder.lookup(name)
        root.is_mount = True
        before = folder.modified, folder.changed
        folder.put(name, root)
        if place is None:
            folder.count_folder(1)
        folder.modified, folder.changed = before
