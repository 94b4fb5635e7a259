"""Page frames as the kernel uses them: contents, references and mappings. [struct page]"""

from collections.abc import Callable

from ..physical.errors import BrokenInvariant
from ..physical.gfp import Gfp
from ..physical.memory import PhysicalMemory
from ..physical.out_of_memory import OutOfMemory
from ..physical.page import MAX_ORDER, PageFlag, PageState
from ..physical.page_alloc import PageAllocator
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .rmap import Rmap

__all__ = ["Frames"]

ZEROS = bytes(PAGE_BYTES)


class Frames:
    """The frames of a machine: allocated, filled, shared, and freed with their last reference.

    Parameters
    ----------
    memory, allocator
        The contents of memory, and the allocator that gives out its frames.
    on_free
        Called with a frame whose last reference goes, while it is still allocated.
    out_of_memory
        Called when no memory is left; returns whether to try once more. [out_of_memory]

    Members
    -------
    rmap
        Which entries of user page tables point to which frame.
    """

    def __init__(self, memory: PhysicalMemory, allocator: PageAllocator, *,
                 on_free: Callable[[int], None],
                 out_of_memory: Callable[[OutOfMemory], bool]) -> None:
        self.memory = memory
        self.allocator = allocator
        mem_map = allocator.mem_map
        self.start_pfn, self.end_pfn = mem_map.base, mem_map.base + len(mem_map)
        self.rmap = Rmap(self.start_pfn, self.end_pfn)
        self.on_free = on_free
        self.out_of_memory = out_of_memory
        self._refcount = mem_map.scalars.refcount
        self._flags = mem_map.scalars.flags

    def alloc(self, gfp: int = Gfp.HIGHUSER_MOVABLE) -> int:
        """Return a frame with one reference, whatever it holds; raise ``OutOfMemory``."""
        while True:
            try:
                return self.allocator.alloc_pages(gfp)
            except OutOfMemory as error:
                if not self.out_of_memory(error):
                    raise

    def alloc_zeroed(self, gfp: int = Gfp.HIGHUSER_MOVABLE) -> int:
        """Return a frame full of zeros. [alloc_zeroed_user_highpage_movable]"""
        pfn = self.alloc(gfp | Gfp.ZERO)
        self.memory.write_bytes(pfn << PAGE_SHIFT, ZEROS)
        return pfn

    def alloc_block(self, gfp: int, order: int) -> int | None:
        """Return the first of 2**order frames side by side, each with one reference.

        None if there are no such, or no block is so large; nobody is killed for them.
        """
        if order >= MAX_ORDER:
            return None
        try:
            pfn = self.allocator.alloc_pages(gfp, order)
        except OutOfMemory:
            return None
        mem_map, first = self.allocator.mem_map, pfn - self.start_pfn
        mem_map.split_page(pfn, order)
        mem_map.refcount[first : first + (1 << order)] = 1
        return pfn

    def alloc_table(self) -> int:
        """Return a frame for a page table. [GFP_PGTABLE_USER; CONFIG_HIGHPTE is not modelled]"""
        return self.alloc_zeroed(Gfp.KERNEL_ACCOUNT)

    def free_table(self, pfn: int) -> None:
        """Free the frame of a page table. [pte_free]"""
        self.allocator.free_pages(pfn)

    def refcount(self, pfn: int) -> int:
        """Return how many references a frame has. [page_count]"""
        return self._refcount[pfn - self.start_pfn]

    def get(self, pfn: int) -> None:
        """Take one more reference to a frame. [get_page]"""
        self._refcount[pfn - self.start_pfn] += 1

    def put(self, pfn: int) -> None:
        """Drop a reference to a frame; the last one frees it. [put_page]

        Raise ``BrokenInvariant`` if it is still mapped then.
        """
        if self._refcount[pfn - self.start_pfn] == 1:
            if self.rmap.mapcount(pfn):
                raise BrokenInvariant(f"Page {pfn:#x} is freed, but mapped")
            self.on_free(pfn)
        self.allocator.free_pages(pfn)

    def set_lru(self, pfn: int, on_list: bool) -> None:
        """Tell the allocator whether a page is on an LRU list, and so movable. [PG_lru]"""
        if on_list:
            self._flags[pfn - self.start_pfn] |= PageFlag.LRU
        else:
            self._flags[pfn - self.start_pfn] &= ~PageFlag.LRU

    def copy(self, source: int, target: int) -> None:
        """Copy what a frame holds to another. [copy_user_highpage]"""
        self.write(target, self.read(source))

    def read(self, pfn: int) -> bytes:
        """Return what a frame holds."""
        return self.memory.read_bytes(pfn << PAGE_SHIFT, PAGE_BYTES)

    def write(self, pfn: int, data: bytes) -> None:
        """Store the 4096 bytes of a frame."""
        self.memory.write_bytes(pfn << PAGE_SHIFT, data)

    def allocated(self) -> int:
        """Return how many frames are neither free nor kept by boot."""
        mem_map = self.allocator.mem_map
        heads, orders = mem_map.blocks()
        in_use = mem_map.state[heads] == PageState.ALLOCATED
        return int((1 << orders[in_use].astype(int)).sum())

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if a mapped frame has fewer references than mappings.

        The allocator and the reverse map are checked, too.
        """
        self.allocator.check()
        self.rmap.check()
        for pfn in self.rmap.mapped():
            if self.refcount(pfn) < self.rmap.mapcount(pfn):
                raise BrokenInvariant(f"Page {pfn:#x} has {self.refcount(pfn)} references, but "
                                      f"{self.rmap.mapcount(pfn)} mappings")
