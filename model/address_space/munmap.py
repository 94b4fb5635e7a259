"""Taking mappings away. [do_mas_munmap, do_mas_align_munmap]"""

import errno

from ..x86 import PAGE_BYTES
from .anon_vma import unlink_anon_vmas
from .errors import SysError
from .hugetlb_mapping import close_huge
from .merge import split
from .mm_state import MmState
from .vma import Vma, VmFlag, page_align

__all__ = ["munmap", "unmap_range"]


def munmap(mm: MmState, start: int, length: int) -> None:
    """Unmap ``length`` bytes from ``start``; see ``Mm.munmap``. [do_mas_munmap]"""
    if start & (PAGE_BYTES - 1) or not 0 <= start <= mm.space.task_size - length:
        raise SysError(errno.EINVAL)
    end = start + page_align(length)
    if end == start:
        raise SysError(errno.EINVAL)
    unmap_range(mm, start, end)


def unmap_range(mm: MmState, start: int, end: int) -> None:
    """Unmap all between two page-aligned addresses; there may be holes.

    Raise ``SysError``: ENOMEM if a mapping would be cut in two and there are too many, EINVAL if
    one cannot be cut there. A cut already made at ``start`` then stays. [do_mas_align_munmap]
    """
    first = mm.tree.intersection(start, end)
    if first is None:
        return
    if first.start < start:
        if end < first.end and mm.map_count >= mm.space.max_map_count:
            raise SysError(errno.ENOMEM)
        split(mm, first, start, new_below=False)
    last = mm.tree.lookup(end - 1)
    if last is not None and last.end > end:
        split(mm, last, end, new_below=True)
    gone = mm.tree.overlapping(start, end)
    for vma in gone:
        mm.tree.remove(vma)
    mm.page_tables.unmap(gone, start, end)
    for vma in gone:
        _release(mm, vma)


def _release(mm: MmState, vma: Vma) -> None:
    """Take a mapping that has left the tree off the accounts. [remove_mt, remove_vma]"""
    mm.hiwater_vm = max(mm.hiwater_vm, mm.total_vm)
    mm.account(vma.flags, -vma.pages)
    if vma.flags & VmFlag.LOCKED:
        mm.locked_vm -= vma.pages
    if vma.flags & VmFlag.ACCOUNT:
        mm.uncharge(vma.pages)
    if vma.flags & VmFlag.HUGETLB:
        close_huge(mm, vma)
    unlink_anon_vmas(vma)
