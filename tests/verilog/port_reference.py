"""What one request port with its TLB must show in every cycle; see ``reference.py``."""

from dataclasses import dataclass

from bins import Bins, name_fault
from page_tables import Tables
from rehearsal import outcome, rehearse
from scoreboard import Scoreboard
from streams import Cycle
from tlb_model import Lookup, TlbModel

from pagewalk.hdl.shapes import page_name
from pagewalk.model.mmu.walk import Access, Control, Walk
from pagewalk.model.x86 import AccessKind, Cr4, Entry, Vector

WRITE = AccessKind.WRITE
STREAK = 8  # hits in cycles running that show a rate of one a cycle


@dataclass(slots=True)
class Held:
    """A request that waits for its answer, which is valid from cycle ``valid_from`` on.

    ``lookup`` is None if the request needs no translation, ``result`` None until it is known.
    """

    access: Access
    control: Control
    tag: int
    accepted: int
    lookup: Lookup | None
    result: Walk | None
    valid_from: int
    walking: bool = False

    @property
    def misses(self) -> bool:
        return self.lookup is not None and not self.lookup.hit

    @property
    def faults(self) -> bool:
        return self.result is not None and self.result.fault is not None

    def __str__(self) -> str:
        """Return what the expected answer rests on."""
        how = "no translation" if self.lookup is None else "miss" if self.misses else "hit"
        return f"{how} accepted in cycle {self.accepted}, {self.access}, {self.control}"


