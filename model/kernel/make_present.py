"""Making one page of a mapping present: zeros, a page of a file, a copy, or a page from swap.

[handle_mm_fault and what it calls, in mm/memory.c]

Left out: readahead, and pages that a driver supplies.
"""

from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .fault_cause import BusFault, FaultCause
from .hugetlb_fault import hugetlb_fault
from .page_cache import CachedFile
from .state import SPECIAL, WRITTEN
from .thp_fault import huge_pmd_fault
from .user_tables import UserTables

__all__ = ["fault_in", "handle_mm_fault"]

FAULT_AROUND_BYTES = 64 << 10


def handle_mm_fault(space: UserTables, vma: Vma, address: int, *,
                    write: bool) -> tuple[FaultCause, bool]:
    """Make the page of ``address`` present; return how, and whether it was read from disk.

    This is where faults are counted: each that could be dealt with, whether an access of the
    process or the kernel itself had it. ``vma`` holds the address and permits the access. Raise
    ``BusFault``, ``OutOfMemory``, ``SwapIoError``, with all pages as they were. [handle_mm_fault,
    mm_account_fault]
    """
    cause, major = _handle(space, vma, address, write=write)
    space.maj_flt += major
    space.min_flt += not major
    return cause, major


def _handle(space: UserTables, vma: Vma, address: int, *, write: bool) -> tuple[FaultCause, bool]:
    """Deal with a fault by the kind of page. [__handle_mm_fault, handle_pte_fault]"""
    if vma.flags & VmFlag.HUGETLB:
        return hugetlb_fault(space, vma, address, write=write), False
    cause = huge_pmd_fault(space, vma, address, write=write)
    if cause is not None:
        return cause, False
    return _MmFault(space, vma, address & -PAGE_BYTES, write).handle()


def fault_in(space: UserTables, vaddr: int, write: bool) -> None:
    """Make a page present as an access would; raise as ``handle_mm_fault``. [faultin_page]"""
    vma = space.mm.tree.lookup(vaddr)
    if vma is not None:
        handle_mm_fault(space, vma, vaddr, write=write)


