"""Locking memory: VM_LOCKED and its account. [mm/mlock.c]"""

import errno

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .merge import set_flags
from .mm_state import MmState
from .populate import mm_populate
from .uapi import MlockallFlag
from .vma import Vma, VmFlag, page_align

__all__ = ["mlock", "mlockall", "munlock", "munlockall"]

POPULATE_ERRORS = {errno.EFAULT: errno.ENOMEM, errno.ENOMEM: errno.EAGAIN}
"""What POSIX has mlock say for errors of faults. [__mlock_posix_error_return]"""


def mlock(mm: MmState, start: int, length: int, *, on_fault: bool) -> None:
    """Lock a range in memory; see ``Mm.mlock``. [do_mlock]"""
    if not mm.may_lock:
        raise SysError(errno.EPERM)
    start, end = _whole_pages(mm, start, length)
    limit = mm.rlimits.memlock >> PAGE_SHIFT
    locked = mm.locked_vm + ((end - start) >> PAGE_SHIFT)
    if locked > limit and not mm.privileged:
        locked -= sum(
            min(end, vma.end) - max(start, vma.start)
            for vma in mm.tree.overlapping(start, end) if vma.flags & VmFlag.LOCKED
        ) >> PAGE_SHIFT
        if locked > limit:
            raise SysError(errno.ENOMEM)
    _apply(mm, start, end, VmFlag.LOCKED | (VmFlag.LOCKONFAULT if on_fault else 0))
    try:
        mm_populate(mm, start, end, ignore_errors=False)
    except SysError as error:
        raise SysError(POPULATE_ERRORS.get(error.errno, error.errno)) from error


def munlock(mm: MmState, start: int, length: int) -> None:
    """Unlock a range; see ``Mm.munlock``. [sys_munlock]"""
    _apply(mm, *_whole_pages(mm, start, length), 0)


def mlockall(mm: MmState, flags: int) -> None:
    """Lock all that is mapped, or will be; see ``Mm.mlockall``. [sys_mlockall]"""
    known = MlockallFlag.CURRENT | MlockallFlag.FUTURE | MlockallFlag.ONFAULT
    if not flags or flags & ~known or flags == MlockallFlag.ONFAULT:
        raise SysError(errno.EINVAL)
    if not mm.may_lock:
        raise SysError(errno.EPERM)
    current = flags & MlockallFlag.CURRENT
    if current and mm.total_vm > mm.rlimits.memlock >> PAGE_SHIFT and not mm.privileged:
        raise SysError(errno.ENOMEM)
    add = VmFlag.LOCKED | (VmFlag.LOCKONFAULT if flags & MlockallFlag.ONFAULT else 0)
    mm.def_flags &= ~VmFlag.LOCK_MASK
    if flags & MlockallFlag.FUTURE:
        mm.def_flags |= add
    if current:
        _apply_all(mm, add)
        mm_populate(mm, 0, mm.space.task_size)


def munlockall(mm: MmState) -> None:
    """Unlock all that is mapped, and lock nothing that will be. [sys_munlockall]"""
    mm.def_flags &= ~VmFlag.LOCK_MASK
    _apply_all(mm, 0)


def _apply_all(mm: MmState, add: int) -> None:
    """Set the lock flags of all mappings. [apply_mlockall_flags]"""
    end = 0
    while (vma := mm.tree.find(end)) is not None:
        end = vma.end
        _fixup(mm, vma, vma.start, end, vma.flags & ~VmFlag.LOCK_MASK | add)


def _whole_pages(mm: MmState, start: int, length: int) -> tuple[int, int]:
    """Return start and end of the pages that hold any byte of a range.

    A length that is too large for a register wraps to that of no page.
    """
    first = start & -PAGE_BYTES
    return first, first + mm.space.word(page_align(length + start - first))


def _apply(mm: MmState, start: int, end: int, add: int) -> None:
    """Set the lock flags of a range, mapping by mapping. [apply_vma_lock_flags]"""
    if mm.space.word(end) < start:
        raise SysError(errno.EINVAL)
    while start < end:
        vma = mm.tree.lookup(start)
        if vma is None:
            raise SysError(errno.ENOMEM)
        stop = min(end, vma.end)
        flags = vma.flags & ~VmFlag.LOCK_MASK | add
        start = max(stop, _fixup(mm, vma, start, stop, flags).end)


def _fixup(mm: MmState, vma: Vma, start: int, end: int, flags: int) -> Vma:
    """Set the lock flags of part of a mapping; return the mapping that then holds it.

    [mlock_fixup]
    """
    old = vma.flags
    if flags == old or old & (VmFlag.SPECIAL | VmFlag.HUGETLB):
        return vma
    previous = vma if vma.start < start else mm.tree.neighbours(vma)[0]
    vma = set_flags(mm, vma, previous, start, end, flags)
    pages = (end - start) >> PAGE_SHIFT
    mm.locked_vm += pages * (bool(flags & VmFlag.LOCKED) - bool(old & VmFlag.LOCKED))
    mm.page_tables.mlock(vma, start, end)
    return vma
