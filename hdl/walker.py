"""The page-table walker: reads entries level by level, sets A and D, answers the request."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .next_entry import NextEntry
from .shapes import (
    MemoryOp,
    drop_layout,
    memory_signature,
    walk_events_layout,
    walk_signature,
)
from .walk_judge import WalkJudge
from .walk_shapes import WalkStep, place_layout

__all__ = ["Walker"]


class Walker(wiring.Component):
    """One walk at a time, without a wasted cycle between page-table accesses.

    An idle walker offers the first entry's read in the cycle in which a request is offered, and
    each later memory request in the cycle in which the response before it arrives. The walk's
    response is offered in the cycle after the last memory response. A walk of *n* entries whose
    A and D need no change thus takes *n* memory latencies and one cycle; each entry that has to
    be updated adds one memory latency. Entries that the walk cache holds are not read.

    Entries used on the way get their accessed flag, the leaf only (with D, for a write) if the
    access is permitted. If another processor changes an entry before the update, the walk starts
    over from the root. A bus error ends the walk in a machine check.

    The walker itself holds the state of a walk: its request, the place it has come to, and the
    response at hand where memory was not ready for what follows. What a response leads to is
    decided by a ``WalkJudge``, where the walk goes on by a ``NextEntry``, both within the cycle.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    walk : In(walk_signature)
        Requests and their results.
    memory : Out(memory_signature)
        Page-table memory.
    drop : In(drop_layout)
        Entries of the walk cache to drop, given only while no walk is under way.
    events : Out(walk_events_layout)
        What happens in this cycle.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "walk": In(walk_signature(config)),
            "memory": Out(memory_signature(config)),
            "drop": In(drop_layout(config)),
            "events": Out(walk_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.judge = judge = WalkJudge(self._config)
        m.submodules.next_entry = next_entry = NextEntry(self._config)
        req, rsp = self.memory.req, self.memory.rsp

        request = Signal.like(self.walk.req.payload)  # of the walk under way
        place = Signal(place_layout(self._config))  # of the access under way
        response = Signal.like(rsp.payload)  # the response at hand, if there is one
        responded = Signal()  # there is one
        blocked = Signal.like(rsp.payload)  # a response that memory did not let us follow up
        idle, finished, accepted = Signal(), Signal(), Signal()
        step = Signal(WalkStep)
        m.d.comb += [
            judge.request.eq(request),
            judge.place.eq(place),
            judge.response.eq(response),
            step.eq(Mux(idle, WalkStep.BEGIN, judge.step)),
            finished.eq(responded & (step == WalkStep.FINISH)),
            accepted.eq(req.valid & req.ready),
            next_entry.request.eq(Mux(idle, self.walk.req.payload, request)),
            next_entry.step.eq(step),
            next_entry.place.eq(place),
            next_entry.below.eq(judge.below),
            next_entry.fill.eq(accepted & (step == WalkStep.DESCEND) & judge.cacheable),
            next_entry.drop.eq(self.drop),
            req.valid.eq(Mux(idle, self.walk.req.valid, responded & ~finished)),
            req.payload.op.eq(
                Mux(step == WalkStep.UPDATE, MemoryOp.COMPARE_EXCHANGE, MemoryOp.READ)),
            req.payload.address.eq(next_entry.address),
            req.payload.expected.eq(response.data),
            req.payload.desired.eq(judge.desired),
        ]
        with m.If(accepted):
            m.d.sync += place.eq(next_entry.next_place)
        with m.If(finished):
            m.d.sync += self.walk.rsp.payload.eq(judge.result)

        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [idle.eq(1), self.walk.req.ready.eq(req.ready)]
                with m.If(accepted):
                    m.d.sync += request.eq(self.walk.req.payload)
                    m.next = "Wait"
            with m.State("Wait"):
                m.d.comb += [response.eq(rsp.payload), responded.eq(rsp.valid), rsp.ready.eq(1)]
                with m.If(finished):
                    m.next = "Done"
                with m.Elif(responded & ~req.ready):
                    m.d.sync += blocked.eq(rsp.payload)
                    m.next = "Blocked"
            with m.State("Blocked"):
                m.d.comb += [response.eq(blocked), responded.eq(1)]
                with m.If(req.ready):
                    m.next = "Wait"
            with m.State("Done"):
                m.d.comb += self.walk.rsp.valid.eq(1)
                with m.If(self.walk.rsp.ready):
                    m.next = "Idle"
        self._report(m, accepted, step, next_entry.next_place.level)
        return m

    def _report(self, m, accepted, step, level):
        """Report the events of this cycle: an access was ``accepted``, or the answer taken."""
        answered = self.walk.rsp.valid & self.walk.rsp.ready
        m.d.comb += [
            self.events.start.eq(accepted & (step == WalkStep.BEGIN)),
            self.events.end.eq(answered),
            self.events.update.eq(accepted & (step == WalkStep.UPDATE)),
            self.events.restart.eq(accepted & (step == WalkStep.RESTART)),
            self.events.fault.eq(answered & self.walk.rsp.payload.fault),
        ]
        *upper_levels, _ = levels = self._config.mode.levels
        for number, one in enumerate(levels):
            m.d.comb += self.events[f"read_{one.name.lower()}"].eq(
                accepted & (step != WalkStep.UPDATE) & (level == number))
        for number, one in enumerate(upper_levels):  # its entry led to where the walk begins
            m.d.comb += self.events[f"hit_{one.name.lower()}"].eq(
                accepted & (step == WalkStep.BEGIN) & (level == number + 1))
