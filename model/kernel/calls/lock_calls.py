"""System calls that keep memory from reclaim. [mm/mlock.c]"""

import errno

from ...address_space.errors import SysError
from ..process import Process
from .arguments import as_int
from .caller import Caller

__all__ = ["LockCalls"]

MLOCK_ONFAULT = 1


class LockCalls(Caller):
    """The calls that lock memory and unlock it."""

    def mlock(self, start: int, length: int) -> int:
        """Lock the pages of a range. [mlock(2)]"""
        return self.mlock2(start, length, 0)

    def mlock2(self, start: int, length: int, flags: int) -> int:
        """Lock the pages of a range, with MLOCK_ONFAULT when they are touched. [mlock2(2)]"""
        def work(process: Process) -> None:
            if as_int(flags) & ~MLOCK_ONFAULT:
                raise SysError(errno.EINVAL)
            process.mm.mlock(start, length, on_fault=bool(flags & MLOCK_ONFAULT))
        return self._call(work)

    def munlock(self, start: int, length: int) -> int:
        """Unlock the pages of a range. [munlock(2)]"""
        return self._call(lambda process: process.mm.munlock(start, length))

    def mlockall(self, flags: int) -> int:
        """Lock all that is mapped, or will be. [mlockall(2)]"""
        return self._call(lambda process: process.mm.mlockall(as_int(flags)))

    def munlockall(self) -> int:
        """Unlock all that is mapped, and lock nothing that will be. [munlockall(2)]"""
        return self._call(lambda process: process.mm.munlockall())
