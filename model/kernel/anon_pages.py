"""Which anonymous pages belong to one entry alone, so that a write need not copy them.

[PageAnonExclusive]
"""

from ..physical.errors import BrokenInvariant
from .frames import Frames
from .swap_references import AnonSwap

__all__ = ["AnonPages"]


class AnonPages:
    """The flag that says of an anonymous page that only one page table has it, and only there.

    A new page has it; a fork takes it away, and so does reclaim, which leaves it in the swap entry.
    A page without it may still be nobody else's: the next write counts.

    Parameters
    ----------
    frames, swap
        The frames, and the swap areas.
    """

    def __init__(self, frames: Frames, swap: AnonSwap) -> None:
        self._frames = frames
        self._swap = swap
        self._exclusive: set[int] = set()

    def is_exclusive(self, pfn: int) -> bool:
        """Return whether a page is known to belong to one entry. [PageAnonExclusive]"""
        return pfn in self._exclusive

    def set_exclusive(self, pfn: int) -> None:
        """Note that a page belongs to the entry that maps it. [SetPageAnonExclusive]"""
        self._exclusive.add(pfn)

    def share(self, pfn: int) -> None:
        """Note that a page may have other users from now on, or is freed.

        [ClearPageAnonExclusive]
        """
        self._exclusive.discard(pfn)

    def can_reuse(self, pfn: int) -> bool:
        """Return whether a write may go to a page itself, which is then exclusive.

        References decide where the flag does not: the swap cache, a swap entry of a child or the
        kernel at work may still need the page as it was. Its slot is freed. [do_wp_page]
        """
        if pfn in self._exclusive:
            return True
        cached = self._swap.cache.entry(pfn) is not None
        if self._frames.refcount(pfn) != 1 + cached or (cached and not self._swap.free_swap(pfn)):
            return False
        self._exclusive.add(pfn)
        return True

    def check(self) -> None:
        """Raise ``BrokenInvariant`` for a page that is known to be one entry's, but is not."""
        for pfn in self._exclusive:
            count = self._frames.rmap.mapcount(pfn)
            if count != 1:
                raise BrokenInvariant(f"Page {pfn:#x} should be of one entry, but {count} map it")
