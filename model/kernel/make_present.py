"""Making one page of a mapping present: zeros, a page of a file, a copy, or a page from swap.

[handle_mm_fault and what it calls, in mm/memory.c]

Left out: readahead, and pages that a driver supplies.
"""

from ..address_space.errors import SysError
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


def handle_mm_fault(space: UserTables, vma: Vma, address: int, *, write: bool,
                    retries: bool = False) -> tuple[FaultCause, bool]:
    """Make the page of ``address`` present; return how, and whether it was read from disk.

    This is where faults are counted: each that could be dealt with, whether an access of the
    process or the kernel itself had it. ``vma`` holds the address and permits the access. With
    ``retries`` a fault ends while a disk is waited for, is not counted, and comes again: the page
    is then in memory, and the fault minor. Raise ``BusFault``, ``OutOfMemory``, ``SwapIoError``; a
    fault that fails may have mapped pages around, and made tables above the last.
    [handle_mm_fault, mm_account_fault]
    """
    space.state.lruvec.vmstat["pgfault"] += 1
    cause, major = _handle(space, vma, address, write=write)
    space.state.lruvec.vmstat["pgmajfault"] += major
    space.maj_flt += major and not retries
    space.min_flt += retries or not major
    return cause, major


def _handle(space: UserTables, vma: Vma, address: int, *, write: bool) -> tuple[FaultCause, bool]:
    """Deal with a fault by the kind of page. [__handle_mm_fault, handle_pte_fault]"""
    if vma.flags & VmFlag.HUGETLB:
        return hugetlb_fault(space, vma, address, write=write), False
    cause = huge_pmd_fault(space, vma, address, write=write)
    if cause is not None:
        return cause, False
    return _MmFault(space, vma, address & -PAGE_BYTES, write).handle()


def fault_in(space: UserTables, vaddr: int, write: bool, retries: bool) -> None:
    """Make a page present as an access would; the rest is as for ``handle_mm_fault``.

    [faultin_page]
    """
    vma = space.mm.tree.lookup(vaddr)
    if vma is not None:
        handle_mm_fault(space, vma, vaddr, write=write, retries=retries)


