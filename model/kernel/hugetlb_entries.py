"""The entries of user page tables that map huge pages. [mm/hugetlb.c]

A huge page has one entry, of an upper level and with PS. What happens to a mapping's pages happens
to it as to an entry of a small page, but there are no swap entries, and no reverse map: the other
mappings of a page are found by way of its file.
"""

from collections import Counter
from collections.abc import Iterable

from ..address_space.hugetlb_mapping import huge_index
from ..address_space.tables.page_tables import PageTables
from ..address_space.tables.parts import LeafEntry
from ..address_space.tables.software_entry import SoftwareFormat
from ..address_space.vma import Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_SHIFT, Entry
from .hugetlb_pool import HugePages
from .tlb_flush import MmuGather

__all__ = ["HugeEntries"]


class HugeEntries:
    """The huge pages of one address space.

    Parameters
    ----------
    tables, pools, form
        Its page tables, the huge pages by size, and the kernel's encoding of entries.

    Members
    -------
    usage
        How many page frames its huge pages have, which ``rss`` leaves out. [hugetlb_usage]
    """

    def __init__(self, tables: PageTables, pools: dict[int, HugePages],
                 form: SoftwareFormat) -> None:
        self.usage = 0
        self._tables = tables
        self._pools = pools
        self._form = form

    def map(self, paddr: int, pool: HugePages, pfn: int, entry: int) -> None:
        """Point the clear entry at ``paddr`` to a page. [set_huge_pte_at, hugetlb_count_add]"""
        self._tables.write(paddr, entry)
        pool.get(pfn)
        self.usage += 1 << pool.order

    def owns(self, leaf: LeafEntry) -> bool:
        """Return whether a large entry is one of these, and not of a transparent huge page."""
        return self._form.pfn(leaf.entry) in self._pools[leaf.level.page_bytes]

    def zap(self, leaf: LeafEntry, gather: MmuGather) -> None:
        """Clear an entry; its page goes with the gather. [__unmap_hugepage_range]"""
        pool = self._pools[leaf.level.page_bytes]
        pfn = self._form.pfn(self._tables.exchange(leaf.paddr, 0))
        gather.flush_entry(leaf.vaddr, pool.page_bytes)
        gather.remove_page(pfn, pool.put)
        self.usage -= 1 << pool.order

    def copy_to(self, child: "HugeEntries", vma: Vma, leaf: LeafEntry) -> None:
        """Give a forked child a page, which private neither side can write any more.

        [copy_hugetlb_page_range]
        """
        pool = self._pools[leaf.level.page_bytes]
        target = child._tables.alloc(leaf.vaddr, child._tables.depth_of(pool.page_bytes))
        clear = 0 if vma.flags & VmFlag.SHARED else Entry.RW
        entry = self._tables.update(leaf.paddr, clear=clear) & ~clear
        child.map(target, pool, self._form.pfn(entry), entry)

    def unmap_ref(self, vma: Vma, index: int, pfn: int, gather: MmuGather) -> None:
        """Take page ``index`` of its file away from a private mapping, if it is ``pfn`` there.

        A mapping with a reserve of its own keeps it; any other is marked, as the page would be
        empty were it to come back. [unmap_ref_private]
        """
        if vma.flags & VmFlag.MAYSHARE or vma.resv_map is not None:
            return
        vaddr = vma.start + (index - huge_index(vma, vma.start)) * vma.page_bytes
        leaf = self._tables.lookup(vaddr) if vma.start <= vaddr < vma.end else None
        if leaf is not None and self._form.pfn(leaf.entry) == pfn:
            self.zap(leaf, gather)
            vma.resv_unmapped = True

    # ---- check

    def mapped(self, mappings: Iterable[Vma]) -> Counter[int]:
        """Return how often each huge page is mapped here."""
        return Counter(self._form.pfn(leaf.entry) for vma in mappings
                       if vma.flags & VmFlag.HUGETLB
                       for leaf in self._tables.entries(vma.start, vma.end))

    def check(self, leaf: LeafEntry, vma: Vma) -> int:
        """Raise ``BrokenInvariant`` if an entry is not one of its mapping; return its frames."""
        size, where = leaf.level.page_bytes, f"Address {leaf.vaddr:#x}"
        if size != vma.page_bytes or not leaf.entry & Entry.PS:
            raise BrokenInvariant(f"{where} has entry {leaf.entry:#x} for {size:#x} bytes in a "
                                  f"mapping of pages of {vma.page_bytes:#x}")
        pool, pfn = self._pools[size], self._form.pfn(leaf.entry)
        if pfn not in pool:
            raise BrokenInvariant(f"{where} maps frame {pfn:#x}, which is no huge page in use")
        file = pool.files[vma.file].pages.get(huge_index(vma, leaf.vaddr)) if vma.file else None
        if pfn != file and (vma.flags & VmFlag.MAYSHARE or not pool.is_anon(pfn)):
            raise BrokenInvariant(f"{where} maps huge page {pfn:#x} of another place")
        if leaf.entry & Entry.RW and (not vma.flags & VmFlag.WRITE or (
                not vma.flags & VmFlag.SHARED and pool.mapcount[pfn] != 1)):
            raise BrokenInvariant(f"{where} must not be writable")
        return size >> PAGE_SHIFT
