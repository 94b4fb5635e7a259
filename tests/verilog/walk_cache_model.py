"""Caches of upper entries that predict where a walk begins, from what ``hdl/`` promises."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tlb_model import Reach, effective_pcid, has_xd

from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import Efer, Entry, Level, PagingMode


@dataclass(frozen=True, slots=True)
class CachedTable:
    """A table, by the entries from the root down that lead to it, and whose it is."""

    prefix: int  # the bits of the linear address that chose the entries,
    shift: int  # from this one up
    pcid: int
    entries: tuple[int, ...]


class LevelModel:
    """The tables that entries of one level lead to; places are filled in turn."""

    def __init__(self, places: int) -> None:
        self._places: list[CachedTable | None] = [None] * places
        self._turn = 0

    def find(self, prefix: int, pcid: int) -> CachedTable | None:
        """Return the table of an address and a PCID."""
        place = self._place(prefix, pcid)
        return None if place is None else self._places[place]

    def fill(self, table: CachedTable) -> None:
        """Enter a table, in the place of the one for the same address if there is one."""
        place = self._place(table.prefix, table.pcid)
        if place is None:
            place, self._turn = self._turn, (self._turn + 1) % len(self._places)
        self._places[place] = table

    def copies(self, prefix: int) -> int:
        """Return under how many PCIDs there is a table for an address."""
        return sum(table is not None and table.prefix == prefix for table in self._places)

    def holds(self, pcid: int) -> bool:
        """Return whether there is a table of a PCID."""
        return any(table is not None and table.pcid == pcid for table in self._places)

    def drop(self, is_dropped: Callable[[CachedTable], bool]) -> int:
        """Drop the tables for which ``is_dropped`` holds; return how many."""
        places = [place for place, table in enumerate(self._places) if table and is_dropped(table)]
        for place in places:
            self._places[place] = None
        return len(places)

    def _place(self, prefix: int, pcid: int) -> int | None:
        found = [place for place, table in enumerate(self._places)
                 if table and (table.prefix, table.pcid) == (prefix, pcid)]
        assert len(found) <= 1, f"the model itself holds a table twice: {found}"
        return found[0] if found else None


class WalkCacheModel:
    """One ``LevelModel`` for each level but the last, half as large from each level to the next.

    ``entries`` is the size of the lowest; with 0 nothing is ever found.
    """

    def __init__(self, mode: PagingMode, entries: int) -> None:
        self._mode = mode
        self._levels: list[tuple[Level, LevelModel]] = []
        for level in reversed(mode.levels[:-1] if entries else ()):
            self._levels.append((level, LevelModel(entries)))
            entries = max(entries // 2, 1)

    def find(self, vaddr: int, control: Control) -> tuple[int, ...]:
        """Return the entries, from the root down, that a walk need not read."""
        for _, table in self._found(vaddr, control):
            if self._is_usable(table, control):
                return table.entries
        return ()

    def spares(self, vaddr: int, control: Control) -> bool:
        """Return whether a table is there but not used, as XD on the way to it is reserved."""
        return any(not self._is_usable(table, control)
                   for _, table in self._found(vaddr, control))

    def is_shared(self, vaddr: int, control: Control) -> bool:
        """Return whether a table that may be used is there under several PCIDs."""
        return any(self._is_usable(table, control) and model.copies(table.prefix) > 1
                   for model, table in self._found(vaddr, control))

    def fill(self, vaddr: int, control: Control, entries: Iterable[int]) -> bool:
        """Enter the table that ``entries`` lead to; return whether it may be entered."""
        entries = tuple(entries)
        assert all(entry & Entry.P and entry & Entry.A for entry in entries)
        # Only in 32-bit paging a table has an entry like that: it depends on CR4.PSE.
        if self._levels and entries[-1] & Entry.PS:
            return False
        for level, model in self._levels:
            if level is self._mode.levels[len(entries) - 1]:
                pcid = effective_pcid(self._mode, control)
                model.fill(CachedTable(self._prefix(level, vaddr), level.shift, pcid, entries))
        return True

    def invalidate(self, reach: Reach) -> int:
        """Drop the tables that ``reach`` includes; return how many."""
        return sum(
            model.drop(lambda table: reach.includes_table(table.prefix, table.shift, table.pcid))
            for _, model in self._levels)

    def holds(self, pcid: int) -> bool:
        """Return whether there is a table of a PCID."""
        return any(model.holds(pcid) for _, model in self._levels)

    def _found(self, vaddr: int, control: Control) -> list[tuple[LevelModel, CachedTable]]:
        """Return the tables of an address, the lowest first."""
        pcid = effective_pcid(self._mode, control)
        found = [(model, model.find(self._prefix(level, vaddr), pcid))
                 for level, model in self._levels]
        return [(model, table) for model, table in found if table is not None]

    def _prefix(self, level: Level, vaddr: int) -> int:
        return (vaddr & (1 << self._mode.translated_bits) - 1) >> level.shift

    def _is_usable(self, table: CachedTable, control: Control) -> bool:
        return bool(control.efer & Efer.NXE) or not has_xd(self._mode, table.entries)