class _MmFault:
    """One fault. [struct vm_fault]

    Tables down to the one whose entries may map huge pages come first. The last table is there
    when the fault begins, or is made for the page that it ends with: an access that fails leaves
    none. Where memory is looked for, reclaim may change entries that are not clear.
    """

    def __init__(self, space: UserTables, vma: Vma, vaddr: int, write: bool) -> None:
        self.state, self.mm, self.space = space.state, space.mm, space
        self.tables = space.tables
        self.vma, self.vaddr, self.write = vma, vaddr, write
        self.prot = self.state.page_prot(vma)
        self.pmd = self.tables.alloc(vaddr, space.thp.depth)
        self.paddr = self._pte_offset()
        self.prealloc: int | None = None

    def handle(self) -> tuple[FaultCause, bool]:
        try:
            result = self._handle()
        finally:
            if self.prealloc is not None:
                self.state.frames.free_table(self.prealloc)
        self._mlock(self.tables.pfn(self.tables.read(self._pte())))
        return result

    def _handle(self) -> tuple[FaultCause, bool]:
        entry = 0 if self.paddr is None else self.tables.read(self.paddr)
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
        self.tables.update(self._pte(), add=Entry.A | (Entry.D if self.write else 0))
        return FaultCause.SPURIOUS, False

    # ---- the table, and entries in it

    def _pte_offset(self) -> int | None:
        """Return where the entry of the page is, None if there is no table for it."""
        entry = self.tables.read(self.pmd)
        return self.tables.below(entry, self.vaddr, self.space.thp.depth + 1) if entry else None

    def _pte(self) -> int:
        """Return where the entry of the page is; its table must be there."""
        assert self.paddr is not None
        return self.paddr

    def _preallocate(self) -> None:
        """Have a table at hand if there is none yet."""
        if self.paddr is None and self.prealloc is None:
            self.prealloc = self.state.frames.alloc_table()

    def _install(self) -> None:
        """Put the table in that is at hand, unless there is one. [pmd_install]"""
        if self.prealloc is not None:
            self.tables.install(self.pmd, self.space.thp.depth, self.prealloc)
            self.prealloc, self.paddr = None, self._pte_offset()

    def _alloc_table(self) -> None:
        """Make the table if there is none yet. [pte_alloc]"""
        self._preallocate()
        self._install()

    def _map(self, pfn: int, flags: int = 0) -> None:
        self.space.map_page(self.vaddr, self._pte(), pfn,
                            self.state.make_entry(pfn, self.prot, flags))

    def _map_new_anon(self, pfn: int) -> None:
        """Map a new page that is this process's own, written already. [page_add_new_anon_rmap]"""
        self._map(pfn, WRITTEN)
        self.state.anon.set_exclusive(pfn)
        self.state.add_to_lru(pfn)

    def _mlock(self, pfn: int) -> None:
        """Keep a page from reclaim that a locked mapping has now. [mlock_vma_page]"""
        if self.vma.flags & VmFlag.LOCKED and pfn in self.state.lruvec:
            self.state.lruvec.set_unevictable(pfn, True)

    # ---- the kinds of faults

    def _anonymous(self) -> FaultCause:
        """Untouched memory: the zero page if read, a page of zeros if written.

        [do_anonymous_page]
        """
        if self.vma.flags & VmFlag.SHARED:
            raise BusFault
        self._alloc_table()
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
            self._alloc_table()
            self._map(state.zero_pfn, SPECIAL)
            return FaultCause.FILE, False
        try:
            pages = state.page_cache.space(file)
        except KeyError:
            raise BusFault from None
        if not self.write:
            return FaultCause.FILE, self._read(pages)
        if self.vma.flags & VmFlag.SHARED:
            return FaultCause.FILE, self._write_shared(pages)
        return FaultCause.COPY_ON_WRITE, self._copy_file(pages)

    def _file_page(self, pages: CachedFile) -> tuple[int, bool]:
        """Return the frame of the file's page, referenced once more, and whether it was read.

        The table comes first. Raise ``BusFault`` past the end of the file. [__do_fault,
        filemap_fault, shmem_fault]
        """
        self._preallocate()
        index = self.vma.pgoff_of(self.vaddr)
        if not pages.holds(index):
            raise BusFault
        try:
            return self.state.file_page(pages, index)
        except SysError:  # of the disk
            raise BusFault from None

    def _read(self, pages: CachedFile) -> bool:
        """Map the page of a file and those around it; return whether it was read from disk.

        Those around are mapped even if there is no such page. [do_read_fault]
        """
        if self._fault_around(pages):
            return False
        pfn, major = self._file_page(pages)
        self._install()
        self._map(pfn)
        return major

    def _write_shared(self, pages: CachedFile) -> bool:
        """Map the page of a file to be written; return as ``_read``. [do_shared_fault]"""
        pfn, major = self._file_page(pages)
        self.state.page_cache.set_dirty(pfn)
        self._install()
        self._map(pfn, WRITTEN)
        return major

    def _copy_file(self, pages: CachedFile) -> bool:
        """Map a copy of the page of a file; return as ``_read``. [do_cow_fault]"""
        frames = self.state.frames
        self.mm.prepare_anon_vma(self.vma)
        new = frames.alloc()
        try:
            pfn, major = self._file_page(pages)
        except BaseException:
            frames.put(new)
            raise
        frames.copy(pfn, new)
        self._install()
        self._map_new_anon(new)
        frames.put(pfn)
        return major

    def _around(self) -> range:
        """Return the addresses of the 16 pages around.

        They are those of an aligned block, or as many from the start of the mapping if that is
        in it, as far as the mapping and one page table go.
        """
        table = self.state.mode.levels[-2].page_bytes
        start = max(self.vaddr & -FAULT_AROUND_BYTES, self.vma.start)
        end = min(start + FAULT_AROUND_BYTES, self.vma.end, (start | table - 1) + 1)
        return range(start, end, PAGE_BYTES)

    def _fault_around(self, pages: CachedFile) -> bool:
        """Map what is in memory of the pages around; return whether the one wanted is there.

        A table is made only if there is a page to map. [do_fault_around, filemap_map_pages]
        """
        entry_bytes = self.state.mode.entry_bytes
        self._preallocate()
        for vaddr in self._around():
            pfn = pages.mappable(self.vma.pgoff_of(vaddr))
            if pfn is None:
                continue
            self._install()
            paddr = self._pte() + (vaddr - self.vaddr >> PAGE_SHIFT) * entry_bytes
            if not self.tables.read(paddr):
                self.state.frames.get(pfn)
                self.space.map_page(vaddr, paddr, pfn, self.state.make_entry(pfn, self.prot))
                self._mlock(pfn)
        return self.paddr is not None and bool(self.tables.read(self.paddr))

    def _write_protected(self, pfn: int) -> FaultCause:
        """A write to a page that may be read: it becomes writable, or a copy. [do_wp_page]

        A page of a shared mapping is written itself; it was read-only so that the kernel learns
        that it changes. A private page is copied unless this mapping is its only user.
        """
        state = self.state
        if self.vma.flags & VmFlag.SHARED:
            state.page_cache.set_dirty(pfn)
            self.tables.update(self._pte(), add=WRITTEN)
            return FaultCause.SHARED_WRITE
        zero = pfn == state.zero_pfn
        if not zero and state.is_anon(pfn) and state.anon.can_reuse(pfn):
            self.tables.update(self._pte(), add=WRITTEN)
            return FaultCause.REUSE
        self.mm.prepare_anon_vma(self.vma)
        if zero:
            new = state.frames.alloc_zeroed()
        else:
            new = self._copy(pfn)
        self.tables.exchange(self._pte(), 0)
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
        self.tables.write(self._pte(), 0)
        self.space.swapped -= 1
        if state.is_exclusive_entry(entry) or state.frames.refcount(pfn) == 1:
            state.anon.set_exclusive(pfn)
        self._map(pfn)
        if self.write:
            self._write_protected(pfn)
        return FaultCause.SWAP_IN, major