class _MmFault:
    """One fault. [struct vm_fault]

    The table comes first, as reclaim may change entries while memory is looked for.
    """

    def __init__(self, space: UserTables, vma: Vma, vaddr: int, write: bool) -> None:
        self.state, self.mm, self.space = space.state, space.mm, space
        self.tables = space.tables
        self.vma, self.vaddr, self.write = vma, vaddr, write
        self.paddr = self.tables.alloc(vaddr)
        self.prot = self.state.page_prot(vma)

    def handle(self) -> tuple[FaultCause, bool]:
        result = self._handle()
        if self.vma.flags & VmFlag.LOCKED:
            pfn = self.tables.pfn(self.tables.read(self.paddr))
            if pfn in self.state.lruvec:
                self.state.lruvec.set_unevictable(pfn, True)
        return result

    def _handle(self) -> tuple[FaultCause, bool]:
        entry = self.tables.read(self.paddr)
        kind = self.space.kind(entry)
        if kind is EntryKind.NONE:
            if self.vma.is_anonymous:
                return self._anonymous(), False
            return self._file()
        if kind is EntryKind.SWAP:
            return self._swap_in(entry)
        if kind is not EntryKind.PRESENT:
            raise BrokenInvariant(f"Address {self.vaddr:#x} has entry {entry:#x} in a mapping "
                                  "that may be accessed")
        if self.write and not entry & Entry.RW:
            return self._write_protected(self.tables.pfn(entry)), False
        self.tables.update(self.paddr, add=Entry.A | (Entry.D if self.write else 0))
        return FaultCause.SPURIOUS, False

    def _map(self, pfn: int, flags: int = 0) -> None:
        self.space.map_page(self.vaddr, self.paddr, pfn,
                            self.state.make_entry(pfn, self.prot, flags))

    def _map_new_anon(self, pfn: int) -> None:
        """Map a new page that is this process's own, written already. [page_add_new_anon_rmap]"""
        self._map(pfn, WRITTEN)
        self.state.add_to_lru(pfn)

    def _anonymous(self) -> FaultCause:
        """Untouched memory: the zero page if read, a page of zeros if written.

        [do_anonymous_page]
        """
        if self.vma.flags & VmFlag.SHARED:
            raise BusFault
        if not self.write:
            self._map(self.state.zero_pfn, SPECIAL)
            return FaultCause.ZERO_PAGE
        self.mm.prepare_anon_vma(self.vma)
        self._map_new_anon(self.state.frames.alloc_zeroed())
        return FaultCause.DEMAND_ZERO

    def _file(self) -> tuple[FaultCause, bool]:
        """A page of a file, or a copy of it for a private write. [do_fault]"""
        state, file = self.state, self.vma.file
        if file is None:  # the kernel's own pages, the contents of which are not modelled
            self._map(state.zero_pfn, SPECIAL)
            return FaultCause.FILE, False
        try:
            pages = state.page_cache.space(file)
        except KeyError:
            raise BusFault from None
        index = self.vma.pgoff_of(self.vaddr)
        if not pages.holds(index):
            raise BusFault
        if self.write and not self.vma.flags & VmFlag.SHARED:
            self.mm.prepare_anon_vma(self.vma)
            new = state.frames.alloc()
            try:
                pfn, major = state.file_page(pages, index)
            except BaseException:
                state.frames.put(new)
                raise
            state.frames.copy(pfn, new)
            state.frames.put(pfn)
            self._map_new_anon(new)
            return FaultCause.COPY_ON_WRITE, major
        if not self.write and self._fault_around(pages):
            return FaultCause.FILE, False
        pfn, major = state.file_page(pages, index)
        if self.write:
            state.page_cache.set_dirty(pfn)
        self._map(pfn, WRITTEN if self.write else 0)
        return FaultCause.FILE, major

    def _fault_around(self, pages: CachedFile) -> bool:
        """Map what is in memory of the 16 pages around; return whether the one wanted is there.

        They are those of an aligned block, or as many from the start of the mapping if that is
        in it, as far as the mapping and one page table go. [do_fault_around, filemap_map_pages]
        """
        entry_bytes, table = self.state.mode.entry_bytes, self.state.mode.levels[-2].page_bytes
        start = max(self.vaddr & -FAULT_AROUND_BYTES, self.vma.start)
        end = min(start + FAULT_AROUND_BYTES, self.vma.end, (start | table - 1) + 1)
        for vaddr in range(start, end, PAGE_BYTES):
            pfn = pages.mappable(self.vma.pgoff_of(vaddr))
            paddr = self.paddr + (vaddr - self.vaddr >> PAGE_SHIFT) * entry_bytes
            if pfn is not None and not self.tables.read(paddr):
                self.state.frames.get(pfn)
                self.space.map_page(vaddr, paddr, pfn, self.state.make_entry(pfn, self.prot))
        return bool(self.tables.read(self.paddr))

    def _write_protected(self, pfn: int) -> FaultCause:
        """A write to a page that may be read: it becomes writable, or a copy. [do_wp_page]

        A page of a shared mapping is written itself; it was read-only so that the kernel learns
        that it changes. A private page is copied unless this mapping is its only user. References
        decide that, not mappings: the swap cache, a swap entry of a child or the kernel at work
        may still need the page as it was.
        """
        state = self.state
        if self.vma.flags & VmFlag.SHARED:
            state.page_cache.set_dirty(pfn)
            self.tables.update(self.paddr, add=WRITTEN)
            return FaultCause.SHARED_WRITE
        zero = pfn == state.zero_pfn
        if not zero and state.is_anon(pfn) and state.is_exclusive(pfn):
            self.tables.update(self.paddr, add=WRITTEN)
            return FaultCause.REUSE
        self.mm.prepare_anon_vma(self.vma)
        if zero:
            new = state.frames.alloc_zeroed()
        else:
            new = self._copy(pfn)
        self.tables.exchange(self.paddr, 0)
        state.tlb.flush_range(self.space.context, self.vaddr, self.vaddr + PAGE_BYTES)
        if not zero:
            self.space.forget_page(self.vaddr, pfn)
            state.put_anon(pfn)
        self._map_new_anon(new)
        return FaultCause.COPY_ON_WRITE

    def _copy(self, pfn: int) -> int:
        """Return a new frame with the contents of another, which reclaim leaves alone meanwhile.

        [wp_page_copy]
        """
        frames = self.state.frames
        frames.get(pfn)
        try:
            new = frames.alloc()
            frames.copy(pfn, new)
        finally:
            frames.put(pfn)
        return new

    def _swap_in(self, entry: int) -> tuple[FaultCause, bool]:
        """A page that went out, or is still in the swap cache. [do_swap_page]

        The page keeps its slot, so that it need not be written again if it leaves memory clean.
        """
        state, swap, slot = self.state, self.state.swap, self.state.slot(entry)
        pfn, major = state.read_swap(slot)
        swap.swap_free(slot)
        # A page that is locked needs no slot any more, nor one to be written if nobody else maps
        # or wants it. [should_try_to_free_swap]
        if (swap.swap_full or self.vma.flags & VmFlag.LOCKED
                or (self.write and state.frames.refcount(pfn) == 2)):
            swap.free_swap(pfn)
        self.tables.write(self.paddr, 0)
        self.space.swapped -= 1
        self._map(pfn)
        if self.write:
            self._write_protected(pfn)
        return FaultCause.SWAP_IN, major
