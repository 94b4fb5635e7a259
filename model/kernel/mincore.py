"""Which pages of a process are in memory. [mm/mincore.c]

The process may know it of all files that it maps. [can_do_mincore]
"""

from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .page_cache import CachedFile
from .state import KernelState
from .user_tables import UserTables

__all__ = ["mincore_pages"]


def mincore_pages(space: UserTables, vma: Vma, start: int, end: int) -> bytes:
    """Return a byte for each page of a range of a mapping: 1 if no access would have to read it.

    A page that is not mapped counts if the page cache or the swap cache has it. [do_mincore]
    """
    if vma.file is None and not vma.is_anonymous:
        return b"\1" * (end - start >> PAGE_SHIFT)
    found = bytearray(_of_file(space.state, vma, at) for at in range(start, end, PAGE_BYTES))
    if vma.flags & VmFlag.PFNMAP:
        return bytes(found)
    for leaf in space.tables.entries(start, end):
        first, last = max(leaf.vaddr, start), min(leaf.vaddr + leaf.level.page_bytes, end)
        present = True
        if leaf.level.page_bytes == PAGE_BYTES and space.kind(leaf.entry) >= EntryKind.SWAP:
            present = space.state.swap.cache.page(space.state.slot(leaf.entry)) is not None
        for vaddr in range(first, last, PAGE_BYTES):
            found[vaddr - start >> PAGE_SHIFT] = present
    return bytes(found)


def _of_file(state: KernelState, vma: Vma, vaddr: int) -> bool:
    """Return whether a page of a mapping is in memory that its tables do not have.

    Of huge pages only those count that are mapped. [__mincore_unmapped_range, mincore_hugetlb]
    """
    if vma.file is None or vma.flags & VmFlag.HUGETLB:
        return False
    try:
        pages = state.page_cache.space(vma.file)
    except KeyError:
        return False
    return _is_in_core(state, pages, vma.pgoff_of(vaddr))


def _is_in_core(state: KernelState, pages: CachedFile, index: int) -> bool:
    """Return whether a page of a file is in memory and holds data. [find_get_incore_page]"""
    if index in pages.slots:
        return state.swap.cache.page(pages.slots[index]) is not None
    return index in pages.pages and index not in pages.unwritten
