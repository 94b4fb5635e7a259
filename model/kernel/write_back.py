"""Writing the dirty pages of files back when that is asked for. [mm/page-writeback.c]"""

from ..address_space.vma import File
from .state import KernelState

__all__ = ["fsync_range"]


def fsync_range(state: KernelState, file: File, first: int, end: int) -> None:
    """Write back what is dirty of the pages ``first`` up to ``end`` of a file.

    Nothing is of a file that was never registered. [vfs_fsync_range, write_cache_pages]
    """
    try:
        space = state.page_cache.space(file)
    except KeyError:
        return
    if space.content is None:
        return
    for index in sorted(index for index in space.pages if first <= index < end):
        pfn = space.pages[index]
        _clean_mappings(state, pfn)
        if state.page_cache.is_dirty(pfn):
            state.page_cache.write_back(pfn)


def _clean_mappings(state: KernelState, pfn: int) -> None:
    """Note that a page is dirty if an entry says so, and see to it that the next write faults.

    [page_mkclean]
    """
    for number, vaddr in state.frames.rmap.places(pfn):
        if state.spaces[number].clean_page(vaddr):
            state.page_cache.set_dirty(pfn)
