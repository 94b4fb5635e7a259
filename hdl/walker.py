"""The page-table walker: reads entries level by level, sets A and D, answers the request."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .event_shapes import walk_events_layout
from .next_entry import NextEntry
from .shapes import (
    MEMORY_TAG_BITS,
    MemoryOp,
    drop_layout,
    memory_signature,
    prefetch_members,
    walk_signature,
)
from .walk_judge import WalkJudge
from .walk_shapes import WalkStep, place_layout

__all__ = ["Walker"]


class Walker(wiring.Component):
    """One walk at a time, without a wasted cycle between page-table accesses.

    An idle walker takes a request on and offers the first entry's read in the cycle in which the
    request is offered, but not in a cycle of a drop. It offers each later memory request in the
    cycle in which the response before it arrives. The walk's response is offered in the cycle after
    the last memory response. A walk of *n* entries whose A and D need no change thus takes *n*
    memory latencies and one cycle; each entry that has to be updated adds one memory latency.
    Entries that the walk cache holds are not read.

    A walk that is under way in the cycle of a drop may have used what is dropped. It goes on, as
    its access came before the drop, but from then on nothing of it is cached: it fills the walk
    cache no more, and its response is marked ``stale``.

    Entries used on the way get their accessed flag, the leaf only (with D, for a write) if the
    access is permitted. With ``accessed`` "success" all of them get it only then: the walk begins
    again at the root to set it, once it has found an entry above the leaf that lacks it and that
    the access is permitted.

    If another processor changes an entry before the update, the walk starts over from the root, as
    entries above may have changed with it. Each exchange that is lost means that another writer's
    write was done, so that the whole goes on, but nothing here bounds how often one walk loses: a
    processor that writes an entry in every cycle keeps it from its end, and other ports from the
    walker. Memory can see to it. An exchange is the very next access after the read of its entry,
    offered in the cycle of that response. So none is lost if memory keeps other writers from an
    entry that the MMU has read until it has done the MMU's next access; to bound the walk it is
    enough to do so after an exchange that was lost. A bus error ends the walk in a machine check.

    Each access has a tag of its own, the one after that of the access before, and a reset does not
    clear the counter. A response of another tag than that of the access under way is late, to an
    access that a reset has cut off: it is taken and ignored. The tags go round after 16 accesses,
    so that a response must come before the 16th access after its own is accepted.

    The walker itself holds the state of a walk: its request, the place it has come to, and the
    entry that led there, if memory was not ready. What a response leads to is decided by a
    ``WalkJudge``, where the walk goes on by a ``NextEntry``, both within the cycle.

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
    drop : In(drop_layout), busy : Out(1)
        Entries of the walk cache to drop, and whether a drop is still at work after its cycle: it
        never is.
    spare, crowded : Out(1), withdraw : In(1), with ``config.prefetches``
        As ``prefetch_members`` has them.
    events : Out(walk_events_layout)
        What happens in this cycle.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "walk": In(walk_signature(config)),
            "memory": Out(memory_signature(config)),
            "drop": In(drop_layout(config)),
            "busy": Out(1),
            **prefetch_members(config),
            "events": Out(walk_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.judge = judge = WalkJudge(self._config)
        m.submodules.next_entry = next_entry = NextEntry(self._config)
        req, rsp = self.memory.req, self.memory.rsp

        request = Signal.like(self.walk.req.payload)  # of the walk under way
        place = Signal(place_layout(self._config))  # of the access offered last
        response = Signal.like(rsp.payload)  # the response at hand, if there is one
        held = Signal.like(rsp.payload.data)  # what led to an access that memory was not ready for
        result = Signal.like(self.walk.rsp.payload)
        stale = Signal()  # something was dropped while the walk was under way
        tag = Signal(MEMORY_TAG_BITS, reset_less=True)  # of the access accepted last
        idle, begun, exchange = Signal(), Signal(), Signal()
        responded, finished = Signal(), Signal()
        step = Signal(WalkStep)
        m.d.comb += [
            judge.request.eq(request),
            judge.place.eq(place),
            judge.response.eq(response),
            begun.eq(self.walk.req.valid & self.walk.req.ready),
            next_entry.request.eq(Mux(idle, self.walk.req.payload, request)),
            next_entry.step.eq(step),
            next_entry.place.eq(place),
            next_entry.below.eq(judge.below),
            next_entry.sets.eq(judge.sets),
            next_entry.fill.eq(req.valid & (step == WalkStep.DESCEND) & judge.cacheable
                               & ~stale & ~self.drop.valid),
            next_entry.drop.eq(self.drop),
            exchange.eq(next_entry.next_place.updating),
            req.payload.tag.eq(tag + 1),
            req.payload.op.eq(Mux(exchange, MemoryOp.COMPARE_EXCHANGE, MemoryOp.READ)),
            req.payload.address.eq(next_entry.address),
            req.payload.expected.eq(Mux(exchange, response.data, 0)),
            req.payload.desired.eq(Mux(exchange, judge.desired, 0)),
            rsp.ready.eq(1),
            responded.eq(rsp.valid & (rsp.payload.tag == tag)),
            self.walk.rsp.payload.eq(result),
            self.walk.rsp.payload.stale.eq(stale | result.stale),
        ]
        with m.If(begun):
            m.d.sync += [request.eq(self.walk.req.payload), stale.eq(0)]
        with m.Elif(self.drop.valid):
            m.d.sync += stale.eq(1)
        with m.If(req.valid):
            m.d.sync += place.eq(next_entry.next_place)
        with m.If(req.valid & req.ready):
            m.d.sync += tag.eq(req.payload.tag)
        if self._config.prefetches:
            m.d.comb += [self.spare.eq(idle & ~self.drop.valid),
                         self.crowded.eq(self.walk.req.valid & ~idle)]
            with m.If(request.prefetch & self.withdraw):
                m.d.comb += judge.response.error.eq(1)

        self._run(m, judge, place, response, held, result, step, idle, begun, responded, finished)
        self._report(m, begun, step, judge.sets, exchange, next_entry.next_place.level)
        return m

    def _know_what_was_written(self, m, place, response, step):
        """Take the response to a write, of which only ``error`` counts, for that to an exchange."""
        written = Signal.like(response.data)  # the entry before the access that sets its flags
        with m.If(step == WalkStep.UPDATE):
            m.d.sync += written.eq(response.data)
        with m.If(place.updating):
            m.d.comb += [response.data.eq(written), response.exchanged.eq(1)]

    def _run(self, m, judge, place, response, held, result, step, idle, begun, responded, finished):
        """Offer accesses, wait for their responses, and then offer the result."""
        req, rsp = self.memory.req, self.memory.rsp
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [
                    idle.eq(1),
                    step.eq(WalkStep.BEGIN),
                    self.walk.req.ready.eq(~self.drop.valid),
                    req.valid.eq(begun),
                ]
                with m.If(begun & req.ready):
                    m.next = "Wait"
                with m.Elif(begun):
                    m.next = "Offer"
            with m.State("Wait"):
                m.d.comb += response.eq(rsp.payload)
                if self._config.ad == "write":
                    self._know_what_was_written(m, place, response, step)
                m.d.comb += [
                    step.eq(judge.step),
                    finished.eq(responded & (step == WalkStep.FINISH)),
                    req.valid.eq(responded & ~finished),
                ]
                with m.If(finished):
                    m.d.sync += result.eq(judge.result)
                    m.next = "Done"
                with m.Elif(req.valid & ~req.ready):
                    m.d.sync += held.eq(rsp.payload.data)
                    m.next = "Offer"
            with m.State("Offer"):
                m.d.comb += [response.data.eq(held), step.eq(WalkStep.REPEAT), req.valid.eq(1)]
                with m.If(req.ready):
                    m.next = "Wait"
            with m.State("Done"):
                m.d.comb += self.walk.rsp.valid.eq(1)
                with m.If(self.walk.rsp.ready):
                    m.next = "Idle"

    def _report(self, m, begun, step, sets, exchange, level):
        """Report the events of this cycle; the access that is offered is to an entry of ``level``.

        A walk that has ``begun`` and a restart count in the first cycle of their first access, a
        restart that ``sets`` flags not at all,
        reads and exchanges when memory accepts them.
        """
        req, rsp = self.memory.req, self.walk.rsp
        accepted, answered = req.valid & req.ready, rsp.valid & rsp.ready
        m.d.comb += [
            self.events.start.eq(begun),
            self.events.end.eq(answered),
            self.events.update.eq(accepted & exchange),
            self.events.restart.eq(req.valid & (step == WalkStep.RESTART) & ~sets),
            self.events.fault.eq(answered & rsp.payload.fault),
        ]
        if self._config.prefetches:
            with m.If(rsp.payload.prefetch):
                m.d.comb += self.events.fault.eq(0)
        *upper_levels, _ = levels = self._config.mode.levels
        for number, one in enumerate(levels):
            m.d.comb += self.events[f"read_{one.name.lower()}"].eq(
                accepted & ~exchange & (level == number))
        for number, one in enumerate(upper_levels):  # its entry led to where the walk begins
            m.d.comb += self.events[f"hit_{one.name.lower()}"].eq(begun & (level == number + 1))
