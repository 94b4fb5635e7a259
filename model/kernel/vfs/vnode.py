"""What names lead to: files, folders, links, and their attributes. [struct inode]"""

import errno
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ...address_space.errors import SysError
from ...address_space.kernel_files import Inode
from ...address_space.vma import File
from .file_locks import FileLocks
from .stream import Stream

__all__ = [
    "FileSource",
    "MagicLink",
    "RegularFile",
    "SpecialFile",
    "SymbolicLink",
    "VfsNode",
    "Volume",
]

FIRST_NEW_INODE = 0x7000_0000
"""The number of the first inode that is not the host's; most of those are lower."""


class FileSource(Protocol):
    """Where the bytes of a file are that nobody has written to yet."""

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes, fewer at the end; raise ``SysError(EIO)`` for those that are gone."""
        ...

    def check_readable(self) -> None:
        """Raise ``SysError(EACCES)`` if the host does not let it be read."""
        ...


class Volume:
    """What nodes of one file system share: its device, its clock and its inode numbers.

    Parameters
    ----------
    major, minor
        The number of the device.
    clock
        Returns the time in nanoseconds since 1970.
    magic
        What statfs calls the kind of file system. [``*_MAGIC``]
    """

    TMPFS, PIPEFS, PROC = 0x0102_1994, 0x5049_5045, 0x9FA0

    def __init__(self, major: int, minor: int, clock: Callable[[], int],
                 magic: int = TMPFS) -> None:
        self.major = major
        self.magic = magic
        self.minor = minor
        self.clock = clock
        self._next = FIRST_NEW_INODE

    def new_inode(self) -> int:
        """Return a number that no other new node of the volume has."""
        self._next += 1
        return self._next - 1


@dataclass(slots=True, eq=False)
class VfsNode:
    """What a name leads to, with its attributes; of a kind that a subclass says. [struct inode]

    Members
    -------
    volume, inode
        The file system that it is on, and its number there.
    mode
        Kind and rights, as ``st_mode`` has them.
    uid, gid, links, size, blocks, device
        As ``struct stat`` has them; ``blocks`` None for as many as the size takes.
    accessed, modified, changed
        Times in nanoseconds since 1970. [i_atime, i_mtime, i_ctime]
    parent, name
        The folder and the name by which it was last found; None for what has no name.
    locks, flocks
        Those of fcntl, and those of flock, which do not know each other.
    """

    volume: Volume
    mode: int
    inode: int = 0
    uid: int = 0
    gid: int = 0
    links: int = 1
    own_size: int = 0
    blocks: int | None = None
    device: int = 0
    accessed: int = 0
    modified: int = 0
    changed: int = 0
    parent: "VfsNode | None" = None
    name: bytes = b""
    locks: FileLocks = field(default_factory=FileLocks)
    flocks: FileLocks = field(default_factory=FileLocks)

    def __post_init__(self) -> None:
        """Give a new node its number and the present time."""
        if not self.inode:
            self.inode = self.volume.new_inode()
            self.accessed = self.modified = self.changed = self.volume.clock()

    @property
    def kind(self) -> int:
        """The bits of the mode that tell what it is. [S_IFMT]"""
        return stat.S_IFMT(self.mode)

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.own_size

    def touch(self, *, modified: bool = True) -> None:
        """Note that it was changed now, and its contents, too, if ``modified``."""
        self.changed = self.volume.clock()
        if modified:
            self.modified = self.changed


@dataclass(slots=True, eq=False)
class RegularFile(VfsNode):
    """A file with bytes, which the page cache has.

    Members
    -------
    source
        Where those are that it had at first, None for a new file.
    cached
        What the page cache knows it by, None before it is first opened; see ``File.first``.
    inode_state
        Its size and its users, of which the page cache has a part.
    """

    source: FileSource | None = None
    cached: File | None = None
    inode_state: Inode = field(default_factory=Inode)

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.inode_state.size


@dataclass(slots=True, eq=False)
class SymbolicLink(VfsNode):
    """A name in place of another.

    Members
    -------
    text
        Returns what it says.
    """

    text: Callable[[], bytes] = bytes


@dataclass(slots=True, eq=False)
class MagicLink(SymbolicLink):
    """A link of ``/proc`` that leads to a node itself, whatever its text says. [nd_jump_link]

    Members
    -------
    target
        Returns the node; raises ``SysError``.
    """

    target: Callable[[], VfsNode] | None = None

    def jump(self) -> VfsNode:
        """Return where it leads."""
        if self.target is None:
            raise SysError(errno.ENOENT)
        return self.target()


@dataclass(slots=True, eq=False)
class SpecialFile(VfsNode):
    """A device, a pipe, a socket, or a text that is made when it is opened.

    Members
    -------
    opener
        Returns what reads and writes it, given the flags that it is opened with; None for what
        cannot be opened, as it is the host's.
    """

    opener: Callable[[int], Stream] | None = None
