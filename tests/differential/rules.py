"""The rules of kernels after 6.1, each as a change of the model while a program runs.

``later.DIFFERENCES`` says which kernels have them.
"""

import errno
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest.mock import patch

from pagewalk.model.address_space import (
    maps_text,
    merge,
    mm,
    mmap,
    mprotect,
    mremap,
    smaps_text,
)
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.tables.software_entry import EntryKind
from pagewalk.model.address_space.uapi import Madvise, MremapFlag
from pagewalk.model.address_space.vma import VmFlag, page_align
from pagewalk.model.kernel import fallocate, make_present, truncate, user_tables, zap
from pagewalk.model.kernel.calls import file_calls, file_io
from pagewalk.model.x86 import PAGE_BYTES, PAGE_SHIFT, Entry

from .native import FILE_BYTES

WORD = 1 << 64
MOVES = MremapFlag.FIXED | MremapFlag.DONTUNMAP


def lock_on_fault_has_letters() -> AbstractContextManager[object]:
    return patch.dict(smaps_text.MNEMONICS, {VmFlag.LOCKONFAULT: "lf"})


def random_reads_tell_of_no_use() -> AbstractContextManager[object]:
    """[vma_has_recency]"""
    tells_of_use = zap.tells_of_use

    def has_recency(vma):
        return tells_of_use(vma) and not vma.flags & VmFlag.RAND_READ
    return patch.object(zap, "tells_of_use", has_recency)


def heap_is_what_overlaps_it() -> AbstractContextManager[object]:
    """[vma_is_initial_heap]"""
    name_of = maps_text.vma_name

    def vma_name(space, vma):
        name = name_of(space, vma)
        inside = vma.start < space.brk_end and vma.end > space.start_brk
        return "" if name == "[heap]" and not inside else name
    return patch.object(maps_text, "vma_name", vma_name)


def untouched_memory_is_uncharged() -> AbstractContextManager[object]:
    """[mprotect_fixup]"""
    mprotect_vma = mprotect.mprotect_vma

    def fixup(space, vma, start, end, flags):
        if (vma.flags & VmFlag.ACCOUNT and not flags & VmFlag.WRITE and vma.is_anonymous
                and vma.anon_vma is None and flags != vma.flags):
            vma = mprotect_vma(space, vma, start, end, flags & ~VmFlag.ACCOUNT)
            space.uncharge(end - start >> PAGE_SHIFT)
            return vma
        return mprotect_vma(space, vma, start, end, flags)
    return patch.object(mprotect, "mprotect_vma", fixup)


def mremap_checks_before_it_acts() -> AbstractContextManager[object]:
    """[check_mremap_params, check_prep_vma]"""
    unchecked = mm.mremap

    def checked(space, address, old_length, new_length, flags, new_address):
        old, new = page_align(old_length), page_align(new_length)
        if flags & ~7 or address % PAGE_BYTES or not new % WORD:
            raise SysError(errno.EINVAL)
        if new > space.space.task_size:
            raise SysError(errno.EINVAL)
        if flags & MOVES:
            if new_address % PAGE_BYTES or new_address > space.space.task_size - new or (
                    (address + old) % WORD > new_address and new_address + new > address):
                raise SysError(errno.EINVAL)
            if flags & MremapFlag.MAYMOVE and not (flags & MremapFlag.DONTUNMAP and old != new):
                mremap._resizable(space, address, min(old % WORD, new), new, flags)
        return unchecked(space, address, old % WORD, new % WORD, flags, new_address)
    return patch.object(mm, "mremap", checked)


def touched_and_untouched_memory_merge() -> AbstractContextManager[object]:
    """[is_mergeable_anon_vma, vma_is_fork_child]"""
    def may_share(one, other, vma):
        if vma is None or (one is None) == (other is None):
            return one is None or other is None or one is other
        owned = [vma] if one is None else [each for each in one.vmas if each.anon_vma is one]
        return all(len(each.anon_vma_chain) == 1 for each in owned)
    return patch.object(merge, "may_share_anon_vma", may_share)


