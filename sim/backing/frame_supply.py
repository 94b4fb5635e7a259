"""The frames of a machine that has just booted, for the pages of a trace and for page tables."""

from contextlib import suppress

import numpy as np

from ...model.kernel.platform import PLATFORMS
from ...model.physical.gfp import Gfp
from ...model.physical.kernel_config import AMD64
from ...model.physical.memory import PhysicalMemory
from ...model.physical.memory_map import MemoryMap, pc_memory
from ...model.physical.out_of_memory import OutOfMemory
from ...model.physical.page import MAX_ORDER
from ...model.physical.page_alloc import PageAllocator
from ...model.x86 import PAGE_SHIFT, PagingMode
from .backing_error import BackingError

__all__ = ["FrameSupply"]


class FrameSupply:
    """Frames from the buddy allocator of a PC. Nothing is ever freed.

    Blocks beyond what the allocator gives out, as those of 1-Gbyte pages, are set aside behind
    all memory, as a kernel sets them aside before it has an allocator.

    Raise ``BackingError`` if memory runs out, or is more than page tables reach.

    Parameters
    ----------
    mode, physical_bits
        The paging mode, and the width of physical addresses.
    memory_bytes
        The memory of the machine.
    fragmentation
        The share of free blocks of the size of a huge page that one page, which stays in use,
        breaks up, from 0 to 1.
    rng
        Draws these blocks and pages.

    Members
    -------
    memory
        Physical memory, with the frames of page tables.
    tables
        How many frames page tables have.
    """

    def __init__(self, mode: PagingMode, physical_bits: int, memory_bytes: int,
                 fragmentation: float, rng: np.random.Generator) -> None:
        platform = PLATFORMS.get(mode.name)
        machine = MemoryMap(pc_memory(memory_bytes), config=platform.config if platform else AMD64)
        self._bytes, self._limit = memory_bytes, 1 << physical_bits
        self._aside = max(one.end for one in machine.e820)
        if self._aside > self._limit:
            raise BackingError(f"argument --memory: {memory_bytes >> 20} Mbytes end above what "
                               f"{physical_bits} address bits reach", "less, or more --paddr-bits")
        self._allocator = PageAllocator.boot(machine)
        self.memory, self.tables = PhysicalMemory(), 0
        if fragmentation:
            self._break(mode.levels[-2].shift - PAGE_SHIFT, fragmentation, rng)

    def _break(self, order: int, share: float, rng: np.random.Generator) -> None:
        """Break up a share of the blocks of an order: one page of each stays in use."""
        allocator, mem_map = self._allocator, self._allocator.mem_map
        blocks = []
        with suppress(OutOfMemory):  # all there are, below the watermarks, too
            while True:
                blocks.append(allocator.alloc_pages(Gfp.HIGHUSER_MOVABLE | Gfp.MEMALLOC, order))
        broken = set(rng.permutation(len(blocks))[:round(share * len(blocks))].tolist())
        for number, block in enumerate(blocks):
            if number not in broken:
                allocator.free_pages(block, order)
                continue
            kept = block + int(rng.integers(1 << order))
            mem_map.split_page(block, order)
            for size in range(order):
                part = (kept >> size ^ 1) << size  # the other half of what holds the page
                if size:
                    mem_map.join_pages(part, size)
                mem_map.refcount[part - mem_map.base] = 1
                allocator.free_pages(part, size)
        allocator.drain_all_pages()

    def take(self, order: int) -> int | None:
        """Return the first of 2**order frames side by side for user pages, None if none are left.
        """
        if order >= MAX_ORDER:
            return self._take_aside(order)
        try:
            return self._allocator.alloc_pages(
                Gfp.TRANSHUGE_LIGHT if order else Gfp.HIGHUSER_MOVABLE, order)
        except OutOfMemory:
            return None

    def _take_aside(self, order: int) -> int | None:
        size = 1 << order + PAGE_SHIFT
        start = -(-self._aside // size) * size
        if start + size > self._limit:
            return None
        self._aside = start + size
        return start >> PAGE_SHIFT

    def alloc_table(self) -> int:
        """Return a frame for a page table, filled with zeros. [pte_alloc_one]"""
        try:
            pfn = self._allocator.alloc_pages(Gfp.KERNEL_ACCOUNT)
        except OutOfMemory:
            raise self.exhausted() from None
        self.memory.add([pfn])
        self.tables += 1
        return pfn

    def free_table(self, pfn: int) -> None:
        """Take back the frame of a page table."""
        self._allocator.free_pages(pfn)
        self.tables -= 1

    def exhausted(self) -> BackingError:
        """Return the error that says that there is no memory left."""
        return BackingError(f"argument --memory: {self._bytes >> 20} Mbytes are too few for the "
                            "pages of this trace", "more")
