"""The kernel half of all page tables: one set of tables, to which every root points.

[arch/x86/mm/init_64.c, fault.c, pgtable.c]
"""

import numpy as np

from ...physical.errors import BrokenInvariant
from ...physical.memory import PhysicalMemory
from ...x86 import PAGE_BYTES, PAGE_SHIFT, Entry, PagingMode
from ..tables.page_tables import PageTables
from ..tables.parts import TableFrames

__all__ = ["KERNEL_TABLE", "KernelPageTables"]

KERNEL_TABLE = Entry.P | Entry.RW | Entry.A | Entry.D
"""Flags of an entry that points to a table of kernel space. [_KERNPG_TABLE]"""


class KernelPageTables(PageTables):
    """The kernel's own tables; every other root has a copy of its upper entries. [init_mm]

    The copies are kept equal in two ways. ``preallocate`` makes the tables that the root points to
    once and for all, as x86-64 does for the vmalloc area. Otherwise a new entry of the root is
    written to all other roots, as 32-bit kernels do. [preallocate_vmalloc_pages,
    arch_sync_kernel_mappings]

    Members
    -------
    roots
        The frames of all other roots. [pgd_list]
    """

    table_flags = KERNEL_TABLE

    def __init__(self, mode: PagingMode, memory: PhysicalMemory, frames: TableFrames,
                 kernel_start: int) -> None:
        self.roots: list[int] = []
        super().__init__(mode, memory, frames, kernel_start)

    def _place(self) -> tuple[int, int]:
        start = self._kernel_index * self._size
        return start, PAGE_BYTES - start

    def root_entries(self, root: int) -> bytes:
        """Return the kernel half of the root in frame ``root``, with A and D set in all.

        The hardware sets these flags in each root separately, so they do not count as a difference.
        """
        start, count = self._place()
        data = self.memory.read_bytes((root << PAGE_SHIFT) + start, count)
        entries = np.frombuffer(data, f"<u{self._size}")
        return np.where(entries & Entry.P, entries | (Entry.A | Entry.D), entries).tobytes()

    def attach(self, root: int) -> None:
        """Give the root of another address space its kernel half. [pgd_ctor]"""
        start, _ = self._place()
        self.memory.write_bytes((root << PAGE_SHIFT) + start, self.root_entries(self.root))
        self.roots.append(root)

    def detach(self, root: int) -> None:
        """Forget the root of an address space that ends. [pgd_dtor]"""
        self.roots.remove(root)

    def preallocate(self, start: int, end: int) -> None:
        """Make the tables that the root points to from ``start`` up to ``end``."""
        step = self.mode.levels[0].page_bytes
        for vaddr in range(start & -step, end, step):
            self.alloc(vaddr, 1)

    def alloc(self, vaddr: int, depth: int | None = None) -> int:
        """Do as ``PageTables.alloc``, but raise ``ValueError`` for an address of user space."""
        if vaddr < self.kernel_start:
            raise ValueError(f"Address {vaddr:#x} is not the kernel's")
        return super().alloc(vaddr, depth)

    def _populate(self, paddr: int, entry: int) -> None:
        self.write(paddr, entry)
        if paddr >> PAGE_SHIFT == self.root:
            for root in self.roots:
                self.write((root << PAGE_SHIFT) + (paddr & PAGE_BYTES - 1), entry)

    def own_indices(self) -> range:
        """Return the root's indices from the kernel half on."""
        return range(self._kernel_index, self._masks[0] + 1)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` as ``PageTables.check``, or if a copy of the root differs."""
        super().check()
        own = self.root_entries(self.root)
        for root in self.roots:
            if self.root_entries(root) != own:
                raise BrokenInvariant(f"The root in frame {root:#x} has another kernel half")
