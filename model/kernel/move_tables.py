"""Moving the pages of a mapping to other addresses, by whole tables where that can be done.

[move_page_tables and what it calls, in mm/mremap.c; move_hugetlb_page_tables in mm/hugetlb.c]
"""

from typing import Protocol

from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.parts import LeafEntry
from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..x86 import PAGE_BYTES, PAGE_SHIFT
from .state import KernelState
from .thp_entries import ThpEntries
from .tlb_flush import MmContext

__all__ = ["move_page_tables"]


class MovedSpace(Protocol):
    """The address space whose pages move."""

    state: KernelState
    tables: PageTables
    context: MmContext
    thp: ThpEntries

    def move_rmap(self, pfn: int, old: int, new: int) -> None:
        """Note that a page is mapped at another address."""
        ...


def move_page_tables(space: MovedSpace, vma: Vma, old: int, new: int, length: int) -> None:
    """Move what page tables hold for ``length`` bytes of ``vma`` from ``old`` to ``new``.

    Nothing is mapped at ``new``. A table moves as a whole if its addresses do; otherwise there is
    a table at the new place for each at the old one, even for an empty one. Raise ``OutOfMemory``
    with all pages where they were; tables at the new place may be left.
    """
    if not vma.flags & VmFlag.HUGETLB:
        _move(_Mover(space), old, new, length)
        return
    try:
        _move(_HugeMover(space, vma.page_bytes), old, new, length)
    finally:
        space.state.tlb.flush_range(space.context, old, old + length, vma.page_bytes)


def _move(mover: "_Mover | _HugeMover", old: int, new: int, length: int) -> None:
    """Move all there is, or move back what has moved and raise. [move_page_tables, move_vma]"""
    done = back = 0
    try:
        while done < length:
            done += mover.move_extent(old + done, old + length, new + done)
    except BaseException:
        while back < done:
            back += mover.move_extent(new + back, new + done, old + back)
        raise


def _extent(size: int, old: int, end: int, new: int) -> int:
    """Return how many bytes from ``old`` on lie within one entry of ``size`` at either place.

    [get_extent]
    """
    return min(size - old % size, end - old, size - new % size)


def _entry(tables: PageTables, vaddr: int, depth: int) -> tuple[int, int]:
    """Return where the entry of an address is at a depth, and what it is: 0 if there is none."""
    paddr = tables.find(vaddr, depth)
    return (0, 0) if paddr is None else (paddr, tables.read(paddr))


class _HugeMover:
    """Moves pages of hugetlbfs, of ``page_bytes`` each."""

    def __init__(self, space: MovedSpace, page_bytes: int) -> None:
        self._tables = space.tables
        self._page_bytes = page_bytes
        self._depth = space.tables.depth_of(page_bytes)

    def move_extent(self, old: int, _end: int, new: int) -> int:
        """Move the page at an address if there is one; return its size. [move_huge_pte]"""
        paddr, entry = _entry(self._tables, old, self._depth)
        if entry:
            target = self._tables.alloc(new, self._depth)
            self._tables.write(target, self._tables.exchange(paddr, 0))
        return self._page_bytes


class _Mover:
    """Moves small pages, swap entries and transparent huge pages, a table or less at a time."""

    def __init__(self, space: MovedSpace) -> None:
        self._space = space
        self._tables = space.tables
        self._pmd = space.thp.depth

    def move_extent(self, old: int, end: int, new: int) -> int:
        """Move what is from ``old`` on, as far as one table goes; return how many bytes that is.

        Above the tables that map small pages there is one level more that moves, if the paging mode
        has it below the root. [the loop of move_page_tables]
        """
        size = 0
        for depth in range(max(self._pmd - 1, 0), self._pmd + 1):
            size = _extent(self._tables.mode.levels[depth].page_bytes, old, end, new)
            paddr, entry = _entry(self._tables, old, depth)
            if not entry:
                return size
            target = self._tables.alloc(new, depth)
            entry = self._tables.read(paddr)  # which looking for memory may have changed
            whole = size == self._tables.mode.levels[depth].page_bytes
            if whole and not self._tables.read(target):
                self._move_entry(depth, LeafEntry(old, self._tables.mode.levels[depth], paddr,
                                                  entry), target, new)
                return size
        self._move_ptes(old, new, size, target)
        return size

    def _move_entry(self, depth: int, source: LeafEntry, target: int, new: int) -> None:
        """Move a table, or a huge page. [move_normal_pud, move_normal_pmd, move_huge_pmd]"""
        tables, size = self._tables, source.level.page_bytes
        if tables.is_leaf(depth, source.entry):
            self._space.thp.move(source, target, new)
            self._flush(source.vaddr, size, size)
        else:
            table = tables.pfn(tables.exchange(source.paddr, 0))
            tables.write(target, table << PAGE_SHIFT | tables.table_flags)
            self._move_rmap(source.vaddr, new, size)
            self._flush(source.vaddr, size)

    def _move_ptes(self, old: int, new: int, size: int, target: int) -> None:
        """Move small entries, within one table at either place. [move_ptes]

        A huge page is split for that. ``target`` is where the entry is that points to the new
        table, which is made if need be.
        """
        space, tables = self._space, self._tables
        space.thp.split_at(old)
        if not tables.read(target):
            tables.install(target, self._pmd, space.state.frames.alloc_table())
        delta = tables.below(tables.read(target), new, self._pmd + 1)
        first = tables.find(old)
        assert first is not None
        present = False
        for leaf in tables.entries(old, old + size):
            entry = tables.exchange(leaf.paddr, 0)
            tables.write(leaf.paddr - first + delta, entry)
            if space.state.kind(entry) < EntryKind.SWAP:
                present = True
                pfn = space.state.format.pfn(entry)
                space.move_rmap(pfn, leaf.vaddr, leaf.vaddr - old + new)
        if present:
            self._flush(old, size)

    def _move_rmap(self, old: int, new: int, size: int) -> None:
        """Note where the pages are that lie at ``new`` now."""
        for leaf in self._tables.entries(new, new + size):
            if self._space.state.kind(leaf.entry) < EntryKind.SWAP:
                for at, pfn in enumerate(self._space.thp.frames(leaf)):
                    vaddr = leaf.vaddr + at * PAGE_BYTES
                    self._space.move_rmap(pfn, vaddr - new + old, vaddr)

    def _flush(self, start: int, size: int, page_bytes: int = PAGE_BYTES) -> None:
        """Tell the TLB of a range that has moved. [flush_tlb_range]"""
        self._space.state.tlb.flush_range(self._space.context, start, start + size, page_bytes)
