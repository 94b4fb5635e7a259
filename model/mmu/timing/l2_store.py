"""What the second-level TLB holds: entries in sets, generations of PCIDs, the sizes entered."""

from ...x86 import PAGE_SHIFT
from .cycle import Asked, DropOrder, Found
from .timed_geometry import TimedGeometry
from .victims import VICTIMS, RandomVictims, Victims

__all__ = ["L2Store"]

GENERATIONS = 16


class L2Entry:
    """A translation under a PCID, which counts as long as the PCID has this generation."""

    __slots__ = ("found", "generation", "number", "pcid")

    def __init__(self, number: int, pcid: int, generation: int, found: Found) -> None:
        self.number, self.pcid, self.generation, self.found = number, pcid, generation, found


class L2Store:
    """The entries, empty; ``generations`` are those of the PCIDs, which a reset does not change."""

    def __init__(self, geometry: TimedGeometry, generations: dict[int, int]) -> None:
        mode, ways = geometry.mode, geometry.l2_ways
        self.sets = geometry.l2_entries // ways
        self._has_pcids = mode.has_pcids
        self._shifts = [page.shift - PAGE_SHIFT for page in mode.pages]
        self._policy, self._ways = VICTIMS[geometry.l2_policy], ways
        self._shared = self._policy(ways) if self._policy is RandomVictims else None
        self.generations = generations
        self.clear()
        self._entered: set[int] = set()

    def clear(self) -> None:
        """Drop all, and forget what was used."""
        self._sets: list[list[L2Entry | None]] = [[None] * self._ways for _ in range(self.sets)]
        self._victims: list[Victims] = [
            self._shared or self._policy(self._ways) for _ in range(self.sets)]
        self._entered = set()

    def sizes(self) -> list[int]:
        """Return the sizes to look for: the smallest, and those entered since all was dropped."""
        return sorted({0, *self._entered})

    def _pcid(self, pcid: int) -> int:
        return pcid if self._has_pcids else 0

    def _place(self, vpn: int, page: int) -> tuple[int, int]:
        """Return the number of a page in pages of its size, and its set."""
        number = vpn >> self._shifts[page]
        return number, number & self.sets - 1

    def find(self, asked: Asked, page: int) -> tuple[int, int, Found, bool] | None:
        """Return set, way and translation of a page of that size, and whether it may be used."""
        number, index = self._place(asked.vpn, page)
        pcid = self._pcid(asked.pcid)
        generation = self.generations.get(pcid, 0)
        for way, entry in enumerate(self._sets[index]):
            if entry is None or entry.number != number or entry.found.page != page:
                continue
            found = entry.found
            if found.global_page or (entry.pcid == pcid and entry.generation == generation):
                return index, way, found, self._permits(asked, found)
        return None

    @staticmethod
    def _permits(asked: Asked, found: Found) -> bool:
        """Return whether nothing is left to a walk: no fault, no flag, no reserved bit."""
        view, rights = asked.view, found.rights
        return ((found.dirty or not asked.write)
                and (view.nxe or not rights.execute_disable)
                and rights.permit(view.control, asked.access)
                and not rights.key_blocks(view.mode, view.control, asked.access))

    def use(self, index: int, way: int) -> None:
        """Note that an entry has answered a request."""
        self._victims[index].use(way, False)

    def remove(self, index: int, way: int) -> None:
        """Drop an entry."""
        self._sets[index][way] = None

    def fill(self, asked: Asked, found: Found) -> None:
        """Enter a page: over one that it overlaps, or else where nothing counts, or the victim."""
        number, index = self._place(asked.vpn, found.page)
        pcid = self._pcid(asked.pcid)
        generation = self.generations.get(pcid, 0)
        entries = self._sets[index]
        overlaps = [way for way, entry in enumerate(entries) if entry is not None
                    and entry.number == number and entry.found.page == found.page
                    and (entry.pcid == pcid or entry.found.global_page or found.global_page)]
        vacant = [way for way, entry in enumerate(entries) if entry is None or (
            not entry.found.global_page and entry.pcid == pcid and entry.generation != generation)]
        way = [*overlaps, *vacant, self._victims[index].next()][0]
        for other in overlaps:
            entries[other] = None
        entries[way] = L2Entry(number, pcid, generation, found)
        self._victims[index].use(way, True)
        self._entered.add(found.page)

    def drop(self, drop: DropOrder) -> None:
        """Drop entries, all but those of a PCID, which ``raise_generation`` is for."""
        pcid = self._pcid(drop.pcid)
        for entries in self._sets:
            for way, entry in enumerate(entries):
                if entry is None:
                    continue
                page = entry.found.page
                if drop.by_address and entry.number != drop.vpn >> self._shifts[page]:
                    continue
                if drop.globals_too if entry.found.global_page else (
                        not drop.by_pcid or entry.pcid == pcid):
                    entries[way] = None

    def wraps(self, drop: DropOrder) -> bool:
        """Return whether the next generation of a PCID is the first one again."""
        return self.generations.get(self._pcid(drop.pcid), 0) == GENERATIONS - 1

    def raise_generation(self, drop: DropOrder) -> None:
        """Have no entry of a PCID count any more, but global ones."""
        pcid = self._pcid(drop.pcid)
        self.generations[pcid] = (self.generations.get(pcid, 0) + 1) % GENERATIONS
