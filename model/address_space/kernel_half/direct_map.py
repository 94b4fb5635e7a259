"""The direct map: physical memory at PAGE_OFFSET, in pages as large as memory allows.

[arch/x86/mm/init.c, init_mem_mapping; arch/x86/mm/pat/set_memory.c; arch/x86/include/asm/page.h]
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from ...physical.memory_map import MemoryMap
from ...physical.ranges import Range, subtract, union
from ...x86 import PAGE_BYTES, PAGE_SHIFT
from .layout import Layout
from .mapping_ops import KernelPageTableOps, page_kernel

__all__ = ["DirectMap", "HighmemError", "MappedRange", "direct_map_ranges", "split_large_pages"]

ISA_END = 1 << 20


class HighmemError(ValueError):
    """A physical or linear address that the direct map does not have."""


@dataclass(frozen=True, slots=True)
class MappedRange:
    """Physical bytes ``start`` up to ``end``, mapped with pages of ``page_bytes``."""

    start: int
    end: int
    page_bytes: int


def direct_map_ranges(machine: MemoryMap, *, page_sizes: tuple[int, ...]) -> list[MappedRange]:
    """Return how boot maps the memory of ``machine``: ascending, neighbours of one size joined.

    ``page_sizes`` are those that the processor and kernel may use, in bytes: 4 Kbytes, with 2 and
    1024 Mbytes on x86-64, or 4 Mbytes on i686. A large page lies where all of it is memory; what
    is left has small pages, as has the first Mbyte, memory or not.

    The kernel does this in steps from the top down: it splits each step at the boundaries of large
    pages, and then gives the large page to every piece for which all of that would be memory. So
    the result does not depend on the steps, and is made here without them.
    [init_mem_mapping, split_mem_range, adjust_range_page_size_mask]
    """
    max_low_pfn, _ = machine.lowmem_limit
    memory = [(start << PAGE_SHIFT, min(end, max_low_pfn) << PAGE_SHIFT)
              for start, end in machine.memory if start < max_low_pfn]
    left: list[Range] = union([(0, ISA_END), *memory])
    mapped: list[MappedRange] = []
    for size in sorted(page_sizes, reverse=True):
        source = memory if size > PAGE_BYTES else left
        whole = [(-(-start // size) * size, end // size * size) for start, end in source]
        taken = [(start, end) for start, end in whole if start < end]
        fresh = subtract(taken, [(one.start, one.end) for one in mapped])
        mapped += [MappedRange(start, end, size) for start, end in fresh]
        left = subtract(left, fresh)
    return sorted(mapped, key=lambda one: one.start)


def split_large_pages(ranges: Iterable[MappedRange], start: int, end: int,
                      page_sizes: tuple[int, ...]) -> list[MappedRange]:
    """Return ``ranges`` after the bytes ``start`` up to ``end`` got rights of their own.

    A large page that lies wholly in there keeps its size. One that lies only partly in there is
    split into pages of the next size, and so on. [__change_page_attr, should_split_large_page]
    """
    pieces = list(ranges)
    for larger, smaller in pairwise(sorted(page_sizes, reverse=True)):
        pieces = [piece for one in pieces for piece in
                  ([one] if one.page_bytes != larger else _split(one, start, end, smaller))]
    return list(_joined(pieces))


def _split(one: MappedRange, start: int, end: int, smaller: int) -> Iterator[MappedRange]:
    """Yield the parts of a range whose pages at the edges ``start`` and ``end`` are split."""
    size = one.page_bytes
    edges = {edge // size * size for edge in (start, end) if edge % size}
    cuts = sorted({one.start, one.end,
                   *(cut for edge in edges for cut in (edge, edge + size)
                     if one.start <= cut <= one.end)})
    for low, high in pairwise(cuts):
        yield MappedRange(low, high, smaller if low in edges else size)


def _joined(pieces: Iterable[MappedRange]) -> Iterator[MappedRange]:
    last: MappedRange | None = None
    for piece in pieces:
        if last and last.end == piece.start and last.page_bytes == piece.page_bytes:
            last = MappedRange(last.start, piece.end, last.page_bytes)
            continue
        if last:
            yield last
        last = piece
    if last:
        yield last


class DirectMap:
    """Physical memory that has a fixed linear address: ``vaddr = paddr + PAGE_OFFSET``.

    Pages of ZONE_HIGHMEM, from ``layout.high_memory`` up, have none.
    """

    def __init__(self, layout: Layout) -> None:
        self.page_offset = layout.page_offset
        self.high_memory = layout.high_memory
        self._flags = page_kernel(layout.mode)

    @property
    def max_low_pfn(self) -> int:
        """The first page frame that is not mapped."""
        return (self.high_memory - self.page_offset) >> PAGE_SHIFT

    def va(self, paddr: int) -> int:
        """Return the linear address of a physical one; raise ``HighmemError``. [__va]"""
        if not 0 <= paddr < self.high_memory - self.page_offset:
            raise HighmemError(f"Physical address {paddr:#x} has no linear address: the direct map "
                               f"ends at {self.high_memory - self.page_offset:#x}")
        return paddr + self.page_offset

    def pa(self, vaddr: int) -> int:
        """Return the physical address of one in the direct map; raise ``HighmemError``. [__pa]"""
        if not self.page_offset <= vaddr < self.high_memory:
            raise HighmemError(f"Linear address {vaddr:#x} is not in the direct map, which is "
                               f"{self.page_offset:#x} up to {self.high_memory:#x}")
        return vaddr - self.page_offset

    def virt_to_page(self, vaddr: int) -> int:
        """Return the page frame of an address; raise ``HighmemError``. [virt_to_page]

        A page is its frame number here: there is no ``struct page``.
        """
        return self.pa(vaddr) >> PAGE_SHIFT

    def page_address(self, pfn: int) -> int:
        """Return the address of a page; raise ``HighmemError``. [lowmem_page_address]"""
        return self.va(pfn << PAGE_SHIFT)

    def map(self, ranges: Iterable[MappedRange], tables: KernelPageTableOps) -> None:
        """Map ``ranges`` in the kernel's page tables. [kernel_physical_mapping_init]"""
        for one in ranges:
            tables.map_range(self.va(one.start), one.start >> PAGE_SHIFT, one.end - one.start,
                             one.page_bytes, self._flags)
