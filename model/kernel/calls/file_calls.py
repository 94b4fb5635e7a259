"""System calls about open files. [fs/open.c, fs/read_write.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.vma import File
from ..fallocate import fallocate
from ..file_bytes import FileBytes
from ..file_size import ftruncate, max_bytes
from ..file_table import OpenFile
from ..page_cache import CachedFile
from ..process import Process
from .arguments import as_offset, as_position, as_uint
from .caller import Caller
from .memfd import MAX_NAME, MemfdFlag, add_seals, check_flags, copy_name, get_seals
from .seek import seek

__all__ = ["FileCalls"]

F_ADD_SEALS = 1033
F_GET_SEALS = 1034


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

    def memfd_create(self, name: int | str, flags: int) -> int:
        """Open a new file of shared memory; return its number. [memfd_create(2)]

        ``name`` is the address of its name, or the name itself, as ``open`` takes a file itself.
        """
        flags = as_uint(flags)

        def work(process: Process) -> int:
            check_flags(flags)
            text = name if isinstance(name, str) else copy_name(
                self.user, self.kernel.space.word(name))
            if len(text.encode(errors="surrogateescape")) > MAX_NAME:
                raise SysError(errno.EINVAL)
            process.files.require_room(process.mm.rlimits.open_files)
            if flags & MemfdFlag.HUGETLB:
                raise SysError(errno.ENOSYS)
            file = self.kernel.files.open_memfd(text,
                                                sealable=bool(flags & MemfdFlag.ALLOW_SEALING))
            return process.files.open(file, process.mm.rlimits.open_files,
                                      close_on_exec=bool(flags & MemfdFlag.CLOEXEC))
        return self._call(work)

    def fcntl(self, fd: int, command: int, argument: int = 0) -> int:
        """Add seals to a file, or return those it has; all else is left out. [fcntl(2)]"""
        argument, = self._words(argument)

        def work(process: Process) -> int:
            file, state = self._open(process, fd).file, self.kernel.state
            if as_uint(command) == F_ADD_SEALS:
                add_seals(state, file, argument)
                return 0
            if as_uint(command) == F_GET_SEALS:
                return get_seals(state, file)
            raise SysError(errno.EINVAL)
        return self._call(work)

    def lseek(self, fd: int, offset: int, whence: int) -> int:
        """Say where a file is read or written next; return that, if a register holds it.

        Where it does not, the call has worked but ends with EOVERFLOW. [lseek(2)]
        """
        half = 1 << 8 * self.kernel.space.word_bytes - 1
        signed = (self.kernel.space.word(offset) ^ half) - half

        def work(process: Process) -> int:
            position = self._seek(process, fd, signed, whence)
            if position >= half:
                raise SysError(errno.EOVERFLOW)
            return position
        return self._call(work)

    def llseek(self, fd: int, offset: int, result: int, whence: int) -> int:
        """Do as ``lseek``, and store the position at ``result``, on 32-bit machines.

        ``offset`` is both halves of the offset together. [llseek(2)]
        """
        if self.kernel.space.word_bytes == 8:
            return -errno.ENOSYS
        result, = self._words(result)

        def work(process: Process) -> None:
            position = self._seek(process, fd, as_offset(offset), whence)
            if self.user.copy_to_user(result, position.to_bytes(8, "little")):
                raise SysError(errno.EFAULT)
        return self._call(work)

    def _seek(self, process: Process, fd: int, offset: int, whence: int) -> int:
        """Change the position of an open file; one that has no bytes is empty."""
        opened, state = self._open(process, fd), self.kernel.state
        try:
            space = state.page_cache.space(opened.file)
        except KeyError:
            space = CachedFile(FileBytes(bytearray()))
        return seek(opened, space, offset, as_uint(whence), max_bytes(state, space))

    def ftruncate(self, fd: int, length: int) -> int:
        """Give a file so many bytes. [ftruncate(2), on 32-bit machines ftruncate64(2)]"""
        def work(process: Process) -> None:
            size = as_position(length)
            ftruncate(self.kernel.state, self._open(process, fd).file, size, process.mm.rlimits)
        return self._call(work)

    def fallocate(self, fd: int, mode: int, offset: int, length: int) -> int:
        """Allocate a range of a file, or make it a hole. [fallocate(2)]"""
        return self._call(lambda process: fallocate(
            self.kernel.state, self._open(process, fd).file, as_uint(mode), as_offset(offset),
            as_offset(length), process.mm.rlimits))

    def read(self, fd: int, buffer: int, count: int) -> int:
        """Copy what follows of a file to ``buffer``; return how many bytes. [read(2)]"""
        buffer, count = self._words(buffer, count)
        return self._call(lambda process: self.io.read(
            self._open(process, fd), buffer, count))

    def write(self, fd: int, buffer: int, count: int) -> int:
        """Copy ``buffer`` to a file from where it is on; return how much. [write(2)]"""
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
