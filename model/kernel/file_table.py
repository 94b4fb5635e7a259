"""The open files of a process. [fs/file.c]"""

import errno
from dataclasses import dataclass

from ..address_space.errors import SysError
from ..address_space.kernel_files import KernelFiles
from ..address_space.vma import File

__all__ = ["FileTable", "OpenFile"]


@dataclass(slots=True, eq=False)
class OpenFile:
    """A file, where it is read or written next, and where the last read ended, -1 before the first.

    [struct file, prev_pos of struct file_ra_state]
    """

    file: File
    position: int = 0
    read_up_to: int = -1


class FileTable:
    """What a process has open, by number. [struct files_struct]

    Parameters
    ----------
    files
        Where each number counts as a user of its file.
    """

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._open: dict[int, OpenFile] = {}
        self._close_on_exec: set[int] = set()

    @property
    def open_files(self) -> list[File]:
        """The files that are open, once for each number."""
        return [opened.file for opened in self._open.values()]

    def open(self, file: File, limit: int, *, close_on_exec: bool = False) -> int:
        """Open a file under the lowest free number, and return that.

        Raise ``SysError(EMFILE)`` if it is not below ``limit``. [alloc_fd]
        """
        fd = self.require_room(limit)
        self._open[fd] = OpenFile(file)
        self._files.get(file)
        if close_on_exec:
            self._close_on_exec.add(fd)
        return fd

    def require_room(self, limit: int) -> int:
        """Return the lowest free number; raise as ``open``. [get_unused_fd_flags]"""
        fd = next(number for number in range(len(self._open) + 1) if number not in self._open)
        if fd >= limit:
            raise SysError(errno.EMFILE)
        return fd

    def get(self, fd: int) -> OpenFile:
        """Return what is open under a number; raise ``SysError(EBADF)``. [fdget]"""
        found = self._open.get(fd)
        if found is None:
            raise SysError(errno.EBADF)
        return found

    def close(self, fd: int) -> None:
        """Close a file; raise ``SysError(EBADF)``."""
        self._files.put(self.get(fd).file)
        del self._open[fd]
        self._close_on_exec.discard(fd)

    def exec(self) -> None:
        """Close what does not outlive an exec. [do_close_on_exec]"""
        for fd in list(self._close_on_exec):
            self.close(fd)

    def close_all(self) -> None:
        """Close all files. [exit_files]"""
        for fd in list(self._open):
            self.close(fd)

    def copy(self) -> "FileTable":
        """Return the table of a child: both share where files are read and written next.

        [dup_fd]
        """
        child = FileTable(self._files)
        child._open, child._close_on_exec = dict(self._open), set(self._close_on_exec)
        for opened in child._open.values():
            self._files.get(opened.file)
        return child
