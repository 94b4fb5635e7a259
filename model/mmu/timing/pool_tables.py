"""The walk cache of the pool: one thing a cycle, and what a fill and a drop take of it."""

from .cycle import Asked, DropOrder
from .timed_geometry import TimedGeometry
from .walk_cache_model import LevelModel, TableAt, levels_of

__all__ = ["PoolTables"]


class PoolTables:
    """Looks up in one cycle what was asked for in the one before, unless a fill or a drop came.

    A fill that is given in a cycle is written at the end of the second cycle after it; not if one
    of the same level was begun in the cycle before, nor if a drop is given in its cycle or the
    next. A drop takes effect at the end of the cycle after it was given.
    """

    def __init__(self, geometry: TimedGeometry) -> None:
        self._levels: list[LevelModel] = levels_of(geometry)
        self.looking = False
        """Whether a lookup is done in this cycle."""
        self.found: list[TableAt] = []
        """What the lookup found that was kept in the cycle before, the lowest level first."""
        self._drop: DropOrder | None = None  # given in the cycle before
        self._given: tuple[Asked, TableAt] | None = None  # a fill given in the cycle before
        self._begun: tuple[Asked, TableAt] | None = None  # a fill to be written in this cycle

    def cycle(self, kept: Asked | None, fill: tuple[Asked, TableAt] | None, asked: bool,
              drop: DropOrder | None) -> None:
        """Play a cycle: ``kept`` is looked up now, and ``asked`` says that one is next."""
        written = -1, -1  # level and place
        begun, self._begun = self._begun, None
        if begun is not None and self._drop is None:
            number = begun[1].level - 1
            written = number, self._levels[number].place_of(begun[0])
        if kept is not None:
            self._look_up(kept, written)
        if begun is not None and written[1] >= 0:
            self._levels[written[0]].fill(begun[0].vpn, begun[0].pcid, begun[1])
        if self._drop is not None:
            for level in self._levels:
                level.drop(self._drop)
        if self._given is not None and self._levels and (
                begun is None or begun[1].level != self._given[1].level):
            self._begun = self._given
        self._given = fill if drop is None else None
        self._drop = drop
        self.looking = asked and fill is None and drop is None

    def _look_up(self, asked: Asked, written: tuple[int, int]) -> None:
        """Find the tables of a request; not one whose place is written in this cycle."""
        self.found = []
        for number in reversed(range(len(self._levels))):
            level = self._levels[number]
            table = level.find(asked.vpn, asked.pcid)
            if table is not None and (number, level.place_of(asked)) != written:
                self.found.append(table)

    def begin(self, asked: Asked) -> TableAt | None:
        """Return the lowest table found that may be used, None if the walk begins at the root."""
        usable = (table for table in self.found
                  if asked.view.nxe or not table.rights.execute_disable)
        return next(usable, None)
