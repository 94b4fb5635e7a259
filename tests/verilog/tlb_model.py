"""A TLB that predicts hits: plain Python, written from what the docstrings of ``hdl/`` promise."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pagewalk.model.mmu.walk import Access, Control, Walk
from pagewalk.model.x86 import (
    PAGE_SHIFT,
    AccessKind,
    Cr0,
    Cr3,
    Cr4,
    Efer,
    Entry,
    InvalidateOp,
    Level,
    PagingMode,
)


@dataclass(frozen=True, slots=True)
class TlbEntry:
    """A page that the TLB can translate.

    What an access to it leads to is left to the golden walk through ``entries``, all that the page
    was found by, from the root to the leaf.
    """

    vaddr: int
    page: Level
    pcid: int
    in_all_pcids: bool
    entries: tuple[int, ...]

    @property
    def is_dirty(self) -> bool:
        """Whether the leaf has the dirty flag."""
        return bool(self.entries[-1] & Entry.D)

    def overlaps(self, vaddr: int, shift: int) -> bool:
        """Return whether this page meets the one of ``1 << shift`` bytes around ``vaddr``."""
        coarse = max(shift, self.page.shift)
        return self.vaddr >> coarse == vaddr >> coarse


@dataclass(frozen=True, slots=True)
class Reach:
    """What an invalidation drops: of one page or all, of one PCID or all.

    Global pages go only ``with_globals``, and then whatever their PCID. Cached tables go by PCID
    alone, or also by address, with ``tables_by_address``.
    """

    vaddr: int | None = None
    pcid: int | None = None
    with_globals: bool = False
    tables_by_address: bool = False

    def includes(self, entry: TlbEntry) -> bool:
        """Return whether a page is to be dropped."""
        if self.vaddr is not None and not entry.overlaps(self.vaddr, PAGE_SHIFT):
            return False
        return self.with_globals if entry.in_all_pcids else self.pcid in (None, entry.pcid)

    def includes_table(self, prefix: int, shift: int, pcid: int) -> bool:
        """Return whether a table is to be dropped, which ``prefix`` leads to from ``shift`` up."""
        if self.tables_by_address and self.vaddr is not None and self.vaddr >> shift != prefix:
            return False
        return self.pcid in (None, pcid)


EVERYTHING = Reach(with_globals=True)


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
        """Return what an access meets.

        A write is a hit only in a dirty page; without EFER.NXE nothing is a hit in a page with XD.
        """
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
        is_allowed = control.efer & Efer.NXE or not has_xd(self._mode, entry.entries)
        is_written = access.kind is AccessKind.WRITE
        return Lookup(slot, entry, hit=bool(is_allowed) and (entry.is_dirty or not is_written))

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
            entries=tuple(step.updated for step in walk.steps),
        )
        how, slot = self._choose(reuse)
        rivals = [
            other for other, entry in enumerate(self._slots)
            if entry and other != slot and entry.overlaps(new.vaddr, new.page.shift)
            and (entry.pcid == new.pcid or entry.in_all_pcids or new.in_all_pcids)
        ]
        for other in rivals:
            self._slots[other] = None
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

    def invalidate(self, reach: Reach) -> list[TlbEntry]:
        """Drop the entries that ``reach`` includes, and return them."""
        dropped = [entry for entry in self._slots if entry and reach.includes(entry)]
        self._slots = [None if entry in dropped else entry for entry in self._slots]
        return dropped

    def _translated(self, vaddr: int) -> int:
        return vaddr & ((1 << self._mode.translated_bits) - 1)


def has_xd(mode: PagingMode, entries: Iterable[int]) -> bool:
    """Return whether one of the entries makes what it leads to not executable."""
    return mode.entry_bytes == 8 and any(entry & Entry.XD for entry in entries)


def effective_pcid(mode: PagingMode, control: Control) -> int:
    """Return the PCID in force: 0 unless CR4.PCIDE is set, which 32-bit paging does not have."""
    has_pcids = mode.entry_bytes == 8 and control.cr4 & Cr4.PCIDE
    return control.cr3 & Cr3.PCID if has_pcids else 0


def reach_of(mode: PagingMode, control: Control, operation: Mapping[str, int]) -> Reach | None:
    """Return what an operation drops, None if it need not drop anything. [SDM 4.10.4.1]

    ``control`` is from before the operation, whose fields are those of the invalidate port.
    """
    op, current = InvalidateOp(operation["op"]), effective_pcid(mode, control)
    vaddr, pcid = operation["vaddr"], operation["pcid"]
    if op in (InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS) and not is_canonical(mode, vaddr):
        return None
    page = vaddr & ((1 << mode.translated_bits) - 1)
    match op:
        case InvalidateOp.INVLPG:
            return Reach(vaddr=page, pcid=current, with_globals=True)
        case InvalidateOp.INVPCID_ADDRESS:
            return Reach(vaddr=page, pcid=pcid)
        case InvalidateOp.INVPCID_CONTEXT:
            return Reach(pcid=pcid)
        case InvalidateOp.INVPCID_ALL:
            return EVERYTHING
        case InvalidateOp.INVPCID_ALL_NON_GLOBAL:
            return Reach()
    return _reach_of_mov(mode, control, op, operation["old"], operation["new"])


def _reach_of_mov(
    mode: PagingMode, control: Control, op: InvalidateOp, old: int, new: int
) -> Reach | None:
    if op is InvalidateOp.MOV_CR3:
        has_pcids = mode.entry_bytes == 8 and control.cr4 & Cr4.PCIDE
        if has_pcids and new & Cr3.NO_FLUSH:
            return None
        return Reach(pcid=new & Cr3.PCID if has_pcids else 0)
    if op is InvalidateOp.MOV_CR0:
        return EVERYTHING if old & ~new & Cr0.PG else None
    if (old ^ new) & (Cr4.PGE | Cr4.PSE) or old & ~new & Cr4.PCIDE:
        return EVERYTHING
    if (old ^ new) & Cr4.PAE or new & ~old & Cr4.SMEP:
        return Reach(pcid=effective_pcid(mode, control), with_globals=True)
    return None


def is_canonical(mode: PagingMode, vaddr: int) -> bool:
    """Return whether all bits from the highest translated one up are alike."""
    ones = (1 << mode.vaddr_bits - mode.translated_bits + 1) - 1
    return vaddr >> mode.translated_bits - 1 in (0, ones)
