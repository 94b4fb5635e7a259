"""Where a mapping without a fixed address goes. [get_unmapped_area]

The search walks the holes from the top, in time linear in the mappings that it passes.
"""

import errno

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .mm_state import MmState
from .uapi import MapFlag
from .vma import File, VmFlag

__all__ = ["get_unmapped_area"]

MAX_ERRNO = 4095  # the highest addresses are taken for errors [IS_ERR_VALUE]

LOW_START, LOW_END = 0x4000_0000, 0x8000_0000
LOW_RANDOM_BYTES = 0x200_0000
"""Where MAP_32BIT puts mappings, and how much of that randomness may leave out. [find_start_end]"""


def get_unmapped_area(mm: MmState, file: File | None, address: int, length: int, flags: int,
                      pgoff: int = 0) -> int:
    """Return a page-aligned address where ``length`` bytes fit.

    ``address`` is the address itself with MAP_FIXED in ``flags``, else a hint, 0 for none. The
    mapping goes to the highest place below ``mmap_base``, or if there is none to the lowest from
    a third of the address space on; without ``topdown`` to the lowest from ``mmap_base`` on; with
    MAP_32BIT, in 64-bit processes, to the lowest of the second Gbyte. Alignment is a page, or that
    of the ``file``'s huge pages, or what its file system asks for: ``pgoff`` is the page of the
    file that is mapped first.

    Raise ``SysError``: for an address with MAP_FIXED in the very last page of the address space
    the number that it is as an error; ENOMEM without room, EINVAL for misaligned values, EPERM
    below ``mmap_min_addr`` for a process without privileges.
    """
    space = mm.space
    huge = file.huge_page_bytes if file is not None else 0
    if huge and length % huge:
        raise SysError(errno.EINVAL)
    if length > (space.task_size if huge else space.max_length):
        raise SysError(errno.ENOMEM)
    if flags & MapFlag.FIXED:
        if huge and address % huge:
            raise SysError(errno.EINVAL)
        if mm.space.word(-address) <= MAX_ERRNO and address:
            raise SysError(mm.space.word(-address))
    elif huge:
        address = _search(mm, address, length, huge)
    elif file is not None and file.thp_aligned and space.word_bytes == 8:
        address = _thp_aligned(mm, address, length, flags, pgoff << PAGE_SHIFT)
    else:
        address = _arch_area(mm, address, length, flags)
    if address > space.task_size - length:
        raise SysError(errno.ENOMEM)
    if address & (PAGE_BYTES - 1):
        raise SysError(errno.EINVAL)
    if address < space.mmap_min_addr and not mm.privileged:
        raise SysError(errno.EPERM)
    return address


def _thp_aligned(mm: MmState, hint: int, length: int, flags: int, offset: int) -> int:
    """Return an address where huge pages of a file could be mapped, if it has any in the range.

    For that there must be a hole with as much to spare as a huge page has; even a hint must have
    so much room behind it. [__thp_get_unmapped_area, thp_get_unmapped_area]
    """
    huge = mm.space.huge_page_bytes
    first = offset + -offset % huge
    if offset + length - first >= huge:
        try:
            address = _arch_area(mm, hint, length + huge, flags)
        except SysError:
            pass  # without so much to spare any place will do
        else:
            return address if address == hint else address + (offset - address) % huge
    return _arch_area(mm, hint, length, flags)


def _arch_area(mm: MmState, hint: int, length: int, flags: int) -> int:
    """Return a free address for any other mapping. [arch_get_unmapped_area_topdown]"""
    if length > mm.space.task_size:
        raise SysError(errno.ENOMEM)
    if flags & MapFlag.BELOW_2G and mm.space.word_bytes == 8:
        return _below_2g(mm, hint, length)
    return _search(mm, hint, length, 0)


def _below_2g(mm: MmState, hint: int, length: int) -> int:
    """Return a free address for MAP_32BIT: the hint, or the lowest. [arch_get_unmapped_area]"""
    low = LOW_START
    if mm.rng is not None:
        low += int(mm.rng.integers(LOW_RANDOM_BYTES >> PAGE_SHIFT)) << PAGE_SHIFT
    if hint and hint <= LOW_END - length and _is_free(mm, hint, length):
        return hint
    found = _bottomup(mm, low, LOW_END, length, 0) if length <= LOW_END - low else None
    if found is None:
        raise SysError(errno.ENOMEM)
    return found


def _is_free(mm: MmState, start: int, length: int) -> bool:
    """Return whether nothing is mapped in a range, nor a stack too near above it."""
    vma = mm.tree.find(start)
    return vma is None or start + length <= mm.start_gap(vma)


def _search(mm: MmState, hint: int, length: int, huge: int) -> int:
    """Return a free address: the hint if that is free, else from the top, else the bottom."""
    space = mm.space
    floor = PAGE_BYTES if huge else space.search_floor
    if huge:
        hint &= -huge
    if hint and floor <= hint <= space.task_size - length and _is_free(mm, hint, length):
        return hint
    # Address bits above the page offset that alignment makes 0. A hole with as many bytes to spare
    # holds an aligned range wherever it begins, so the search need not align each candidate; a
    # hole that would only just do is passed over, as in Linux.
    mask = huge - PAGE_BYTES if huge else 0
    bottom, found = mm.mmap_base, None
    if mm.topdown:
        bottom, found = space.unmapped_base, _topdown(mm, floor, mm.mmap_base, length, mask)
    if found is None:
        found = _bottomup(mm, bottom, space.task_size, length, mask)
    if found is None:
        raise SysError(errno.ENOMEM)
    return found


def _topdown(mm: MmState, low: int, high: int, length: int, mask: int) -> int | None:
    """Return the highest address in a hole that has ``mask`` bytes to spare, None if there is none.

    A hole below a stack ends at the stack's guard gap. As in Linux, the search then stays below the
    gap, even where another mapping lies inside it with a hole below. [unmapped_area_topdown]
    """
    needed = length + mask
    for start, end in mm.tree.gaps_from_top(low, high):
        end = min(end, high)
        if end - start < needed:
            continue
        above = mm.tree.find(end - 1)
        if above is not None and above.flags & VmFlag.GROWSDOWN and mm.start_gap(above) < end:
            high = end = mm.start_gap(above)
        if end - start >= needed:
            return (end - length) & ~mask
    return None


def _bottomup(mm: MmState, low: int, high: int, length: int, mask: int) -> int | None:
    """Return the lowest address in a hole that has ``mask`` bytes to spare, None if there is none.

    A hole below a stack must have room up to the stack's guard gap. [unmapped_area]
    """
    needed = length + mask
    for start, end in mm.tree.gaps_from_bottom(low, high):
        if end - start < needed:
            continue
        address = (start + mask) & ~mask
        above = mm.tree.find(start)
        is_stack = above is not None and above.flags & VmFlag.GROWSDOWN
        if above is not None and is_stack and mm.start_gap(above) < address + needed - 1:
            continue
        return address
    return None
