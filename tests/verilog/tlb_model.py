"""A TLB that predicts hits: plain Python, written from what the docstrings of ``hdl/`` promise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pagewalk.model.mmu.walk import Access, Control, Walk
from pagewalk.model.x86 import (
    PAGE_SHIFT,
    AccessKind,
    Cr0,
    Cr3,
    Cr4,
    Entry,
    InvalidateOp,
    Level,
    PagingMode,
)


@dataclass(frozen=True, slots=True)
class TlbEntry:
    """A page that the TLB can translate; its rights are left to the golden walk."""

    vaddr: int
    page: Level
    pcid: int
    in_all_pcids: bool
    dirty: bool

    def overlaps(self, vaddr: int, shift: int) -> bool:
        """Return whether this page meets the one of ``1 << shift`` bytes around ``vaddr``."""
        coarse = max(shift, self.page.shift)
        return self.vaddr >> coarse == vaddr >> coarse


@dataclass(frozen=True, slots=True)
class Lookup:
    """What a request found: ``slot`` has its page, and ``hit`` says that this is enough."""

    slot: int | None
    entry: TlbEntry | None
    hit: bool


class TreePlru:
    """Tree pseudo-LRU over a power of two of slots, halving ranges: each knows its older half."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._upper_is_older: dict[tuple[int, int], bool] = {}

    def touch(self, slot: int) -> None:
        """Make the other half older, in every range around ``slot``."""
        low, high = 0, self._slots
        while high - low > 1:
            middle = (low + high) // 2
            self._upper_is_older[low, high] = slot < middle
            low, high = (low, middle) if slot < middle else (middle, high)

    def victim(self) -> int:
        """Return the slot that the older halves lead to; untouched ranges lead to their start."""
        low, high = 0, self._slots
        while high - low > 1:
            middle = (low + high) // 2
            upper = self._upper_is_older.get((low, high), False)
            low, high = (middle, high) if upper else (low, middle)
        return low


class TlbModel:
    """A fully associative TLB with tree-PLRU replacement.

    Every method happens at the end of the cycle but ``lookup``, which sees the cycle's beginning.
    """

    def __init__(self, mode: PagingMode, entries: int) -> None:
        self._mode = mode
        self._slots: list[TlbEntry | None] = [None] * entries
        self._plru = TreePlru(entries)

    def lookup(self, access: Access, control: Control) -> Lookup:
        """Return what an access meets: a write is a hit only in a dirty page."""
        vaddr, pcid = self._translated(access.vaddr), effective_pcid(self._mode, control)
        found = [
            (slot, entry) for slot, entry in enumerate(self._slots)
            if entry and entry.overlaps(vaddr, PAGE_SHIFT)
            and (entry.in_all_pcids or entry.pcid == pcid)
        ]
        assert len(found) <= 1, f"the model itself holds {vaddr:#x} twice: {found}"
        if not found:
            return Lookup(None, None, hit=False)
        slot, entry = found[0]
        return Lookup(slot, entry, hit=entry.dirty or access.kind is not AccessKind.WRITE)

    def copies(self, entry: TlbEntry) -> int:
        """Return how many entries, of any PCID, overlap the page of ``entry``."""
        return sum(other is not None and other.overlaps(entry.vaddr, entry.page.shift)
                   for other in self._slots)

    def holds_global(self, vaddr: int) -> bool:
        """Return whether ``vaddr`` is in a global page."""
        return any(entry and entry.in_all_pcids
                   and entry.overlaps(self._translated(vaddr), PAGE_SHIFT)
                   for entry in self._slots)

    def touch(self, slot: int) -> None:
        """Note that a hit used ``slot``."""
        self._plru.touch(slot)

    def drop(self, slot: int) -> None:
        """Empty ``slot``."""
        self._slots[slot] = None

    def fill(self, walk: Walk, control: Control, reuse: int | None) -> tuple[str, int]:
        """Enter the page that ``walk`` found, in ``reuse`` if the lookup had found it there.

        Return how the slot was chosen, and how many other entries the page drives out.
        """
        assert walk.page is not None
        flags = walk.steps[-1].updated
        new = TlbEntry(
            vaddr=self._translated(walk.access.vaddr),
            page=walk.page,
            pcid=effective_pcid(self._mode, control),
            in_all_pcids=bool(flags & Entry.G and control.cr4 & Cr4.PGE),
            dirty=bool(flags & Entry.D),
        )
        how, slot = self._choose(reuse)
        rivals = [
            other for other, entry in enumerate(self._slots)
            if entry and other != slot and entry.overlaps(new.vaddr, new.page.shift)
            and (entry.pcid == new.pcid or entry.in_all_pcids or new.in_all_pcids)
        ]
        for other in rivals:
            self.drop(other)
        self._slots[slot] = new
        self._plru.touch(slot)
        return how, len(rivals)

    def _choose(self, reuse: int | None) -> tuple[str, int]:
        """Return the slot to fill: the page's own, else an empty one, else the policy's."""
        if reuse is not None:
            return "reused", reuse
        if None in self._slots:
            return "empty", self._slots.index(None)
        return "replaced", self._plru.victim()

    def invalidate(self, is_dropped: Callable[[TlbEntry], bool]) -> list[TlbEntry]:
        """Drop the entries for which ``is_dropped`` holds, and return them."""
        dropped = [entry for entry in self._slots if entry and is_dropped(entry)]
        self._slots = [None if entry in dropped else entry for entry in self._slots]
        return dropped

    def _translated(self, vaddr: int) -> int:
        return vaddr & ((1 << self._mode.translated_bits) - 1)


