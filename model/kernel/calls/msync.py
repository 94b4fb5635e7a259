"""Writing shared pages of files back. [mm/msync.c, mm/page-writeback.c]"""

import errno

from ...address_space.errors import SysError
from ...address_space.mm import Mm
from ...address_space.uapi import MsyncFlag
from ...address_space.vma import File, VmFlag, page_align
from ...x86 import PAGE_BYTES, PAGE_SHIFT
from ..state import KernelState

__all__ = ["fsync_range", "msync"]


def msync(state: KernelState, mm: Mm, start: int, length: int, flags: int) -> None:
    """Write back what is dirty of the files that a range maps shared, if MS_SYNC is set.

    Raise ``SysError``: EINVAL for bad flags or a start within a page; EBUSY for MS_INVALIDATE of
    locked memory; ENOMEM for a range that ends before it begins, and for one with holes, after the
    rest is done.
    """
    known = MsyncFlag.ASYNC | MsyncFlag.INVALIDATE | MsyncFlag.SYNC
    both = MsyncFlag.ASYNC | MsyncFlag.SYNC
    if flags & ~known or start & (PAGE_BYTES - 1) or flags & both == both:
        raise SysError(errno.EINVAL)
    limit = 1 << 8 * mm.space.word_bytes
    end = start + page_align(length) % limit
    if end >= limit:
        raise SysError(errno.ENOMEM)
    has_hole = False
    while start < end:
        vma = mm.find_vma(start)
        if vma is None or vma.start >= end or (start < vma.start and flags == MsyncFlag.ASYNC):
            raise SysError(errno.ENOMEM)
        has_hole |= start < vma.start
        start = max(start, vma.start)
        if flags & MsyncFlag.INVALIDATE and vma.flags & VmFlag.LOCKED:
            raise SysError(errno.EBUSY)
        stop = min(end, vma.end)
        if flags & MsyncFlag.SYNC and vma.file is not None and vma.flags & VmFlag.SHARED:
            first = vma.pgoff_of(start)
            fsync_range(state, vma.file, first, first + (stop - start >> PAGE_SHIFT))
        start = vma.end
    if has_hole:
        raise SysError(errno.ENOMEM)


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
