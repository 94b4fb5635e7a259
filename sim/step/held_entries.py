"""What stands in the TLBs and walk caches of hardware that is simulated.

The names of components, signals and memories inside the hardware are known here and in
``walk_state`` alone. ``LookupError`` says which of them is not there any more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from amaranth.lib import data

from ...hdl.config import Config
from ...hdl.l2_geometry import L2Geometry
from ...hdl.shapes import PCID_BITS, rights_layout, translation_layout
from ...hdl.walk_shapes import table_layout
from ...model.mmu.rights import Rights
from ...model.x86 import PAGE_SHIFT, Level
from ..engine.wires import Record
from ..explain.tlb_contents import TableEntry, TlbEntry
from .component_tree import ComponentTree

__all__ = ["Get", "HeldEntries", "HeldPage", "HeldTable", "linear_address"]

Get = Callable[[Any], int]
"""Gives the value of a signal in the present cycle."""


@dataclass(frozen=True, slots=True)
class HeldPage:
    """An entry of a TLB: where it stands, such as ``set 3 way 1``, and what it translates."""

    place: str
    entry: TlbEntry


@dataclass(frozen=True, slots=True)
class HeldTable:
    """An entry of the walk cache: where it stands, its PCID, and what it leads to."""

    place: str
    pcid: int
    entry: TableEntry


@dataclass(frozen=True, slots=True)
class _Slot:
    """A tag, and what it is read with: a translation or a table.

    ``set`` is the number of its set, if there are sets; ``flag`` its valid bit, where that is not
    in the tag.
    """

    place: str
    tag: Any
    other: Any
    set: int | None = None
    flag: Any = None


def linear_address(config: Config, vpn: int) -> int:
    """Return the address of a page number, with the extension of its sign where there is one."""
    mode = config.mode
    vaddr = vpn << PAGE_SHIFT
    if mode.vaddr_bits > mode.translated_bits and vaddr >> mode.translated_bits - 1:
        vaddr |= (1 << mode.vaddr_bits) - (1 << mode.translated_bits)
    return vaddr


class HeldEntries:
    """Reads the entries of every TLB and walk cache.

    Parameters
    ----------
    config : Config
        Parameters of the MMU.
    mmu : ComponentTree
        The ``Mmu``.
    """

    def __init__(self, config: Config, mmu: ComponentTree) -> None:
        self._config = config
        self._translation = Record(translation_layout(config))
        self._table = Record(table_layout(config))
        self._l1 = {port: [*self._l1_slots(mmu.inner(port).inner("tlb"))] for port in config.ports}
        self._l2 = [*self._l2_slots(mmu.inner("l2").inner("array"))] if config.l2_entries else []
        walker = mmu.inner("walker")
        cache = (walker.inner("lookup") if config.has_walk_pool
                 else walker.inner("next_entry").inner("cache"))
        self._tables = {level: [*self._table_slots(level, cache.inner(level.name.lower()))]
                        for level in config.mode.levels[:-1] if config.walk_cache}

    def pages(self, port: str, get: Get) -> list[HeldPage]:
        """Return what the TLB of a request port holds."""
        held = []
        for slot, record in self._l1[port]:
            tag = record.unpack(get(slot.tag))
            if not tag["valid"]:
                continue
            vpn = tag["vpn"]
            if slot.set is not None:
                vpn = vpn << self._set_bits | self._low_bits(slot.set, vpn)
            found = self._translation.unpack(get(slot.other))
            entry = self._entry(vpn, found, tag["pcid"])
            # What a lookup goes by stands in the tag.
            assert (entry.dirty, entry.pcid is None) == (
                bool(tag["dirty"]), bool(tag["global_page"])), slot.place
            held.append(HeldPage(slot.place, entry))
        return held

    def l2_pages(self, get: Get) -> list[HeldPage]:
        """Return what the second-level TLB holds that can still be found."""
        held = []
        for slot, record in self._l2:
            one = record.unpack(get(slot.tag))
            if not one["valid"]:
                continue
            found = {name.removeprefix("translation_"): value for name, value in one.items()
                     if name.startswith("translation_")}
            pcid = one.get("pcid", 0)
            if not found["global_page"] and one["generation"] != get(self._generations[pcid]):
                continue
            assert slot.set is not None
            low = self._config.mode.pages[found["page"]].shift - PAGE_SHIFT
            vpn = ((one["tag"] >> low) << self._l2_bits | slot.set) << low
            held.append(HeldPage(slot.place, self._entry(vpn, found, pcid)))
        return held

    def tables(self, get: Get) -> list[HeldTable]:
        """Return what the walk cache holds, the highest level first."""
        return [*chain.from_iterable(
            self._tables_of(level, slots, get) for level, slots in self._tables.items())]

    def _tables_of(self, level: Level, slots: list[tuple[_Slot, Record]],
                   get: Get) -> Iterator[HeldTable]:
        for slot, record in slots:
            tag = record.unpack(get(slot.tag))
            if not (tag["valid"] if slot.flag is None else get(slot.flag)):
                continue
            found = self._table.unpack(get(slot.other))
            vaddr = linear_address(self._config, tag["vpn"] << level.shift - PAGE_SHIFT)
            rights = Rights(bool(found["writable"]), bool(found["user"]),
                            bool(found["execute_disable"]))
            yield HeldTable(slot.place, tag["pcid"], TableEntry(
                vaddr, level, found["frame"] << PAGE_SHIFT, rights))

    def _entry(self, vpn: int, found: dict[str, int], pcid: int) -> TlbEntry:
        """Return a translation, whose page holds the page number ``vpn``."""
        page = self._config.mode.pages[found["page"]]
        rights = Rights(bool(found["rights_writable"]), bool(found["rights_user"]),
                        bool(found["rights_execute_disable"]), found["rights_key"])
        mask = -page.page_bytes
        return TlbEntry(linear_address(self._config, vpn) & mask, page,
                        found["frame"] << PAGE_SHIFT & mask, rights, bool(found["dirty"]),
                        None if found["global_page"] else pcid, found["memory_type"])

    # ---- which names there are inside the hardware

    def _l1_slots(self, tlb: ComponentTree) -> Iterator[tuple[_Slot, Record]]:
        """Yield the places of an L1 TLB, a ``FullL1`` or a ``SetL1``."""
        config = self._config
        if not config.ways:
            yield from self._full_slots(tlb, config.entries, "")
            return
        yield from self._full_slots(tlb.inner("large"), config.large_entries, "large ")
        layout = data.StructLayout({
            "valid": 1, "vpn": config.vpn_bits - self._set_bits, "pcid": PCID_BITS,
            "global_page": 1, "dirty": 1, "rights": rights_layout()})
        record = Record(layout)
        for way in range(config.ways):
            tags = tlb.inner(f"tags_{way}").rows(layout)
            translations = tlb.inner(f"way_{way}").rows(translation_layout(config))
            for number, (tag, other) in enumerate(zip(tags, translations, strict=True)):
                yield _Slot(f"set {number} way {way}", tag, other, number), record

    def _full_slots(self, tlb: ComponentTree, entries: int,
                    word: str) -> Iterator[tuple[_Slot, Record]]:
        """Yield the places of a ``FullL1``, whose tags are in its ``L1Tags``."""
        config = self._config
        layout = data.StructLayout({
            "valid": 1, "vpn": config.vpn_bits, "pcid": PCID_BITS,
            "larger": len(config.mode.pages) - 1, "global_page": 1, "dirty": 1,
            "rights": rights_layout()})
        record, tags = Record(layout), tlb.inner("tags")
        translations = tlb.inner("translations").rows(translation_layout(config))
        for number in range(entries):
            yield (_Slot(f"{word}{number}", tags.register(f"tag_{number}", layout),
                         translations[number]), record)

    def _l2_slots(self, array: ComponentTree) -> Iterator[tuple[_Slot, Record]]:
        """Yield the places of the second-level TLB, an ``L2Array``; note its generations."""
        geometry = L2Geometry(self._config)
        self._l2_bits = geometry.index_bits
        record = Record(geometry.entry_layout())
        generations = array.inner("generations")
        self._generations = (generations.inner("ram").rows() if self._config.mode.has_pcids
                             else [generations.register("output")])
        for way in range(geometry.ways):
            rows = array.inner("ways").inner(f"way_{way}").rows(geometry.entry_layout())
            for number, row in enumerate(rows):
                yield _Slot(f"set {number} way {way}", row, None, number), record

    def _table_slots(self, level: Level,
                     cache: ComponentTree) -> Iterator[tuple[_Slot, Record]]:
        """Yield the places of one level of the walk cache, a ``LevelCache`` or ``TableCache``."""
        config = self._config
        tables = cache.inner("tables").rows(table_layout(config))
        members: dict[str, Any] = {
            "vpn": config.vpn_bits - (level.shift - PAGE_SHIFT), "pcid": PCID_BITS}
        if not config.has_walk_pool:
            members = {"valid": 1} | members
        layout = data.StructLayout(members)
        flags = cache.flags() if config.has_walk_pool else None
        for number in range(self._count(level)):
            yield (_Slot(f"{level.name} {number}", cache.register(f"tag_{number}", layout),
                         tables[number], flag=None if flags is None else flags[number]),
                   Record(layout))

    def _count(self, level: Level) -> int:
        """Return how many tables of a level are held: half as many for each level up."""
        upper = self._config.mode.levels[:-1]
        return max(self._config.walk_cache >> len(upper) - 1 - upper.index(level), 1)

    @property
    def _set_bits(self) -> int:
        return max(self._config.sets - 1, 0).bit_length()

    def _low_bits(self, number: int, tag: int) -> int:
        """Return the low bits of a page number, of the number of its set and the bits above."""
        mask = (1 << self._set_bits) - 1
        return number ^ (tag & mask) if self._config.index == "folded" else number
