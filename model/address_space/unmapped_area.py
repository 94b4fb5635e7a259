"""Where a mapping without a fixed address goes. [get_unmapped_area]

The search walks the holes from the top, in time linear in the mappings that it passes.
"""

import errno

from ..x86 import PAGE_BYTES
from .errors import SysError
from .mm_state import MmState
from .uapi import MapFlag
from .vma import File, VmFlag

__all__ = ["get_unmapped_area"]


def get_unmapped_area(mm: MmState, file: File | None, address: int, length: int, flags: int) -> int:
    """Return a page-aligned address where ``length`` bytes fit.

    ``address`` is the address itself with MAP_FIXED in ``flags``, else a hint, 0 for none. The
    mapping goes to the highest place below ``mmap_base``, or if there is none to the lowest from
    a third of the address space on; without ``topdown`` to the lowest from ``mmap_base`` on.
    Alignment is a page, or that of the ``file``'s huge pages.

    Raise ``SysError``: ENOMEM without room, EINVAL for misaligned values, EPERM below
    ``mmap_min_addr`` for a process without privileges.
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
    else:
        address = _search(mm, address, length, huge)
    if address > space.task_size - length:
        raise SysError(errno.ENOMEM)
    if address & (PAGE_BYTES - 1):
        raise SysError(errno.EINVAL)
    if address < space.mmap_min_addr and not mm.privileged:
        raise SysError(errno.EPERM)
    return address


def _search(mm: MmState, hint: int, length: int, huge: int) -> int:
    """Return a free address: the hint if that is free, else from the top, else the bottom."""
    space = mm.space
    floor = PAGE_BYTES if huge else space.search_floor
    if huge:
        hint &= -huge
    if hint and floor <= hint <= space.task_size - length:
        vma = mm.tree.find(hint)
        if vma is None or hint + length <= mm.start_gap(vma):
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
