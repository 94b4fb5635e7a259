"""System calls about rights to memory, and protection keys. [mm/mprotect.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.uapi import Prot
from ..process import Process
from .arguments import as_int
from .caller import Caller

__all__ = ["ProtectCalls", "deny_execute_only"]

PKEY_DISABLE = 3  # PKEY_DISABLE_ACCESS, PKEY_DISABLE_WRITE: as the bits of a key in PKRU
KEY_BITS = 2


class ProtectCalls(Caller):
    """The calls that change rights."""

    def mprotect(self, start: int, length: int, prot: int) -> int:
        """Give a range new rights. [mprotect(2)]"""
        return self._protect(start, length, prot, None)

    def _protect(self, start: int, length: int, prot: int, pkey: int | None) -> int:
        prot, = self._words(prot)

        def work(process: Process) -> None:
            process.mm.mprotect(start, length, prot, pkey)
            deny_execute_only(process, prot)
        return self._call(work)

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
            process.mm.pkeys.free(as_int(pkey))
        return self._call(work)

    def pkey_mprotect(self, start: int, length: int, prot: int, pkey: int) -> int:
        """Give a range new rights, and a protection key unless it is -1. [pkey_mprotect(2)]"""
        if not self.kernel.mode.has_protection_keys:
            return -errno.ENOSYS
        return self._protect(start, length, prot, None if as_int(pkey) == -1 else as_int(pkey))

    def _require_keys(self) -> None:
        """Raise ``SysError(ENOSYS)`` in kernels that are built without these calls."""
        if not self.kernel.mode.has_protection_keys:
            raise SysError(errno.ENOSYS)


def deny_execute_only(process: Process, prot: int) -> None:
    """Permit no data access to memory that is only executable. [__execute_only_pkey]"""
    key = process.mm.pkeys.execute_only
    if prot == Prot.EXEC and key is not None and not process.pkru >> KEY_BITS * key & 1:
        _set_rights(process, key, 1)


def _set_rights(process: Process, key: int, rights: int) -> None:
    """Set the bits of a protection key in PKRU. [arch_set_user_pkey_access]"""
    shift = KEY_BITS * key
    process.pkru = process.pkru & ~(PKEY_DISABLE << shift) | rights << shift
