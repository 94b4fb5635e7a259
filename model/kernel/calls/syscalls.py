"""The system calls of a process: from the boundary to the parts that do the work.

Each returns what Linux leaves in the register: a result, or a negative errno. Data cross the
boundary by copies that may fail in the middle. [mm/mmap.c, fs/read_write.c, kernel/fork.c]
"""

import errno
from collections.abc import Callable

from ...address_space.errors import SysError
from ...address_space.exec_layout import Program
from ...address_space.uapi import MapFlag, Prot
from ...address_space.vma import File
from ...x86 import PAGE_BYTES
from ..kernel import Kernel
from ..process import Process
from .msync import msync
from .open_files import OpenFile, OpenFiles
from .uaccess import UserAccess

__all__ = ["SystemCalls"]

MLOCK_ONFAULT = 1
PKEY_DISABLE = 3  # PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE: as the bits of a key in PKRU
KEY_BITS = 2


class SystemCalls:
    """The calls of whichever process runs.

    Arguments are numbers of any size, of which a call sees what a register, or the ``int`` that
    it takes, holds of them. Every call may raise ``OomKilled``, when it does not return, as its
    process is gone.

    Parameters
    ----------
    kernel
        The kernel.
    user
        The copies to and from the process; by the golden walk if None.

    Members
    -------
    user
        The copies to and from the process.
    files
        The open files of all processes.
    """

    def __init__(self, kernel: Kernel, user: UserAccess | None = None) -> None:
        self.kernel = kernel
        self.user = user if user is not None else UserAccess(kernel)
        self.files = OpenFiles(kernel, self.user)
        self._has_keys = kernel.mode.has_protection_keys

    @property
    def _process(self) -> Process:
        process = self.kernel.current
        if process is None:
            raise ValueError("No process runs that could call")
        return process

    def _call(self, work: Callable[[Process], int | None]) -> int:
        """Do the work of a call; return its result, by default 0, or a negative errno."""
        process = self._process
        try:
            with self.kernel.acting(process):
                result = work(process)
        except SysError as error:
            return -error.errno
        return result or 0

    def _words(self, *values: int) -> tuple[int, ...]:
        """Return what registers hold of ``values``."""
        return tuple(map(self.kernel.space.word, values))

    # ---- memory

    def mmap(self, address: int, length: int, prot: int, flags: int, fd: int = -1,
             offset: int = 0) -> int:
        """Map memory or an open file; return where. [mmap(2)]"""
        prot, flags = self._words(prot, flags)

        def work(process: Process) -> int:
            if offset % PAGE_BYTES:
                raise SysError(errno.EINVAL)
            file = None if flags & MapFlag.ANONYMOUS else self._open(process, fd).file
            result = process.mm.mmap(address, length, prot, flags, file, offset)
            self._deny_execute_only(process, prot)
            return result
        return self._call(work)

    def munmap(self, start: int, length: int) -> int:
        """Unmap a range. [munmap(2)]"""
        return self._call(lambda process: process.mm.munmap(start, length))

    def mprotect(self, start: int, length: int, prot: int) -> int:
        """Give a range new rights. [mprotect(2)]"""
        return self._protect(start, length, prot, None)

    def _protect(self, start: int, length: int, prot: int, pkey: int | None) -> int:
        prot, = self._words(prot)

        def work(process: Process) -> None:
            process.mm.mprotect(start, length, prot, pkey)
            self._deny_execute_only(process, prot)
        return self._call(work)

    def mremap(self, address: int, old_length: int, new_length: int, flags: int = 0,
               new_address: int = 0) -> int:
        """Resize or move a mapping; return where it is. [mremap(2)]"""
        flags, = self._words(flags)

        return self._call(lambda process: process.mm.mremap(address, old_length, new_length, flags,
                                                            new_address))

    def madvise(self, start: int, length: int, advice: int) -> int:
        """Take an advice about a range. [madvise(2)]"""
        return self._call(lambda process: process.mm.madvise(start, length, _int(advice)))

    def msync(self, start: int, length: int, flags: int) -> int:
        """Write back what is dirty of the files that a range maps. [msync(2)]"""
        start, length = self._words(start, length)

        return self._call(lambda process: msync(self.kernel.state, process.mm, start, length,
                                                _int(flags)))

    def brk(self, address: int) -> int:
        """Move the end of the heap; return where it is. [brk(2)]"""
        return self._call(lambda process: process.mm.brk(address))

    # ---- locks and keys

    def mlock(self, start: int, length: int) -> int:
        """Lock the pages of a range. [mlock(2)]"""
        return self.mlock2(start, length, 0)

    def mlock2(self, start: int, length: int, flags: int) -> int:
        """Lock the pages of a range, with MLOCK_ONFAULT when they are touched. [mlock2(2)]"""
        def work(process: Process) -> None:
            if _int(flags) & ~MLOCK_ONFAULT:
                raise SysError(errno.EINVAL)
            process.mm.mlock(start, length, on_fault=bool(flags & MLOCK_ONFAULT))
        return self._call(work)

    def munlock(self, start: int, length: int) -> int:
        """Unlock the pages of a range. [munlock(2)]"""
        return self._call(lambda process: process.mm.munlock(start, length))

    def pkey_alloc(self, flags: int, rights: int) -> int:
        """Allocate a protection key, with its bits in PKRU; return it. [pkey_alloc(2)]"""
        flags, rights = self._words(flags, rights)

        def work(process: Process) -> int:
            self._require_keys()
            if flags or rights & ~PKEY_DISABLE:
                raise SysError(errno.EINVAL)
            key = process.mm.pkeys.alloc()
            _set_rights(process, key, rights)
            return key
        return self._call(work)

    def pkey_free(self, pkey: int) -> int:
        """Free a protection key. [pkey_free(2)]"""
        def work(process: Process) -> None:
            self._require_keys()
            process.mm.pkeys.free(_int(pkey))
        return self._call(work)

    def pkey_mprotect(self, start: int, length: int, prot: int, pkey: int) -> int:
        """Give a range new rights, and a protection key unless it is -1. [pkey_mprotect(2)]"""
        if not self._has_keys:
            return -errno.ENOSYS
        return self._protect(start, length, prot, None if _int(pkey) == -1 else _int(pkey))

    def _require_keys(self) -> None:
        """Raise ``SysError(ENOSYS)`` in kernels that are built without these calls."""
        if not self._has_keys:
            raise SysError(errno.ENOSYS)

    @staticmethod
    def _deny_execute_only(process: Process, prot: int) -> None:
        """Permit no data access to memory that is only executable. [__execute_only_pkey]"""
        key = process.mm.pkeys.execute_only
        if prot == Prot.EXEC and key is not None and not process.pkru >> KEY_BITS * key & 1:
            _set_rights(process, key, 1)

    # ---- processes

    def fork(self) -> int:
        """Copy the process; return the child's pid. [fork(2)]"""
        def work(process: Process) -> int:
            child = self.kernel.fork(process)
            self.files.fork(process.pid, child.pid)
            return child.pid
        return self._call(work)

    def execve(self, program: Program) -> int:
        """Replace what the process runs; its open files stay open. [execve(2)]"""
        return self._call(lambda process: self.kernel.exec(process, program))

    def exit(self) -> None:
        """End the process. [_exit(2)]"""
        process = self._process
        self.files.exit(process.pid)
        self.kernel.exit(process)

    # ---- files

    def open(self, file: File) -> int:
        """Open a file, whose bytes should be registered; return its number. [open(2)]"""
        return self.files.open(self._process.pid, file)

    def close(self, fd: int) -> int:
        """Close a file. [close(2)]"""
        return self._call(lambda process: self.files.close(process.pid, _uint(fd)))

    def _open(self, process: Process, fd: int) -> OpenFile:
        return self.files.get(process.pid, _uint(fd))

    def read(self, fd: int, buffer: int, count: int) -> int:
        """Copy what follows of a file to ``buffer``; return how many bytes. [read(2)]"""
        buffer, count = self._words(buffer, count)
        return self._call(lambda process: self.files.read(
            self._open(process, fd), buffer, count))

    def write(self, fd: int, buffer: int, count: int) -> int:
        """Copy ``buffer`` to a file from where it is on, not past its end; return how much.

        A file does not grow: at its end the call fails with ENOSPC. [write(2)]
        """
        buffer, count = self._words(buffer, count)
        return self._call(lambda process: self.files.write(
            self._open(process, fd), buffer, count))

    def pread(self, fd: int, buffer: int, count: int, position: int) -> int:
        """Read at a position, and leave where the file is read next. [pread(2)]"""
        buffer, count = self._words(buffer, count)

        def work(process: Process) -> int:
            at = _position(position)
            return self.files.read(self._open(process, fd), buffer, count, at)
        return self._call(work)

    def pwrite(self, fd: int, buffer: int, count: int, position: int) -> int:
        """Write at a position, and leave where the file is written next. [pwrite(2)]"""
        buffer, count = self._words(buffer, count)

        def work(process: Process) -> int:
            at = _position(position)
            return self.files.write(self._open(process, fd), buffer, count, at)
        return self._call(work)


def _int(value: int) -> int:
    """Return what an ``int`` holds of a value."""
    return (value & 0xFFFF_FFFF ^ 1 << 31) - (1 << 31)


def _uint(value: int) -> int:
    """Return what an ``unsigned int`` holds of a value."""
    return value & 0xFFFF_FFFF


def _position(value: int) -> int:
    """Return what a ``loff_t`` holds of a value; raise ``SysError(EINVAL)`` if it is negative."""
    value &= (1 << 64) - 1
    if value >> 63:
        raise SysError(errno.EINVAL)
    return value


def _set_rights(process: Process, key: int, rights: int) -> None:
    """Set the bits of a protection key in PKRU. [arch_set_user_pkey_access]"""
    shift = KEY_BITS * key
    process.pkru = process.pkru & ~(PKEY_DISABLE << shift) | rights << shift
