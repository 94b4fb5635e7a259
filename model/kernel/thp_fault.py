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
    """Resolve a fault by means of a huge page; return how, or None if it takes a small page.

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
    """Return whether one process alone has each small page of a huge page; never of the zero page.

    [do_huge_pmd_wp_page]
    """
    return pfn != state.thp.zero_pfn and all(
        map(state.anon.can_reuse, range(pfn, pfn + state.thp.page_count)))


def _new_page(state: KernelState, vma: Vma) -> tuple[int, int] | None:
    """Return the first frame of a new huge page, and then a table to keep for it.

    [__do_huge_pmd_anonymous_page]
    """
    pfn = state.thp.alloc(vma)
    if pfn is None:
        return None
    try:
        return pfn, state.frames.alloc_table()
    except BaseException:
        for page in range(pfn, pfn + state.thp.page_count):
            state.frames.put(page)
        raise


def _zero_page(state: KernelState) -> tuple[int, int] | None:
    """Return the first frame of the huge zero page, and a table to keep, which comes first."""
    table = state.frames.alloc_table()
    pfn = state.thp.get_zero()
    if pfn is None:
        state.frames.free_table(table)
        return None
    return pfn, table


def _anonymous(space: UserTables, vma: Vma, vaddr: int, *, write: bool) -> FaultCause | None:
    """Map untouched memory: the huge zero page for a read, a new page of zeros for a write.

    Return None if a small page must do: the mapping does not suit, small pages are mapped there, or
    no block of memory is large enough.
    [do_huge_pmd_anonymous_page]
    """
    state = space.state
    if not state.thp.suits(vma, vaddr):
        return None
    paddr = space.tables.alloc(vaddr, space.thp.depth)
    if space.tables.read(paddr):
        return None
    space.mm.prepare_anon_vma(vma)
    found = _new_page(state, vma) if write else _zero_page(state)
    if found is None:
        return None
    pfn, table = found
    entry = pfn << PAGE_SHIFT | state.page_prot(vma) | Entry.PS | (WRITTEN if write else 0)
    space.thp.map(vaddr, paddr, pfn, entry, table)
    if not write:
        return FaultCause.ZERO_PAGE
    for page in range(pfn, pfn + state.thp.page_count):
        state.anon.set_exclusive(page)
        state.add_to_lru(page)
        if vma.flags & VmFlag.LOCKED:
            state.lruvec.set_unevictable(page, True)
    return FaultCause.DEMAND_ZERO
