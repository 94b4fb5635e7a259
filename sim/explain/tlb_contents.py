"""What a processor may keep of a walk: the page in its TLB, tables in its paging-structure caches.

[SDM 4.10.2, 4.10.3]
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ...model.mmu.entry_format import EntryFormat
from ...model.mmu.rights import Rights
from ...model.mmu.walk import Control, Walk
from ...model.x86 import Cr3, Cr4, Entry, Leaf, Level, PagingMode

__all__ = ["TableEntry", "TlbEntry", "cached_rights", "table_entries", "tlb_entry"]


@dataclass(frozen=True, slots=True)
class TlbEntry:
    """A translation of a page: which, to where, and what goes with it.

    ``pcid`` is None if it is global, so that it is used under every PCID; 0 without PCIDs.
    """

    vaddr: int
    page: Level
    paddr: int
    rights: Rights
    dirty: bool
    pcid: int | None
    memory_type: int


@dataclass(frozen=True, slots=True)
class TableEntry:
    """An entry of a paging-structure cache: for the addresses of ``level`` from ``vaddr`` on.

    It leads to the table at ``paddr``, with the rights of this level and all above.
    """

    vaddr: int
    level: Level
    paddr: int
    rights: Rights


def tlb_entry(mode: PagingMode, control: Control, walk: Walk) -> TlbEntry | None:
    """Return what the TLB may keep of a walk; nothing of one that ended in a fault."""
    if walk.fault is not None or walk.page is None:
        return None
    offset = walk.access.vaddr & walk.page.page_bytes - 1
    leaf = walk.steps[-1].updated
    pcid = control.cr3 & Cr3.PCID if mode.has_pcids and control.cr4 & Cr4.PCIDE else 0
    is_global = bool(control.cr4 & Cr4.PGE and leaf & Entry.G)
    return TlbEntry(walk.access.vaddr - offset, walk.page, walk.paddr - offset,
                    _combined(mode, walk, len(walk.steps)), bool(leaf & Entry.D),
                    None if is_global else pcid, walk.memory_type)


def table_entries(mode: PagingMode, control: Control, walk: Walk,
                  paddr_bits: int) -> Iterator[TableEntry]:
    """Yield what the paging-structure caches may keep of a walk, the root's entry first.

    Nothing of one that ended in a fault: a page fault also drops all that they and the TLB hold
    for its address. [SDM 4.10.4.1]
    """
    if walk.fault is not None:
        return
    form = EntryFormat(mode, control, paddr_bits)
    for depth, step in enumerate(walk.steps[:-1]):
        assert step.level.leaf is not Leaf.ALWAYS
        yield TableEntry(walk.access.vaddr & -step.level.page_bytes, step.level,
                         form.table_address(step.entry), _combined(mode, walk, depth + 1))


def _combined(mode: PagingMode, walk: Walk, count: int) -> Rights:
    """Return the rights of the first ``count`` entries together."""
    rights = Rights()
    for step in walk.steps[:count]:
        rights = rights.below(mode, step.entry)
    return rights


def cached_rights(rights: Rights) -> str:
    """Return rights as four letters, as in ``pagewalk dump``: ``urwx``."""
    return (("u" if rights.user_page else "-") + "r" + ("w" if rights.writable else "-")
            + ("-" if rights.execute_disable else "x"))
