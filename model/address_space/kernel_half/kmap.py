"""How the kernel reaches highmem pages: kmap, which lasts, and kmap_local, which nests.

[mm/highmem.c; arch/x86/include/asm/highmem.h]
"""

from array import array

from ...x86 import PAGE_BYTES, PAGE_SHIFT
from .fixmap import FixedAddresses
from .layout import AreaKind, Layout
from .mapping_ops import KernelPageTableOps, page_kernel

__all__ = ["KM_MAX_IDX", "KmapError", "KmapLocal", "Pkmap", "PkmapFull"]

KM_MAX_IDX = 16
"""How many slots of kmap_local each processor has; one is never used. [asm-generic/kmap_size.h]"""


class PkmapFull(Exception):
    """Every slot of pkmap is in use: the kernel would sleep until one is given back.

    After a ``kunmap``, the same ``kmap`` may be tried again.
    """

    def __init__(self, pfn: int) -> None:
        super().__init__(f"No pkmap slot is free for page frame {pfn:#x}")
        self.pfn = pfn


class KmapError(ValueError):
    """A mapping given back that does not exist or is not the last one: a bug of the caller."""


class Pkmap:
    """Lasting mappings of highmem pages, in a window of ``layout.pkmap_slots`` slots.

    A slot's count is 0 when it is free; 1 when nobody uses it but a TLB may still hold its
    translation; and otherwise one more than its users. Slots are handed out in turn. Slots with a
    count of 1 are unmapped all together, when the turn comes to slot 0, so that the TLBs are
    flushed once for all of them.

    Parameters
    ----------
    layout
        Of a kernel with highmem.
    tables
        The kernel's page tables.
    """

    def __init__(self, layout: Layout, tables: KernelPageTableOps) -> None:
        self.base = layout.area(AreaKind.PKMAP).start
        self.counts = array("i", [0]) * layout.pkmap_slots
        self._tables = tables
        self._flags = page_kernel(layout.mode)
        self._last = 0
        self._pages: dict[int, int] = {}  # by slot
        self._slots: dict[int, int] = {}  # by page frame

    def page_address(self, pfn: int) -> int | None:
        """Return where a page is mapped, whether in use or not, or None. [page_address]"""
        slot = self._slots.get(pfn)
        return None if slot is None else self._address(slot)

    def kmap(self, pfn: int) -> int:
        """Return an address of page ``pfn``, mapping it if it is not; raise ``PkmapFull``.

        [kmap_high]
        """
        slot = self._slots.get(pfn)
        if slot is None:
            slot = self._map_new(pfn)
        self.counts[slot] += 1
        return self._address(slot)

    def kunmap(self, pfn: int) -> None:
        """Give one use of a page back; it stays mapped. Raise ``KmapError``. [kunmap_high]"""
        slot = self._slots.get(pfn)
        if slot is None or self.counts[slot] < 2:
            raise KmapError(f"Page frame {pfn:#x} is not in use by kmap")
        self.counts[slot] -= 1

    def flush_unused(self) -> None:
        """Unmap every page that nobody uses, and flush the window. [flush_all_zero_pkmaps]"""
        unused = [slot for slot, count in enumerate(self.counts) if count == 1]
        for slot in unused:
            self.counts[slot] = 0
            self._tables.clear_page(self._address(slot))
            del self._slots[self._pages.pop(slot)]
        if unused:
            self._tables.flush_range(self.base, self._address(len(self.counts)))

    def check(self) -> None:
        """Raise ``AssertionError`` unless exactly the slots that are not free hold a page."""
        held = [slot for slot, count in enumerate(self.counts) if count]
        assert held == sorted(self._pages), "A slot is free and mapped, or neither"
        assert self._slots == {pfn: slot for slot, pfn in self._pages.items()}, "A page has two"

    def _address(self, slot: int) -> int:
        return self.base + (slot << PAGE_SHIFT)

    def _map_new(self, pfn: int) -> int:
        """Map a page in the next free slot; return the slot, whose count is 1. [map_new_virtual]"""
        left = len(self.counts)
        while True:
            self._last = (self._last + 1) % len(self.counts)
            if self._last == 0:
                self.flush_unused()
                left = len(self.counts)
            if self.counts[self._last] == 0:
                break
            left -= 1
            if left == 0:
                raise PkmapFull(pfn)
        self._tables.set_page(self._address(self._last), pfn, self._flags)
        self.counts[self._last] = 1
        self._pages[self._last] = pfn
        self._slots[pfn] = self._last
        return self._last


class KmapLocal:
    """Mappings of one processor, of which the last made is given back first.

    Each is in a slot of the fixmap that only this processor uses. The kernel counts the mappings of
    each task, which cannot move to another processor meanwhile; here whatever runs on ``cpu`` until
    none is left is one task.

    Raises
    ------
    FixmapError
        If the fixmap has no slots for processor ``cpu``.
    """

    def __init__(self, fixed: FixedAddresses, tables: KernelPageTableOps, flags: int,
                 cpu: int = 0) -> None:
        self._fixed = fixed
        self._tables = tables
        self._flags = flags
        self._first = cpu * KM_MAX_IDX
        self._fixed.address("FIX_KMAP", self._first + KM_MAX_IDX - 1)  # raises for a cpu too many
        self._stack: list[int] = []

    @property
    def depth(self) -> int:
        """How many mappings there are."""
        return len(self._stack)

    def kmap(self, pfn: int) -> int:
        """Map a page; return its address. Raise ``KmapError`` at the 16th. [__kmap_local_pfn_prot]

        The kernel's check comes after it counted the new mapping, so the last slot stays unused.
        """
        if len(self._stack) + 1 >= KM_MAX_IDX:
            raise KmapError(f"No slot of kmap_local is free for page frame {pfn:#x}: "
                            f"{len(self._stack)} are in use")
        vaddr = self._fixed.address("FIX_KMAP", self._first + len(self._stack))
        self._tables.set_page(vaddr, pfn, self._flags)
        self._stack.append(vaddr)
        return vaddr

    def kunmap(self, vaddr: int) -> None:
        """Unmap the mapping made last, by any address in it; raise ``KmapError``.

        [kunmap_local_indexed]
        """
        page = vaddr & -PAGE_BYTES
        if not self._stack or self._stack[-1] != page:
            last = f"{self._stack[-1]:#x} was mapped last" if self._stack else "nothing is mapped"
            raise KmapError(f"Cannot unmap {vaddr:#x}: {last}")
        self._tables.clear_page(page)
        self._tables.flush_range(page, page + PAGE_BYTES)
        self._stack.pop()