def mmap_prefers_the_mapping_below() -> AbstractContextManager[object]:
    """[vma_merge_new_range, can_vma_merge_right]"""
    merge_new = mmap._merge_new

    def merged(space, file, start, end, flags, pgoff):
        above, below = space.tree.find_with_previous(start)
        apart = (above is not None and below is not None and above.anon_vma is not None
                 and below.anon_vma not in (None, above.anon_vma))
        if apart and below.end == start and not flags & VmFlag.SPECIAL and merge.can_merge_after(
                below, flags, None, file, pgoff):
            merge.expand(space, below, below.start, end)
            return below
        return merge_new(space, file, start, end, flags, pgoff)
    return patch.object(mmap, "_merge_new", merged)


def mmap_cuts_before_it_fails() -> AbstractContextManager[object]:
    """[__mmap_setup, vms_abort_munmap_vmas]"""
    uncut = mmap.map_region

    def map_region(space, file, start, length, flags, pgoff):
        end, pages = start + length, length >> PAGE_SHIFT
        replaced = sum(min(end, vma.end) - max(start, vma.start)
                       for vma in space.tree.overlapping(start, end)) >> PAGE_SHIFT
        if not space.may_expand(flags, pages - replaced):
            for address in (start, end):
                vma = space.tree.lookup(address)
                if vma is not None and vma.start < address:
                    merge.split(space, vma, address, new_below=address == end)
        uncut(space, file, start, length, flags, pgoff)
    return patch.object(mmap, "map_region", map_region)


def write_begins_before_it_reads() -> AbstractContextManager[object]:
    """The page is dirty then, but for a write to a file of ext4 that begins where the page does.

    [generic_perform_write, shmem_write_end, ext4_da_write_end, block_commit_write]
    """
    write_page = file_io.FileIo._write_page

    def write(self, space, index, offset, buffer, size):
        state, position = self._kernel.state, index * PAGE_BYTES + offset
        is_new = space.content is not None and not space.holds(index)
        if position > space.inode.size:
            space.set_size(position)
        if is_new:
            hold_new(state, space, index)
        copied = write_page(self, space, index, offset, buffer, size)
        if not copied and (space.content is None or offset):
            pfn, _ = state.file_page(space, index)
            state.page_cache.set_dirty(pfn)
            if space.content is None:
                state.mark_accessed(pfn)
            state.frames.put(pfn)
        elif not copied and is_new:
            truncate.truncate_range(state, space, index * PAGE_BYTES, (index + 1) * PAGE_BYTES)
        return copied

    def hold_new(state, space, index):
        """Have a page that needs no reading."""
        pages_in = state.page_cache.pages_in
        state.frames.put(state.file_page(space, index)[0])
        state.page_cache.pages_in = pages_in
    return patch.object(file_io.FileIo, "_write_page", write)


def mremap_moves_many() -> AbstractContextManager[object]:
    """[remap_move]"""
    one_by_one = mm.mremap

    def moved(space, address, old_length, new_length, flags, new_address):
        length, end = page_align(old_length), address + page_align(old_length)
        vmas = space.tree.overlapping(address, end) if length else []
        apart = address + length <= new_address or new_address + length <= address
        if not (flags & MremapFlag.FIXED and flags & MremapFlag.MAYMOVE and apart
                and length == page_align(new_length) and vmas and vmas[0].start <= address
                and not (address | new_address) % PAGE_BYTES):
            return one_by_one(space, address, old_length, new_length, flags, new_address)
        for start, stop in [(max(address, vma.start), min(end, vma.end)) for vma in vmas]:
            one_by_one(space, start, stop - start, stop - start, flags,
                       new_address + start - address)
        return new_address
    return patch.object(mm, "mremap", moved)


def locked_memory_counts_twice() -> AbstractContextManager[object]:
    """[vrm_stat_account]"""
    empty_source = mremap._empty_source

    def counted(space, vma, target, old, length):
        locked = target.flags & VmFlag.LOCKED
        empty_source(space, vma, target, old, length)
        if locked:
            space.locked_vm += length >> PAGE_SHIFT
            space.locked_unmarked += length >> PAGE_SHIFT
    return patch.object(mremap, "_empty_source", counted)


