"""Reverse mapping: which page-table entries point to a page frame.

Linux 6.1 finds them by way of the mappings that may hold the page; here they are noted one by
one, as Linux 2.5 did with chains of entries: the answer is the same. The first mapping of a page
is a number in a column, as most pages have no other. [mm/rmap.c]

What is done at each of these places, such as to look for accessed bits and to clear them, stands in
``page_reclaim`` (``accessed``, ``try_to_unmap``) and, for one place, in ``user_tables``.
"""

from array import array
from collections.abc import Iterator
from typing import Protocol

from ..address_space.vma import File, Vma
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_SHIFT

__all__ = ["Rmap", "Space"]

NOWHERE = -1
VPN_BITS = 36
VPN_MASK = (1 << VPN_BITS) - 1


class Space(Protocol):
    """The page tables that a place leads to, as reclaim and caches see them: without a process."""

    def test_clear_young(self, vaddr: int) -> bool:
        """Clear the accessed bit of an address; return whether it was set, and tells of a use."""
        ...

    def is_executable(self, vaddr: int) -> bool:
        """Return whether the mapping of an address may be executed."""
        ...

    def is_locked(self, vaddr: int) -> bool:
        """Return whether the mapping of an address is locked in memory."""
        ...

    def clean_page(self, vaddr: int) -> bool:
        """Make the entry of a page clean and read-only; return whether it was dirty."""
        ...

    def unmap_page(self, vaddr: int, pfn: int) -> bool:
        """Take a page away, and say whether it could be; anonymous, it leaves its swap entry."""
        ...

    def mappings(self, file: File) -> list[Vma]:
        """Return the mappings of a file. [i_mmap]"""
        ...

    def unmap_file(self, file: File, first: int, end: int, *, even_cows: bool) -> None:
        """Take pages of a file away, from ``first`` up to ``end``; private copies if wanted."""
        ...

    def unmap_huge(self, file: File, index: int, pfn: int) -> None:
        """Take a huge page of a file away from mappings that have no reserve of their own."""
        ...


class Rmap:
    """Where the page frames from ``start_pfn`` up to ``end_pfn`` are mapped by processes.

    A place is the number of an address space, below 2**27, and a user address.
    """

    def __init__(self, start_pfn: int, end_pfn: int) -> None:
        self._base = start_pfn
        self._first = array("q", [NOWHERE]) * (end_pfn - start_pfn)
        self._others: dict[int, set[int]] = {}
        self.total = 0

    def add(self, pfn: int, space: int, vaddr: int) -> None:
        """Note that ``vaddr`` maps a page; raise ``BrokenInvariant`` if it does already."""
        place, index = space << VPN_BITS | vaddr >> PAGE_SHIFT, pfn - self._base
        others = self._others.get(pfn, set())
        if place == self._first[index] or place in others:
            raise BrokenInvariant(f"Page {pfn:#x} is mapped at {vaddr:#x} already")
        if self._first[index] == NOWHERE:
            self._first[index] = place
        else:
            self._others[pfn] = others
            others.add(place)
        self.total += 1

    def remove(self, pfn: int, space: int, vaddr: int) -> None:
        """Forget that ``vaddr`` maps a page; raise ``BrokenInvariant`` if it does not.

        [page_remove_rmap]
        """
        place, index = space << VPN_BITS | vaddr >> PAGE_SHIFT, pfn - self._base
        others = self._others.get(pfn)
        if others and place in others:
            others.remove(place)
        elif place == self._first[index]:
            self._first[index] = others.pop() if others else NOWHERE
        else:
            raise BrokenInvariant(f"Page {pfn:#x} is not mapped at {vaddr:#x}")
        if others is not None and not others:
            del self._others[pfn]
        self.total -= 1

    def mapcount(self, pfn: int) -> int:
        """Return how many entries map a page. [page_mapcount]"""
        first = self._first[pfn - self._base] != NOWHERE
        return first + len(self._others.get(pfn, ()))

    def places(self, pfn: int) -> list[tuple[int, int]]:
        """Return the address spaces and addresses that map a page. [rmap_walk]"""
        first = self._first[pfn - self._base]
        if first == NOWHERE:
            return []
        places = [first, *sorted(self._others.get(pfn, ()))]
        return [(place >> VPN_BITS, (place & VPN_MASK) << PAGE_SHIFT) for place in places]

    def mapped(self) -> Iterator[int]:
        """Yield the pages that are mapped, ascending."""
        for index, first in enumerate(self._first):
            if first != NOWHERE:
                yield index + self._base

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if pages have no first place but others, or are miscounted."""
        for pfn, others in self._others.items():
            if not others or self._first[pfn - self._base] == NOWHERE:
                raise BrokenInvariant(f"Page {pfn:#x} has a chain of places without its first")
        total = sum(self.mapcount(pfn) for pfn in self.mapped())
        if total != self.total:
            raise BrokenInvariant(f"{self.total} mappings are counted, but there are {total}")
