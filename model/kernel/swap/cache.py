"""The swap cache: pages in memory that have a swap slot.

A page is in it from the time it gets a slot until it leaves memory or gives the slot up. While it
is clean, its slot holds the same bytes and need not be written again. A slot without a page may
hold a shadow: what reclaim remembers of the page that went out. [swapper_spaces]
"""

from array import array
from typing import NamedTuple

from ...physical.errors import BrokenInvariant
from .errors import BadSwapEntry

__all__ = ["SwapCache", "SwapEntry"]

NOTHING = -1
SHADOW = -2  # shadow s is stored as SHADOW - s
OFFSET_BITS = 32  # more than any swap entry of x86 holds


class SwapEntry(NamedTuple):
    """Where a page is that is not in memory: the number of the swap area and of the slot.

    How a page-table entry holds the two depends on the paging mode. [swp_entry_t]
    """

    type: int
    offset: int


class SwapCache:
    """Which page is in which slot, for pages from ``start_pfn`` up to ``end_pfn``.

    Members
    -------
    add_total, del_total
        How many pages have come and gone.
    find_total, find_success
        How many entries were looked up, and how many of them had a page. [swap_cache_info]
    """

    def __init__(self, start_pfn: int, end_pfn: int) -> None:
        if not 0 <= start_pfn < end_pfn:
            raise ValueError(f"Page range must not be empty, not {start_pfn:#x} to {end_pfn:#x}")
        self._base = start_pfn
        self._entry = array("q", [NOTHING]) * (end_pfn - start_pfn)
        self._dirty = bytearray(end_pfn - start_pfn)
        # Of each area: a pfn, NOTHING, or below that a shadow, as an xarray of the kernel has a
        # pointer or a value.
        self._slots: dict[int, array[int]] = {}
        self.add_total = self.del_total = 0
        self.find_total = self.find_success = 0

    def __len__(self) -> int:
        """Return the number of pages. [total_swapcache_pages]"""
        return self.add_total - self.del_total

    def attach(self, swap_type: int, pages: int) -> None:
        """Make room for the swap area ``swap_type``. [init_swap_address_space]"""
        self._slots[swap_type] = array("q", [NOTHING]) * pages

    def detach(self, swap_type: int) -> None:
        """Forget the swap area ``swap_type``, which must have no page here.

        [exit_swap_address_space]
        """
        if any(pfn >= 0 for pfn in self._slots[swap_type]):
            raise BrokenInvariant(f"The swap cache still has pages of swap type {swap_type}")
        del self._slots[swap_type]

    def page(self, entry: SwapEntry) -> int | None:
        """Return the pfn of the page that has ``entry``'s slot, or None. [find_get_page]

        Raise ``BadSwapEntry`` if there is no such slot.
        """
        value = self._value(entry)
        return None if value < 0 else value

    def lookup(self, entry: SwapEntry) -> int | None:
        """Return what ``page`` does, for a page fault: it is counted. [lookup_swap_cache]"""
        pfn = self.page(entry)
        self.find_total += 1
        self.find_success += pfn is not None
        return pfn

    def entry(self, pfn: int) -> SwapEntry | None:
        """Return the entry of a page, None if it is not here. [folio_swap_entry]"""
        packed = self._entry[self._index(pfn)]
        if packed == NOTHING:
            return None
        return SwapEntry(packed >> OFFSET_BITS, packed & ((1 << OFFSET_BITS) - 1))

    def add(self, pfn: int, entry: SwapEntry) -> int | None:
        """Put a page into a slot, clean; return the shadow that was there. [add_to_swap_cache]

        Raise ``BadSwapEntry`` if either is taken.
        """
        before = self._value(entry)
        if before >= 0 or self.entry(pfn) is not None:
            raise BadSwapEntry(*entry, f"page {pfn:#x} or the slot is in the swap cache already")
        self._slots[entry.type][entry.offset] = pfn
        self._entry[self._index(pfn)] = entry.type << OFFSET_BITS | entry.offset
        self._dirty[self._index(pfn)] = False
        self.add_total += 1
        return None if before == NOTHING else SHADOW - before

    def delete(self, pfn: int, shadow: int | None = None) -> SwapEntry:
        """Take a page out, leave a shadow; return its entry. [__delete_from_swap_cache]

        Raise ``KeyError`` if it is not here.
        """
        entry = self.entry(pfn)
        if entry is None:
            raise KeyError(f"Page {pfn:#x} is not in the swap cache")
        value = NOTHING if shadow is None else SHADOW - shadow
        self._slots[entry.type][entry.offset] = value
        self._entry[self._index(pfn)] = NOTHING
        self.del_total += 1
        return entry

    def clear_shadow(self, entry: SwapEntry) -> None:
        """Forget the page that went out to ``entry``. [clear_shadow_from_swap_cache]"""
        if self._value(entry) < 0:
            self._slots[entry.type][entry.offset] = NOTHING

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page has changed since its slot was written or read. [PageDirty]"""
        return bool(self._dirty[self._index(pfn)])

    def set_dirty(self, pfn: int, dirty: bool = True) -> None:
        """Note that a page has changed, or that its slot holds the same. [set_page_dirty]"""
        self._dirty[self._index(pfn)] = dirty

    def _value(self, entry: SwapEntry) -> int:
        slots = self._slots.get(entry.type)
        if slots is None or not 0 < entry.offset < len(slots):
            raise BadSwapEntry(*entry, "there is no such slot")
        return slots[entry.offset]

    def _index(self, pfn: int) -> int:
        index = pfn - self._base
        if not 0 <= index < len(self._entry):
            raise ValueError(f"Page {pfn:#x} is not one of those that can be swapped")
        return index

    def check(self) -> None:
        """Raise ``BrokenInvariant`` unless pages and slots point at each other."""
        pages = {entry: pfn for pfn in range(self._base, self._base + len(self._entry))
                 if (entry := self.entry(pfn)) is not None}
        slots = {SwapEntry(swap_type, offset): pfn for swap_type, slots in self._slots.items()
                 for offset, pfn in enumerate(slots) if pfn >= 0}
        if pages != slots:
            raise BrokenInvariant(f"Swap cache: pages are in slots {pages}, slots have {slots}")
        if len(self) != len(pages):
            raise BrokenInvariant(f"Swap cache counts {len(self)} pages, but has {len(pages)}")
