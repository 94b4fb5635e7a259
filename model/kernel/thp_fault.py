"""Faults where a transparent huge page is or could be. [mm/huge_memory.c]"""

from ..address_space.vma import Vma, VmFlag
from ..x86 import PAGE_SHIFT, Entry
from .fault_cause import FaultCause
from .state import WRITTEN, KernelState
from .thp import ThpEnabled
from .user_tables import UserTables

__all__ = ["huge_pmd_fault"]


def huge_pmd_fault(space: UserTables, vma: Vma, address: int, *,
                   write: bool) -> FaultCause | None:
    """Deal with a fault by a huge page; None if it must be dealt with by a small one.

    Raise ``OutOfMemory``. [__handle_mm_fault, create_huge_pmd, wp_huge_pmd]
    """
    state, thp = space.state, space.thp
    leaf = thp.find(address)
    if leaf is None:
        if state.thp.enabled is ThpEnabled.NEVER:
            return None
        return _anonymous(space, vma, address & -state.thp.page_bytes, write=write)
    if not write or leaf.entry & Entry.RW:
        space.tables.update(leaf.paddr, add=Entry.A | (Entry.D if write else 0))
        return FaultCause.SPURIOUS
    if not _is_own(state, thp.pfn(leaf.entry)):
        thp.split_at(address)
        return None
    space.tables.update(leaf.paddr, add=WRITTEN)
    return FaultCause.REUSE


def _is_own(state: KernelState, pfn: int) -> bool:
    """Return whether a page is one process's own in all its parts, which the zero page is not.

    [do_huge_pmd_wp_page]
    """
    return all(map(state.is_exclusive, range(pfn, pfn + state.thp.page_count)))


def _anonymous(space: UserTables, vma: Vma, vaddr: int, *, write: bool) -> FaultCause | None:
    """Untouched memory: the huge zero page if read, a page of zeros if written.

    None if a small page must do, for what is mapped there, or for lack of memory in one piece.
    [do_huge_pmd_anonymous_page]
    """
    state = space.state
    if not state.thp.suits(vma, vaddr):
        return None
    paddr = space.tables.alloc(vaddr, space.thp.depth)
    if space.tables.read(paddr):
        return None
    space.mm.prepare_anon_vma(vma)
    table = state.frames.alloc_table()
    pfn = state.thp.alloc(vma) if write else state.thp.get_zero()
    if pfn is None:
        state.frames.free_table(table)
        return None
    entry = pfn << PAGE_SHIFT | state.page_prot(vma) | Entry.PS | (WRITTEN if write else 0)
    space.thp.map(vaddr, paddr, pfn, entry, table)
    if not write:
        return FaultCause.ZERO_PAGE
    for page in range(pfn, pfn + state.thp.page_count):
        state.add_to_lru(page)
        if vma.flags & VmFlag.LOCKED:
            state.lruvec.set_unevictable(page, True)
    return FaultCause.DEMAND_ZERO