def effective_pcid(mode: PagingMode, control: Control) -> int:
    """Return the PCID in force: 0 unless CR4.PCIDE is set, which 32-bit paging does not have."""
    has_pcids = mode.entry_bytes == 8 and control.cr4 & Cr4.PCIDE
    return control.cr3 & Cr3.PCID if has_pcids else 0


def dropped_by(
    mode: PagingMode, control: Control, operation: Mapping[str, int]
) -> Callable[[TlbEntry], bool] | None:
    """Return which entries an operation drops, None if it need not drop any. [SDM 4.10.4.1]

    ``control`` is from before the operation, whose fields are those of the invalidate port.
    """
    op, current = InvalidateOp(operation["op"]), effective_pcid(mode, control)
    vaddr = operation["vaddr"] & ((1 << mode.translated_bits) - 1)
    if op is InvalidateOp.INVLPG:
        return lambda entry: entry.overlaps(vaddr, PAGE_SHIFT) and (
            entry.in_all_pcids or entry.pcid == current)
    if op is InvalidateOp.INVPCID_ADDRESS:
        return lambda entry: (entry.overlaps(vaddr, PAGE_SHIFT)
                              and not entry.in_all_pcids and entry.pcid == operation["pcid"])
    if op is InvalidateOp.INVPCID_CONTEXT:
        return lambda entry: not entry.in_all_pcids and entry.pcid == operation["pcid"]
    if op is InvalidateOp.INVPCID_ALL:
        return lambda entry: True
    if op is InvalidateOp.INVPCID_ALL_NON_GLOBAL:
        return lambda entry: not entry.in_all_pcids
    return _dropped_by_mov(mode, control, op, operation["old"], operation["new"])


def _dropped_by_mov(
    mode: PagingMode, control: Control, op: InvalidateOp, old: int, new: int
) -> Callable[[TlbEntry], bool] | None:
    current = effective_pcid(mode, control)
    if op is InvalidateOp.MOV_CR3:
        has_pcids = mode.entry_bytes == 8 and control.cr4 & Cr4.PCIDE
        if has_pcids and new & Cr3.NO_FLUSH:
            return None
        target = new & Cr3.PCID if has_pcids else 0
        return lambda entry: not entry.in_all_pcids and entry.pcid == target
    if op is InvalidateOp.MOV_CR0:
        return (lambda entry: True) if old & ~new & Cr0.PG else None
    if (old ^ new) & (Cr4.PGE | Cr4.PSE) or old & ~new & Cr4.PCIDE:
        return lambda entry: True
    if (old ^ new) & Cr4.PAE or new & ~old & Cr4.SMEP:
        return lambda entry: entry.in_all_pcids or entry.pcid == current
    return None
