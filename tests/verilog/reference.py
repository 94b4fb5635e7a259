"""What the MMU must show in every cycle: the golden walk, a model of the TLBs, and the timing.

The timing is what the docstrings of ``hdl/mmu.py``, ``hdl/port.py``, ``hdl/walker.py`` and
``hdl/arbiter.py`` promise. Nothing here looks into the design.

What the MMU may still use of entries that software has changed is exactly predicted: the models of
the TLBs and of the walk cache keep the entries themselves, and the golden walk goes through those.
"""

from collections.abc import Sequence

from bins import Bins
from page_tables import Tables
from port_reference import PortReference
from scoreboard import Scoreboard
from streams import Cycle
from tlb_model import Reach, effective_pcid, reach_of
from walk_reference import Arbiter, WalkerReference

from pagewalk.model.x86 import InvalidateOp, PagingMode


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
        self._busy = False  # the ports are at work on what was dropped in the cycle before
        self._entering: PortReference | None = None  # its walk was answered in the cycle before

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
        waiting = [port for port in self.ports.values() if port.page_fault]
        faulty = [] if self._busy else waiting
        self._compare_walker(cycle, dropping=bool(faulty))
        invalidation, idle, busy = cycle.beats["invalidate"], self.idle, self._busy
        for port in self.ports.values():
            port.compare(cycle, paused=invalidation.valid or bool(waiting) or busy)
        if invalidation.valid:
            self._scoreboard.equal(
                "invalidate_ready", idle and not waiting and not busy, invalidation.ready)
            if not invalidation.ready:
                self._bins.meet("invalidation waits for " + (
                    "a page fault" if waiting else "a drop" if idle else "answers"))
        self._advance_ports(cycle)
        self._busy = bool(faulty)
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
        if self._entering is not None:
            self._entering.enter()
            self._entering = None
        walk = self._walker.walk
        if walk is not None and walk.finished and walk.ended != cycle.number:
            if walk.is_stale:
                self._bins.meet("walk under way at a page fault is not cached")
            else:
                self._entering = self.ports[walk.port]
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

        ``dropping`` says that in this cycle a page fault drops what it could use. Of a walk that
        is answered in this cycle nothing is entered then.
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
        self._busy = True
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
