"""Accesses of several bytes: what crosses into another page is looked up in both."""

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .port_shapes import port_signature, sized_port_signature
from .separate import separate_register
from .shapes import control_layout

__all__ = ["PageCrossing"]


class PageCrossing(wiring.Component):
    """Stands before a request port, and makes two lookups of an access that crosses a page.

    An access that crosses nothing passes in its cycle, as does its answer. Of one that crosses, the
    part in the first page is looked up in the cycle in which it is accepted. If that faults, its
    answer is given in the cycle after, out of a register, and the second page is not looked up: no
    flag of it is set. Otherwise the second page is looked up as soon as the first is known, and the
    answer given is the second's, with what was kept of the first. A port of hit latency 1 that has
    one miss at a time takes that lookup in the cycle in which the first page hits, so that the
    access takes one cycle more; any other when the port accepts a request after the answer to the
    first.

    Both lookups are judged by the registers of the cycle in which the access was accepted. Between
    them no other request is accepted, and no invalidating operation, as the access waits for its
    answer; after the second lookup none is accepted that crosses, before the answer is taken.

    Where the second page is not canonical, nothing but that is found of the access: its first page
    is not looked up. At the end of all addresses the second page is the first of all.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    requests : In(sized_port_signature)
        The requester.
    lookups : Out(port_signature)
        The request port. A ``part`` is of an access that crosses.
    control : In(control_layout), judged_by : Out(control_layout)
        The registers, and those that a lookup of this cycle is judged by.
    pause : In(1), unsettled : In(1), stops : Out(1)
        Whether requests must wait; whether a page fault or a drop is why; and whether the lookup of
        this cycle must wait: that of a second page does for no operation.
    idle : Out(1)
        No access that crosses waits for its answer.
    """

    def __init__(self, config):
        self._config = config
        super().__init__({
            "requests": In(sized_port_signature(config)),
            "lookups": Out(port_signature(config)),
            "control": In(control_layout(config)),
            "judged_by": Out(control_layout(config)),
            "pause": In(1),
            "unsettled": In(1),
            "stops": Out(1),
            "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        req, look, found = self.requests.req, self.lookups.req, self.lookups.rsp
        held = separate_register(look.payload.shape(), "held")  # the part in the second page
        control = separate_register(self.control.shape(), "held_control")
        first = separate_register(found.payload.shape(), "first")  # the answer to the first part
        crosses, beyond, begins = Signal(), Signal(), Signal()
        offers = Signal()  # the second part is on offer
        failed = Signal()  # what is answered is the fault of the first part
        of_first, of_second, cancelled = Signal(), Signal(), Signal()
        m.d.comb += [
            crosses.eq(self._crosses(m)),
            beyond.eq(crosses & self._second_is_not_canonical()),
            begins.eq(req.valid & req.ready & crosses),
            cancelled.eq(self._is_cancelled(held)),
            self.judged_by.eq(Mux(offers, control, self.control)),
            self.stops.eq(Mux(offers, self.unsettled, self.pause)),
        ]
        with m.If(offers):
            m.d.comb += [look.payload.eq(held), look.valid.eq(~cancelled)]
        with m.Else():
            shared = [name for name in look.payload.shape().members if name != "part"]
            m.d.comb += [
                *(look.payload[name].eq(req.payload[name]) for name in shared),
                look.payload.part.eq(crosses),
            ]
        with m.If(begins):
            m.d.sync += [
                held.eq(look.payload),
                held.vaddr.eq((req.payload.vaddr[PAGE_SHIFT:] + 1) << PAGE_SHIFT),
                control.eq(self.control),
            ]
        with m.If(of_first):
            m.d.sync += first.eq(found.payload)
        self._run(m, crosses, beyond, begins, offers, failed, of_first, of_second, cancelled)
        self._answer(m, first, failed, of_first, of_second)
        return m

    def _crosses(self, m):
        """Return whether the request ends in another page than it begins in."""
        req = self.requests.req.payload
        room = Signal(PAGE_SHIFT + 1)  # bytes from its address to the end of its page
        m.d.comb += room.eq(~req.vaddr[:PAGE_SHIFT] + 1)
        return req.size > room

    def _second_is_not_canonical(self):
        """Return whether the request's page is the last one of the lower canonical half."""
        mode, vaddr = self._config.mode, self.requests.req.payload.vaddr
        if mode.translated_bits == mode.vaddr_bits:
            return Const(0)
        sign = mode.translated_bits - 1
        return self.control.pg & vaddr[PAGE_SHIFT:sign].all() & ~vaddr[sign:].any()

    def _is_cancelled(self, held):
        """Return whether the access that crosses, if there is one, is cancelled in this cycle."""
        if not self._config.cancel:
            return Const(0)
        cancel = self.requests.cancel
        return cancel.valid & (cancel.all | (cancel.tag == held.tag))

    def _run(self, m, crosses, beyond, begins, offers, failed, of_first, of_second, cancelled):
        """Let requests in, and look up the second page of one after the first.

        ``of_first`` and ``of_second`` say that what the port answers is of that part.
        """
        req, look, found = self.requests.req, self.lookups.req, self.lookups.rsp
        looks, answers = look.valid & look.ready, found.valid & found.payload.part
        known = answers & found.ready
        # What such a port has looked up is settled when it accepts the next request.
        early = self._config.hit_latency == 1 and not self._config.has_miss_file
        with m.FSM():
            with m.State("Free"):
                m.d.comb += [self.idle.eq(1), of_first.eq(answers)]
                m.d.comb += [req.ready.eq(look.ready), look.valid.eq(req.valid & ~beyond)]
                with m.If(begins):
                    m.next = "First"
                    with m.If(beyond):
                        m.next = "Between"
                    with m.Elif(answers):
                        self._go_on(m, found.payload.fault, Const(0))
            with m.State("First"):
                m.d.comb += [of_first.eq(answers), offers.eq(1 if early else 0)]
                with m.If(answers):
                    self._go_on(m, found.payload.fault, looks if early else Const(0))
                with m.If(cancelled):
                    m.next = "Free"
            with m.State("Between"):
                m.d.comb += [offers.eq(1), of_second.eq(answers)]
                with m.If(looks):
                    m.next = "Second"
                with m.If(known | cancelled):
                    m.next = "Free"
            with m.State("Second"):
                m.d.comb += of_second.eq(answers)
                m.d.comb += [req.ready.eq(look.ready & ~crosses),
                             look.valid.eq(req.valid & ~crosses)]
                with m.If(known | cancelled):
                    m.next = "Free"
            with m.State("Failed"):
                m.d.comb += failed.eq(1)
                with m.If(self.requests.rsp.ready | cancelled):
                    m.next = "Free"

    def _go_on(self, m, fault, looked):
        """Go on from the answer to the first part; the second may be ``looked`` up already."""
        with m.If(fault):
            m.next = "Failed"
        with m.Elif(looked):
            m.next = "Second"
        with m.Else():
            m.next = "Between"

    def _answer(self, m, first, failed, of_first, of_second):
        """Answer the requester by what the port answers, or by what is known of the first part."""
        rsp, found = self.requests.rsp, self.lookups.rsp
        both = Signal()  # both pages are known
        m.d.comb += [
            both.eq(of_second & ~found.payload.fault),
            found.ready.eq(of_first | (rsp.ready & ~failed)),
            rsp.valid.eq(failed | (found.valid & ~of_first)),
            *(rsp.payload[name].eq(Mux(failed | both, first[name], found.payload[name]))
              for name in first.shape().members if name != "part"),
            *(rsp.payload.second[name].eq(Mux(both & ~failed, found.payload[name], 0))
              for name in rsp.payload.second.shape().members),
        ]
        if self._config.cancel:
            m.d.comb += self.lookups.cancel.eq(self.requests.cancel)
