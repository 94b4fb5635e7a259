"""A folder of the host, which is read and never written to.

Everything in it is reached through descriptors, a component at a time, and no link is followed by
the host: neither a link nor a race leads out of the folder. Only regular files are opened, and
folders of file systems such as proc and sysfs that are mounted when a tree is made seem empty.
"""

import errno
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ...address_space.errors import SysError
from ...address_space.kernel_files import Inode
from .folder import Folder, FolderEntry
from .vnode import RegularFile, SpecialFile, SymbolicLink, VfsNode, Volume

__all__ = ["HostTree"]

PSEUDO = frozenset((
    "proc", "sysfs", "devtmpfs", "devpts", "debugfs", "tracefs", "securityfs", "cgroup", "cgroup2",
    "configfs", "bpf", "pstore", "efivarfs", "mqueue", "binfmt_misc", "fusectl", "autofs"))
MOST_OPEN = 64  # descriptors of folders, and of files
DIR_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Parts = tuple[bytes, ...]


class HostTree:
    """All that lies in a folder of the host.

    Use it in a ``with`` statement or ``close`` it, as it keeps descriptors open.

    Parameters
    ----------
    folder
        The folder. Raise ``OSError`` if it is none, or cannot be opened.
    clock
        The time, in nanoseconds since 1970, of what programs change.
    """

    def __init__(self, folder: Path, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._root = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._folders: OrderedDict[Parts, int] = OrderedDict()
        self._files: OrderedDict[Parts, int] = OrderedDict()
        self._volumes: dict[int, Volume] = {}
        self._pseudo = _pseudo_devices()
        self._seen: dict[tuple[int, int], VfsNode] = {}
        found = self._node((), os.fstat(self._root))
        assert isinstance(found, Folder)
        self.root = found

    def __enter__(self) -> "HostTree":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        for fd in (*self._folders.values(), *self._files.values(), self._root):
            os.close(fd)
        self._folders.clear()
        self._files.clear()

    # ---- folders

    def look(self, parts: Parts) -> VfsNode | None:
        """Return a new node for a path, None if nothing is there."""
        with _as_errno():
            try:
                found = os.stat(parts[-1], dir_fd=self._folder(parts[:-1]), follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                return None
            key = found.st_dev, found.st_ino
            if key in self._seen:
                return self._seen[key]
            node = self._node(parts, found)
            if not isinstance(node, Folder) and found.st_nlink > 1:
                self._seen[key] = node
            return node

    def listing(self, parts: Parts) -> list[FolderEntry]:
        """Return the names in a folder in the host's order."""
        with _as_errno():
            fd = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW,
                         dir_fd=self._folder(parts))
            try:
                with os.scandir(fd) as found:
                    return [FolderEntry(os.fsencode(one.name), one.inode(), _kind(one))
                            for one in found]
            finally:
                os.close(fd)

    def _folder(self, parts: Parts) -> int:
        """Return a descriptor of a folder, which stays this tree's."""
        if not parts:
            return self._root
        if parts not in self._folders:
            fd = os.open(parts[-1], DIR_FLAGS, dir_fd=self._folder(parts[:-1]))
            _keep(self._folders, parts, fd)
        self._folders.move_to_end(parts)
        return self._folders[parts]

    def _node(self, parts: Parts, found: os.stat_result) -> VfsNode:
        if found.st_dev not in self._volumes:
            self._volumes[found.st_dev] = Volume(os.major(found.st_dev), os.minor(found.st_dev),
                                                 self._clock)
        node = self._bare_node(parts, found, self._volumes[found.st_dev])
        node.uid, node.gid, node.links = found.st_uid, found.st_gid, found.st_nlink
        node.own_size, node.blocks, node.device = found.st_size, found.st_blocks, found.st_rdev
        node.accessed, node.modified = found.st_atime_ns, found.st_mtime_ns
        node.changed = found.st_ctime_ns
        return node

    def _bare_node(self, parts: Parts, found: os.stat_result, volume: Volume) -> VfsNode:
        mode, inode = found.st_mode, found.st_ino
        is_pseudo = found.st_dev in self._pseudo
        if stat.S_ISDIR(mode):
            return Folder(volume, mode, inode,
                          lower=None if is_pseudo else _HostFolder(self, parts))
        if stat.S_ISREG(mode) and not is_pseudo:
            source = _HostFile(self, parts, (found.st_dev, inode))
            return RegularFile(volume, mode, inode, source=source,
                               inode_state=Inode(found.st_size))
        if stat.S_ISLNK(mode):
            text = os.readlink(parts[-1], dir_fd=self._folder(parts[:-1]))
            return SymbolicLink(volume, mode, inode, text=lambda: text)
        return SpecialFile(volume, mode, inode)

    # ---- bytes

    def read(self, parts: Parts, key: tuple[int, int], offset: int, size: int) -> bytes:
        """Return bytes of a file; raise ``SysError(EIO)`` if another took its place."""
        with _as_errno():
            if parts not in self._files:
                _keep(self._files, parts, self._open(parts, key))
            self._files.move_to_end(parts)
            return os.pread(self._files[parts], size, offset)

    def check_readable(self, parts: Parts, key: tuple[int, int]) -> None:
        """Raise ``SysError(EACCES)`` for a file that the host does not let be read."""
        with _as_errno():
            if parts not in self._files:
                _keep(self._files, parts, self._open(parts, key))

    def _open(self, parts: Parts, key: tuple[int, int]) -> int:
        """Open a regular file; first without opening what it is, as it could be a device by now."""
        path = os.open(parts[-1], os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC,
                       dir_fd=self._folder(parts[:-1]))
        try:
            found = os.fstat(path)
            if not stat.S_ISREG(found.st_mode) or (found.st_dev, found.st_ino) != key:
                raise SysError(errno.EIO)
            return os.open(f"/proc/self/fd/{path}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(path)


class _HostFolder:
    """A folder of a tree."""

    def __init__(self, tree: HostTree, parts: Parts) -> None:
        self._tree = tree
        self._parts = parts

    def look(self, name: bytes) -> VfsNode | None:
        """Return the node of a name; see ``LowerFolder``."""
        return self._tree.look((*self._parts, name))

    def listing(self) -> list[FolderEntry]:
        """Return all names; see ``LowerFolder``."""
        return self._tree.listing(self._parts)


class _HostFile:
    """A regular file of a tree, known by device and inode."""

    def __init__(self, tree: HostTree, parts: Parts, key: tuple[int, int]) -> None:
        self._tree = tree
        self._parts = parts
        self._key = key

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes; see ``FileSource``."""
        return self._tree.read(self._parts, self._key, offset, size)

    def check_readable(self) -> None:
        """Raise ``SysError`` for a file that cannot be read."""
        self._tree.check_readable(self._parts, self._key)


def _keep(cache: OrderedDict[Parts, int], parts: Parts, fd: int) -> None:
    """Keep a descriptor, and close the one that was used longest ago if there are too many."""
    cache[parts] = fd
    if len(cache) > MOST_OPEN:
        os.close(cache.popitem(last=False)[1])


def _pseudo_devices() -> frozenset[int]:
    """Return the devices of file systems of the host that hold no files, but the host itself.

    Reading those can change something, or tell of what is outside. [proc_pid_mountinfo(5)]
    """
    found = set()
    for line in Path("/proc/self/mountinfo").read_text(errors="replace").splitlines():
        words = line.split()
        if words[words.index("-") + 1] in PSEUDO:
            major, minor = map(int, words[2].split(":"))
            found.add(os.makedev(major, minor))
    return frozenset(found)


def _kind(entry: "os.DirEntry[str]") -> int:
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    return stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode)


@contextmanager
def _as_errno() -> Iterator[None]:
    """Give programs the errno that the host gives, as theirs."""
    try:
        yield
    except OSError as error:
        raise SysError(error.errno or errno.EIO) from error
