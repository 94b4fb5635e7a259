"""The request port: a TLB that answers requests, and asks for a walk when it misses."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Vector
from .event_shapes import port_events_layout
from .responder import Responder
from .shapes import (
    AccessKind,
    control_layout,
    drop_layout,
    page_fault_layout,
    page_name,
    port_signature,
    request_layout,
    walk_signature,
)
from .tlb import Tlb

__all__ = ["RequestPort"]


class RequestPort(wiring.Component):
    """Answers the requests of one requester in order, from a TLB of its own or by a walk.

    A request that is accepted in cycle *t* is answered in cycle *t* + 1 if it hits the TLB, or
    needs no translation because paging is off or its address is not canonical. A request may be
    accepted in every cycle but that in which a fault is answered. A request that misses offers
    ``walk.req`` in cycle *t* + 1 and is answered in the cycle in which ``walk.rsp`` is offered; the
    port accepts requests again in the cycle after that answer is taken. The response to the walk is
    taken at once, and its translation entered into the TLB; if the requester is not ready for the
    answer, the port keeps it, so that no other port waits for this one's requester.

    A write that finds an entry without the dirty flag is a miss, so that the walk sets the flag. So
    is an access that finds an entry with XD while IA32_EFER.NXE is clear, as XD is reserved then.
    After the answer to an access that caused a page fault no request is accepted up to the cycle of
    ``fault_taken``. A walk that is answered in the cycle of a drop, or ``stale``, enters nothing:
    it may have used what was dropped.

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
        TLB entries to drop, given only while ``pause`` is, and whether a drop is still at work
        after its cycle: it never is.
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
        m.submodules.tlb = tlb = Tlb(self._config)
        m.submodules.responder = responder = Responder(self._config)
        req, rsp, walk = self.requests.req, self.requests.rsp, self.walk

        held = Signal(data.StructLayout({
            "access": request_layout(self._config), "control": control_layout(self._config)}))
        held_valid = Signal()
        fresh = Signal()  # the held request was accepted in the previous cycle
        found, present = Signal(), Signal()  # what the TLB said of the held request then
        walking = Signal()  # the held request's walk was accepted, and has not responded
        walked = Signal()  # it has responded, and the requester was not ready for the answer
        result = Signal.like(walk.rsp.payload)  # the response then
        hit, walk_needed = Signal(), Signal()
        accepted, answered = Signal(), Signal()
        translated, response = responder.translated, responder.response
        m.d.comb += [
            responder.access.eq(held.access),
            responder.control.eq(held.control),
            responder.found.eq(tlb.translation),
            responder.walked.eq(walking | walked),
            responder.walk.eq(Mux(walked, result, walk.rsp.payload)),
            hit.eq(found & (held.control.nxe | ~tlb.translation.rights.execute_disable)),
            walk_needed.eq(held_valid & translated & ~hit & ~walking & ~walked),
            rsp.valid.eq(Mux(walking, walk.rsp.valid, held_valid & ~walk_needed)),
            rsp.payload.eq(response),
            answered.eq(rsp.valid & rsp.ready),
            req.ready.eq(~self.pause & ~self.page_fault.valid & ~walking & ~walked
                         & (~held_valid | (answered & ~response.fault))),
            accepted.eq(req.valid & req.ready),
            self.idle.eq(~held_valid),
            walk.req.valid.eq(walk_needed),
            walk.req.payload.port.eq(self._number),
            walk.req.payload.access.eq(held.access),
            walk.req.payload.control.eq(held.control),
            walk.rsp.ready.eq(walking),
            tlb.reuse.eq(present),
            tlb.touch.eq(answered & translated & hit & ~walked),
            tlb.fill.eq(walking & walk.rsp.valid & ~walk.rsp.payload.fault
                        & ~walk.rsp.payload.stale & ~self.drop.valid),
        ]
        m.d.sync += fresh.eq(accepted)
        with m.If(walk.req.valid & walk.req.ready):
            m.d.sync += walking.eq(1)
        with m.Elif(walk.rsp.valid & walk.rsp.ready):
            m.d.sync += [walking.eq(0), walked.eq(~rsp.ready), result.eq(walk.rsp.payload)]
        with m.If(answered):
            m.d.sync += [held_valid.eq(0), walked.eq(0)]
        with m.If(accepted):
            m.d.sync += [
                held_valid.eq(1),
                held.access.eq(req.payload),
                held.control.eq(self.control),
                found.eq(tlb.hit),
                present.eq(tlb.present),
                tlb.read_slot.eq(tlb.slot),
            ]
        self._connect_tlb_key(m, tlb, held, walking)
        self._hold_page_fault(m, held, answered & response.fault)
        self._report(m, tlb.translation.page, fresh & translated, hit, answered & response.fault)
        return m

    def _connect_tlb_key(self, m, tlb, held, walking):
        """Give the TLB its key: a page to drop, one to fill, or else the request offered.

        One key is enough, as the three never coincide: nothing is filled or looked up in the cycle
        of a drop, and while the port walks it accepts no request that could be looked up.
        """
        low, high = PAGE_SHIFT, self._config.mode.translated_bits
        filled = self.walk.rsp.payload.translation
        m.d.comb += [tlb.drop.eq(self.drop), tlb.fill_translation.eq(filled)]
        with m.If(self.drop.valid):
            m.d.comb += [tlb.key.vpn.eq(self.drop.vpn), tlb.key.pcid.eq(self.drop.pcid)]
        with m.Elif(walking):
            m.d.comb += [
                tlb.key.vpn.eq(held.access.vaddr[low:high]),
                tlb.key.pcid.eq(held.control.pcid),
                tlb.key.page.eq(filled.page),
            ]
        with m.Else():
            request = self.requests.req.payload
            m.d.comb += [
                tlb.key.vpn.eq(request.vaddr[low:high]),
                tlb.key.pcid.eq(self.control.pcid),
                tlb.write.eq(request.kind == AccessKind.WRITE),
            ]

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
