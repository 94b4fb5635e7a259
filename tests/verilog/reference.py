"""What the MMU must show in every cycle: the golden walk, a model of the TLBs, and the timing.

The timing is what the docstrings of ``hdl/mmu.py``, ``hdl/port.py``, ``hdl/walker.py`` and
``hdl/arbiter.py`` promise. Nothing here looks into the design.

What the MMU may still use of entries that software has changed is exactly predicted: the models of
the TLBs and of the walk cache keep the entries themselves, and the golden walk goes through those.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bins import Bins, name_fault
from page_tables import Tables
from rehearsal import outcome, rehearse
from scoreboard import Scoreboard
from streams import Cycle
from tlb_model import Lookup, Reach, TlbModel, effective_pcid, reach_of
from walk_reference import Arbiter, WalkerReference

from pagewalk.hdl.shapes import page_name
from pagewalk.model.mmu.walk import Access, Control, Walk
from pagewalk.model.x86 import AccessKind, Cr4, Entry, InvalidateOp, PagingMode, Vector

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

    def enter(self) -> None:
        """Enter the page that the walk found, in the first cycle in which the answer is valid."""
        held = self.held
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


class Reference:
    """The whole MMU: compares every output of every cycle, then takes the cycle's transfers.

    ``tag`` is the tag of the last access to page-table memory before the reset.
    """

    def __init__(
        self, tables: Tables, ports: Sequence[str], entries: int, walk_cache: int,
        scoreboard: Scoreboard, bins: Bins, tag: int,
    ) -> None:
        self._mode: PagingMode = tables.mode
        self._scoreboard, self._bins = scoreboard, bins
        self.ports = {name: PortReference(name, tables, entries, scoreboard, bins)
                      for name in ports}
        self._walker = WalkerReference(tables, walk_cache, scoreboard, bins, tag)
        self._arbiter = Arbiter(ports)

    @property
    def tag(self) -> int:
        """The tag of the last access to page-table memory."""
        return self._walker.tag

    @property
    def idle(self) -> bool:
        """Whether no request waits for its answer."""
        return all(port.held is None for port in self.ports.values())

    def step(self, cycle: Cycle) -> None:
        """Compare a cycle and go into the next one."""
        self._scoreboard.cycle = cycle.number
        self._scoreboard.observed_events.update(cycle.events)
        # Page faults go before operations, and the first port's before the others'.
        faulty = [port for port in self.ports.values() if port.page_fault]
        self._compare_walker(cycle, dropping=bool(faulty))
        invalidation, idle = cycle.beats["invalidate"], self.idle
        for port in self.ports.values():
            port.compare(cycle, paused=invalidation.valid or bool(faulty))
        if invalidation.valid:
            self._scoreboard.equal("invalidate_ready", idle and not faulty, invalidation.ready)
            if not invalidation.ready:
                self._bins.meet("invalidation waits for "
                                + ("a page fault" if faulty else "answers"))
        self._advance_ports(cycle)
        if faulty:
            if len(faulty) > 1:
                self._bins.meet("page faults of several ports at once")
            if not idle:
                self._bins.meet("page fault waits for no answer")
            self._drop_after_fault(faulty[0])
        if invalidation.transfer:
            self._invalidate(cycle)

    def _advance_ports(self, cycle: Cycle) -> None:
        """Take what the ports accept and answer in this cycle."""
        walk = self._walker.walk
        if walk is not None and walk.finished and walk.ended != cycle.number:
            if walk.is_stale:
                self._bins.meet("walk under way at a page fault is not cached")
            else:
                self.ports[walk.port].enter()
            self._walker.release()
        for port in self.ports.values():
            port.advance(cycle)
        fresh = [port for port in self.ports.values()
                 if port.held is not None and port.held.accepted == cycle.number]
        for port in self.ports.values():
            if fresh and port.page_fault and cycle.beats[f"{port.name}_rsp"].transfer:
                self._bins.meet("request accepted in the cycle of another port's page fault")

    def _compare_walker(self, cycle: Cycle, *, dropping: bool) -> None:
        """Compare the memory request; the walk that ends in this cycle is answered in the next.

        ``dropping`` says that in this cycle a page fault drops what it could use.
        """
        self._scoreboard.equal("memory_rsp_ready", True, cycle.beats["memory_rsp"].ready)
        if dropping and self._walker.walk is not None:
            self._walker.walk.is_stale = True
        finished = self._walker.respond(cycle)
        if finished is not None:
            self.ports[finished.port].walked(finished.result, cycle)
        asking = [port.name for port in self.ports.values() if port.asks]
        chosen = self._arbiter.choose(asking)
        begins = chosen is not None and self._walker.walk is None
        if begins and dropping:
            self._bins.meet("walk begins after the drop of a page fault")
        elif begins:
            self._arbiter.taken()
            self._begin(chosen)
        self._walker.compare(cycle)
        self._cover_waiting(asking, begun=begins and not dropping)

    def _begin(self, chosen: str) -> None:
        """Begin the walk that a port asks for."""
        held = self.ports[chosen].held
        assert held is not None
        held.walking = True
        self._walker.begin(chosen, held.access, held.control)
        if any(port.held is not None and port.held.misses and port.held.result is not None
               for port in self.ports.values()):
            self._bins.meet("walk begins while another port's answer waits")

    def _cover_waiting(self, asking: Sequence[str], *, begun: bool) -> None:
        """Count what ports do while the walker is busy, or has ``begun`` to be in this cycle."""
        walk = self._walker.walk
        if walk is None:
            return
        for name in asking:
            if name != walk.port:
                self._bins.meet(f"{name}: walk waits for another port")
                if begun:
                    self._bins.meet(f"{walk.port}: chosen over another port")
        for name, port in self.ports.items():
            if name != walk.port and port.held is not None and not port.held.misses:
                self._bins.meet("hit beside a walk")

    def _invalidate(self, cycle: Cycle) -> None:
        """Drop what an operation accepted in this cycle must reach."""
        fields = cycle.beats["invalidate"].payload
        op = InvalidateOp(fields["op"])
        self._scoreboard.note(f"invalidate: {dict(fields)}")
        reach = reach_of(self._mode, cycle.control, fields)
        if reach is None:
            if op is InvalidateOp.INVLPG:
                self._bins.meet("INVLPG of an address that is not canonical")
            return
        self._scoreboard.event("flush")
        for port in self.ports.values():
            if op is InvalidateOp.INVPCID_ADDRESS and port.tlb.holds_global(fields["vaddr"]):
                self._bins.meet("INVPCID_ADDRESS spares a global page")
            for entry in port.tlb.invalidate(reach):
                self._bins.meet(f"{op.name} drops a page")
                if op is InvalidateOp.INVLPG and entry.in_all_pcids:
                    self._bins.meet("INVLPG drops a global page")
        if self._walker.cache.invalidate(reach):
            self._bins.meet(f"{op.name} drops a table")

    def _drop_after_fault(self, faulty: PortReference) -> None:
        """Drop what the page fault of a port could use. [SDM 4.10.4.1]"""
        held, faulty.page_fault = faulty.page_fault, None
        assert held is not None
        page = held.access.vaddr & ((1 << self._mode.translated_bits) - 1)
        pcid = effective_pcid(self._mode, held.control)
        reach = Reach(page, pcid, with_globals=True, tables_by_address=True)
        self._scoreboard.note(f"page fault of {faulty.name}: {reach}")
        for port in self.ports.values():
            if port.tlb.invalidate(reach):
                whose = "its own" if port is faulty else "another port's"
                self._bins.meet(f"{faulty.name}: page fault drops {whose} entry")
        if self._walker.cache.invalidate(reach):
            self._bins.meet("page fault drops a table")
        if self._walker.cache.holds(pcid):
            self._bins.meet("page fault spares a table")
