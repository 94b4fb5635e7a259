"""Swap whose cache holds a reference to each of its frames. [folio_ref_add in add_to_swap_cache]"""

import numpy as np

from .frames import Frames
from .swap.cache import SwapEntry
from .swap.slots import SWAP_MAP_BAD, SWAPFILE_CLUSTER
from .swap.swap import Swap

__all__ = ["AnonSwap"]


class AnonSwap(Swap):
    """The swap areas and the swap cache of the frames of a machine.

    Parameters
    ----------
    frames
        The frames; a page in the swap cache has one reference more.
    maximum_pages, cluster, rng
        As for ``SwapAreas``.
    """

    def __init__(self, frames: Frames, maximum_pages: int, *, cluster: int = SWAPFILE_CLUSTER,
                 rng: np.random.Generator | None = None) -> None:
        super().__init__(frames.start_pfn, frames.end_pfn, maximum_pages=maximum_pages,
                         cluster=cluster, rng=rng)
        self._frames = frames
        self._dirty: set[int] = set()

    def add_to_swap(self, pfn: int) -> SwapEntry | None:
        """Do as ``Swap.add_to_swap``, and take a reference."""
        entry = super().add_to_swap(pfn)
        if entry is not None:
            self._frames.get(pfn)
            self._dirty.discard(pfn)
        return entry

    def free_swap(self, pfn: int) -> bool:
        """Do as ``Swap.free_swap``; the page is then dirty, whatever its entries say."""
        self._dirty.add(pfn)
        freed = super().free_swap(pfn)
        if not freed:
            self._dirty.discard(pfn)
        return freed

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page that is in no slot has been in one, or ``set_dirty`` was called.

        [PageDirty]
        """
        return pfn in self._dirty

    def set_dirty(self, pfn: int) -> None:
        """Note that a page that is in no slot has changed, whatever its entries say. [SetPageDirty]
        """
        self._dirty.add(pfn)

    def clean(self, pfn: int) -> None:
        """Forget that a page is dirty: it is given up, or its frame is freed. [ClearPageDirty]"""
        self._dirty.discard(pfn)

    def swap_in(self, entry: SwapEntry, pfn: int) -> int | None:
        """Fill a new frame, which has one reference of its own, and put it into the swap cache.

        Return the shadow of the page that went out. Raise as ``swap_readpage``.
        """
        data, shadow = self.swap_readpage(entry, pfn)
        self._frames.write(pfn, data)
        self._frames.get(pfn)
        return shadow

    def delete_from_swap_cache(self, pfn: int, shadow: int | None = None) -> None:
        """Do as ``Swap.delete_from_swap_cache``, and drop the reference."""
        super().delete_from_swap_cache(pfn, shadow)
        self._frames.put(pfn)

    def free_swap_and_cache(self, entry: SwapEntry) -> None:
        """Count one page-table entry less, and free the page that only the swap cache still has.

        [free_swap_and_cache, __try_to_reclaim_swap]
        """
        pfn = self.cache.page(entry)
        self.swap_free(entry)
        if pfn is not None:
            self.free_unmapped(pfn)

    def free_unmapped(self, pfn: int) -> None:
        """Take from the swap cache a page that nobody maps or will ask for. [free_swap_cache]"""
        if not self._frames.rmap.mapcount(pfn):
            self.free_swap(pfn)

    def cached(self) -> list[int]:
        """Return the frames in the swap cache."""
        frames = range(self._frames.start_pfn, self._frames.end_pfn)
        return [pfn for pfn in frames if self.cache.entry(pfn) is not None]

    def references(self) -> int:
        """Return how many page-table entries all slots together should have."""
        return sum(info.swapcount(offset) for info in self.info if info is not None
                   for offset in range(1, info.max)
                   if info.swap_map[offset] not in (0, SWAP_MAP_BAD))
