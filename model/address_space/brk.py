"""The heap: the end of data that a program moves. [sys_brk, do_brk_flags]"""

import errno

from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .errors import SysError
from .limits import INFINITY
from .merge import can_merge_after, expand
from .mm_state import MmState
from .munmap import unmap_range
from .populate import mm_populate
from .uapi import MapFlag
from .unmapped_area import get_unmapped_area
from .vma import Vma, VmFlag, page_align

__all__ = ["add_heap", "brk", "map_zeroed"]


def brk(mm: MmState, address: int) -> int:
    """Move the end of the heap and return where it is then; see ``Mm.brk``. [sys_brk]"""
    if address < mm.start_brk:
        return mm.brk_end
    data = address - mm.start_brk + mm.end_data - mm.start_data
    if mm.rlimits.data < INFINITY and data > mm.rlimits.data:
        return mm.brk_end
    old, new = page_align(mm.brk_end), page_align(address)
    try:
        _move(mm, old, new)
    except SysError:
        return mm.brk_end
    mm.brk_end = address
    if new > old and mm.def_flags & VmFlag.LOCKED:
        mm_populate(mm, old, new)
    return address


def _move(mm: MmState, old: int, new: int) -> None:
    """Move the end of the heap between two page-aligned addresses."""
    if new == old:
        return
    if new < old:
        vma = mm.tree.find(new)
        if vma is None or vma.start >= old:
            raise SysError(errno.ENOMEM)
        unmap_range(mm, new, old)
        return
    _check_limits(mm, old, new - old)
    above = mm.tree.find(old)
    if above is not None and new + PAGE_BYTES > mm.start_gap(above):
        raise SysError(errno.ENOMEM)
    below = mm.tree.find_with_previous(old)[1]
    if below is not None and below.end <= mm.start_brk:
        below = None  # bss ends where the heap begins, and stays a mapping of its own
    add_heap(mm, below, old, new - old, 0)


def _check_limits(mm: MmState, start: int, length: int) -> None:
    """Raise ``SysError`` if no heap may be at a range. [check_brk_limits]"""
    get_unmapped_area(mm, None, start, length, MapFlag.FIXED)
    mm.check_lock_limit(mm.def_flags, length)


def add_heap(mm: MmState, below: Vma | None, start: int, length: int, flags: int) -> None:
    """Map zeroed memory in a hole, as part of the mapping ``below`` if the two may merge.

    It never merges with a mapping above. Raise ``SysError(ENOMEM)`` if it exceeds a limit.
    [do_brk_flags]
    """
    flags |= VmFlag.DATA_DEFAULT | VmFlag.ACCOUNT | mm.def_flags
    flags |= VmFlag.EXEC if mm.read_implies_exec else 0
    pages = length >> PAGE_SHIFT
    if not mm.may_expand(flags, pages) or mm.map_count > mm.space.max_map_count:
        raise SysError(errno.ENOMEM)
    mm.charge(pages)
    if below is not None and below.end == start and can_merge_after(
            below, flags, None, None, start >> PAGE_SHIFT):
        vma = below
        expand(mm, vma, vma.start, start + length)
    else:
        vma = Vma(start, start + length, flags, start >> PAGE_SHIFT)
        mm.tree.insert(vma)
    vma.flags |= mm.soft_dirty
    mm.account(flags, pages)
    if flags & VmFlag.LOCKED:
        mm.locked_vm += pages


def map_zeroed(mm: MmState, start: int, length: int, flags: int) -> None:
    """Map zeroed memory in place of whatever is in a range, for a program's bss. [vm_brk_flags]

    ``flags`` is ``VmFlag.EXEC`` or 0. Raise ``SysError`` if the range or a limit forbids it.
    """
    length = page_align(length)
    if not length:
        return
    _check_limits(mm, start, length)
    unmap_range(mm, start, start + length)
    add_heap(mm, mm.tree.find_with_previous(start)[1], start, length, flags)
    if mm.def_flags & VmFlag.LOCKED:
        mm_populate(mm, start, start + length)
