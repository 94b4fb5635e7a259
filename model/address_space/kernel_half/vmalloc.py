"""vmalloc: pages from anywhere in memory, mapped at adjacent linear addresses.

[mm/vmalloc.c; arch/x86/mm/ioremap.c]
"""

import enum
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from ...physical.ranges import Range, subtract, union
from ...x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .layout import Layout
from .mapping_ops import KernelPageTableOps, page_kernel

__all__ = ["VmArea", "VmAreaUse", "Vmalloc", "VmallocError", "VmallocSpaceError"]

LAZY_BYTES = 32 << 20


class VmallocError(ValueError):
    """A request that makes no sense, or an address where no area starts."""


class VmallocSpaceError(Exception):
    """No stretch of free addresses is long enough."""

    def __init__(self, byte_count: int) -> None:
        super().__init__(f"vmap allocation for size {byte_count} failed")
        self.byte_count = byte_count


class VmAreaUse(enum.Enum):
    """What an area is for, in the words of /proc/vmallocinfo."""

    IOREMAP = "ioremap"
    VMALLOC = "vmalloc"
    VMAP = "vmap"


@dataclass(frozen=True, slots=True)
class VmArea:
    """One area: ``byte_count`` bytes at ``start``, of which the last page is a guard, unmapped.

    ``pfns`` are the pages that belong to it (only with VMALLOC), ``paddr`` is the address of the
    device memory that it maps (only with IOREMAP), ``caller`` who asked for it. [struct vm_struct]
    """

    start: int
    byte_count: int
    use: VmAreaUse
    caller: str
    pfns: tuple[int, ...] = ()
    paddr: int | None = None

    @property
    def end(self) -> int:
        """The address after the guard page."""
        return self.start + self.byte_count


