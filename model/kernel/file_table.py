"""The open files of a process. [fs/file.c]"""

import errno
from dataclasses import dataclass, field

from ..address_space.errors import SysError
from ..address_space.kernel_files import KernelFiles
from ..address_space.vma import File
from .vfs.folder import FolderEntry
from .vfs.stream import Stream
from .vfs.vnode import VfsNode

__all__ = ["FileTable", "OpenFile"]


@dataclass(slots=True, eq=False)
class OpenFile:
    """A file, where it is read or written next, and where the last read ended, -1 before the first.

    [struct file, prev_pos of struct file_ra_state]

    Members
    -------
    flags
        What it was opened with, without what counts only then. [f_flags]
    node
        What it is in the file system, None for one that was never in one.
    stream
        What is read and written in place of the page cache, if it is.
    listing
        The names of a folder that is being read.
    users
        How many numbers of how many processes stand for it.
    """

    file: File
    position: int = 0
    read_up_to: int = -1
    flags: int = 0
    node: VfsNode | None = None
    stream: Stream | None = None
    listing: list[FolderEntry] = field(default_factory=list)
    users: int = 0


class FileTable:
    """What a process has open, by number. [struct files_struct]

    Parameters
    ----------
    files
        Where each number counts as a user of its file.

    Members
    -------
    users
        How many processes have it.
    """

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self.users = 1
        self._open: dict[int, OpenFile] = {}
        self._close_on_exec: set[int] = set()

    @property
    def open_files(self) -> list[File]:
        """The files that are open, once for each number."""
        return [opened.file for opened in self._open.values()]

    @property
    def opened(self) -> list[OpenFile]:
        """All that is open, once for each number."""
        return list(self._open.values())

    @property
    def numbers(self) -> list[int]:
        """The numbers in use, the lowest first."""
        return sorted(self._open)

    def open(self, file: File | OpenFile, limit: int, *, close_on_exec: bool = False,
             least: int = 0) -> int:
        """Open a file under the lowest free number from ``least`` on, and return that.

        Raise ``SysError(EMFILE)`` if it is not below ``limit``. [alloc_fd]
        """
        fd = self.require_room(limit, least)
        self._install(fd, file if isinstance(file, OpenFile) else OpenFile(file), close_on_exec)
        return fd

    def require_room(self, limit: int, least: int = 0) -> int:
        """Return the lowest free number; raise as ``open``. [get_unused_fd_flags]"""
        fd = least
        while fd in self._open:
            fd += 1
        if fd >= limit:
            raise SysError(errno.EMFILE)
        return fd

    def replace(self, fd: int, opened: OpenFile, *, close_on_exec: bool = False) -> None:
        """Open a file under a number, and close what was open under it. [do_dup2]"""
        opened.users += 1  # it may be the same
        if fd in self._open:
            self.close(fd)
        opened.users -= 1
        self._install(fd, opened, close_on_exec)

    def _install(self, fd: int, opened: OpenFile, close_on_exec: bool) -> None:
        self._open[fd] = opened
        opened.users += 1
        self._files.get(opened.file)
        self.set_close_on_exec(fd, close_on_exec)

    def get(self, fd: int) -> OpenFile:
        """Return what is open under a number; raise ``SysError(EBADF)``. [fdget]"""
        found = self._open.get(fd)
        if found is None:
            raise SysError(errno.EBADF)
        return found

    def closes_on_exec(self, fd: int) -> bool:
        """Return whether an exec closes a number. [FD_CLOEXEC]"""
        return fd in self._close_on_exec

    def set_close_on_exec(self, fd: int, closes: bool) -> None:
        """Say whether an exec closes a number."""
        if closes:
            self._close_on_exec.add(fd)
        else:
            self._close_on_exec.discard(fd)

    def close(self, fd: int) -> None:
        """Close a file; raise ``SysError(EBADF)``. [filp_close, __fput]"""
        opened = self.get(fd)
        self._files.put(opened.file)
        del self._open[fd]
        self._close_on_exec.discard(fd)
        opened.users -= 1
        if opened.node is not None:
            opened.node.locks.unlock(self)
        if not opened.users:
            _release(opened)

    def exec(self) -> "FileTable":
        """Return the table for this process after an exec, which closes what does not outlive it.

        [begin_new_exec, do_close_on_exec]
        """
        own = self.unshare()
        for fd in list(own._close_on_exec):
            own.close(fd)
        return own

    def put(self) -> None:
        """Have one process less, and close all files with the last. [exit_files]"""
        self.users -= 1
        if not self.users:
            for fd in list(self._open):
                self.close(fd)

    def share(self) -> "FileTable":
        """Return the table for one more process, which has it, too. [CLONE_FILES]"""
        self.users += 1
        return self

    def unshare(self) -> "FileTable":
        """Return a table for this process alone: a copy, if others have this. [unshare_files]"""
        if self.users == 1:
            return self
        own = self.copy()
        self.users -= 1
        return own

    def copy(self) -> "FileTable":
        """Return the table of a child: both share where files are read and written next.

        [dup_fd]
        """
        child = FileTable(self._files)
        child._open, child._close_on_exec = dict(self._open), set(self._close_on_exec)
        for opened in child._open.values():
            opened.users += 1
            self._files.get(opened.file)
        return child


def _release(opened: OpenFile) -> None:
    """Give back what an open file has that nobody has any more. [__fput]"""
    if opened.stream is not None:
        opened.stream.close()
    if opened.node is not None:
        opened.node.locks.unlock(opened)
        opened.node.flocks.unlock(opened)
