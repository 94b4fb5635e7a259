"""Resizing and moving mappings. [mm/mremap.c]"""

import errno

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .anon_vma import anon_vma_clone, unlink_anon_vmas
from .errors import SysError
from .hugetlb_mapping import clear_reserve, open_huge
from .merge import expand, vma_merge
from .mm_state import MmState
from .munmap import munmap, unmap_range
from .populate import mm_populate
from .uapi import MapFlag, MremapFlag
from .unmapped_area import get_unmapped_area
from .vma import Vma, VmFlag, page_align

__all__ = ["mremap"]

MOVES = MremapFlag.FIXED | MremapFlag.DONTUNMAP
UNMOVABLE = VmFlag.DONTEXPAND | VmFlag.PFNMAP


def mremap(
    mm: MmState, address: int, old_length: int, new_length: int, flags: int, new_address: int
) -> int:
    """Resize or move a mapping and return where it is; see ``Mm.mremap``. [sys_mremap]"""
    if flags & ~(MremapFlag.MAYMOVE | MOVES) or (flags & MOVES
                                                 and not flags & MremapFlag.MAYMOVE):
        raise SysError(errno.EINVAL)
    if flags & MremapFlag.DONTUNMAP and old_length != new_length:
        raise SysError(errno.EINVAL)
    word = mm.space.word
    old_length, new_length = word(page_align(old_length)), word(page_align(new_length))
    if address & (PAGE_BYTES - 1) or not new_length:
        raise SysError(errno.EINVAL)
    vma = mm.tree.lookup(address)
    if vma is None:
        raise SysError(errno.EFAULT)
    if vma.flags & VmFlag.HUGETLB:
        huge = vma.page_bytes
        old_length = word(old_length + -old_length % huge)
        new_length = word(new_length + -new_length % huge)
        if address % huge or new_address % huge or new_length > old_length:
            raise SysError(errno.EINVAL)
    if flags & MOVES:
        return _move_to(mm, address, old_length, new_address, new_length, flags)
    if old_length >= new_length:
        if old_length > new_length:
            munmap(mm, word(address + new_length), old_length - new_length)
        return address
    return _grow(mm, address, old_length, new_length, flags)


def _resizable(mm: MmState, address: int, old_length: int, new_length: int, flags: int) -> Vma:
    """Return the mapping of ``address`` if it may have the new length. [vma_to_resize]"""
    vma = mm.tree.lookup(address)
    if vma is None:
        raise SysError(errno.EFAULT)
    if not old_length and not vma.flags & (VmFlag.SHARED | VmFlag.MAYSHARE):
        raise SysError(errno.EINVAL)
    if flags & MremapFlag.DONTUNMAP and vma.flags & UNMOVABLE:
        raise SysError(errno.EINVAL)
    if old_length > vma.end - address:
        raise SysError(errno.EFAULT)
    if new_length != old_length:
        if vma.pgoff_of(address) + (new_length >> PAGE_SHIFT) >= 1 << 8 * mm.space.word_bytes:
            raise SysError(errno.EINVAL)
        if vma.flags & UNMOVABLE:
            raise SysError(errno.EFAULT)
        mm.check_lock_limit(vma.flags, new_length - old_length)
        if not mm.may_expand(vma.flags, (new_length - old_length) >> PAGE_SHIFT):
            raise SysError(errno.ENOMEM)
    return vma


def _grow(mm: MmState, address: int, old_length: int, new_length: int, flags: int) -> int:
    """Grow a mapping in place if it ends at a hole, else at another place."""
    vma = _resizable(mm, address, old_length, new_length, flags)
    if address + old_length == vma.end and _grow_in_place(mm, vma, new_length - old_length):
        if vma.flags & VmFlag.LOCKED:
            mm_populate(mm, address + old_length, address + new_length)
        return address
    if not flags & MremapFlag.MAYMOVE:
        raise SysError(errno.ENOMEM)
    new_address = get_unmapped_area(mm, vma.file, 0, new_length, 0, vma.pgoff_of(address))
    return _move(mm, vma, address, old_length, new_address, new_length, flags)


def _grow_in_place(mm: MmState, vma: Vma, delta: int) -> bool:
    """Let a mapping grow by ``delta`` bytes if they are free; return whether it did.

    The guard gap of a stack above counts as free. Raise ``SysError(ENOMEM)`` for device memory,
    which merges with nothing, not even what continues it. [vma_expandable]
    """
    start, end = vma.end, vma.end + delta
    if mm.tree.intersection(start, end):
        return False
    try:
        get_unmapped_area(mm, None, vma.start, end - vma.start, MapFlag.FIXED)
    except SysError:
        return False
    pages = delta >> PAGE_SHIFT
    if vma.flags & VmFlag.ACCOUNT:
        mm.charge(pages)
    if vma.has_close:
        expand(mm, vma, vma.start, end)
    elif vma_merge(mm, vma, start, end, vma.flags, vma.anon_vma, vma.file,
                   vma.pgoff_of(start)) is None:
        if vma.flags & VmFlag.ACCOUNT:
            mm.uncharge(pages)
        raise SysError(errno.ENOMEM)
    mm.account(vma.flags, pages)
    if vma.flags & VmFlag.LOCKED:
        mm.locked_vm += pages
    return True


