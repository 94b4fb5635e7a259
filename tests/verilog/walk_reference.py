"""The walks that the reference expects: their page-table accesses, one by one, and who waits."""

from collections.abc import Sequence
from typing import NamedTuple

from bins import Bins
from page_tables import PADDR_BITS, Tables
from scoreboard import Scoreboard
from streams import COMPARE_EXCHANGE, READ, Cycle

from pagewalk.model.mmu.walk import Access, Control, Fault, Walk, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import Level, Vector


class PageTableAccess(NamedTuple):
    """An access to page-table memory; the values belong to an exchange."""

    op: int
    address: int
    expected: int = 0
    desired: int = 0


class Rehearsal(PhysicalMemory):
    """A memory to walk in without leaving a trace: keeps what is written, and notes accesses."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self._memory = memory
        self._written: dict[int, int] = {}
        self.accesses: list[PageTableAccess] = []

    def read(self, paddr: int, size: int) -> int:
        self.accesses.append(PageTableAccess(READ, paddr))
        return self._written.get(paddr, self._memory.read(paddr, size))

    def compare_exchange(self, paddr: int, size: int, expected: int, desired: int) -> int:
        self.accesses.append(PageTableAccess(COMPARE_EXCHANGE, paddr, expected, desired))
        self._written[paddr] = desired
        return expected


def rehearse(
    tables: Tables, access: Access, control: Control
) -> tuple[Walk, list[PageTableAccess]]:
    """Return the golden walk of an access, and the page-table accesses it takes."""
    memory = Rehearsal(tables.shadow)
    return walk(memory, tables.mode, control, access, PADDR_BITS), memory.accesses


class WalkInProgress:
    """One walk: the golden one, rehearsed when it starts, and how far the MMU has come in it."""

    def __init__(self, port: str, access: Access, control: Control, tables: Tables) -> None:
        self.port = port
        self._access, self._control = access, control
        self._tables = tables
        self.restarts = 0
        self.result: Walk
        self._begin()

    def _begin(self) -> None:
        self.result, self._accesses = rehearse(self._tables, self._access, self._control)
        self._position = 0
        self.offers = True  # the access at hand is offered, not under way
        self.finished = False

    def __str__(self) -> str:
        return f"{self.level.name} for {self.port}, {self.access}"

    @property
    def is_new(self) -> bool:
        """Whether the walker has not yet taken the walk on."""
        return self.offers and self._position == 0 and not self.restarts

    @property
    def access(self) -> PageTableAccess:
        """The page-table access offered or under way."""
        return self._accesses[self._position]

    @property
    def level(self) -> Level:
        """The level of the entry that this access is to."""
        reads = [one.op for one in self._accesses[:self._position + 1]].count(READ)
        return self._tables.mode.levels[reads - 1]

    def go_on(self, error: bool, exchanged: bool) -> str:
        """Follow up a response and return what became of the access."""
        shadow, size = self._tables.shadow, self._tables.mode.entry_bytes
        op, address, expected, desired = self.access
        self.offers = True
        if error:
            fault = Fault(Vector.MC, 0, self._access.vaddr)
            self.result, self.finished = Walk(self._access, (), fault=fault), True
            return "bus error"
        if op == COMPARE_EXCHANGE and not exchanged:
            self.restarts += 1
            self._begin()
            return "lost to another processor"
        if op == COMPARE_EXCHANGE:
            shadow.compare_exchange(address, size, expected, desired)
        self._position += 1
        self.finished = self._position == len(self._accesses)
        return "read" if op == READ else "updated"


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
    """The walker: one walk at a time, and the memory request of each cycle."""

    def __init__(self, tables: Tables, scoreboard: Scoreboard, bins: Bins) -> None:
        self._tables, self._scoreboard, self._bins = tables, scoreboard, bins
        self.walk: WalkInProgress | None = None

    def respond(self, cycle: Cycle) -> WalkInProgress | None:
        """Follow up a memory response of this cycle; return the walk if this finishes it."""
        beat = cycle.beats["memory_rsp"]
        if not beat.valid:
            return None
        assert self.walk is not None
        level = self.walk.level
        outcome = self.walk.go_on(bool(beat.payload["error"]), bool(beat.payload["exchanged"]))
        self._bins.meet(f"{level.name} {outcome}")
        self._scoreboard.note(f"memory: {level.name} {outcome}, {beat.payload['data']:#x}")
        if outcome == "lost to another processor":
            self._scoreboard.event("walk_restart")
        return self.walk if self.walk.finished else None

    def begin(self, port: str, access: Access, control: Control) -> None:
        """Offer the first access of a walk in this cycle."""
        self.walk = WalkInProgress(port, access, control, self._tables)

    def compare(self, cycle: Cycle) -> bool:
        """Compare the memory request of this cycle; return whether it takes a new walk on."""
        walk, beat = self.walk, cycle.beats["memory_req"]
        if walk is None or walk.finished or not walk.offers:
            self._scoreboard.offer("memory_req", None, beat, "no walk is at that point")
            return False
        op, address, expected, desired = walk.access
        fields = {"op": op, "address": address}
        if op == COMPARE_EXCHANGE:
            fields |= {"expected": expected, "desired": desired}
        self._scoreboard.offer("memory_req", fields, beat, walk)
        if not beat.ready:
            when = "first" if walk.is_new else "later"
            self._bins.meet("update held" if op == COMPARE_EXCHANGE else f"{when} access held")
            return False
        is_new, walk.offers = walk.is_new, False
        level = walk.level.name.lower()
        self._scoreboard.event("walk_update" if op == COMPARE_EXCHANGE else f"walk_read_{level}")
        if is_new:
            self._scoreboard.event("walk_start")
        return is_new

    def release(self) -> None:
        """Be idle from the next cycle on, as the answer was taken."""
        assert self.walk is not None
        self._scoreboard.event("walk_end")
        if self.walk.result.fault is not None:
            self._scoreboard.event("walk_fault")
        self.walk = None
