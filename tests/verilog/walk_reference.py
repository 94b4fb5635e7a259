"""The walks that the reference expects: their page-table accesses, one by one, and who waits."""

from collections.abc import Sequence

from bins import Bins
from page_tables import Tables
from rehearsal import PageTableAccess, outcome, rehearse
from scoreboard import Scoreboard
from streams import COMPARE_EXCHANGE, READ, Cycle
from walk_cache_model import WalkCacheModel

from pagewalk.model.mmu.walk import Access, Control, Fault, Walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import Level, Vector


class WalkInProgress:
    """One walk, as far as it has come: the golden walk says what follows from the entries read.

    It begins below the entries ``known``, which are in the walk cache.
    """

    def __init__(self, port: str, access: Access, control: Control, tables: Tables,
                 known: tuple[int, ...]) -> None:
        self.port, self.vaddr, self.control = port, access.vaddr, control
        self._access, self._tables = access, tables
        self.skipped = len(known)  # entries that are not read
        self.is_new = True  # memory has accepted nothing of it
        self.is_stale = False  # something was dropped meanwhile: nothing more of it is cached
        self.ended = -1  # in which cycle
        self.follow(known)

    def follow(self, known: tuple[int, ...]) -> None:
        """Go on after the entries ``known``: with an access, or with the result."""
        self.known = known
        self.result, accesses = rehearse(self._tables, self._access, self.control, known)
        self.access: PageTableAccess | None = accesses[0] if accesses else None
        self.offers = self.access is not None  # the access at hand is offered, not under way

    def __str__(self) -> str:
        return f"{self.level.name} for {self.port}, {self._access}"

    @property
    def finished(self) -> bool:
        return self.access is None

    @property
    def descends(self) -> bool:
        """Whether the access at hand is to the table that the entries known lead to."""
        return self.access is not None and self.access.op == READ and bool(self.known)

    @property
    def level(self) -> Level:
        """The level of the entry that the access at hand is to."""
        assert self.access is not None
        depth = len(self.known) - (self.access.op == COMPARE_EXCHANGE)
        return self._tables.mode.levels[depth]

    @property
    def is_outdated(self) -> bool:
        """Whether the walk seems to end in another way than one from the root would."""
        fresh, _ = rehearse(self._tables, self._access, self.control)
        return outcome(fresh) != outcome(self.result)

    def accept(self) -> None:
        """Have the access at hand under way; a read sees what memory holds in this cycle."""
        assert self.access is not None
        self.is_new = self.offers = False
        if self.access.op == READ:
            try:
                size = self._tables.mode.entry_bytes
                self._entry = self._tables.shadow.read(self.access.address, size)
            except BusError:
                pass  # as the response will say

    def go_on(self, error: bool, exchanged: bool) -> str:
        """Follow up a response and return what became of the access."""
        assert self.access is not None
        op, address, expected, desired = self.access
        if error:
            fault = Fault(Vector.MC, 0, self.vaddr)
            self.result, self.access = Walk(self._access, (), fault=fault), None
            return "bus error"
        if op == READ:
            self.follow((*self.known, self._entry))
            return "read"
        if not exchanged:
            self.follow(())
            return "lost to another processor"
        size = self._tables.mode.entry_bytes
        self._tables.shadow.compare_exchange(address, size, expected, desired)
        self.follow((*self.known[:-1], desired))
        return "updated"


class Arbiter:
    """Who walks next: round robin, but who has been chosen stays so until the walker takes it."""

    def __init__(self, ports: Sequence[str]) -> None:
        self._ports = list(ports)
        self._last = ports[0]  # as after reset
        self._kept: str | None = None

    def choose(self, asking: Sequence[str]) -> str | None:
        """Return the port to serve in this cycle, to be called once in each cycle."""
        if self._kept is None and asking:
            after = self._ports.index(self._last) + 1
            order = self._ports[after:] + self._ports[:after]
            self._kept = self._last = next(port for port in order if port in asking)
        return self._kept

    def taken(self) -> None:
        """Note that the walker takes the chosen port's walk on in this cycle."""
        self._kept = None


