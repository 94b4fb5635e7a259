"""System calls that lock files: flock, and the lock commands of fcntl. [fs/locks.c]"""

import errno
import os
from dataclasses import dataclass
from struct import Struct

from ...address_space.errors import SysError
from ..file_table import OpenFile
from ..process import Process
from ..vfs.file_locks import END, FileLocks, RangeLock
from ..vfs.open_flag import OpenFlag
from ..vfs.stream import WouldBlock
from ..vfs.vnode import RegularFile
from .arguments import as_int, as_uint
from .caller import Caller

__all__ = ["LOCK_COMMANDS", "FileLockCalls", "LockCommand"]

RDLCK, WRLCK, UNLCK = 0, 1, 2
LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8
WIDE = {8: Struct("<hh4xqqi4x"), 4: Struct("<hhqqi")}  # struct flock64
NARROW = Struct("<hhiii")  # struct flock of 32-bit programs
OFFSET_MAX = END - 1


class LockCommand:
    """The commands of fcntl about locks; the ``64`` are those of 32-bit programs. [``F_*``]"""

    GETLK = 5
    SETLK = 6
    SETLKW = 7
    GETLK64 = 12
    SETLK64 = 13
    SETLKW64 = 14
    OFD_GETLK = 36
    OFD_SETLK = 37
    OFD_SETLKW = 38

    NARROW = (GETLK, SETLK, SETLKW)
    ASK = (GETLK, GETLK64, OFD_GETLK)
    WAIT = (SETLKW, SETLKW64, OFD_SETLKW)
    OFD = (OFD_GETLK, OFD_SETLK, OFD_SETLKW)


LOCK_COMMANDS = frozenset((
    *LockCommand.NARROW, *LockCommand.ASK, *LockCommand.WAIT, *LockCommand.OFD,
    LockCommand.SETLK64))


@dataclass(slots=True)
class Flock:
    """What a program says of a lock, and is told. [struct flock]"""

    type: int
    whence: int
    start: int
    length: int
    pid: int


class FileLockCalls(Caller):
    """The calls about locks. No deadlock is noticed: those who wait in a circle do so for ever."""

    def flock(self, fd: int, operation: int) -> int:
        """Lock a whole file for an open file, or give the lock back. [flock(2)]"""
        operation = as_int(operation)

        def work(process: Process) -> None:
            opened = process.files.get(as_uint(fd))
            kind = operation & ~LOCK_NB
            if kind not in (LOCK_SH, LOCK_EX, LOCK_UN):
                raise SysError(errno.EINVAL)
            if opened.flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
            if opened.node is None:
                return
            locks = opened.node.flocks
            locks.unlock(opened)
            if kind != LOCK_UN:
                _take(locks, RangeLock(opened, 0, END, kind == LOCK_EX),
                      waits=not operation & LOCK_NB)
        return self._call(work)

    def lock_range(self, fd: int, command: int, argument: int) -> int:
        """Do a command of ``LockCommand`` with the range at ``argument``. [fcntl(2)]"""
        argument, command = *self._words(argument), as_uint(command)
        word_bytes = self.kernel.space.word_bytes
        is_narrow = word_bytes == 4 and command in LockCommand.NARROW
        form = NARROW if is_narrow else WIDE[word_bytes]

        def work(process: Process) -> None:
            opened = process.files.get(as_uint(fd))
            if opened.flags & OpenFlag.PATH:
                raise SysError(errno.EBADF)
            data, left = self.user.copy_from_user(argument, form.size)
            if left:
                raise SysError(errno.EFAULT)
            asked = Flock(*form.unpack(data))
            found = _lock(process, opened, command, asked)
            if found is not None:
                data = form.pack(found.type, found.whence, found.start, found.length, found.pid)
                if self.user.copy_to_user(argument, data):
                    raise SysError(errno.EFAULT)
        return self._call(work)


def _lock(process: Process, opened: OpenFile, command: int, asked: Flock) -> Flock | None:
    """Do a command; return what is to be stored. [fcntl_getlk, fcntl_setlk]"""
    is_ofd, asks = command in LockCommand.OFD, command in LockCommand.ASK
    if is_ofd and asked.pid:
        raise SysError(errno.EINVAL)
    if asked.type not in ((RDLCK, WRLCK) if asks else (RDLCK, WRLCK, UNLCK)):
        raise SysError(errno.EINVAL)
    start, end = _range(opened, asked)
    owner = opened if is_ofd else process.files
    wanted = RangeLock(owner, start, end, asked.type == WRLCK, -1 if is_ofd else process.pid)
    locks = opened.node.locks if opened.node is not None else FileLocks()
    if asks:
        other = locks.conflict(wanted)
        if other is None:
            return Flock(UNLCK, asked.whence, asked.start, asked.length, asked.pid)
        length = 0 if other.end == END else other.end - other.start
        return Flock(WRLCK if other.exclusive else RDLCK, 0, other.start, length, other.pid)
    if asked.type == UNLCK:
        locks.unlock(owner, start, end)
        return None
    if not (opened.file.writable if asked.type == WRLCK else opened.file.readable):
        raise SysError(errno.EBADF)
    _take(locks, wanted, waits=command in LockCommand.WAIT)
    return None


def _take(locks: FileLocks, wanted: RangeLock, *, waits: bool) -> None:
    """Lock, or wait until it can be locked. Raise ``SysError(EAGAIN)``, ``WouldBlock``."""
    if waits and locks.conflict(wanted) is not None:
        raise WouldBlock(lambda: locks.conflict(wanted) is None)
    locks.lock(wanted)


def _range(opened: OpenFile, asked: Flock) -> tuple[int, int]:
    """Return start and end of a range; raise ``SysError``: EINVAL, EOVERFLOW.

    [flock_to_posix_lock]
    """
    size = opened.node.size if isinstance(opened.node, RegularFile) else 0
    base = {os.SEEK_SET: 0, os.SEEK_CUR: opened.position, os.SEEK_END: size}.get(asked.whence)
    if base is None:
        raise SysError(errno.EINVAL)
    if asked.start > OFFSET_MAX - base:
        raise SysError(errno.EOVERFLOW)
    start = base + asked.start
    if start < 0:
        raise SysError(errno.EINVAL)
    if asked.length > 0:
        if asked.length - 1 > OFFSET_MAX - start:
            raise SysError(errno.EOVERFLOW)
        return start, start + asked.length
    if asked.length < 0:
        if start + asked.length < 0:
            raise SysError(errno.EINVAL)
        return start + asked.length, start
    return start, END
