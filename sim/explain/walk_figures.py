"""A walk as figures for ``--json``: every field plain, numbers as they are."""

from typing import Any

from ...model.mmu.control import REGISTER_WIDTHS
from ...model.mmu.entry_format import EntryFormat
from ...model.mmu.walk import Control, Step, Walk
from ...model.x86 import Entry, PagingMode, Vector
from .entry_flags import flag_names
from .error_bits import error_bits
from .tlb_contents import cached_rights, table_entries, tlb_entry

__all__ = ["walk_figures"]


def walk_figures(mode: PagingMode, control: Control, walk: Walk, paddr_bits: int) -> dict[str, Any]:
    """Return the outcome of a walk.

    ``paddr`` is None after a fault; ``fault`` is the name of its vector, ``error_code`` and ``cr2``
    belong to a page fault; ``levels`` are all entries that were read. ``tlb`` and
    ``structure_caches`` are what a processor may keep.
    """
    fault = walk.fault
    page_fault = fault is not None and fault.vector is Vector.PF
    form = EntryFormat(mode, control, min(paddr_bits, mode.max_paddr_bits))
    return {
        "vaddr": walk.access.vaddr,
        "kind": walk.access.kind.name.lower(),
        "user": walk.access.user,
        "mode": mode.name,
        "registers": {name: getattr(control, name) for name in REGISTER_WIDTHS},
        "paddr": walk.paddr if fault is None else None,
        "page_bytes": walk.page.page_bytes if walk.page is not None else None,
        "memory_type": walk.memory_type if fault is None else None,
        "fault": fault.vector.name if fault is not None else None,
        "error_code": fault.error_code if fault is not None else None,
        "error_bits": [{"name": bit.name, "value": int(bit.value), "words": bit.words}
                       for bit in error_bits(walk.access, fault.error_code)]
        if fault is not None and page_fault else [],
        "cr2": fault.vaddr if fault is not None and page_fault else None,
        "levels": [_level(mode, form, walk, step) for step in walk.steps],
        "tlb": _tlb(mode, control, walk),
        "structure_caches": [
            {"level": one.level.name, "vaddr": one.vaddr, "bytes": one.level.page_bytes,
             "table": one.paddr, "rights": cached_rights(one.rights)}
            for one in table_entries(mode, control, walk, min(paddr_bits, mode.max_paddr_bits))],
    }


def _level(mode: PagingMode, form: EntryFormat, walk: Walk, step: Step) -> dict[str, Any]:
    level, entry = step.level, step.entry
    leaf = bool(entry & Entry.P) and form.is_leaf(level, entry)
    present = bool(entry & Entry.P)
    address = form.page_address(level, entry) if leaf else form.table_address(entry)
    return {
        "name": level.name,
        "index": walk.access.vaddr >> level.shift & (1 << level.index_bits) - 1,
        "paddr": step.paddr,
        "entry": entry,
        "updated": step.updated,
        "flags": flag_names(mode, level, entry, leaf=leaf) if present else [],
        "leaf": leaf,
        "points_to": address if present else None,
    }


def _tlb(mode: PagingMode, control: Control, walk: Walk) -> dict[str, Any] | None:
    kept = tlb_entry(mode, control, walk)
    if kept is None:
        return None
    return {"vaddr": kept.vaddr, "page_bytes": kept.page.page_bytes, "paddr": kept.paddr,
            "rights": cached_rights(kept.rights), "dirty": kept.dirty, "global": kept.pcid is None,
            "pcid": kept.pcid, "memory_type": kept.memory_type, "key": kept.rights.key}
