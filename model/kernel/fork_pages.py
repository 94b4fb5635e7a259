"""Copy-on-write at fork: parent and child share the pages of both. [copy_page_range]"""

from ..address_space.tables.parts import LeafEntry
from ..address_space.tables.software_entry import EntryKind
from ..address_space.vma import Vma, VmFlag
from ..x86 import PAGE_BYTES, Entry
from .user_tables import UserTables

__all__ = ["copy_page_range"]


def copy_page_range(parent: UserTables, child: UserTables) -> None:
    """Give a forked child the pages of its parent, all of them shared. [copy_page_range]

    Private pages can be written by neither side any more. Mappings without private pages are
    left out, as faults will fill them, but not those of frames that nobody counts. Of what is not
    left out the child has every table that its parent has, even an empty one. Raise
    ``OutOfMemory``.
    """
    try:
        for vma in child.mm.tree:
            origin = parent.mm.tree.lookup(vma.start)
            if vma.flags & VmFlag.WIPEONFORK or origin is None or not _needs_copy(origin):
                continue
            for leaf in parent.tables.entries(vma.start, vma.end, tables=True):
                _copy(parent, child, vma, leaf)
    finally:
        parent.state.tlb.flush_mm(parent.context)


def _needs_copy(vma: Vma) -> bool:
    """Return whether a fault could not fill a mapping anew. [vma_needs_copy]"""
    return vma.anon_vma is not None or bool(vma.flags & (VmFlag.PFNMAP | VmFlag.MIXEDMAP))


def _copy(parent: UserTables, child: UserTables, vma: Vma, leaf: LeafEntry) -> None:
    """Copy an entry; for one that points to a table make a table. [copy_pmd_range]"""
    depth = parent.tables.points_to(leaf)
    if depth is not None:
        child.tables.alloc(max(leaf.vaddr, vma.start), depth)
    elif leaf.level.page_bytes == PAGE_BYTES:
        _copy_small(parent, child, vma, leaf)
    elif parent.huge.owns(leaf):
        parent.huge.copy_to(child.huge, vma, leaf)
    elif not parent.thp.copy_to(child, leaf):
        end = leaf.vaddr + leaf.level.page_bytes
        for small in parent.tables.entries(leaf.vaddr, end):
            _copy_small(parent, child, vma, small)


def _copy_small(parent: UserTables, child: UserTables, vma: Vma, leaf: LeafEntry) -> None:
    """Copy one entry; the table for it comes first, as reclaim may change the entry then.

    [copy_present_pte, copy_nonpresent_pte]
    """
    state, target = parent.state, child.tables.alloc(leaf.vaddr)
    entry = parent.tables.read(leaf.paddr)
    if not entry:
        return
    if parent.kind(entry) >= EntryKind.SWAP:
        slot = state.slot(entry)
        state.swap.swap_duplicate(slot)
        shared = state.swap_entry(slot, False)
        parent.tables.write(leaf.paddr, shared)
        child.tables.write(target, shared)
        child.swapped += 1
        return
    pfn = state.format.pfn(entry)
    if not vma.flags & VmFlag.SHARED:
        entry = parent.tables.update(leaf.paddr, clear=Entry.RW) & ~Entry.RW
    else:
        entry &= ~Entry.D
    if pfn != state.zero_pfn:
        state.frames.get(pfn)
        state.anon.share(pfn)
    child.map_page(leaf.vaddr, target, pfn, entry & ~Entry.A)
