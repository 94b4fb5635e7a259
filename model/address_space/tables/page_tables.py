"""Page tables in physical memory, of one address space.

They are the tables that the hardware walks. It may set accessed and dirty flags in them at any
time, so software changes a present entry in one locked step, to lose none. [asm/pgtable.h]
"""

from collections.abc import Iterator

import numpy as np

from ...physical.errors import BrokenInvariant
from ...physical.memory import PhysicalMemory
from ...x86 import PAGE_BYTES, PAGE_SHIFT, Entry, Leaf, PagingMode
from .deposits import Deposits
from .parts import KernelHalf, LeafEntry, TableFrames, TableInTheWay

__all__ = ["USER_TABLE", "PageTables"]

USER_TABLE = Entry.P | Entry.RW | Entry.US | Entry.A | Entry.D
"""Flags of an entry that points to a table of user space. [_PAGE_TABLE]"""



class PageTables:
    """The page tables of one address space, the root among them. [mm->pgd]

    Parameters
    ----------
    mode, memory, frames
        The paging mode, the memory that the tables are in, and where their frames come from.
    kernel_start
        The first address of the kernel half: PAGE_OFFSET on 32-bit machines.
    kernel
        The tables of the kernel half, which the root will point to as well; None for tables that
        are the kernel's own.

    Members
    -------
    root
        The frame of the root table, for CR3.
    tables
        How many tables there are at each level, the root first. Those of the kernel half are not
        among them, except in ``KernelPageTables``.
    deposits
        Tables that are kept for large pages.
    """

    table_flags = USER_TABLE

    def __init__(self, mode: PagingMode, memory: PhysicalMemory, frames: TableFrames,
                 kernel_start: int, kernel: KernelHalf | None = None) -> None:
        self.mode = mode
        self.memory = memory
        self.frames = frames
        self.kernel_start = kernel_start
        self.kernel = kernel
        self._size = mode.entry_bytes
        self._shifts = [level.shift for level in mode.levels]
        self._masks = [(1 << level.index_bits) - 1 for level in mode.levels]
        self._last = len(mode.levels) - 1
        self._address = (1 << min(mode.max_paddr_bits, 8 * mode.entry_bytes)) - PAGE_BYTES
        self._kernel_index = self._index(kernel_start, 0)
        self.root = frames.alloc_table()
        self.tables = [1] + [0] * self._last
        self.deposits = Deposits()
        if kernel is not None:
            kernel.attach(self.root)

    def _index(self, vaddr: int, depth: int) -> int:
        return vaddr >> self._shifts[depth] & self._masks[depth]

    def canonical(self, vaddr: int) -> int:
        """Return ``vaddr`` with the untranslated bits that it must have. [SDM vol. 1, 3.3.7.1]"""
        sign = 1 << self.mode.translated_bits - 1
        low = vaddr & (sign << 1) - 1
        return low | (1 << self.mode.vaddr_bits) - (sign << 1) if low & sign else low

    def depth_of(self, page_bytes: int) -> int:
        """Return the depth of the level that maps pages of ``page_bytes``, the root's being 0.

        Raise ``ValueError`` if there is none.
        """
        for depth, level in enumerate(self.mode.levels):
            if level.page_bytes == page_bytes and level.leaf is not Leaf.NEVER:
                return depth
        raise ValueError(f"No page of {self.mode.name} has {page_bytes:#x} bytes")

    # ---- entries

    def read(self, paddr: int) -> int:
        """Return the entry at ``paddr``."""
        return self.memory.read(paddr, self._size)

    def write(self, paddr: int, entry: int) -> None:
        """Store an entry in place of one that is not present, which the hardware leaves alone.

        [set_pte]
        """
        self.memory.write(paddr, self._size, entry)

    def exchange(self, paddr: int, entry: int) -> int:
        """Store ``entry`` and return the one before, A and D included. [ptep_get_and_clear]"""
        while True:
            before = self.read(paddr)
            if self.memory.compare_exchange(paddr, self._size, before, entry) == before:
                return before

    def update(self, paddr: int, *, clear: int = 0, add: int = 0) -> int:
        """Clear the flags ``clear`` of an entry and set ``add``; return it as it was before.

        [ptep_set_wrprotect, ptep_test_and_clear_young, ptep_modify_prot_start]
        """
        while True:
            before = self.read(paddr)
            after = before & ~clear | add
            if self.memory.compare_exchange(paddr, self._size, before, after) == before:
                return before

    def pfn(self, entry: int) -> int:
        """Return the frame that an entry points to: a table, or a small page. [pte_pfn]"""
        return (entry & self._address) >> PAGE_SHIFT

    def is_leaf(self, depth: int, entry: int) -> bool:
        """Return whether a present entry maps a page. [pmd_large]"""
        return depth == self._last or bool(
            entry & Entry.PS and self.mode.levels[depth].leaf is not Leaf.NEVER)

    def points_to(self, leaf: LeafEntry) -> int | None:
        """Return the depth of the table that an entry points to, None if it maps a page."""
        depth = self.mode.levels.index(leaf.level)
        return None if not leaf.entry & Entry.P or self.is_leaf(depth, leaf.entry) else depth + 1

    def find(self, vaddr: int, depth: int | None = None) -> int | None:
        """Return the physical address of the entry of ``vaddr`` at a depth, by default its PTE.

        None if there is no table that far down. [pte_offset_map]
        """
        table = self.root
        for at in range(self._last if depth is None else depth):
            entry = self.read((table << PAGE_SHIFT) + self._index(vaddr, at) * self._size)
            if not entry & Entry.P or self.is_leaf(at, entry):
                return None
            table = self.pfn(entry)
        depth = self._last if depth is None else depth
        return (table << PAGE_SHIFT) + self._index(vaddr, depth) * self._size

    def lookup(self, vaddr: int) -> LeafEntry | None:
        """Return the entry that maps ``vaddr``, or holds a software entry; None if neither.

        [lookup_address]
        """
        table = self.root
        for depth, level in enumerate(self.mode.levels):
            paddr = (table << PAGE_SHIFT) + self._index(vaddr, depth) * self._size
            entry = self.read(paddr)
            if not entry:
                return None
            if not entry & Entry.P or self.is_leaf(depth, entry):
                return LeafEntry(vaddr & -level.page_bytes, level, paddr, entry)
            table = self.pfn(entry)
        raise AssertionError("the last level is always a leaf")

    def alloc(self, vaddr: int, depth: int | None = None) -> int:
        """Return the physical address of the entry of ``vaddr`` at a depth, making missing tables.

        Raise ``TableInTheWay`` if a large page is in place of a table, or what ``frames`` raises;
        tables made until then stay. [pte_alloc_map]
        """
        depth = self._last if depth is None else depth
        table = self.root
        for at in range(depth):
            paddr = (table << PAGE_SHIFT) + self._index(vaddr, at) * self._size
            entry = self.read(paddr)
            if not entry & Entry.P:
                table = self.frames.alloc_table()
                self.install(paddr, at, table)
            elif self.is_leaf(at, entry):
                raise TableInTheWay(vaddr, self.mode.levels[at].name)
            else:
                table = self.pfn(entry)
        return (table << PAGE_SHIFT) + self._index(vaddr, depth) * self._size

    def install(self, paddr: int, depth: int, table: int) -> None:
        """Point the clear entry at ``paddr``, of a table at a depth, to a new table.

        [pmd_install, p4d_populate]
        """
        self.tables[depth + 1] += 1
        self._populate(paddr, table << PAGE_SHIFT | self.table_flags)

    def below(self, entry: int, vaddr: int, depth: int) -> int:
        """Return the physical address of the entry of ``vaddr`` in a table at a depth.

        ``entry`` is the one that points to the table. [pte_offset]
        """
        return (self.pfn(entry) << PAGE_SHIFT) + self._index(vaddr, depth) * self._size

    def _populate(self, paddr: int, entry: int) -> None:
        """Store an entry that points to a new table, or maps a new page. [pgd_populate]"""
        self.write(paddr, entry)

    def map(self, vaddr: int, pfn: int, flags: int, page_bytes: int = PAGE_BYTES) -> int:
        """Map the page of ``page_bytes`` at ``vaddr`` to frame ``pfn``.

        Return the physical address of its entry. ``flags`` are those of a leaf, with PAT_LARGE for
        the PAT bit of a large page; PS is added to those of a large page. Raise ``ValueError`` for
        frames or addresses that such a page cannot have, ``TableInTheWay`` if a table or a large
        page is in its place, or what ``frames`` raises.
        """
        depth = self.depth_of(page_bytes)
        if vaddr & page_bytes - 1 or (pfn << PAGE_SHIFT) & page_bytes - 1:
            raise ValueError(f"A page of {page_bytes:#x} bytes cannot be at address {vaddr:#x}, "
                             f"frame {pfn:#x}")
        address = pfn << PAGE_SHIFT
        if address & ~self._address:
            raise ValueError(f"Frame {pfn:#x} is beyond what entries of {self.mode.name} hold")
        paddr = self.alloc(vaddr, depth)
        if depth < self._last:
            before = self.read(paddr)
            if before & Entry.P and not self.is_leaf(depth, before):
                raise TableInTheWay(vaddr, self.mode.levels[depth].name)
            flags |= Entry.PS
        self._populate(paddr, address | flags)
        return paddr

    # ---- ranges

    def entries(self, start: int, end: int, *, tables: bool = False) -> Iterator[LeafEntry]:
        """Yield every entry from ``start`` up to ``end`` that is not zero, by ascending address.

        Those that point to tables are passed over, or with ``tables`` come before what is in the
        table. All entries of a table are read when the first of them is due, so they may be out of
        date: change them with ``exchange`` or ``update``. [walk_page_range]
        """
        yield from self._entries(self.root, 0, start, end - 1, tables)

    def _entries(self, table: int, depth: int, first: int, last: int,
                 tables: bool) -> Iterator[LeafEntry]:
        level = self.mode.levels[depth]
        low, high = self._index(first, depth), self._index(last, depth)
        data = self.memory.read_bytes((table << PAGE_SHIFT) + low * self._size,
                                      (high - low + 1) * self._size)
        values = np.frombuffer(data, f"<u{self._size}")
        base = first >> level.shift << level.shift
        for at in np.flatnonzero(values).tolist():
            vaddr, entry = base + (at << level.shift), int(values[at])
            points_on = entry & Entry.P and not self.is_leaf(depth, entry)
            if tables or not points_on:
                paddr = (table << PAGE_SHIFT) + (low + at) * self._size
                yield LeafEntry(vaddr, level, paddr, entry)
            if points_on:
                yield from self._entries(self.pfn(entry), depth + 1, max(first, vaddr),
                                         min(last, vaddr + level.page_bytes - 1), tables)

    def free_pgtables(self, start: int, end: int, floor: int, ceiling: int) -> int:
        """Free the tables of an unmapped range, whose entries must be 0; return how many.

        ``floor`` and ``ceiling`` are where the mapping below the range ends and the one above it
        begins: a table is freed if all that it covers lies between. A ceiling of 0 is the end of
        the address space. Raise ``BrokenInvariant`` for a table that is not empty.
        [free_pgd_range, free_pgtables]
        """
        ceiling = ceiling or 1 << self.mode.translated_bits
        return self._free_below(self.root, 0, start, min(end, ceiling) - 1, floor, ceiling)

    def _free_below(self, table: int, depth: int, first: int, last: int, floor: int,
                    ceiling: int) -> int:
        level, freed = self.mode.levels[depth], 0
        if depth == self._last or first > last:
            return 0
        low, high = self._index(first, depth), self._index(last, depth)
        data = self.memory.read_bytes((table << PAGE_SHIFT) + low * self._size,
                                      (high - low + 1) * self._size)
        values = np.frombuffer(data, f"<u{self._size}")
        for index in (np.flatnonzero(values) + low).tolist():
            paddr = (table << PAGE_SHIFT) + index * self._size
            entry = int(values[index - low])
            if not entry & Entry.P or self.is_leaf(depth, entry):
                continue
            top = first >> level.shift + level.index_bits << level.shift + level.index_bits
            vaddr = top + (index << level.shift)
            end = vaddr + level.page_bytes
            freed += self._free_below(self.pfn(entry), depth + 1, max(first, vaddr),
                                      min(last, end - 1), floor, ceiling)
            if floor <= vaddr and end <= ceiling:
                self.exchange(paddr, 0)
                self._free_table(depth + 1, self.pfn(entry))
                freed += 1
        return freed

    def _free_table(self, depth: int, table: int) -> None:
        """Free a table, which must be empty. [free_pte_range, check_pgt_cache]"""
        if self.memory.read_bytes(table << PAGE_SHIFT, PAGE_BYTES).strip(b"\0"):
            raise BrokenInvariant(f"The {self.mode.levels[depth].table} in frame {table:#x} is "
                                  "freed, but not empty")
        self.tables[depth] -= 1
        self.frames.free_table(table)

    def free(self) -> None:
        """Free the root; raise ``BrokenInvariant`` if there are other tables. [pgd_free]"""
        if sum(self.tables) != 1:
            raise BrokenInvariant(f"The root is freed, but there are tables: {self.tables}")
        if self.kernel is not None:
            self.kernel.detach(self.root)
        self.frames.free_table(self.root)
        self.tables[0] = 0

    @property
    def pgtables_bytes(self) -> int:
        """Bytes of the tables under the root: VmPTE of ``/proc/PID/status``. [mm_pgtables_bytes]"""
        return sum(self.tables[1:]) + len(self.deposits) << PAGE_SHIFT

    # ---- check

    def own_indices(self) -> range:
        """Return the indices of the root's entries that belong to this object."""
        return range(self._kernel_index)

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if tables are shared, miscounted, or contradict the kernel's.
        """
        seen = {self.root}
        counts = [1] + [0] * self._last
        self._count(self.root, 0, self.own_indices(), counts, seen)
        if counts != self.tables:
            raise BrokenInvariant(f"Tables are counted as {self.tables}, but are {counts}")
        if self.kernel is not None and self.kernel.root_entries(self.root) != (
                self.kernel.root_entries(self.kernel.root)):
            raise BrokenInvariant(f"The root in frame {self.root:#x} has another kernel half")

    def _count(self, table: int, depth: int, indices: range, counts: list[int],
               seen: set[int]) -> None:
        data = self.memory.read_bytes(table << PAGE_SHIFT, PAGE_BYTES)
        values = np.frombuffer(data, f"<u{self._size}")[indices.start : indices.stop]
        for entry in values[values != 0].tolist():
            if not entry & Entry.P or self.is_leaf(depth, entry):
                continue
            if entry & (Entry.P | Entry.RW | Entry.US) != self.table_flags & (
                    Entry.P | Entry.RW | Entry.US):
                raise BrokenInvariant(f"{self.mode.levels[depth].name} {entry:#x} has not the "
                                      "rights of a table")
            below = self.pfn(entry)
            if below in seen:
                raise BrokenInvariant(f"Frame {below:#x} is pointed to as a table twice")
            seen.add(below)
            counts[depth + 1] += 1
            if depth + 1 < self._last:
                self._count(below, depth + 1, range(self._masks[depth + 1] + 1), counts, seen)
