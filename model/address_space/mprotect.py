"""Changing rights. [do_mprotect_pkey, mprotect_fixup]"""

import errno
from contextlib import suppress

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .merge import set_flags
from .mm_state import MmState
from .mmap import prot_flags
from .populate import populate_vma
from .uapi import Prot
from .vma import Vma, VmFlag, page_align

__all__ = ["mprotect", "mprotect_vma"]

KNOWN = Prot.READ | Prot.WRITE | Prot.EXEC | Prot.SEM
COUNTED_ALREADY = (VmFlag.ACCOUNT | VmFlag.WRITE | VmFlag.HUGETLB | VmFlag.SHARED
                   | VmFlag.NORESERVE)


def mprotect(mm: MmState, start: int, length: int, prot: int, pkey: int | None) -> None:
    """Give a range new rights; see ``Mm.mprotect``. [do_mprotect_pkey]"""
    grows = prot & (Prot.GROWSDOWN | Prot.GROWSUP)
    prot &= ~grows
    if grows == Prot.GROWSDOWN | Prot.GROWSUP or start & (PAGE_BYTES - 1):
        raise SysError(errno.EINVAL)
    if not length:
        return
    end = start + page_align(length)
    if end >= 1 << 8 * mm.space.word_bytes:
        raise SysError(errno.ENOMEM)
    if prot & ~KNOWN or (pkey is not None and not mm.pkeys.is_allocated(pkey)):
        raise SysError(errno.EINVAL)
    start = _first_byte(mm, start, end, grows)
    while start < end:
        vma = mm.tree.lookup(start)
        if vma is None:
            raise SysError(errno.ENOMEM)
        given = prot
        if mm.read_implies_exec and prot & Prot.READ and vma.flags & VmFlag.MAYEXEC:
            given |= Prot.EXEC
        key = _key(mm, vma, given, pkey)
        flags = vma.flags & ~(VmFlag.ACCESS | VmFlag.PKEY) | prot_flags(given, key)
        if flags & VmFlag.ACCESS & ~(flags >> VmFlag.MAY_SHIFT):
            raise SysError(errno.EACCES)
        stop = min(end, vma.end)
        start = max(stop, mprotect_vma(mm, vma, start, stop, flags).end)


def _first_byte(mm: MmState, start: int, end: int, grows: int) -> int:
    """Return where the change begins: with PROT_GROWSDOWN at the bottom of the stack."""
    vma = mm.tree.find(start)
    if vma is None or vma.start >= end or (not grows & Prot.GROWSDOWN and vma.start > start):
        raise SysError(errno.ENOMEM)
    if grows & Prot.GROWSUP or (grows and not vma.flags & VmFlag.GROWSDOWN):
        raise SysError(errno.EINVAL)  # nothing grows up on x86
    return vma.start if grows else start


def _key(mm: MmState, vma: Vma, prot: int, pkey: int | None) -> int:
    """Return the protection key that a mapping gets. [arch_override_mprotect_pkey]"""
    if pkey is not None or not mm.pkeys.available:
        return pkey or 0
    key = (vma.flags & VmFlag.PKEY) >> VmFlag.PKEY_SHIFT
    if prot == Prot.EXEC:
        return mm.pkeys.for_execute_only() or key
    was_execute_only = (vma.flags & VmFlag.ACCESS == VmFlag.EXEC
                        and key == mm.pkeys.execute_only)
    return 0 if was_execute_only else key


def mprotect_vma(mm: MmState, vma: Vma, start: int, end: int, flags: int) -> Vma:
    """Give part of a mapping new flags; return the mapping that then holds it.

    Raise ``SysError(ENOMEM)`` if a limit forbids it. [mprotect_fixup]
    """
    old, pages = vma.flags, (end - start) >> PAGE_SHIFT
    if flags == old:
        return vma
    charged = 0
    if flags & VmFlag.WRITE:
        if not mm.may_expand(flags, pages) and mm.may_expand(old, pages):
            raise SysError(errno.ENOMEM)
        if not old & COUNTED_ALREADY:
            mm.charge(pages)
            charged = pages
            flags |= VmFlag.ACCOUNT
    previous = vma if vma.start < start else mm.tree.neighbours(vma)[0]
    try:
        vma = set_flags(mm, vma, previous, start, end, flags)
    except SysError:
        mm.uncharge(charged)
        raise
    mm.page_tables.protect(vma, start, end)
    mm.account(old, -pages)
    mm.account(flags, pages)
    if old & (VmFlag.WRITE | VmFlag.SHARED | VmFlag.LOCKED) == VmFlag.LOCKED and (
            flags & VmFlag.WRITE):
        with suppress(SysError):
            populate_vma(mm, vma, start, end)
    return vma