def _move_to(
    mm: MmState, address: int, old_length: int, new_address: int, new_length: int, flags: int
) -> int:
    """Move a mapping to ``new_address``, or near it without MREMAP_FIXED. [mremap_to]"""
    task_size = mm.space.task_size
    if new_address & (PAGE_BYTES - 1) or new_length > task_size or (
            new_address > task_size - new_length):
        raise SysError(errno.EINVAL)
    if mm.space.word(address + old_length) > new_address and new_address + new_length > address:
        raise SysError(errno.EINVAL)
    if mm.map_count + 2 >= mm.space.max_map_count - 3:
        raise SysError(errno.ENOMEM)
    fixed = flags & MremapFlag.FIXED
    if fixed:
        munmap(mm, new_address, new_length)
    if old_length > new_length:
        munmap(mm, mm.space.word(address + new_length), old_length - new_length)
        old_length = new_length
    vma = _resizable(mm, address, old_length, new_length, flags)
    if flags & MremapFlag.DONTUNMAP and not mm.may_expand(vma.flags, old_length >> PAGE_SHIFT):
        raise SysError(errno.ENOMEM)
    new_address = get_unmapped_area(mm, vma.file, new_address, new_length,
                                    MapFlag.FIXED if fixed else 0, vma.pgoff_of(address))
    return _move(mm, vma, address, old_length, new_address, new_length, flags)


def _move(
    mm: MmState, vma: Vma, old: int, old_length: int, new: int, new_length: int, flags: int
) -> int:
    """Copy part of a mapping to a hole, with its pages, and unmap it. [move_vma]"""
    if mm.map_count >= mm.space.max_map_count - 3:
        raise SysError(errno.ENOMEM)
    if vma.special is not None and (vma.start, vma.end) != (old, old + old_length):
        raise SysError(errno.EINVAL)
    keep = flags & MremapFlag.DONTUNMAP
    vm_flags = vma.flags
    growth = (new_length if keep else new_length - old_length) >> PAGE_SHIFT
    if not vm_flags & VmFlag.ACCOUNT:
        growth = 0
    mm.charge(growth)
    vma, target = _copy(mm, vma, old, new, new_length)
    try:
        mm.page_tables.move(vma, old, target, new, old_length)
    except BaseException:
        _unmap_copy(mm, target, new, new_length)
        mm.uncharge(growth)
        raise
    mm.account(vm_flags, new_length >> PAGE_SHIFT)
    if keep:
        _empty_source(mm, vma, target, old, old_length)
        return new
    _unmap_source(mm, vma, old, old_length)
    if vm_flags & VmFlag.LOCKED:
        mm.locked_vm += new_length >> PAGE_SHIFT
        if new_length > old_length:
            mm_populate(mm, new + old_length, new + new_length)
    return new


def _empty_source(mm: MmState, vma: Vma, target: Vma, old: int, length: int) -> None:
    """Leave the mapping that pages were moved from, unlocked. [MREMAP_DONTUNMAP]

    All of it is unlocked though only a part may have moved. As in Linux, what is counted as locked
    stays as it was, so that the pages that did not move go on counting, for good.
    """
    vma.flags &= ~VmFlag.LOCK_MASK
    marked = sum(one.pages for one in mm.tree if one.flags & VmFlag.LOCKED)
    mm.locked_unmarked = mm.locked_vm - marked
    if target is not vma and (vma.start, vma.end) == (old, old + length):
        unlink_anon_vmas(vma)


def _unmap_source(mm: MmState, vma: Vma, old: int, length: int) -> None:
    """Unmap what has moved; the copy inherits what was committed and reserved for it.

    That both were mapped for a moment does not count. [hiwater_vm in move_vma]
    """
    pages, accounted, hiwater = length >> PAGE_SHIFT, vma.flags & VmFlag.ACCOUNT, mm.hiwater_vm
    if vma.flags & VmFlag.HUGETLB:
        clear_reserve(vma, old, old + length)
    if length:
        unmap_range(mm, old, old + length)
        mm.hiwater_vm = hiwater
    if accounted:
        mm.uncharge(-pages)


def _unmap_copy(mm: MmState, target: Vma, new: int, length: int) -> None:
    """Unmap a new mapping that pages could not be moved to, and that is not yet counted."""
    mm.account(target.flags, length >> PAGE_SHIFT)
    if target.flags & VmFlag.LOCKED:
        mm.locked_vm += length >> PAGE_SHIFT
    _unmap_source(mm, target, new, length)


def _copy(mm: MmState, vma: Vma, old: int, new: int, length: int) -> tuple[Vma, Vma]:
    """Return the mapping of ``old`` and one like it at ``new``. [copy_vma]

    Memory without pages gets the page offset of its new address, so that it may merge there, even
    with the mapping that it is moved from.
    """
    pgoff = vma.pgoff_of(old)
    if vma.is_anonymous and vma.anon_vma is None:
        pgoff = new >> PAGE_SHIFT
    previous = mm.tree.find_with_previous(new)[1]
    start = vma.start
    target = vma_merge(mm, previous, new, new + length, vma.flags, vma.anon_vma, vma.file, pgoff)
    if target is not None:
        return target if target.start <= start < target.end else vma, target
    target = vma.duplicate()
    target.start, target.end, target.pgoff = new, new + length, pgoff
    anon_vma_clone(target, vma)
    if target.flags & VmFlag.HUGETLB:
        open_huge(mm, target)
    mm.tree.insert(target)
    return vma, target
