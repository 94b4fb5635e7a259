"""Swap: all swap areas, and the pages that go out and come back.

As in Linux 6.1, but writing is done when it is asked for: there is no writeback to wait for.
"""

from collections.abc import Callable

import numpy as np

from ...physical.errors import BrokenInvariant
from .areas import MAX_SWAPFILES, UINT_MAX, SwapAreas
from .cache import SwapCache, SwapEntry
from .errors import SwapDeviceBusy
from .slots import SWAPFILE_CLUSTER, SwapInfo

__all__ = ["MAX_SWAPFILES", "Swap", "SwapEntry"]


class Swap(SwapAreas):
    """The swap areas of a machine, and its swap cache.

    Parameters
    ----------
    start_pfn, end_pfn
        The page frames that may be swapped out.
    maximum_pages, cluster, rng
        As for ``SwapAreas``.

    Members
    -------
    cache
        The swap cache.
    pages_in, pages_out
        How many pages were to be read and written, of areas that are gone, too. [PSWPIN, PSWPOUT]
    """

    def __init__(self, start_pfn: int, end_pfn: int, *, maximum_pages: int = UINT_MAX,
                 cluster: int = SWAPFILE_CLUSTER, rng: np.random.Generator | None = None) -> None:
        super().__init__(maximum_pages=maximum_pages, cluster=cluster, rng=rng)
        self.cache = SwapCache(start_pfn, end_pfn)
        self.pages_in = self.pages_out = 0

    def attach(self, info: SwapInfo) -> None:
        """Make room in the swap cache for an area."""
        self.cache.attach(info.type, info.max)

    def try_to_reclaim(self, entry: SwapEntry) -> bool:
        """Free a slot that only the swap cache holds; return whether it was.

        [__try_to_reclaim_swap]
        """
        pfn = self.cache.page(entry)
        return pfn is not None and self.free_swap(pfn)

    def forget(self, entry: SwapEntry) -> None:
        """Forget the page that was in a slot that is free now. [clear_shadow_from_swap_cache]"""
        self.cache.clear_shadow(entry)

    def swapoff(self, swap_type: int, unuse: Callable[[int], None]) -> None:
        """Empty a swap area and use it no more; its device stays open. [swapoff(2)]

        ``unuse(swap_type)`` must put pages in place of all entries of that type. Raise
        ``SwapDeviceBusy`` as ``_try_to_unuse``, or what ``unuse`` raises; then the area stays in
        use. Raise ``BadSwapEntry`` if there is no such area.
        """
        info = self._info(SwapEntry(swap_type, 0))
        self._disable(info)
        try:
            self._try_to_unuse(info, unuse)
        except BaseException:
            self._enable(info, info.prio)
            raise
        finally:
            self._reenable_slots_cache()
        self.cache.detach(swap_type)
        self.info[swap_type] = None

    def _try_to_unuse(self, info: SwapInfo, unuse: Callable[[int], None]) -> None:
        """Empty a swap area, going round as long as that helps. [try_to_unuse]

        While pages come back, reclaim may swap out others, which still have slots of this area:
        hence several rounds. Raise ``SwapDeviceBusy`` after a round that frees no slot, when Linux
        would go on until a signal comes.
        """
        while info.inuse_pages:
            before = info.inuse_pages
            unuse(info.type)
            self._drop_cached(info)
            if info.inuse_pages == before:
                raise SwapDeviceBusy(info.device.path, f"{before} slots are in use")

    def _drop_cached(self, info: SwapInfo) -> None:
        """Take from the swap cache what only it holds of ``info``. [try_to_unuse]"""
        for offset in range(1, info.max):
            pfn = self.cache.page(SwapEntry(info.type, offset))
            if pfn is not None:
                self.free_swap(pfn)

    def add_to_swap(self, pfn: int) -> SwapEntry | None:
        """Give a page a slot and put it into the swap cache, dirty. [add_to_swap]

        Return None if swap is full.
        """
        entry = self.get_swap_page()
        if entry is not None:
            self.cache.add(pfn, entry)
            self.cache.set_dirty(pfn)
        return entry

    def swap_writepage(self, pfn: int, data: bytes | bytearray | memoryview) -> bool:
        """Write a page of the swap cache to its slot, unless it is clean; return whether it was.

        If the device fails, with ``SwapIoError``, the page stays dirty. [pageout, swap_writepage]
        """
        entry = self._entry(pfn)
        if not self.cache.is_dirty(pfn):
            return False
        self.pages_out += 1
        self._info(entry).device.write(entry.offset, data, pfn)
        self.cache.set_dirty(pfn, False)
        return True

    def swap_readpage(self, entry: SwapEntry, pfn: int) -> tuple[bytes, int | None]:
        """Put a new page into the swap cache; return what it holds, and the shadow of the old.

        If the device fails, with ``SwapIoError``, all is as before: the slot is kept. Raise
        ``BadSwapEntry`` if a page has the slot already. [__read_swap_cache_async, swap_readpage]
        """
        info = self._info(entry)
        info.set_cache(entry.offset)
        shadow = None
        try:
            shadow = self.cache.add(pfn, entry)
            self.pages_in += 1
            data = info.device.read(entry.offset, pfn)
        except BaseException:
            if self.cache.page(entry) == pfn:
                self.cache.delete(pfn, shadow)
            info.clear_cache(entry.offset)
            raise
        return data, shadow

    def delete_from_swap_cache(self, pfn: int, shadow: int | None = None) -> None:
        """Take a page from the swap cache; a slot with no other user is free. [__remove_mapping]

        ``shadow`` is left in the slot. Raise ``KeyError`` if the page is not in the swap cache.
        """
        self.put_swap_page(self.cache.delete(pfn, shadow))

    def free_swap(self, pfn: int) -> bool:
        """Free the slot of a page if only the swap cache uses it; return whether it did.

        The page then has no copy and must be taken for dirty. [folio_free_swap]
        """
        entry = self.cache.entry(pfn)
        if entry is None or self.swapcount(entry):
            return False
        self.delete_from_swap_cache(pfn)
        return True

    def _entry(self, pfn: int) -> SwapEntry:
        entry = self.cache.entry(pfn)
        if entry is None:
            raise KeyError(f"Page {pfn:#x} is not in the swap cache")
        return entry

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if areas, lists, counts and cache contradict each other."""
        self.check_areas()
        self.cache.check()
        for entry in self.slots_cache.entries:
            if self.cache.page(entry) is not None:
                raise BrokenInvariant(f"Slot {entry.offset:#x} of swap type {entry.type} is kept, "
                                      "but has a page")
