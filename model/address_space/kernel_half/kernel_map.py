"""The kernel's half of the address space in use: the direct map and the dynamic areas."""

from collections.abc import Callable

from ...physical.memory_map import MemoryMap
from .direct_map import DirectMap, MappedRange, direct_map_ranges
from .fixmap import Fixmap
from .kmap import KmapLocal, Pkmap
from .layout import Layout, layout_of
from .mapping_ops import KernelPageTableOps, page_kernel
from .vmalloc import Vmalloc

__all__ = ["KernelMap"]


class KernelMap:
    """What the kernel of ``machine`` can map, on top of the page tables ``tables``.

    Parameters
    ----------
    machine, tables
        The machine, and the kernel's page tables.
    total_pages
        How many pages its allocator has; None if nobody maps more than that.

    Members
    -------
    layout
        Where the areas lie.
    direct
        The direct map.
    vmalloc, fixmap
        Areas that every kernel has.
    pkmap
        None on a kernel without highmem.
    """

    def __init__(self, machine: MemoryMap, tables: KernelPageTableOps, *,
                 total_pages: Callable[[], int] | None = None) -> None:
        self.machine = machine
        self.layout: Layout = layout_of(machine)
        self.direct = DirectMap(self.layout)
        self.vmalloc = Vmalloc(self.layout, tables, cpus=len(machine.cpu_nodes),
                               total_pages=total_pages)
        self.fixmap = Fixmap(self.layout.fixed, tables)
        self.pkmap: Pkmap | None = None
        self._local: list[KmapLocal] = []
        if self.layout.pkmap_slots:
            flags = page_kernel(self.layout.mode)
            self.pkmap = Pkmap(self.layout, tables)
            self._local = [KmapLocal(self.layout.fixed, tables, flags, cpu)
                           for cpu in range(len(machine.cpu_nodes))]
        self._tables = tables

    def map_direct(self, page_sizes: tuple[int, ...] | None = None) -> list[MappedRange]:
        """Map all memory that the direct map can hold, as boot does; return what was mapped.

        ``page_sizes`` are those that the processor has, in bytes; all of the paging mode if None.
        """
        if page_sizes is None:
            page_sizes = tuple(level.page_bytes for level in self.layout.mode.pages)
        ranges = direct_map_ranges(self.machine, page_sizes=page_sizes)
        self.direct.map(ranges, self._tables)
        return ranges

    def is_highmem(self, pfn: int) -> bool:
        """Return whether a page has no address in the direct map. [PageHighMem]"""
        return pfn >= self.direct.max_low_pfn

    def page_address(self, pfn: int) -> int | None:
        """Return the address of a page, or None for highmem that kmap does not map now."""
        if self.pkmap is not None and self.is_highmem(pfn):
            return self.pkmap.page_address(pfn)
        return self.direct.page_address(pfn)

    def kmap(self, pfn: int) -> int:
        """Return an address of a page that lasts until ``kunmap``; raise ``PkmapFull``. [kmap]"""
        if self.pkmap is not None and self.is_highmem(pfn):
            return self.pkmap.kmap(pfn)
        return self.direct.page_address(pfn)

    def kunmap(self, pfn: int) -> None:
        """Give a page back that ``kmap`` mapped; raise ``KmapError``. [kunmap]"""
        if self.pkmap is not None and self.is_highmem(pfn):
            self.pkmap.kunmap(pfn)

    def kmap_local(self, pfn: int, cpu: int = 0) -> int:
        """Return an address of a page that processor ``cpu`` may use until ``kunmap_local``.

        kmap_atomic takes a slot in the same way. Raise ``KmapError`` if no slot is free.
        [__kmap_local_page_prot]
        """
        if self._local and self.is_highmem(pfn):
            return self._local[cpu].kmap(pfn)
        return self.direct.page_address(pfn)

    def kunmap_local(self, vaddr: int, cpu: int = 0) -> None:
        """Undo the ``kmap_local`` that returned ``vaddr``, which must be the last one.

        An address of the direct map needs nothing. Raise ``KmapError`` for any other address.
        [kunmap_local_indexed]
        """
        if self._local and not self.layout.page_offset <= vaddr < self.layout.high_memory:
            self._local[cpu].kunmap(vaddr)
