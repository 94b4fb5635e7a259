"""System calls about open files. [fs/open.c, fs/read_write.c]"""

from ...address_space.vma import File
from ..file_table import OpenFile
from ..process import Process
from .arguments import as_position, as_uint
from .caller import Caller

__all__ = ["FileCalls"]


class FileCalls(Caller):
    """The calls about files."""

    def open(self, file: File) -> int:
        """Open a file, whose bytes should be registered; return its number. [open(2)]"""
        return self._call(lambda process: process.files.open(file, process.mm.rlimits.open_files))

    def close(self, fd: int) -> int:
        """Close a file. [close(2)]"""
        return self._call(lambda process: process.files.close(as_uint(fd)))

    @staticmethod
    def _open(process: Process, fd: int) -> OpenFile:
        return process.files.get(as_uint(fd))

    def read(self, fd: int, buffer: int, count: int) -> int:
        """Copy what follows of a file to ``buffer``; return how many bytes. [read(2)]"""
        buffer, count = self._words(buffer, count)
        return self._call(lambda process: self.io.read(
            self._open(process, fd), buffer, count))

    def write(self, fd: int, buffer: int, count: int) -> int:
        """Copy ``buffer`` to a file from where it is on, not past its end; return how much.

        A file does not grow: at its end the call fails with ENOSPC. [write(2)]
        """
        buffer, count = self._words(buffer, count)
        return self._call(lambda process: self.io.write(
            self._open(process, fd), buffer, count))

    def pread(self, fd: int, buffer: int, count: int, position: int) -> int:
        """Read at a position, and leave where the file is read next. [pread(2)]"""
        buffer, count = self._words(buffer, count)

        def work(process: Process) -> int:
            at = as_position(position)
            return self.io.read(self._open(process, fd), buffer, count, at)
        return self._call(work)

    def pwrite(self, fd: int, buffer: int, count: int, position: int) -> int:
        """Write at a position, and leave where the file is written next. [pwrite(2)]"""
        buffer, count = self._words(buffer, count)

        def work(process: Process) -> int:
            at = as_position(position)
            return self.io.write(self._open(process, fd), buffer, count, at)
        return self._call(work)
