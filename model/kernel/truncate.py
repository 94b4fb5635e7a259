"""Taking pages away from a file, and from all who map them.

[mm/truncate.c, shmem_undo_range in mm/shmem.c, unmap_mapping_range in mm/memory.c]
"""

from ..address_space.vma import File
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .page_cache import CachedFile
from .state import KernelState

__all__ = ["EVERYTHING", "drop_unwritten", "forget_beyond", "punch_hole", "truncate_range",
           "unmap_mapping_range"]

EVERYTHING = 1 << 64
"""An end of a range of bytes that no file reaches."""


def unmap_mapping_range(state: KernelState, file: File, start: int, end: int, *,
                        even_cows: bool) -> None:
    """Take the whole pages of a range of bytes from all page tables that map the file.

    With ``even_cows`` private copies go, too, in memory or in swap. [unmap_mapping_range]
    """
    first, last = -(-start // PAGE_BYTES), end // PAGE_BYTES
    for space in list(state.spaces.values()) if first < last else ():
        space.unmap_file(file, first, last, even_cows=even_cows)


def punch_hole(state: KernelState, file: File, start: int, end: int) -> None:
    """Make a range of bytes of a file a hole, which reads as zeros; private copies stay.

    Of shared memory a hole that ends within the first page takes all pages after its start from all
    page tables: the end of the whole pages, counted from 0, is -1. Raise ``OutOfMemory``,
    ``SwapIoError`` for a page of which a part is to go. [shmem_fallocate, ext4_punch_hole]
    """
    space = state.page_cache.space(file)
    if space.content is not None:
        end = min(end, -(-space.inode.size // PAGE_BYTES) * PAGE_BYTES)
    if start >= end:
        return
    within_first = space.content is None and end < PAGE_BYTES
    unmap_mapping_range(state, file, start, EVERYTHING if within_first else end, even_cows=False)
    truncate_range(state, space, start, end)
    if space.content is not None:
        space.content.clear(-(-start // PAGE_BYTES), end // PAGE_BYTES)


def truncate_range(state: KernelState, space: CachedFile, start: int, end: int) -> None:
    """Free the pages of a range of bytes of a file; fill with zeros what it has of others.

    None of the whole pages may be mapped. Raise as ``punch_hole``. [shmem_undo_range,
    truncate_inode_pages_range]
    """
    first, last = -(-start // PAGE_BYTES), end // PAGE_BYTES
    for pfn in [pfn for index, pfn in sorted(space.pages.items()) if first <= index < last]:
        _delete(state, pfn)
    for index in [index for index in space.shadows if first <= index < last]:
        del space.shadows[index]
    state.page_cache.free_slots(space, [at for at in space.slots if first <= at < last])
    for index in sorted({start // PAGE_BYTES, (end - 1) // PAGE_BYTES}):
        page = index << PAGE_SHIFT
        if not first <= index < last:
            _zero(state, space, index, max(start - page, 0), min(end - page, PAGE_BYTES))
    state.page_cache.recount(space)


def forget_beyond(state: KernelState, space: CachedFile, size: int) -> None:
    """Fill the rest of the page with zeros that the new end of a file on a disk is in.

    If it is in memory a mapping may have stored something there. It is no more dirty or used for
    that. [truncate_pagecache, truncate_inode_partial_folio]
    """
    pfn, offset = space.pages.get(size // PAGE_BYTES), size % PAGE_BYTES
    if pfn is not None and offset:
        state.memory.write_bytes((pfn << PAGE_SHIFT) + offset, bytes(PAGE_BYTES - offset))


def drop_unwritten(state: KernelState, space: CachedFile, first: int, end: int) -> None:
    """Free the pages of a range that were allocated and never used. [shmem_undo_range]"""
    for index in sorted(index for index in space.unwritten if first <= index < end):
        _delete(state, space.pages[index])
    state.page_cache.recount(space)


def _delete(state: KernelState, pfn: int) -> None:
    """Take a page out of its file, whatever it holds. [truncate_inode_folio]

    One that the kernel is working with lives on until it has done; reclaim has no business with
    it any more.
    """
    if state.frames.refcount(pfn) > 1:
        state.lruvec.delete(pfn)
        state.frames.set_lru(pfn, False)
    state.page_cache.remove(pfn)


def _zero(state: KernelState, space: CachedFile, index: int, start: int, end: int) -> None:
    """Fill a part of a page with zeros, if it may have anything else there.

    One that lies in the file is brought back from swap or from the disk for it, and counts as used
    if the file is on a disk.
    [truncate_inode_partial_folio, shmem_get_partial_folio, ext4_block_zero_page_range]
    """
    is_away = index in space.slots or space.content is not None
    if index in space.unwritten or (
            index not in space.pages and not (is_away and space.holds(index))):
        return
    pfn, _ = state.file_page(space, index)
    try:
        state.memory.write_bytes((pfn << PAGE_SHIFT) + start, bytes(end - start))
        state.page_cache.set_dirty(pfn)
        if space.content is not None:
            state.mark_accessed(pfn)
    finally:
        state.frames.put(pfn)