class PortReference:
    """One request port with its TLB."""

    def __init__(
        self, name: str, tables: Tables, entries: int, scoreboard: Scoreboard, bins: Bins
    ) -> None:
        self.name = name
        self.held: Held | None = None
        self.page_fault: Held | None = None  # answered, and what it reaches not yet dropped
        self._walked: Held | None = None  # what was walked last
        self.tlb = TlbModel(tables.mode, entries)
        self._tables, self._scoreboard, self._bins = tables, scoreboard, bins
        self._streak, self._last_hit = 0, 0

    @property
    def asks(self) -> bool:
        """Whether the request at hand waits for the walker."""
        held = self.held
        return held is not None and held.misses and not held.walking

    def walked(self, result: Walk, cycle: Cycle) -> None:
        """Take the result of the walk: the answer is valid in the next cycle."""
        assert self.held is not None
        self.held.result, self.held.valid_from = result, cycle.number + 1
        self._walked = self.held

    def enter(self) -> None:
        """Enter the page that the last walk found."""
        held = self._walked
        assert held is not None
        assert held.lookup is not None
        assert held.result is not None
        if held.result.fault is None:
            self._fill(held, held.result, held.lookup)

    def compare(self, cycle: Cycle, paused: bool) -> None:
        """Compare the answer of this cycle, or that there is none, and what is accepted."""
        held, answer = self.held, cycle.beats[f"{self.name}_rsp"]
        due = held is not None and held.result is not None and cycle.number >= held.valid_from
        expected = self._fields(held) if held is not None and due else None
        self._scoreboard.offer(
            f"{self.name}_rsp", expected, answer, held or "no request waits")
        request = cycle.beats[f"{self.name}_req"]
        if not request.valid:
            return
        free = held is None or (answer.transfer and not held.misses and not held.faults)
        # In the cycle after the answer to a walk is valid its page is entered, and none looked up.
        free &= self._walked is None or cycle.number != self._walked.valid_from + 1
        self._scoreboard.equal(f"{self.name}_req_ready", free and not paused, request.ready,
                               held or "no request waits")
        if not request.ready:
            self._scoreboard.event(f"{self.name}_stall")

    def _fields(self, held: Held) -> dict[str, int]:
        """Return the payload of an answer; what does not apply is 0."""
        result = held.result
        assert result is not None
        fields = dict.fromkeys(
            ("paddr", "page", "memory_type", "fault", "vector", "error_code", "vaddr"), 0)
        fields["tag"] = held.tag
        if result.fault is not None:
            fault = result.fault
            return fields | {"fault": 1, "vector": fault.vector, "error_code": fault.error_code,
                             "vaddr": fault.vaddr}
        page = 0 if result.page is None else self._tables.mode.pages.index(result.page)
        return fields | {"paddr": result.paddr, "page": page, "memory_type": result.memory_type}

    def advance(self, cycle: Cycle) -> None:
        """Go into the next cycle."""
        answer, request = cycle.beats[f"{self.name}_rsp"], cycle.beats[f"{self.name}_req"]
        # The lookup sees the TLB as it was before the answer of this cycle touches it.
        accepted = self._accept(request.payload, cycle) if request.transfer else None
        taken = self.held if answer.transfer else None
        if taken is not None:
            self._take(taken, cycle)
            self.held = None
        if accepted is not None:
            self.held = accepted

    def _accept(self, payload: dict[str, int], cycle: Cycle) -> Held:
        """Look up a request that is accepted in this cycle."""
        access = Access(payload["vaddr"], AccessKind(payload["kind"]), bool(payload["user"]),
                        bool(payload["implicit"]), bool(payload["ac"]), bool(payload["stack"]))
        result, accesses = rehearse(self._tables, access, cycle.control)
        held = Held(access, cycle.control, payload["tag"], cycle.number, None, result,
                    valid_from=cycle.number + 1)
        if not accesses:
            self._bins.meet(f"#{result.fault.vector.name}" if result.fault else "no translation")
            return held
        held.lookup = lookup = self.tlb.lookup(access, cycle.control)
        self._scoreboard.event(f"{self.name}_lookup")
        self._scoreboard.note(f"{self.name}: {held}")
        if lookup.hit:
            self._hit(held, lookup)
        else:
            held.result = None
            self._scoreboard.event(f"{self.name}_miss")
            if lookup.entry is not None and (lookup.entry.is_dirty or access.kind is not WRITE):
                self._bins.meet("page with XD is no hit without EFER.NXE")
        return held

    def _hit(self, held: Held, lookup: Lookup) -> None:
        """Answer from the TLB: as the golden walk through the entries of the page does."""
        entry, fresh = lookup.entry, held.result
        assert entry is not None
        assert fresh is not None
        held.result, _ = rehearse(self._tables, held.access, held.control, entry.entries)
        if outcome(held.result) != outcome(fresh):
            self._bins.meet("stale page used")
        size = page_name(entry.page)
        self._scoreboard.event(f"{self.name}_hit_{size}")
        self._bins.meet(f"{self.name}: hit, {size} page")
        if entry.in_all_pcids:
            self._bins.meet("hit in a global page")
        elif self.tlb.copies(entry) > 1:
            self._bins.meet("page cached under several PCIDs")
        self._streak = self._streak + 1 if held.accepted == self._last_hit + 1 else 1
        self._last_hit = held.accepted
        if self._streak == STREAK:
            self._bins.meet(f"{self.name}: hits in {STREAK} cycles running")

    def _take(self, held: Held, cycle: Cycle) -> None:
        """Note what an answer leads to."""
        result, lookup = held.result, held.lookup
        assert result is not None
        if result.fault is not None:
            self._scoreboard.event(f"{self.name}_fault")
        if lookup is None:
            return
        when = "walk" if held.misses else "hit"
        if cycle.number > held.valid_from:
            self._bins.meet(f"{self.name}: answer of a {when} held")
        if lookup.hit and lookup.slot is not None:
            self.tlb.touch(lookup.slot)
        if result.fault is not None and result.fault.vector is Vector.PF:
            self._bins.meet(f"{when}: {name_fault(result, self._tables.mode, held.control)}")
            self.page_fault = held
            fresh, _ = rehearse(self._tables, held.access, held.control)
            if fresh.fault is None:
                self._bins.meet("page fault by stale entries")

    def _fill(self, held: Held, result: Walk, lookup: Lookup) -> None:
        how, rivals = self.tlb.fill(result, held.control, lookup.slot)
        assert result.page is not None
        self._bins.meet(f"{self.name}: miss, {page_name(result.page)} page")
        self._bins.meet(f"{self.name}: {how} slot filled")
        if result.steps[-1].entry & Entry.G and not held.control.cr4 & Cr4.PGE:
            self._bins.meet("global page without CR4.PGE")
        if rivals:
            self._bins.meet("page of another size driven out")
