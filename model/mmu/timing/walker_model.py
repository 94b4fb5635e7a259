"""The walker: one walk at a time, and which access to page tables it offers in a cycle."""

from ..rights import Rights
from .cycle import Asked, DropOrder, MemoryAccess, MemoryReply, WalkResult
from .entry_steps import Next, NextStep, Spot, judge
from .event_names import EventBits
from .timed_geometry import TimedGeometry
from .walk_cache_model import TableAt, WalkCacheModel

__all__ = ["WalkerModel"]

TAGS = 16
"""The tags of page-table accesses: the number of the access, counted round."""


class WalkerModel:
    """A walk reads an entry, updates it if it must, reads the next: no cycle lies between.

    An access is offered in the cycle of the response before it, and until memory accepts it. The
    result comes in the cycle after the last response, and is taken at once.

    Parameters
    ----------
    geometry : TimedGeometry
        The parameters.
    counts : sequence of int
        The tag of the access that memory accepted last, alone.
    """

    def __init__(self, geometry: TimedGeometry, counts: list[int]) -> None:
        self._mode, self._rules = geometry.mode, geometry.flag_rules
        self._notes = geometry.notes_lacking
        self._cache = WalkCacheModel(geometry)
        self._bits = EventBits(geometry, "walk_")
        levels = [level.name.lower() for level in self._mode.levels]
        self._reads = [self._bits[f"read_{level}"] for level in levels]
        self._begins = [self._bits["start"],
                        *(self._bits["start"] | self._bits[f"hit_{level}"]
                          for level in levels[:-1])]
        self._tag, = counts
        self._asked: Asked | None = None  # the walk under way
        self._port = self._miss = 0
        self._stale = False
        self._spot: Spot | None = None  # of the access offered last
        self._offer: MemoryAccess | None = None  # what memory has not accepted yet
        self._written = 0  # the entry that an exchange is to replace
        self.result: WalkResult | None = None
        """What a walk has come to, in the cycle in which it is answered."""

    @property
    def counts(self) -> list[int]:
        """The tag of the access that memory accepted last."""
        return [self._tag]

    def accepts(self, drop: DropOrder | None) -> bool:
        """Return whether a walk may begin in this cycle."""
        return self._asked is None and drop is None

    def _begin(self, asked: Asked, port: int, miss: int) -> int:
        """Take on a walk; return the events."""
        self._asked, self._port, self._miss, self._stale = asked, port, miss, False
        table = self._cache.find(asked) or self._root(asked)
        self._go_to(Spot(table))
        return self._begins[table.level]

    @staticmethod
    def _root(asked: Asked) -> TableAt:
        return TableAt(0, asked.view.root, Rights())

    def _go_to(self, spot: Spot, expected: int = 0, desired: int = 0) -> None:
        """Offer the access that is at ``spot``."""
        assert self._asked is not None
        level = self._mode.levels[spot.table.level]
        index = self._asked.access.vaddr >> level.shift & (1 << level.index_bits) - 1
        self._spot = spot
        self._offer = MemoryAccess(
            (self._tag + 1) % TAGS, int(spot.updating),
            spot.table.address + index * self._mode.entry_bytes, expected, desired)

    def cycle(self, reply: MemoryReply | None, drop: DropOrder | None, takes: bool,
              came: tuple[Asked, int, int] | None) -> tuple[MemoryAccess | None, int]:
        """Play a cycle; return the access that is offered, and the events.

        ``reply`` is what memory responds, ``drop`` what is dropped, ``takes`` whether memory
        accepts an access; ``came`` is a request that is accepted, with its port and miss.
        """
        events = self._begin(*came) if came is not None else 0
        if self.result is not None:
            events |= self._bits["end"] | (0 if self.result.found else self._bits["fault"])
            self.result = self._asked = None
        elif (self._asked is not None and self._offer is None and reply is not None
              and reply.tag == self._tag):
            events |= self._follow(reply, drop)
        offer = self._offer
        if offer is not None and takes:
            spot = self._spot
            assert spot is not None
            events |= self._bits["update"] if offer.op else self._reads[spot.table.level]
            self._tag, self._offer = offer.tag, None
        if drop is not None:
            self._cache.drop(drop)
            self._stale = True
            if self.result is not None and self.result.found is not None:
                self.result = self.result._replace(stale=True)
        return offer, events

    def _follow(self, reply: MemoryReply, drop: DropOrder | None) -> int:
        """Go on by the response to the access at hand; return the events."""
        asked, spot = self._asked, self._spot
        assert asked is not None
        assert spot is not None
        if spot.updating and self._rules.ad == "write":  # memory tells nothing of a write
            reply = reply._replace(data=self._written, exchanged=1)
        outcome = judge(asked, self._port, spot, reply, self._rules, notes=self._notes)
        if outcome.step is Next.FINISH:
            assert outcome.result is not None
            self.result = outcome.result._replace(
                miss=self._miss, stale=self._stale or outcome.result.stale)
        elif outcome.step is Next.UPDATE:
            self._written = reply.data
            self._go_to(Spot(spot.table, True, spot.lacking, spot.setting), reply.data,
                        outcome.desired)
        elif outcome.step is Next.RESTART:
            self._go_to(Spot(self._root(asked), setting=outcome.sets))
            return 0 if outcome.sets else self._bits["restart"]
        else:
            self._descend(asked, outcome, cached=drop is None and not self._stale)
        return 0

    def _descend(self, asked: Asked, outcome: NextStep, *, cached: bool) -> None:
        assert outcome.below is not None
        if cached and outcome.cacheable:
            self._cache.fill(asked, outcome.below.table)
        self._go_to(outcome.below)
