"""One request port: look up, check permission, answer; on a miss, ask for a walk."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import IA32, PAGE_SHIFT, Vector
from .canonical import is_canonical
from .permission import Permission
from .shapes import (
    AccessKind,
    control_layout,
    drop_layout,
    page_fault_layout,
    page_name,
    port_events_layout,
    port_signature,
    request_layout,
    walk_signature,
)
from .tlb import Tlb

__all__ = ["RequestPort"]


class RequestPort(wiring.Component):
    """A TLB of its own behind a request stream, answering in order.

    A request accepted in cycle *t* is answered in cycle *t* + 1 if it hits, or needs no
    translation (paging off, non-canonical address); a request may be accepted in every cycle but
    that in which a fault is answered. A miss offers ``walk.req`` in cycle *t* + 1, is answered in
    the cycle in which ``walk.rsp`` is offered, and takes requests again in the cycle after the
    answer is accepted.

    A write that meets an entry without the dirty flag is a miss: the walk sets the flag. So is an
    entry with XD while IA32_EFER.NXE is clear, as XD is reserved then. After the answer to an
    access that caused a page fault no request is accepted up to the cycle of ``fault_taken``.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    number : int
        Number of the port, which its walk requests carry.

    Members
    -------
    requests : In(port_signature)
        The requester's side.
    control : In(control_layout)
        Control state, sampled with each request. ``pcid`` is 0 unless ``pcide`` is set.
    walk : Out(walk_signature)
        Where misses go.
    drop : In(drop_layout)
        TLB entries to drop, given only while ``idle``.
    page_fault : Out(page_fault_layout), fault_taken : In(1)
        A page fault that was answered, until the cycle of ``fault_taken``.
    pause : In(1)
        Accept no requests.
    idle : Out(1)
        No request waits for its answer.
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
            "page_fault": Out(page_fault_layout(config)),
            "fault_taken": In(1),
            "pause": In(1),
            "idle": Out(1),
            "events": Out(port_events_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.tlb = tlb = Tlb(self._config)
        m.submodules.permission = permission = Permission(self._config)
        req, rsp = self.requests.req, self.requests.rsp

        held = Signal(data.StructLayout({
            "access": request_layout(self._config), "control": control_layout(self._config)}))
        held_valid = Signal()
        fresh = Signal()  # the held request was accepted in the previous cycle
        found, present, hit = Signal(), Signal(), Signal()
        faults = Signal()
        walking = Signal()  # the held request's walk was accepted
        walk_needed, answered = Signal(), Signal()
        translated = held.control.pg & is_canonical(self._config.mode, held.access.vaddr)
        m.d.comb += [
            hit.eq(found & (held.control.nxe | ~tlb.translation.rights.execute_disable)),
            walk_needed.eq(held_valid & translated & ~hit & ~walking),
            rsp.valid.eq(Mux(walking, self.walk.rsp.valid, held_valid & ~walk_needed)),
            answered.eq(rsp.valid & rsp.ready),
            req.ready.eq(~self.pause & ~self.page_fault.valid & ~walking
                         & (~held_valid | (answered & ~faults))),
            self.idle.eq(~held_valid),
            self.walk.req.valid.eq(walk_needed),
            self.walk.req.payload.port.eq(self._number),
            self.walk.req.payload.access.eq(held.access),
            self.walk.req.payload.control.eq(held.control),
            self.walk.rsp.ready.eq(walking & rsp.ready),
        ]
        accepted = req.valid & req.ready
        m.d.sync += fresh.eq(accepted)
        with m.If(answered):
            m.d.sync += [held_valid.eq(0), walking.eq(0)]
        with m.If(self.walk.req.valid & self.walk.req.ready):
            m.d.sync += walking.eq(1)
        with m.If(accepted):
            m.d.sync += [
                held_valid.eq(1),
                held.access.eq(req.payload),
                held.control.eq(self.control),
                found.eq(tlb.hit),
                present.eq(tlb.present),
                tlb.read_slot.eq(tlb.slot),
            ]

        self._connect_tlb(m, tlb, held, walking)
        verdict = self._verdict(m, tlb, permission, held, walking, translated)
        self._respond(m, tlb, held, walking, verdict)
        with m.If(answered & faults & (verdict.vector == Vector.PF)):
            m.d.sync += self.page_fault.valid.eq(1)
        with m.Elif(self.fault_taken):
            m.d.sync += self.page_fault.valid.eq(0)
        m.d.comb += [
            faults.eq(verdict.fault),
            self.page_fault.vpn.eq(held.access.vaddr[PAGE_SHIFT:]),
            self.page_fault.pcid.eq(held.control.pcid),
            tlb.reuse.eq(present),
            tlb.touch.eq(answered & translated & hit),
            tlb.fill.eq(answered & walking & ~faults),
            self.events.lookup.eq(fresh & translated),
            self.events.miss.eq(fresh & translated & ~hit),
            self.events.stall.eq(req.valid & ~req.ready),
            self.events.fault.eq(answered & faults),
        ]
        for number, page in enumerate(self._config.mode.pages):
            m.d.comb += self.events[f"hit_{page_name(page)}"].eq(
                fresh & translated & hit & (tlb.translation.page == number))
        return m

    def _connect_tlb(self, m, tlb, held, walking):
        """Give the TLB its key: the request offered, a page to fill, or a page to drop."""
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

    def _verdict(self, m, tlb, permission, held, walking, translated):
        """Return whether the held request faults, and how."""
        walked = self.walk.rsp.payload
        verdict = Signal(data.StructLayout({"fault": 1, "vector": 5, "error_code": 6}))
        m.d.comb += [
            permission.access.eq(held.access),
            permission.control.eq(held.control),
            permission.rights.eq(tlb.translation.rights),
            permission.present.eq(1),
        ]
        with m.If(walking):
            m.d.comb += [
                verdict.fault.eq(walked.fault),
                verdict.vector.eq(walked.vector),
                verdict.error_code.eq(walked.error_code),
            ]
        with m.Elif(translated):
            m.d.comb += [
                verdict.fault.eq(permission.fault),
                verdict.vector.eq(Vector.PF),
                verdict.error_code.eq(permission.error_code),
            ]
        with m.Elif(held.control.pg):
            m.d.comb += [
                verdict.fault.eq(1),
                verdict.vector.eq(Mux(held.access.stack, Vector.SS, Vector.GP)),
            ]
        return verdict

    def _respond(self, m, tlb, held, walking, verdict):
        """Add the response payload: the fault, or the translation walked or found."""
        response = self.requests.rsp.payload
        translation = Signal.like(tlb.translation)
        m.d.comb += [
            translation.eq(tlb.translation),
            response.tag.eq(held.access.tag),
        ]
        with m.If(walking):
            m.d.comb += translation.eq(self.walk.rsp.payload.translation)
        with m.If(verdict.fault):
            m.d.comb += [
                response.fault.eq(1),
                response.vector.eq(verdict.vector),
                response.error_code.eq(verdict.error_code),
                response.vaddr.eq(held.access.vaddr),
            ]
        with m.Elif(~held.control.pg):
            m.d.comb += response.paddr.eq(held.access.vaddr[:IA32.vaddr_bits])
        with m.Else():
            offset = Signal(self._config.physical_bits)
            with m.Switch(translation.page):
                for number, page in enumerate(self._config.mode.pages):
                    with m.Case(number):
                        m.d.comb += offset.eq(held.access.vaddr[:page.shift])
            m.d.comb += [
                response.paddr.eq(Cat(Const(0, PAGE_SHIFT), translation.frame) | offset),
                response.page.eq(translation.page),
                response.memory_type.eq(translation.memory_type),
            ]