class WalkerReference:
    """The walker: one walk at a time, the memory request of each cycle, and the walk cache."""

    def __init__(
        self, tables: Tables, walk_cache: int, scoreboard: Scoreboard, bins: Bins, tag: int
    ) -> None:
        self._tables, self._scoreboard, self._bins = tables, scoreboard, bins
        self.cache = WalkCacheModel(tables.mode, walk_cache)
        self.walk: WalkInProgress | None = None
        self.tag = tag  # of the access that memory accepted last, perhaps before the reset

    def respond(self, cycle: Cycle) -> WalkInProgress | None:
        """Follow up a memory response of this cycle; return the walk if this finishes it."""
        beat = cycle.beats["memory_rsp"]
        if not beat.valid:
            return None
        if beat.payload["tag"] != self.tag:
            state = ("no walk" if self.walk is None or self.walk.access is None else
                     "an access on offer" if self.walk.offers else "an access under way")
            self._bins.meet(f"late response meets {state}")
            return None
        assert self.walk is not None
        level = self.walk.level
        became = self.walk.go_on(bool(beat.payload["error"]), bool(beat.payload["exchanged"]))
        self._bins.meet(f"{level.name} {became}")
        self._scoreboard.note(f"memory: {level.name} {became}, {beat.payload['data']:#x}")
        if became == "lost to another processor":
            self._scoreboard.event("walk_restart")
            if self.walk.skipped:
                self._bins.meet("walk from a cached table starts over at the root")
        elif self.walk.descends and not self.walk.is_stale and not self.cache.fill(
                self.walk.vaddr, self.walk.control, self.walk.known):
            self._bins.meet("table of a PDE with bit 7 set not cached")
        if not self.walk.finished:
            return None
        self.walk.ended = cycle.number
        return self.walk

    def begin(self, port: str, access: Access, control: Control) -> None:
        """Take a walk on, whose first access is offered in this cycle."""
        known = self.cache.find(access.vaddr, control)
        self.walk = WalkInProgress(port, access, control, self._tables, known)
        self._start(self.walk)

    def compare(self, cycle: Cycle) -> None:
        """Compare the memory request of this cycle."""
        walk, beat = self.walk, cycle.beats["memory_req"]
        if walk is None or walk.access is None or not walk.offers:
            self._scoreboard.offer("memory_req", None, beat, "no walk is at that point")
            return
        op, address, expected, desired = walk.access  # a read has zeros as its last two
        fields = {"tag": (self.tag + 1) % 16, "op": op, "address": address,
                  "expected": expected, "desired": desired}
        self._scoreboard.offer("memory_req", fields, beat, walk)
        if not beat.ready:
            when = "first" if walk.is_new else "later"
            self._bins.meet("update held" if op == COMPARE_EXCHANGE else f"{when} access held")
            return
        walk.accept()
        self.tag = beat.payload["tag"]
        level = walk.level.name.lower()
        self._scoreboard.event("walk_update" if op == COMPARE_EXCHANGE else f"walk_read_{level}")
        if self.cache.is_shared(walk.vaddr, walk.control):
            self._bins.meet("table cached under several PCIDs")

    def _start(self, walk: WalkInProgress) -> None:
        """Count a walk that the walker takes on, and where it begins."""
        self._scoreboard.event("walk_start")
        self._bins.meet(f"walk begins at the {walk.level.name}")
        if walk.known:
            above = self._tables.mode.levels[len(walk.known) - 1].name.lower()
            self._scoreboard.event(f"walk_hit_{above}")
            if walk.is_outdated:
                self._bins.meet("stale table used")
        if self.cache.spares(walk.vaddr, walk.control):
            self._bins.meet("cached table with XD not used without EFER.NXE")

    def release(self) -> None:
        """Be idle from the next cycle on, as the port has taken the result."""
        assert self.walk is not None
        self._scoreboard.event("walk_end")
        if self.walk.result.fault is not None:
            self._scoreboard.event("walk_fault")
        self.walk = None
