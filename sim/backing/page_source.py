"""Which frame, and which size of page, a page of a trace gets when it is first touched."""

from collections.abc import Mapping
from typing import Protocol

from ...model.x86 import PAGE_SHIFT, PagingMode
from .backing_error import BackingError
from .frame_supply import FrameSupply

__all__ = ["GivenFrames", "TouchedPages", "TracePageSource", "thp_size"]


class TracePageSource(Protocol):
    """Decides where pages go."""

    def place(self, space: int, vpn: int) -> tuple[int, int]:
        """Return the size of the page for ``vpn``, an index into ``mode.pages``, and its frame.

        That is the first of its frames. Raise ``BackingError``. It is asked once for each page.
        """
        ...


def thp_size(mode: PagingMode) -> int:
    """Return the size of transparent huge pages, an index into ``mode.pages``."""
    return mode.pages.index(mode.levels[-2])


class TouchedPages:
    """Pages of one size, in the order in which they are touched; with ``thp`` huge ones first.

    A huge page is made at the first touch of what it covers, if there is a free block of its size;
    if not, what it covers is made of small pages for good, as there is a page table then.
    [do_huge_pmd_anonymous_page]
    """

    def __init__(self, mode: PagingMode, supply: FrameSupply, size: int, *, thp: bool) -> None:
        self._orders = [page.shift - PAGE_SHIFT for page in mode.pages]
        self._supply, self._size = supply, size
        self._huge = thp_size(mode) if thp else None
        self._small: set[tuple[int, int]] = set()

    def place(self, space: int, vpn: int) -> tuple[int, int]:
        """Return size and frame, as ``TracePageSource`` has it."""
        if self._huge is not None:
            area = space, vpn >> self._orders[self._huge]
            if area not in self._small:
                pfn = self._supply.take(self._orders[self._huge])
                if pfn is not None:
                    return self._huge, pfn
                self._small.add(area)
        pfn = self._supply.take(self._orders[self._size])
        if pfn is None:
            raise self._supply.exhausted()
        return self._size, pfn


class GivenFrames:
    """Pages that a list has, by address space and page number: their sizes and frames."""

    def __init__(self, path: str, mode: PagingMode,
                 pages: Mapping[int, tuple[int, int]]) -> None:
        self._path, self._pages = path, pages
        self._shifts = [page.shift - PAGE_SHIFT for page in mode.pages]

    def place(self, _space: int, vpn: int) -> tuple[int, int]:
        """Return size and frame, as ``TracePageSource`` has it."""
        for size, shift in enumerate(self._shifts):
            found = self._pages.get(vpn >> shift << shift)
            if found is not None and found[0] == size:
                return found
        raise BackingError(f"{self._path}: has no page for address {vpn << PAGE_SHIFT:#x}, which "
                           "the trace accesses", "all pages of the trace")
