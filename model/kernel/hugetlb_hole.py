"""Holes in files of huge pages. [hugetlbfs_punch_hole in fs/hugetlbfs/inode.c]"""

from ..address_space.vma import File
from ..x86 import PAGE_SHIFT
from .state import KernelState
from .truncate import unmap_mapping_range

__all__ = ["punch_huge_hole"]


def punch_huge_hole(state: KernelState, file: File, start: int, end: int) -> None:
    """Make a range of bytes of a file of huge pages a hole, which reads as zeros.

    Whole pages are free then, and no longer reserved; mappings lose them, and private copies, too.
    Of others a part is filled with zeros. A file that nobody maps has no pages.
    """
    size = file.huge_page_bytes
    pool = state.hugetlb.get(size)
    if pool is None or file not in pool.files:
        return
    first, last = -(-start // size), end // size
    if start < first * size:
        _zero(state, file, start, min(end, first * size))
    unmap_mapping_range(state, file, first * size, last * size, even_cows=True)
    if end > max(first, last) * size:
        _zero(state, file, last * size, end)
    inode = pool.files[file]
    for index in sorted(index for index in inode.pages if first <= index < last):
        pool.remove_from_file(inode, index)


def _zero(state: KernelState, file: File, start: int, end: int) -> None:
    """Fill a part of one page with zeros if it is there. [hugetlbfs_zero_partial_page]"""
    index, offset = divmod(start, file.huge_page_bytes)
    pfn = state.hugetlb[file.huge_page_bytes].files[file].pages.get(index)
    if pfn is not None:
        state.memory.write_bytes((pfn << PAGE_SHIFT) + offset, bytes(end - start))
