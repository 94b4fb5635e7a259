"""Files of shared memory that a process makes, and what seals forbid. [mm/memfd.c]

Those of huge pages are left out: ENOSYS, as in a kernel without hugetlbfs.
"""

import errno

from ...address_space.errors import SysError
from ...address_space.kernel_files import Seal
from ...address_space.vma import File, VmFlag
from ...x86 import PAGE_BYTES
from ..state import KernelState
from .uaccess import UserAccess

__all__ = ["MAX_NAME", "MemfdFlag", "add_seals", "check_flags", "copy_name", "get_seals"]

MAX_NAME = 255 - len("memfd:")  # bytes, without the zero that ends it
UINT_MAX = (1 << 32) - 1


class MemfdFlag:
    """What ``memfd_create`` is told. [``MFD_*``]"""

    CLOEXEC = 1
    ALLOW_SEALING = 2
    HUGETLB = 4
    HUGE_SHIFT = 26
    HUGE_MASK = 0x3F


def check_flags(flags: int) -> None:
    """Raise ``SysError(EINVAL)`` for flags that are not there."""
    known = MemfdFlag.CLOEXEC | MemfdFlag.ALLOW_SEALING | MemfdFlag.HUGETLB
    if flags & MemfdFlag.HUGETLB:
        known |= MemfdFlag.HUGE_MASK << MemfdFlag.HUGE_SHIFT
    if flags & ~known:
        raise SysError(errno.EINVAL)


def copy_name(user: UserAccess, address: int) -> str:
    """Return the string at an address of a process.

    Raise ``SysError``: EFAULT if it does not end in memory of the process, EINVAL if it is longer
    than a name may be. [strnlen_user, copy_from_user]
    """
    name = b""
    while len(name) <= MAX_NAME:
        at = address + len(name)
        piece, left = user.copy_from_user(
            at, min(PAGE_BYTES - at % PAGE_BYTES, MAX_NAME + 1 - len(name)))
        copied = piece[: len(piece) - left]
        if b"\0" in copied:
            return (name + copied.split(b"\0")[0]).decode(errors="surrogateescape")
        if left:
            raise SysError(errno.EFAULT)
        name += copied
    raise SysError(errno.EINVAL)


def add_seals(state: KernelState, file: File, seals: int) -> None:
    """Forbid more of a file, for good.

    Raise ``SysError``: EINVAL for seals that are not there, and for a file that is not shared
    memory; EPERM for one not open for writing, or sealed against it; EBUSY for a seal against
    writing while it is mapped so that it may be written. [memfd_add_seals]
    """
    if seals > UINT_MAX:
        raise SysError(errno.EINVAL)
    if not file.writable:
        raise SysError(errno.EPERM)
    if seals & ~(Seal.SEAL | Seal.SHRINK | Seal.GROW | Seal.ANY_WRITE) or not file.is_shmem:
        raise SysError(errno.EINVAL)
    inode = state.files.inode(file)
    if inode.seals & Seal.SEAL:
        raise SysError(errno.EPERM)
    if seals & ~inode.seals & Seal.WRITE and _is_writably_mapped(state, file):
        raise SysError(errno.EBUSY)
    inode.seals |= seals


def get_seals(state: KernelState, file: File) -> int:
    """Return the seals of a file; raise ``SysError(EINVAL)`` for one that is no shared memory."""
    if not file.is_shmem:
        raise SysError(errno.EINVAL)
    return state.files.inode(file).seals


def _is_writably_mapped(state: KernelState, file: File) -> bool:
    """Return whether a mapping may write to a file, now or after mprotect. [i_mmap_writable]"""
    writable = VmFlag.SHARED | VmFlag.MAYWRITE
    return any(vma.flags & writable == writable
               for space in state.spaces.values() for vma in space.mappings(file))
