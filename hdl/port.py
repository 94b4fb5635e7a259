"""The request port: a TLB that answers requests, and asks for a walk when it misses."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Vector
from .canonical import is_canonical
from .event_shapes import port_events_layout
from .l1_full import FullL1
from .l1_sets import SetL1
from .l1_tags import lookup_key_layout
from .permission import AccessNeeds, needs_layout
from .port_shapes import port_signature
from .responder import Responder
from .separate import separate_register
from .shapes import (
    Purpose,
    control_layout,
    drop_layout,
    page_fault_layout,
    page_name,
    request_layout,
    walk_signature,
)

__all__ = ["RequestPort"]


class RequestPort(wiring.Component):
    """Answers the requests of one requester in order, from a TLB of its own or by a walk.

    A request that is accepted in cycle *t* is answered in cycle *t* + 1 if it hits the TLB, or
    needs no translation because paging is off or its address is not canonical. A request may be
    accepted in every cycle but that in which a fault is answered. With ``hit_latency`` 0 such a
    request is answered in cycle *t* itself, and a request may be accepted in every cycle in which
    the answer to none is outstanding. With ``hit_latency`` 2 all of this comes a cycle later, as
    the request first goes into a register; one more may be accepted while the request before it is
    walked, or has faulted, and is looked up after that. A request that misses offers
    ``walk.req`` in cycle *t* + 1 and is answered in the cycle in which ``walk.rsp`` is offered; the
    port accepts requests again two cycles after that, or in the cycle after the answer is taken, if
    that is later. The response to the walk is taken at once, and its translation entered into the
    TLB in the next cycle; if the requester is not ready for the answer, the port keeps it, so that
    no other port waits for this one's requester.

    A write that finds an entry without the dirty flag is a miss, so that the walk sets the flag. So
    is an access that finds an entry with XD while IA32_EFER.NXE is clear, as XD is reserved then.
    After the answer to an access that caused a page fault no request is accepted up to the cycle of
    ``fault_taken``. A walk that is answered in the cycle of a drop or the one after it, or
    ``stale``, enters nothing: it may have used what was dropped.

    Whether a request is accepted follows from registers, ``pause`` and ``rsp.ready``; the answer to
    a hit from registers.

    The port itself holds the request and runs the handshakes; a ``Responder`` makes the answer,
    within the cycle.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    number : int
        Number of the port, an index into ``config.ports``, which its walk requests carry.

    Members
    -------
    requests : In(port_signature)
        The requester: requests come in, responses go out.
    control : In(control_layout)
        Control state, sampled with each request. ``pcid`` is 0 unless ``pcide`` is set.
    walk : Out(walk_signature)
        What walks the page tables for a request that misses.
    drop : In(drop_layout), busy : Out(1)
        TLB entries to drop, given only while ``pause`` is, and whether a drop is still at work:
        it is in the cycle after it is given. ``pause`` must last as long.
    page_fault : Out(page_fault_layout), fault_taken : In(1)
        The page fault that was answered last, from the cycle after the answer to the cycle in which
        ``fault_taken`` says that its entries are dropped.
    pause : In(1)
        Whether the port must accept no requests.
    idle : Out(1)
        Whether the port holds no request that waits for its answer.
    events : Out(port_events_layout)
        What happens in this cycle.
    """

    def __init__(self, config, number):
        self._config = config
        self._number = number
        super().__init__({
            "requests": In(port_signature(config)),
            "control": In(control_layout(config)),
            "walk": Out(walk_signature(config)),
            "drop": In(drop_layout(config)),
            "busy": Out(1),
            "page_fault": Out(page_fault_layout(config)),
            "fault_taken": In(1),
            "pause": In(1),
            "idle": Out(1),
            "events": Out(port_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.tlb = tlb = (SetL1 if self._config.ways else FullL1)(self._config)
        m.submodules.responder = responder = Responder(self._config)
        rsp, walk = self.requests.rsp, self.walk

        held, held_valid = separate_register(self._held_layout(tlb), "held"), Signal()
        free, looks, looked_up = Signal(), Signal(), Signal()
        walking = Signal()  # the held request's walk was accepted, and has not responded
        walked = Signal()  # it has responded, and the requester was not ready for the answer
        result = Signal.like(walk.rsp.payload, reset_less=True)  # the last response
        entering = Signal()  # that was in the cycle before, and its page may be entered in this one
        walk_needed, answerable, answered, faulted = Signal(), Signal(), Signal(), Signal()
        asked, waiting = self._take_in(m, free, looks)
        at_hand = self._at_hand(m, tlb, asked, held, held_valid | entering, free)
        m.d.comb += [
            *self._answer_from(responder, tlb, at_hand),
            responder.walked.eq(walking | walked),
            responder.walk.eq(Mux(walked, result, walk.rsp.payload)),
            walk_needed.eq(at_hand.translated & ~tlb.hit & ~walked & ~self._only_looks(at_hand)),
            answerable.eq(held_valid if self._config.hit_latency else held_valid | looks),
            rsp.valid.eq(Mux(walking, walk.rsp.valid, answerable & ~walk_needed)),
            rsp.payload.eq(responder.response),
            answered.eq(rsp.valid & rsp.ready),
            faulted.eq(answered & responder.response.fault),
            self.idle.eq(~held_valid & ~waiting),
            walk.req.valid.eq(held_valid & walk_needed & ~walking),
            walk.req.payload.port.eq(self._number),
            walk.req.payload.access.eq(held.access),
            walk.req.payload.control.eq(held.control),
            walk.rsp.ready.eq(walking),
            tlb.at_hand.eq(at_hand.found),
            tlb.touch.eq(answered & at_hand.translated & tlb.hit & ~walked),
        ]
        with m.If(walk.req.valid & walk.req.ready):
            m.d.sync += walking.eq(1)
        with m.Elif(walk.rsp.valid & walk.rsp.ready):
            m.d.sync += [walking.eq(0), walked.eq(~rsp.ready)]
        with m.If(walking):
            m.d.sync += result.eq(walk.rsp.payload)
        m.d.sync += entering.eq(walking & walk.rsp.valid)
        with m.If(answered):
            m.d.sync += [held_valid.eq(0), walked.eq(0)]
        fault_free = ~held.refused & (~held.translated | tlb.fine)
        self._let_in(m, held_valid, free, looks, looked_up, answered, entering,
                     settled=~walking & ~walked & fault_free)
        self._change(m, tlb, asked, held, walking, result)
        self._hold_page_fault(m, held, faulted)
        self._report(m, tlb.translation.page, looked_up & at_hand.translated, tlb.hit, faulted)
        return m

    def _asked_layout(self):
        """Return a request, and what is known of it before its lookup."""
        return data.StructLayout({
            "access": request_layout(self._config),
            "control": control_layout(self._config),
            "needs": needs_layout(self._config),
            "translated": 1,
            "refused": 1,  # its address is not canonical
        })

    def _held_layout(self, tlb):
        """Return a request, and what is known of it at the end of the cycle of its lookup."""
        asked = self._asked_layout()
        names = ("access", "control", "translated", "refused")
        return data.StructLayout(
            {**{name: asked[name].shape for name in names}, "found": tlb.found.shape()})

    def _take_in(self, m, free, looks):
        """Return the request to look up, and whether one waits to be.

        It ``looks`` when it is ``free`` to go on. It is the one that is accepted, or with a hit
        latency of 2 one that was accepted before, out of a register: what its access asks of a page
        then has a cycle of its own.
        """
        req, control = self.requests.req, self.control
        m.submodules.access_needs = access_needs = AccessNeeds(self._config)
        offered, accepted = Signal(self._asked_layout()), Signal()
        canonical = is_canonical(self._config.mode, req.payload.vaddr)
        m.d.comb += [
            access_needs.access.eq(req.payload),
            access_needs.control.eq(control),
            offered.access.eq(req.payload),
            offered.control.eq(control),
            offered.needs.eq(access_needs.needs),
            offered.translated.eq(control.pg & canonical),
            offered.refused.eq(control.pg & ~canonical),
            accepted.eq(req.valid & req.ready),
        ]
        if self._config.hit_latency < 2:
            m.d.comb += [req.ready.eq(free & ~self.pause), looks.eq(accepted)]
            return offered, Const(0)
        asked, waiting = separate_register(self._asked_layout(), "asked"), Signal()
        m.d.comb += [
            looks.eq(waiting & free & ~self.busy),
            req.ready.eq((~waiting | looks) & ~self.pause),
        ]
        with m.If(~waiting | looks):
            m.d.sync += asked.eq(offered)
        with m.If(accepted):
            m.d.sync += waiting.eq(1)
        with m.Elif(looks | self._is_cancelled(asked)):
            m.d.sync += waiting.eq(0)
        return asked, waiting

    def _answer_from(self, responder, tlb, at_hand):
        """Return what tells the responder of the request at hand, and of what the TLB has found."""
        return [
            responder.access.eq(at_hand.access),
            responder.control.eq(at_hand.control),
            responder.translated.eq(at_hand.translated),
            responder.found.eq(tlb.translation),
            responder.denied.eq(tlb.denied),
            responder.key_denied.eq(tlb.key_denied),
            responder.nothing.eq(~tlb.hit & self._only_looks(at_hand)),
        ]

    def _only_looks(self, request):
        """Return whether ``request`` is not to be walked."""
        return request.access.purpose == Purpose.LOOKUP if self._config.probes else Const(0)

    def _is_cancelled(self, _request):
        """Return whether a request is cancelled in this cycle."""
        return Const(0)

    def _at_hand(self, m, tlb, asked, held, keeps, free):
        """Return the request to be answered or entered, with what its lookup found.

        That is the one in ``held``, which takes the one looked up when it is ``free``; with no hit
        latency it is the one looked up itself, unless ``held`` keeps one.
        """
        fresh = Signal(held.shape())
        m.d.comb += [
            tlb.needs.eq(asked.needs),
            *(fresh[name].eq(asked[name])
              for name in ("access", "control", "translated", "refused")),
            fresh.found.eq(tlb.found),
        ]
        with m.If(free):
            m.d.sync += held.eq(fresh)
        if self._config.hit_latency:
            return held
        at_hand = Signal(held.shape())
        m.d.comb += at_hand.eq(Mux(keeps, held, fresh))
        return at_hand

    def _let_in(self, m, held_valid, free, looks, looked_up, answered, entering, *, settled):
        """Decide whether a request may be looked up: by registers and ``rsp.ready`` alone.

        ``settled`` says that the answer to the held request is known, is no fault, and of no walk.
        """
        if self._config.hit_latency:
            m.d.comb += free.eq(~self.page_fault.valid & ~entering
                                & (~held_valid | (settled & self.requests.rsp.ready)))
            m.d.sync += looked_up.eq(looks)
            with m.If(looks):
                m.d.sync += held_valid.eq(1)
        else:
            m.d.comb += [free.eq(~self.page_fault.valid & ~held_valid & ~entering),
                         looked_up.eq(looks)]
            with m.If(looks & ~answered):
                m.d.sync += held_valid.eq(1)

    def _change(self, m, tlb, asked, held, walking, result):
        """Give the TLB its key, and tell it what to fill and to drop.

        A drop is carried out in the cycle after it is given, in which the port is ``busy``, and a
        page is entered in the cycle after the response to its walk, so that what is compared comes
        from registers. The key is the request looked up, or what ``inner`` holds: the page number
        to drop, or else that of the request at hand, which may be filled.
        """
        low, high = PAGE_SHIFT, self._config.mode.translated_bits
        inner = Signal(lookup_key_layout(self._config), reset_less=True)
        drop, sweeping = Signal.like(self.drop), tlb.busy if self._config.ways else Const(0)
        rsp, fills = self.walk.rsp, Signal()
        inside = Signal()  # nothing is looked up in a walk, so that it may be set all the time
        m.d.sync += [
            drop.eq(self.drop),
            inside.eq(self.drop.valid | walking),
            inner.vpn.eq(Mux(self.drop.valid, self.drop.vpn, held.access.vaddr[low:high])),
            inner.pcid.eq(Mux(self.drop.valid, self.drop.pcid, held.control.pcid)),
            inner.page.eq(Mux(self.drop.valid, 0, rsp.payload.translation.page)),
            fills.eq(walking & rsp.valid & ~rsp.payload.fault & ~rsp.payload.stale
                     & ~self.drop.valid & ~self.busy),
        ]
        m.d.comb += [
            self.busy.eq(drop.valid | sweeping),
            tlb.drop.eq(drop),
            tlb.fill_translation.eq(result.translation),
            tlb.fill.eq(fills),
            tlb.inside.eq(inside),
            tlb.inner.eq(inner),
            tlb.offered.vpn.eq(asked.access.vaddr[low:high]),
            tlb.offered.pcid.eq(asked.control.pcid),
        ]
        if self._config.ways:
            self._go_by_sets(m, tlb, drop)

    def _go_by_sets(self, m, tlb, drop):
        """Tell a TLB of sets that it drops, or goes through them, and whether a page is large."""
        dropping = Signal(init=1)  # as it does after a reset
        m.d.sync += [
            dropping.eq(self.drop.valid | drop.valid | tlb.sweeping),
            tlb.fill_large.eq(self.walk.rsp.payload.translation.page != 0),
        ]
        m.d.comb += [tlb.changing.eq(dropping), tlb.upcoming.eq(self.drop.vpn)]

    def _hold_page_fault(self, m, held, faulted):
        """Hold ``page_fault`` from a page fault until it is taken; other faults drop nothing."""
        fault = self.page_fault
        with m.If(faulted & (self.requests.rsp.payload.vector == Vector.PF)):
            m.d.sync += fault.valid.eq(1)
        with m.Elif(self.fault_taken):
            m.d.sync += fault.valid.eq(0)
        m.d.comb += [
            fault.vpn.eq(held.access.vaddr[PAGE_SHIFT:]),
            fault.pcid.eq(held.control.pcid),
        ]

    def _report(self, m, page, looked_up, hit, faulted):
        """Report the events of this cycle; a hit is on a page of the size ``page``."""
        req, events = self.requests.req, self.events
        m.d.comb += [
            events.lookup.eq(looked_up),
            events.miss.eq(looked_up & ~hit),
            events.stall.eq(req.valid & ~req.ready),
            events.fault.eq(faulted),
        ]
        for number, level in enumerate(self._config.mode.pages):
            m.d.comb += events[f"hit_{page_name(level)}"].eq(looked_up & hit & (page == number))
