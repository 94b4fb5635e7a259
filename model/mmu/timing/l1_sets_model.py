"""An L1 TLB of sets for the smallest pages, with a few entries beside for the larger ones."""

from .cycle import Asked, DropOrder, Found
from .l1_model import FullModel, L1Lookup, L1Model, Line
from .timed_geometry import TimedGeometry
from .victims import VICTIMS, RandomVictims

__all__ = ["SetsLookup", "SetsModel"]


class SetsLookup(L1Lookup):
    """What was found in a set, or else among the ``large`` pages.

    ``small`` is the place in the set ``set_number``, -1 if it is not there; ``vacant`` the first
    place of the set that was invalid, -1 if there was none, and ``same_vpn`` those with this page
    number under any PCID.
    """

    __slots__ = ("large", "same_vpn", "set_number", "small", "vacant")

    def __init__(self, asked: Asked, small: int, line: Line | None, large: L1Lookup) -> None:
        super().__init__(asked, small if small >= 0 else large.entry, line or large.line)
        self.small, self.large = small, large
        self.set_number, self.vacant = 0, -1
        self.same_vpn: list[int] = []


class SetsModel(L1Model):
    """Looks in the set of the page number, and among large pages; a small page counts first.

    A fill goes by what the lookup found: to the place at hand, or else to the first that was
    invalid then, or else to the victim of the set. A small page at hand gives way to one of either
    size; a global page takes the place of all of its number in the set.
    """

    def __init__(self, geometry: TimedGeometry) -> None:
        self._sets, ways = geometry.sets, geometry.ways
        self._folded = geometry.index == "folded"
        self._large = FullModel(geometry, geometry.large_entries)
        self._lines: list[list[Line | None]] = [[None] * ways for _ in range(self._sets)]
        victims = VICTIMS[geometry.policy]
        shared = victims(ways) if victims is RandomVictims else None  # one LFSR for all sets
        self._victims = [shared or victims(ways) for _ in range(self._sets)]
        self.busy_after = 2, self._sets + 2
        self.busy_at_reset = self._sets + 1

    def _set_number(self, vpn: int) -> int:
        bits = self._sets.bit_length() - 1
        return (vpn ^ vpn >> bits if self._folded else vpn) & self._sets - 1

    def look_up(self, asked: Asked) -> SetsLookup:
        number = self._set_number(asked.vpn)
        lines = self._lines[number]
        small, at_hand = -1, None
        same = []
        for way, line in enumerate(lines):
            if line is not None and line.vpn == asked.vpn:
                same.append(way)
                if line.pcid == asked.pcid or line.found.global_page:
                    small, at_hand = way, line
        lookup = SetsLookup(asked, small, at_hand, self._large.look_up(asked))
        lookup.set_number, lookup.same_vpn = number, same
        lookup.vacant = lines.index(None) if None in lines else -1
        return lookup

    def touch(self, lookup: L1Lookup) -> None:
        assert isinstance(lookup, SetsLookup)
        if lookup.small >= 0:
            self._victims[lookup.set_number].use(lookup.small, False)
        else:
            self._large.touch(lookup.large)

    def choose(self) -> int:
        return self._large.choose()

    def fill(self, asked: Asked, lookup: L1Lookup, found: Found, chosen: int) -> None:
        assert isinstance(lookup, SetsLookup)
        lines, victims = self._lines[lookup.set_number], self._victims[lookup.set_number]
        way = lookup.small if lookup.small >= 0 else lookup.vacant
        if way < 0:
            way = victims.next()
        if lookup.small >= 0:
            lines[lookup.small] = None
        if found.global_page:
            for other in lookup.same_vpn:
                lines[other] = None
        if found.page:
            self._large.fill(asked, lookup.large, found, chosen)
        else:
            lines[way] = Line(asked, found)
            victims.use(way, True)

    def drop(self, drop: DropOrder) -> None:
        self._large.drop(drop)
        numbers = [self._set_number(drop.vpn)] if drop.by_address else range(self._sets)
        for number in numbers:
            self._lines[number] = [None if line is not None and line.is_dropped(drop) else line
                                   for line in self._lines[number]]