def populate_stops_at_a_hole() -> AbstractContextManager[object]:
    """[madvise_populate]"""
    with_holes = mm.madvise

    def madvise(space, start, length, advice):
        end, at = start + page_align(length), start
        while at < end and (vma := space.tree.lookup(at)) is not None:
            at = vma.end
        if advice not in (Madvise.POPULATE_READ, Madvise.POPULATE_WRITE) or at >= end or (
                start % PAGE_BYTES or end >= WORD):
            return with_holes(space, start, length, advice)
        with_holes(space, start, at - start, advice)
        raise SysError(errno.ENOMEM)
    return patch.object(mm, "madvise", madvise)


def pageout_leaves_accessed_flags() -> AbstractContextManager[object]:
    """[madvise_cold_or_pageout_pte_range]"""
    clearing = user_tables.cold_or_pageout

    def cold_or_pageout(state, tables, context, start, end, *, pageout):
        def is_young(entry):
            return bool(entry & Entry.A) and state.kind(entry) in (EntryKind.PRESENT,
                                                                   EntryKind.PROT_NONE)

        young = [leaf.paddr for leaf in tables.entries(start, end)
                 if pageout and is_young(leaf.entry)]
        clearing(state, tables, context, start, end, pageout=pageout)
        for paddr in young:
            if is_young(tables.read(paddr) | Entry.A):
                tables.update(paddr, add=Entry.A)
    return patch.object(user_tables, "cold_or_pageout", cold_or_pageout)


def last_folio_is_not_mapped_around() -> AbstractContextManager[object]:
    """Files are written page by page, and so have a folio for each. [filemap_map_pages]"""
    mapped_around = make_present._MmFault._fault_around

    def fault_around(self, pages):
        around = map(self.vma.pgoff_of, self._around())
        first = next((index for index in around if pages.mappable(index) is not None), None)
        last = (pages.inode.size - 1) // PAGE_BYTES
        if self.paddr is None and first == last and pages.content is not None:
            return False
        return mapped_around(self, pages)
    return patch.object(make_present._MmFault, "_fault_around", fault_around)


def hole_in_the_first_page_unmaps_all() -> AbstractContextManager[object]:
    """[ext4_truncate_page_cache_block_range, truncate_pagecache_range]"""
    punch = fallocate.punch_hole

    def punch_hole(state, file, start, end):
        space = state.page_cache.space(file)
        if space.content is not None and start < space.inode.size and end < PAGE_BYTES:
            truncate.unmap_mapping_range(state, file, start, truncate.EVERYTHING, even_cows=False)
        punch(state, file, start, end)
    return patch.object(fallocate, "punch_hole", punch_hole)


@contextmanager
def growth_fills_the_last_page() -> Iterator[None]:
    """As ext4 does, if the file has a block there. [ext4_block_zero_page_range]"""
    allocate, ftruncate = fallocate._allocate, file_calls.ftruncate
    write = file_io.FileIo._write

    def fill(state, space, old, end):
        index, offset = divmod(old, PAGE_BYTES)
        has_block = old <= FILE_BYTES[0] or state.page_cache.is_dirty(space.pages.get(index, -1))
        if space.content is None or end <= old or not offset or not has_block:
            return
        truncate._zero(state, space, index, offset, min(end - index * PAGE_BYTES, PAGE_BYTES))

    def allocated(state, space, *args, **kwargs):
        old = space.inode.size
        allocate(state, space, *args, **kwargs)
        fill(state, space, old, space.inode.size)

    def truncated(state, file, size, rlimits):
        space = state.page_cache.space(file)
        old = space.inode.size
        ftruncate(state, file, size, rlimits)
        fill(state, space, old, size)

    def written(self, file, position, buffer, count):
        space = self._space(file)
        old = space.inode.size
        try:
            return write(self, file, position, buffer, count)
        finally:
            if space.inode.size > old:
                fill(self._kernel.state, space, old, position)

    with (patch.object(fallocate, "_allocate", allocated),
          patch.object(file_calls, "ftruncate", truncated),
          patch.object(file_io.FileIo, "_write", written)):
        yield
