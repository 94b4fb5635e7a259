"""Shared memory: pages of files that have no disk, and go to swap. [mm/shmem.c]

The pages are in the page cache, and on the LRU lists of anonymous memory. One that goes out moves
to the swap cache and leaves its slot in the file; page tables remember nothing of it. One that was
never written is dropped: it is zeros again when it is asked for.

Left out: SHM_LOCK, huge pages, limits of a mount, and reading ahead. A page that cannot be read
stays in its slot, to be asked for again, where Linux gives it up for good and frees the slot.
[shmem_set_folio_swapin_error]
"""

from collections.abc import Callable

from ..address_space.errors import SysError
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .fault_cause import NotPromised
from .page_cache import CachedFile, PageCache
from .swap.cache import SwapEntry
from .swap_references import AnonSwap

__all__ = ["Shmem"]


class Shmem:
    """How pages of shared memory come and go.

    Parameters
    ----------
    page_cache, swap
        Where the pages are.
    add_to_lru
        Puts a new page on the list of anonymous memory.
    read_swap
        Returns the frame in the swap cache for a slot, referenced once more, and whether it was
        read.
    charge
        Has pages promised to the process that runs, or raises ``SysError(ENOMEM)``.
    """

    def __init__(self, page_cache: PageCache, swap: AnonSwap, add_to_lru: Callable[[int], None],
                 read_swap: Callable[[SwapEntry], tuple[int, bool]],
                 charge: Callable[[int], None]) -> None:
        self._frames = page_cache.frames
        self._cache = page_cache
        self._swap = swap
        self._add_to_lru = add_to_lru
        self._read_swap = read_swap
        self._charge = charge

    @property
    def swapped(self) -> int:
        """How many pages of all files are in slots. [shmem_inode_info.swapped]"""
        return sum(len(space.slots) for space in self._cache.shmem_spaces())

    def page(self, space: CachedFile, index: int) -> tuple[int, bool]:
        """Return the frame of a page, referenced once more, and whether it was read from swap.

        Raise ``NotPromised``, ``OutOfMemory``, ``SwapIoError``, with all as it was.
        [shmem_get_folio_gfp]
        """
        pfn = space.pages.get(index)
        if pfn is not None:
            space.unwritten.discard(index)
            self._frames.get(pfn)
            return pfn, False
        if index in space.slots:
            return self._swapin(space, index)
        return self._new(space, index), False

    def preallocate(self, space: CachedFile, index: int) -> None:
        """Have a page, dirty, that reads as a hole until it is used; raise as ``page``.

        [shmem_get_folio_gfp with SGP_FALLOC]
        """
        if index in space.pages or index in space.slots:
            pfn, _ = self.page(space, index)
        else:
            pfn = self._new(space, index)
            space.unwritten.add(index)
        self._cache.set_dirty(pfn)
        self._frames.put(pfn)

    def _new(self, space: CachedFile, index: int) -> int:
        """Return the frame of a new page of zeros, referenced once more."""
        pfn = self._alloc(space)
        self._cache.read(space, index, pfn)
        space.inode.allocated += 1
        self._cache.recount(space)
        self._frames.get(pfn)
        self._add_to_lru(pfn)
        return pfn

    def _alloc(self, space: CachedFile) -> int:
        """Return a frame for a new page, promised if it is not yet. [shmem_alloc_and_acct_folio]"""
        noreserve, commit = space.inode.noreserve, self._cache.commit
        if noreserve:
            self._promise(space)
        try:
            return self._frames.alloc()
        except BaseException:
            commit.uncharge(1 if noreserve else 0)
            raise

    def _promise(self, space: CachedFile) -> None:
        """Have one page promised, if need be when those that are gone have been counted out.

        [shmem_inode_acct_block]
        """
        for is_last in (False, True):
            try:
                self._charge(1)
            except SysError as error:
                if is_last:
                    raise NotPromised from error
                self._cache.recount(space)
            else:
                return

    def _swapin(self, space: CachedFile, index: int) -> tuple[int, bool]:
        """Move a page from its slot, by way of the swap cache, to the page cache.

        Its slot is free then. [shmem_swapin_folio]
        """
        slot = space.slots[index]
        pfn, major = self._read_swap(slot)
        self._cache.swap_back(space, index, pfn)
        self._cache.recount(space)
        self._swap.delete_from_swap_cache(pfn)
        self._swap.swap_free(slot)
        return pfn, major

    def create(self, space: CachedFile, content: bytes) -> None:
        """Fill a new file; raise as ``page``, with some of its pages made."""
        for index in range(-(-len(content) // PAGE_BYTES)):
            pfn, _ = self.page(space, index)
            data = content[index << PAGE_SHIFT : index + 1 << PAGE_SHIFT]
            self._frames.write(pfn, data.ljust(PAGE_BYTES, b"\0"))
            self._cache.set_dirty(pfn)
            self._frames.put(pfn)

    def writepage(self, pfn: int) -> bool:
        """Move a page that nobody maps to the swap cache and write it; False if it is to stay.

        That is if swap is full, or if the page was allocated by a call that is under way. If the
        device fails, with ``SwapIoError``, it stays in the swap cache, dirty. [shmem_writepage]
        """
        owner = self._cache.owner(pfn)
        assert owner is not None
        space, index = owner
        if index in space.unwritten:
            if index in space.allocating:
                space.refused += 1
                return False
            space.unwritten.discard(index)
        slot = self._swap.add_to_swap(pfn)
        if slot is None:
            return False
        self._swap.swap_shmem_alloc(slot)
        self._cache.recount(space)
        self._cache.swap_out(pfn, slot)
        return self._swap.swap_writepage(pfn, self._frames.read(pfn))

    def unuse(self, swap_type: int) -> None:
        """Bring back all pages that are in one swap area. [shmem_unuse]

        Raise as ``page``, with pages that are back already kept.
        """
        for space in self._cache.shmem_spaces():
            for index in [index for index, slot in space.slots.items() if slot.type == swap_type]:
                pfn, _ = self._swapin(space, index)
                self._frames.put(pfn)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` unless files and slots point at each other.

        No page has both a frame and a slot, and no other slots are those of shared memory.
        """
        seen: set[SwapEntry] = set()
        for space in self._cache.shmem_spaces():
            if space.slots.keys() & space.pages.keys():
                raise BrokenInvariant("A page of shared memory has both a frame and a slot")
            seen.update(space.slots.values())
        marked = {SwapEntry(info.type, offset) for info in self._swap.info if info is not None
                  for offset in info.shmem_slots()}
        if len(seen) != self.swapped or seen != marked:
            raise BrokenInvariant(f"Files of shared memory hold {self.swapped} slots, "
                                  f"{sorted(seen)}, but {sorted(marked)} are theirs")
