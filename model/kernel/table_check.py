"""Whether the user page tables of a process agree with its mappings and with all counts."""

from collections import Counter

from ..address_space.tables.parts import LeafEntry
from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..physical.errors import BrokenInvariant
from ..x86 import PAGE_BYTES, PAGE_SHIFT, Entry
from .user_tables import UserTables

__all__ = ["check_user_tables"]


def check_user_tables(space: UserTables) -> None:
    """Raise ``BrokenInvariant`` if entries contradict mappings, counts or the reverse map."""
    space.tables.check()
    rss = swapped = usage = 0
    transparent: Counter[int] = Counter()
    for leaf in space.tables.entries(0, space.mm.space.task_size):
        vma = space.mm.tree.lookup(leaf.vaddr)
        if vma is None:
            raise BrokenInvariant(f"Address {leaf.vaddr:#x} has entry {leaf.entry:#x}, but "
                                  "no mapping")
        if vma.flags & VmFlag.HUGETLB:
            usage += space.huge.check(leaf, vma)
        elif leaf.level.page_bytes > PAGE_BYTES:
            transparent[leaf.paddr >> PAGE_SHIFT] += 1
            rss += space.thp.check(leaf, vma)
        elif space.kind(leaf.entry) >= EntryKind.SWAP:
            swapped += 1
        else:
            rss += _check_page(space, leaf, vma)
    if (rss, swapped, usage) != (space.rss, space.swapped, space.huge.usage):
        raise BrokenInvariant(f"{space.rss} pages, {space.swapped} swap entries and "
                              f"{space.huge.usage} frames of huge pages are counted, but there "
                              f"are {rss}, {swapped} and {usage}")
    if transparent != space.tables.deposits.counts:
        raise BrokenInvariant(f"{space.tables.deposits.counts} tables are kept for splits, but "
                              f"there are {dict(transparent)} transparent huge pages")


def _check_page(space: UserTables, leaf: LeafEntry, vma: Vma) -> int:
    """Check an entry that maps a small page; return how much it counts for."""
    state, pfn = space.state, space.state.format.pfn(leaf.entry)
    if leaf.entry & Entry.RW and (pfn == state.zero_pfn or not vma.flags & VmFlag.WRITE):
        raise BrokenInvariant(f"Address {leaf.vaddr:#x} must not be writable")
    if pfn == state.zero_pfn:
        return 0
    if (space.number, leaf.vaddr) not in state.frames.rmap.places(pfn):
        raise BrokenInvariant(f"Page {pfn:#x} does not know that {leaf.vaddr:#x} maps it")
    if leaf.entry & Entry.RW and not vma.flags & VmFlag.SHARED and (
            not state.is_anon(pfn) or state.frames.rmap.mapcount(pfn) != 1):
        raise BrokenInvariant(f"Address {leaf.vaddr:#x} may write page {pfn:#x}, which is "
                              "shared")
    return 1