class Vmalloc:
    """The addresses between VMALLOC_START and VMALLOC_END, and what is mapped there.

    An area gets the lowest free addresses that it fits in. When it is freed its pages are unmapped
    at once, but its addresses are not used again until a purge. A purge flushes all such addresses
    from the TLBs in one go, as a flush of all processors is slow. It happens when more than 32 MiB
    wait for it, times one plus log2 of the processors, or when nothing else is free.

    Parameters
    ----------
    layout
        Where the areas lie.
    tables
        The kernel's page tables.
    cpus
        How many processors are online.
    node_of
        The node of a page frame, for /proc/vmallocinfo; None on a machine without NUMA.
    total_pages
        How many pages the machine has; None if nobody asks for more.
    """

    def __init__(self, layout: Layout, tables: KernelPageTableOps, *, cpus: int = 1,
                 node_of: Callable[[int], int] | None = None,
                 total_pages: Callable[[], int] | None = None) -> None:
        self.space = layout.vmalloc
        self._tables = tables
        self._flags = page_kernel(layout.mode)
        self._digits = layout.mode.vaddr_bits // 4
        self._lazy_max = LAZY_BYTES * cpus.bit_length()
        self._ioremap_align = layout.mode.pages[-1].page_bytes  # IOREMAP_MAX_ORDER
        self._node_of = node_of
        self._total_pages = total_pages
        self._free: list[Range] = [(self.space.start, self.space.end)]
        self._areas: dict[int, VmArea] = {}
        self._lazy: list[Range] = []

    @property
    def areas(self) -> list[VmArea]:
        """The areas in use, lowest first."""
        return [self._areas[start] for start in sorted(self._areas)]

    @property
    def lazy(self) -> list[Range]:
        """Addresses that were freed and wait for a purge."""
        return union(self._lazy)

    def find(self, vaddr: int) -> VmArea | None:
        """Return the area that ``vaddr`` is in, guard page included. [find_vm_area]"""
        for area in self._areas.values():
            if area.start <= vaddr < area.end:
                return area
        return None

    def vmalloc(self, pfns: Sequence[int], caller: str = "", *,
                align: int = PAGE_BYTES) -> VmArea:
        """Map pages, which then belong to the area. Raise as ``vmalloc_node_range``.

        ``pfns`` are their frame numbers, which the caller has allocated.
        """
        return self.vmalloc_node_range(len(pfns), lambda: pfns, caller, align=align)

    def vmalloc_node_range(self, count: int, alloc_pages: Callable[[], Sequence[int]],
                           caller: str = "", *, align: int = PAGE_BYTES) -> VmArea:
        """Take addresses for ``count`` pages, then the pages, and map them. [__vmalloc_node_range]

        ``alloc_pages`` returns their frame numbers, and is asked only if there are addresses;
        ``align``, in bytes, is more than a page for kernel stacks. Raise ``VmallocError`` for no
        pages or a bad alignment, ``VmallocSpaceError`` if no addresses are free, what
        ``alloc_pages`` raises, and what ``tables`` raises if it has no memory for a page table;
        then pages stay the caller's.
        """
        start = self._allocate_pages(count, align)
        try:
            pfns = alloc_pages()
        except BaseException:
            self._unmap(start, start + (count + 1 << PAGE_SHIFT), start)
            raise
        return self._map_pages(start, pfns, VmAreaUse.VMALLOC, caller, tuple(pfns))

    def vmap(self, pfns: Sequence[int], caller: str = "") -> VmArea:
        """Map pages that go on belonging to the caller; raise as ``vmalloc`` does. [vmap]

        Raise ``VmallocError`` for more pages than the machine has.
        """
        if self._total_pages is not None and len(pfns) > self._total_pages():
            raise VmallocError(f"vmap of {len(pfns)} pages, but the machine has "
                               f"{self._total_pages()}")
        start = self._allocate_pages(len(pfns), PAGE_BYTES)
        return self._map_pages(start, pfns, VmAreaUse.VMAP, caller, ())

    def ioremap(self, paddr: int, byte_count: int, caller: str = "", *,
                flags: int = Entry.PCD) -> int:
        """Map device memory; return the linear address of ``paddr``. Raise as ``vmalloc`` does.

        ``flags`` are the entry's bits beside those of kernel data: by default those of memory type
        UC-. The area is aligned to its size, rounded up to a power of two, but not more than to the
        largest page, so that the kernel can use large pages; here all are small.
        [__ioremap_caller, __get_vm_area_node]
        """
        offset = paddr % PAGE_BYTES
        size = -(-(offset + byte_count) // PAGE_BYTES) * PAGE_BYTES
        if byte_count <= 0 or paddr < 0:
            raise VmallocError(f"ioremap needs at least a byte from address 0 up, not "
                               f"{byte_count} from {paddr:#x}")
        align = min(max(PAGE_BYTES, 1 << (size - 1).bit_length()), self._ioremap_align)
        start = self._allocate(size + PAGE_BYTES, align)
        first = paddr >> PAGE_SHIFT
        self._map(start, range(first, first + (size >> PAGE_SHIFT)), self._flags | flags)
        self._areas[start] = VmArea(start, size + PAGE_BYTES, VmAreaUse.IOREMAP, caller,
                                    paddr=paddr - offset)
        return start + offset

    def vfree(self, vaddr: int) -> tuple[int, ...]:
        """Unmap the area that starts at ``vaddr``; return the pages that belonged to it.

        Raise ``VmallocError`` if none starts there. The pages may be freed at once: a TLB may still
        translate to them, but only addresses that nobody may use any more. iounmap and vunmap do
        the same. [vfree, remove_vm_area, free_vmap_area_noflush]
        """
        area = self._areas.pop(vaddr, None)
        if area is None:
            raise VmallocError(f"Trying to vfree() nonexistent vm area ({vaddr:#x})")
        self._unmap(area.start, area.end, area.end - PAGE_BYTES)
        return area.pfns

    def iounmap(self, vaddr: int) -> None:
        """Unmap what ``ioremap`` returned; raise ``VmallocError``. [iounmap]"""
        self.vfree(vaddr & -PAGE_BYTES)

    def purge(self) -> None:
        """Flush the addresses that were freed from the TLBs, and let them be used again.

        One flush covers everything from the lowest to the highest. [__purge_vmap_area_lazy]
        """
        if self._lazy:
            lazy = self.lazy
            self._tables.flush_range(lazy[0][0], lazy[-1][1])
            self._free = union([*self._free, *lazy])
            self._lazy.clear()

    def check(self) -> None:
        """Raise ``AssertionError`` unless areas, free and lazy addresses make up the space."""
        parts = sorted([*((area.start, area.end) for area in self._areas.values()),
                        *self._free, *self.lazy])
        assert sum(end - start for start, end in parts) == self.space.end - self.space.start
        assert union(parts) == [(self.space.start, self.space.end)], "Areas overlap or leave a gap"

    def vmallocinfo(self) -> str:
        """Return /proc/vmallocinfo. [s_show]

        Of an area with more pages than fit in one page of pointers, the kernel keeps the pointers
        in an area of their own ("vpages"); here they take no memory.
        """
        lines = [self._line(area) for area in self.areas]
        lines += [f"{self._span(start, end)} unpurged vm_area" for start, end in self.lazy]
        return "".join(f"{line}\n" for line in lines)

    def _line(self, area: VmArea) -> str:
        words = [self._span(area.start, area.end)]
        if area.caller:
            words.append(area.caller)
        if area.pfns:
            words.append(f"pages={len(area.pfns)}")
        if area.paddr is not None:
            words.append(f"phys=0x{area.paddr:0{self._digits}x}")
        words.append(area.use.value)
        if self._node_of is not None:
            nodes = groupby(sorted(map(self._node_of, area.pfns)))
            words += [f"N{nid}={len(list(pages))}" for nid, pages in nodes]
        return " ".join(words)

    def _span(self, start: int, end: int) -> str:
        return f"0x{start:0{self._digits}x}-0x{end:0{self._digits}x} {end - start:7}"

    def _allocate_pages(self, count: int, align: int) -> int:
        """Take addresses for so many pages, and for a guard page behind them."""
        if count <= 0 or align < PAGE_BYTES or align & (align - 1):
            raise VmallocError(f"An area needs at least a page, and an alignment of a power of two "
                               f"of pages, not {count} pages aligned to {align}")
        return self._allocate(count + 1 << PAGE_SHIFT, align)

    def _map_pages(self, start: int, pfns: Sequence[int], use: VmAreaUse, caller: str,
                   owned: tuple[int, ...]) -> VmArea:
        self._map(start, pfns, self._flags)
        area = VmArea(start, len(pfns) + 1 << PAGE_SHIFT, use, caller, owned)
        self._areas[start] = area
        return area

    def _map(self, start: int, pfns: Sequence[int], flags: int) -> None:
        """Map pages side by side; if one cannot be, unmap all and free the addresses. [vmap]"""
        vaddr = start
        try:
            for pfn in pfns:
                self._tables.set_page(vaddr, pfn, flags)
                vaddr += PAGE_BYTES
        except BaseException:
            self._unmap(start, start + (len(pfns) + 1 << PAGE_SHIFT), vaddr)
            raise

    def _unmap(self, start: int, end: int, mapped_end: int) -> None:
        """Unmap the pages below ``mapped_end``, and free all addresses at the next purge.

        [free_vmap_area_noflush]
        """
        for vaddr in range(start, mapped_end, PAGE_BYTES):
            self._tables.clear_page(vaddr)
        self._lazy.append((start, end))
        if sum(high - low for low, high in self._lazy) > self._lazy_max:
            self.purge()

    def _allocate(self, size: int, align: int) -> int:
        """Take the lowest addresses that fit, after a purge if need be. [alloc_vmap_area]"""
        start = self._lowest(size, align)
        if start is None:
            self.purge()
            start = self._lowest(size, align)
        if start is None:
            raise VmallocSpaceError(size)
        self._take(start, start + size)
        return start

    def _lowest(self, size: int, align: int) -> int | None:
        """Return the lowest place in a free stretch that is sure to hold ``size`` aligned bytes.

        The kernel looks for one with room for the worst alignment. [find_vmap_lowest_match]
        """
        length = size + align - 1 if align > PAGE_BYTES else size
        for start, end in self._free:
            if end - start >= length:
                return (start + align - 1) & -align
        return None

    def _take(self, start: int, end: int) -> None:
        where = bisect_right(self._free, start, key=lambda free: free[0]) - 1
        self._free[where : where + 1] = subtract([self._free[where]], [(start, end)])
