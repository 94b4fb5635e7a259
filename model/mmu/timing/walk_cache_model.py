"""The walk cache: the tables that walks came to, so that a later walk may begin there."""

from typing import NamedTuple

from ...x86 import PAGE_SHIFT
from ..rights import Rights
from .cycle import Asked, DropOrder
from .timed_geometry import TimedGeometry

__all__ = ["LevelModel", "TableAt", "WalkCacheModel", "levels_of"]


class TableAt(NamedTuple):
    """A table: the number of the level of its entries, its address, the rights on the way to it."""

    level: int
    address: int
    rights: Rights


class LevelModel:
    """Holds the tables that entries of one level lead to; fills take the places in turn."""

    def __init__(self, shift: int, entries: int) -> None:
        self._shift = shift
        self._tags: list[tuple[int, int] | None] = [None] * entries
        self._tables: list[TableAt | None] = [None] * entries
        self._oldest = 0

    def find(self, vpn: int, pcid: int) -> TableAt | None:
        """Return the table that is held for an address under a PCID."""
        tag = vpn >> self._shift, pcid
        return self._tables[self._tags.index(tag)] if tag in self._tags else None

    def fill(self, vpn: int, pcid: int, table: TableAt) -> None:
        """Enter a table in the place of the one that is held for the address, if any is."""
        tag = vpn >> self._shift, pcid
        if tag in self._tags:
            place = self._tags.index(tag)
        else:
            place = self._oldest
            self._oldest = (place + 1) % len(self._tags)
        self._tags[place], self._tables[place] = tag, table

    def place_of(self, asked: Asked) -> int:
        """Return the place that a fill for the address of a request goes to."""
        tag = asked.vpn >> self._shift, asked.pcid
        return self._tags.index(tag) if tag in self._tags else self._oldest

    def drop(self, drop: DropOrder) -> None:
        """Drop the tables of a PCID, or of one address, or all."""
        vpn = drop.vpn >> self._shift
        for place, tag in enumerate(self._tags):
            if tag is not None and (tag[1] == drop.pcid or not drop.by_pcid) and (
                    tag[0] == vpn or not drop.tables_by_address):
                self._tags[place] = None


def levels_of(geometry: TimedGeometry) -> list[LevelModel]:
    """Return the caches of all levels, the highest first; none if there is no walk cache."""
    upper = geometry.mode.levels[:-1] if geometry.walk_cache else ()
    return [LevelModel(level.shift - PAGE_SHIFT,
                       max(geometry.walk_cache >> len(upper) - 1 - number, 1))
            for number, level in enumerate(upper)]


class WalkCacheModel:
    """Has a ``LevelModel`` for each level but the last; the lowest that holds a table decides.

    While IA32_EFER.NXE is clear a table below an entry with XD is not used.
    """

    def __init__(self, geometry: TimedGeometry) -> None:
        self._levels = levels_of(geometry)

    def find(self, asked: Asked) -> TableAt | None:
        """Return where the walk of a request may begin, None if at the root."""
        for level in reversed(self._levels):
            table = level.find(asked.vpn, asked.pcid)
            if table is not None and (asked.view.nxe or not table.rights.execute_disable):
                return table
        return None

    def fill(self, asked: Asked, table: TableAt) -> None:
        """Enter the table that a walk came to."""
        if self._levels:
            self._levels[table.level - 1].fill(asked.vpn, asked.pcid, table)

    def drop(self, drop: DropOrder) -> None:
        """Drop what is named."""
        for level in self._levels:
            level.drop(drop)
