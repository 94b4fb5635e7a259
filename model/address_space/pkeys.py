"""Protection keys of a process. [arch/x86/include/asm/pkeys.h, arch/x86/mm/pkeys.c]"""

import errno
from dataclasses import dataclass

from .errors import SysError

__all__ = ["ProtectionKeys"]

KEY_COUNT = 16
ALLOCATED_AT_START = 1
"""Key 0, which all memory has that was given no other, as a mask."""


@dataclass(slots=True)
class ProtectionKeys:
    """Which of the 16 protection keys a process uses.

    Members
    -------
    available
        Whether the processor has protection keys; if not, key 0 is the only one.
    allocated
        The keys in use as a mask.
    execute_only
        The key of memory that may only be executed; None until there is such memory.
    """

    available: bool
    allocated: int = ALLOCATED_AT_START
    execute_only: int | None = None

    @property
    def count(self) -> int:
        """The number of keys. [arch_max_pkey]"""
        return KEY_COUNT if self.available else 1

    def alloc(self) -> int:
        """Return the lowest free key; raise ``SysError(ENOSPC)`` without one. [pkey_alloc]"""
        for key in range(self.count):
            if not self.allocated >> key & 1:
                self.allocated |= 1 << key
                return key
        raise SysError(errno.ENOSPC)

    def free(self, key: int) -> None:
        """Free a key; raise ``SysError(EINVAL)`` if it is not allocated. [pkey_free]"""
        if not self.is_allocated(key):
            raise SysError(errno.EINVAL)
        self.allocated &= ~(1 << key)

    def is_allocated(self, key: int) -> bool:
        """Return whether a program may name ``key``. [mm_pkey_is_allocated]"""
        in_range = 0 <= key < self.count
        return in_range and key != self.execute_only and bool(self.allocated >> key & 1)

    def for_execute_only(self) -> int:
        """Return the key of memory that is only executable, 0 if none is free.

        [execute_only_pkey]
        """
        if self.execute_only is None:
            try:
                self.execute_only = self.alloc()
            except SysError:
                return 0
        return self.execute_only

    def copy(self) -> "ProtectionKeys":
        """Return an independent copy, for a forked process."""
        return ProtectionKeys(self.available, self.allocated, self.execute_only)
