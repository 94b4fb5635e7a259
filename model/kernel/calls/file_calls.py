"""System calls about open files. [fs/open.c, fs/read_write.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.vma import File
from ...x86 import PAGE_BYTES
from ..fallocate import fallocate
from ..file_bytes import FileBytes
from ..file_size import ftruncate, max_bytes
from ..file_table import OpenFile
from ..page_cache import CachedFile
from ..process import Process
from ..vfs.file_rights import remove_privileges
from ..vfs.open_flag import OpenFlag
from ..vfs.pipe import PIPE_BUFFERS, PipeEnd
from .arguments import as_offset, as_position, as_uint
from .file_lock_calls import LOCK_COMMANDS, FileLockCalls
from .memfd import MAX_NAME, MemfdFlag, add_seals, check_flags, copy_name, get_seals
from .seek import seek

__all__ = ["FileCalls"]

STATUS_FLAGS = OpenFlag.APPEND | OpenFlag.NONBLOCK | OpenFlag.ASYNC | OpenFlag.DIRECT


class Fcntl:
    """What fcntl can do. [``F_*``]"""

    DUPFD = 0
    GETFD = 1
    SETFD = 2
    GETFL = 3
    SETFL = 4
    DUPFD_CLOEXEC = 1030
    GETPIPE_SZ = 1032
    ADD_SEALS = 1033
    GET_SEALS = 1034


class FileCalls(FileLockCalls):
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
        """Do with an open file what ``Fcntl`` lists, and what ``LockCommand`` does. [fcntl(2)]"""
        if as_uint(command) in LOCK_COMMANDS:
            return self.lock_range(fd, command, argument)
        argument, = self._words(argument)

        def work(process: Process) -> int:
            opened, state, what = self._open(process, fd), self.kernel.state, as_uint(command)
            if what == Fcntl.ADD_SEALS:
                add_seals(state, opened.file, argument)
                return 0
            if what == Fcntl.GET_SEALS:
                return get_seals(state, opened.file)
            return _fcntl(process, as_uint(fd), opened, what, argument)
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
        if opened.stream is not None:
            return opened.stream.seek(offset, as_uint(whence))
        if opened.flags & OpenFlag.PATH:
            raise SysError(errno.EBADF)
        try:
            space = state.page_cache.space(opened.file)
        except KeyError:
            space = CachedFile(FileBytes(bytearray()))
        return seek(opened, space, offset, as_uint(whence), max_bytes(state, space))

    def ftruncate(self, fd: int, length: int) -> int:
        """Give a file so many bytes. [ftruncate(2), on 32-bit machines ftruncate64(2)]"""
        def work(process: Process) -> None:
            size = as_position(length)
            opened = self._open(process, fd)
            if opened.flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
            ftruncate(self.kernel.state, opened.file, size, process.mm.rlimits)
            if opened.node is not None:
                remove_privileges(opened.node, process.credentials)
                opened.node.touch()
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


def _fcntl(process: Process, fd: int, opened: OpenFile, command: int, argument: int) -> int:
    """Do what concerns numbers and flags; raise ``SysError``: EINVAL, EBADF, EMFILE. [do_fcntl]"""
    files, limit = process.files, process.mm.rlimits.open_files
    path_only = bool(opened.flags & OpenFlag.PATH)
    if command in (Fcntl.DUPFD, Fcntl.DUPFD_CLOEXEC):
        least = as_uint(argument)
        if least >= limit:
            raise SysError(errno.EINVAL)
        return files.open(opened, limit, least=least,
                          close_on_exec=command == Fcntl.DUPFD_CLOEXEC)
    if command == Fcntl.GETFD:
        return int(files.closes_on_exec(fd))
    if command == Fcntl.SETFD:
        files.set_close_on_exec(fd, bool(argument & 1))
        return 0
    if command == Fcntl.GETFL:
        return opened.flags
    if path_only:
        raise SysError(errno.EBADF)
    if command == Fcntl.SETFL:
        opened.flags = opened.flags & ~STATUS_FLAGS | argument & STATUS_FLAGS
        return 0
    if command == Fcntl.GETPIPE_SZ and isinstance(opened.stream, PipeEnd):
        return PIPE_BUFFERS * PAGE_BYTES
    raise SysError(errno.EBADF if command == Fcntl.GETPIPE_SZ else errno.EINVAL)
