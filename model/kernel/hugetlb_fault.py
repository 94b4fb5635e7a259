"""Making one huge page present: a page of the pool, one of a file, or a copy. [mm/hugetlb.c]"""

from ..address_space.hugetlb_mapping import huge_index
from ..address_space.vma import Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..x86 import Entry
from .fault_cause import BusFault, FaultCause
from .state import WRITTEN
from .user_tables import UserTables

__all__ = ["hugetlb_fault"]


def hugetlb_fault(space: UserTables, vma: Vma, address: int, *, write: bool) -> FaultCause:
    """Make the huge page of ``address`` present; return how.

    ``vma`` holds the address and permits the access. Raise ``BusFault`` if the pool has no page,
    ``OutOfMemory`` if there is no memory for a table.
    """
    return _HugeFault(space, vma, address & -vma.page_bytes, write).handle()


class _HugeFault:
    """One fault. [struct vm_fault]"""

    def __init__(self, space: UserTables, vma: Vma, vaddr: int, write: bool) -> None:
        assert vma.file is not None, "only files have huge pages"
        self.state, self.mm, self.space = space.state, space.mm, space
        self.tables = space.tables
        self.pool = space.state.hugetlb[vma.page_bytes]
        self.inode = self.pool.files[vma.file]
        self.vma, self.vaddr, self.write = vma, vaddr, write
        self.index = huge_index(vma, vaddr)
        self.paddr = self.tables.alloc(vaddr, self.tables.depth_of(vma.page_bytes))

    def handle(self) -> FaultCause:
        entry = self.tables.read(self.paddr)
        if not entry:
            return self._no_page()
        if self.write and not entry & Entry.RW:
            return self._write_protected(self.state.format.pfn(entry))
        self.tables.update(self.paddr, add=Entry.A | (Entry.D if self.write else 0))
        return FaultCause.SPURIOUS

    def _map(self, pfn: int, *, writable: bool) -> None:
        """Point the clear entry to a page. [make_huge_pte]"""
        entry = self.state.make_entry(pfn, self.state.page_prot(self.vma), Entry.PS)
        self.space.huge.map(self.paddr, self.pool, pfn, entry | (WRITTEN if writable else 0))

    def _no_page(self) -> FaultCause:
        """Untouched memory: the page of the file, or a new one full of zeros. [hugetlb_no_page]"""
        flags, pfn, cause = self.vma.flags, self.inode.pages.get(self.index), FaultCause.FILE
        if self.vma.resv_unmapped:
            raise BusFault
        if pfn is None:
            pfn, cause = self._new_page(), FaultCause.DEMAND_ZERO
        shared = bool(flags & VmFlag.SHARED)
        self._map(pfn, writable=shared and bool(flags & VmFlag.WRITE))
        if self.write and not shared:
            copied = self._write_protected(pfn)
            cause = cause if cause is FaultCause.DEMAND_ZERO else copied
        return cause

    def _new_page(self) -> int:
        pfn = self.pool.alloc(self.vma, self.index)
        if pfn is None:
            raise BusFault
        self.pool.clear(pfn)
        if self.vma.flags & VmFlag.MAYSHARE:
            self.pool.add_to_file(self.inode, self.index, pfn)
        else:
            self.mm.prepare_anon_vma(self.vma)
        return pfn

    def _write_protected(self, pfn: int) -> FaultCause:
        """A write to a page that may be read: it becomes writable, or a copy.

        The owner of a mapping that was forked has used its reserve for the page itself; if the
        pool has no other for a copy, it takes that one away from its children. [hugetlb_wp]
        """
        if self.vma.flags & VmFlag.MAYSHARE:
            self.tables.update(self.paddr, add=WRITTEN)
            return FaultCause.SHARED_WRITE
        if not self._is_own(pfn):
            new = self.pool.alloc(self.vma, self.index)
            if new is not None:
                self._copy(pfn, new)
                return FaultCause.COPY_ON_WRITE
            if self.vma.resv_map is None or not self.pool.is_anon(pfn):
                raise BusFault
            self._unmap_ref_private(pfn)
        self.tables.update(self.paddr, add=WRITTEN)
        return FaultCause.REUSE

    def _is_own(self, pfn: int) -> bool:
        return self.pool.is_anon(pfn) and self.pool.mapcount[pfn] == 1

    def _copy(self, pfn: int, new: int) -> None:
        """Map a copy of a page in its place."""
        self.mm.prepare_anon_vma(self.vma)
        self.pool.copy(pfn, new)
        with self.space.gather() as gather:
            leaf = self.tables.lookup(self.vaddr)
            assert leaf is not None
            self.space.huge.zap(leaf, gather)
        self._map(new, writable=True)

    def _unmap_ref_private(self, pfn: int) -> None:
        """Take the page away from all processes that have it by a fork."""
        assert self.vma.file is not None
        for space in self.state.spaces.values():
            space.unmap_huge(self.vma.file, self.index, pfn)
        if not self._is_own(pfn):
            raise BrokenInvariant(f"Huge page {pfn:#x} is mapped by more than forked children")
