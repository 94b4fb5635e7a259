"""What reclaim does to a page of this machine: finds out who uses it, unmaps, writes and frees it.

[the parts of mm/rmap.c, mm/page_io.c and mm/vmscan.c that are about one page]
"""

from collections.abc import Mapping, Sequence

from ..physical.errors import BrokenInvariant
from .frames import Frames
from .page_cache import PageCache
from .reclaim.lru import Lruvec
from .reclaim.shrink import Pageout
from .rmap import Space
from .shmem import Shmem
from .swap.errors import SwapIoError
from .swap_references import AnonSwap

__all__ = ["MachinePageOps"]


class MachinePageOps:
    """The ``PageOps`` of reclaim, with real page tables, caches and swap.

    Parameters
    ----------
    frames, lruvec, page_cache, shmem, swap
        The parts of ``KernelState`` that know pages.
    spaces
        The address spaces, by the number that the reverse map knows them by.

    Members
    -------
    write_errors, write_error
        How many writes to swap have failed, and what the latest failed with; None if it did not.
    """

    def __init__(self, frames: Frames, lruvec: Lruvec, page_cache: PageCache, shmem: Shmem,
                 swap: AnonSwap, spaces: Mapping[int, Space]) -> None:
        self._frames = frames
        self._lruvec = lruvec
        self._page_cache = page_cache
        self._shmem = shmem
        self._swap = swap
        self._spaces = spaces
        self.write_errors = 0
        self.write_error: SwapIoError | None = None

    def accessed(self, pfn: int) -> int:
        """Clear the accessed bits of all entries that map a page; return how many tell of a use."""
        return sum(self._spaces[number].test_clear_young(vaddr)
                   for number, vaddr in self._frames.rmap.places(pfn))

    def is_executable(self, pfn: int) -> bool:
        """Return whether a mapping that may be executed has a page."""
        return any(self._spaces[number].is_executable(vaddr)
                   for number, vaddr in self._frames.rmap.places(pfn))

    def is_locked(self, pfn: int) -> bool:
        """Return whether a mapping that is locked in memory has a page."""
        return any(self._spaces[number].is_locked(vaddr)
                   for number, vaddr in self._frames.rmap.places(pfn))

    def has_swap(self) -> bool:
        """Return whether a slot of swap is free."""
        return self._swap.nr_swap_pages > 0

    def add_to_swap(self, pfn: int) -> bool:
        """Give an anonymous page a slot of swap, unless it has one; return whether it has.

        True for shared memory, which gets one when it is written.
        """
        if self._page_cache.is_shmem(pfn):
            return True
        return (self._swap.cache.entry(pfn) is not None
                or self._swap.add_to_swap(pfn) is not None)

    def try_to_free_swap(self, pfn: int) -> None:
        """Give up the slot of a page that stays, if it has one and swap is getting full."""
        if self._swap.swap_full:
            self._swap.free_swap(pfn)

    def try_to_unmap(self, pfn: int) -> bool:
        """Take a page out of all page tables, unless the kernel is working with it.

        The kernel works with a page that has more references than mappings and caches. A page
        that is lazily free stays, too, if it was written to. [try_to_unmap]
        """
        frames, places = self._frames, self._frames.rmap.places(pfn)
        cached = (self._swap.cache.entry(pfn) is not None) + (not self._page_cache.is_anon(pfn))
        if frames.refcount(pfn) != len(places) + cached:
            return False
        if not self._is_lazyfree(pfn):
            return self._unmap(pfn, places)
        # A lazily free page is in no cache: without this reference the last unmapping frees it.
        frames.get(pfn)
        if self._unmap(pfn, places):
            return True
        frames.put(pfn)
        return False

    def _unmap(self, pfn: int, places: Sequence[tuple[int, int]]) -> bool:
        return all(self._spaces[number].unmap_page(vaddr, pfn) for number, vaddr in places)

    def _is_lazyfree(self, pfn: int) -> bool:
        """Return whether MADV_FREE gave up a page: anonymous, but on the lists of files."""
        return self._page_cache.is_anon(pfn) and self._lruvec.is_file(pfn)

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page must be written before it goes."""
        if self._is_lazyfree(pfn):
            return False
        if self._page_cache.is_anon(pfn):
            return self._swap.cache.is_dirty(pfn)
        return self._page_cache.is_dirty(pfn)

    def pageout(self, pfn: int) -> Pageout:
        """Write a page to its slot or its file; if that fails it stays, dirty, as in Linux.

        [end_swap_bio_write]
        """
        if not self._page_cache.is_anon(pfn) and not self._page_cache.is_shmem(pfn):
            self._page_cache.write_back(pfn)
            return Pageout.SUCCESS
        try:
            result = self._swap_out(pfn)
        except SwapIoError as error:
            self.write_errors += 1
            self.write_error = error
            return Pageout.KEEP
        if result is Pageout.SUCCESS:
            self.write_error = None
        return result

    def _swap_out(self, pfn: int) -> Pageout:
        """Write a page to swap; raise ``SwapIoError``. [swap_writepage, shmem_writepage]"""
        if self._page_cache.is_shmem(pfn):
            return Pageout.SUCCESS if self._shmem.writepage(pfn) else Pageout.ACTIVATE
        written = self._swap.swap_writepage(pfn, self._frames.read(pfn))
        return Pageout.SUCCESS if written else Pageout.CLEAN

    def keeps_shadow(self, pfn: int) -> bool:
        """Return whether a clean page leaves a shadow: it has a place, in a file or in swap."""
        return not self._page_cache.is_shmem(pfn) and not self._is_lazyfree(pfn)

    def remove_mapping(self, pfn: int, shadow: int | None) -> None:
        """Free a clean page that nobody maps."""
        count = self._frames.refcount(pfn)
        if count != 1:
            raise BrokenInvariant(f"Page {pfn:#x} goes, but has {count} references")
        if self._is_lazyfree(pfn):
            self._frames.put(pfn)
        elif self._page_cache.is_anon(pfn):
            self._swap.delete_from_swap_cache(pfn, shadow)
        else:
            self._page_cache.remove(pfn, shadow)
