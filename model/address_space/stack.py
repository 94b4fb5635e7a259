"""Stacks, which grow down when a program touches memory below them. [expand_stack]"""

import errno

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .mm_state import MmState
from .vma import Vma, VmFlag

__all__ = ["expand_downwards", "find_or_expand"]


def find_or_expand(mm: MmState, address: int) -> Vma | None:
    """Return the mapping of an address, growing a stack down to it if need be.

    Return None if no mapping holds the address and no stack can grow to it; see
    ``Mm.find_vma_or_expand``.
    """
    vma = mm.tree.find(address)
    if vma is None or vma.start <= address:
        return vma
    try:
        expand_downwards(mm, vma, address)
    except SysError:
        return None
    return vma


def expand_downwards(mm: MmState, vma: Vma, address: int) -> None:
    """Let a stack begin at the page of ``address``, which lies in the hole below it.

    Raise ``SysError``: EFAULT if ``vma`` is no stack, EPERM below ``mmap_min_addr``, ENOMEM within
    the guard gap above another mapping, or beyond a limit. [expand_downwards]
    """
    if not vma.flags & VmFlag.GROWSDOWN:
        raise SysError(errno.EFAULT)
    address &= -PAGE_BYTES
    if address < mm.space.mmap_min_addr:
        raise SysError(errno.EPERM)
    previous = mm.tree.neighbours(vma)[0]
    if (previous is not None and not previous.flags & VmFlag.GROWSDOWN
            and previous.flags & VmFlag.ACCESS
            and address - previous.end < mm.space.stack_guard_gap):
        raise SysError(errno.ENOMEM)
    mm.prepare_anon_vma(vma)
    grow = (vma.start - address) >> PAGE_SHIFT
    if grow > 0:
        _grow(mm, vma, address, grow)


def _grow(mm: MmState, vma: Vma, address: int, pages: int) -> None:
    """Check the limits and move the start of a stack. [acct_stack_growth]"""
    if pages > vma.pgoff or not mm.may_expand(vma.flags, pages):
        raise SysError(errno.ENOMEM)
    if vma.end - address > mm.rlimits.stack:
        raise SysError(errno.ENOMEM)
    try:
        mm.check_lock_limit(vma.flags, pages << PAGE_SHIFT)
    except SysError as error:
        raise SysError(errno.ENOMEM) from error
    if vma.flags & VmFlag.ACCOUNT:
        mm.charge(pages)
    else:  # a stack that is only readable is charged too, but nobody gives that back
        mm.commit.charge(pages, mm.total_vm, privileged=mm.privileged)
    if vma.flags & VmFlag.LOCKED:
        mm.locked_vm += pages
    mm.account(vma.flags, pages)
    vma.pgoff -= pages
    mm.tree.resize(vma, address, vma.end)
