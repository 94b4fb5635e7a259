"""The arbiter that lets the request ports use the one walker in turn."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .select import select
from .shapes import walk_signature

__all__ = ["WalkArbiter"]


class WalkArbiter(wiring.Component):
    """Hands the walk requests of several ports to one walker, round robin.

    The port after the one that was chosen last comes first. The arbiter is combinational from the
    ports to the walker and back, so it adds no cycle. A request that it has offered to the walker
    stays the one it offers until the walker accepts it. A response goes to the port that its
    ``port`` field names.

    If ``late``, the walker gets what is asked in the cycle after it has accepted the request, until
    it accepts another, so that it takes no time to choose among the ports before. A
    ``RequestPort`` keeps its request until the walk has responded; what a ``MissPort`` asks goes
    into a register of its port.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    late : bool
        Whether the payload of ``walk.req`` comes a cycle after its ``valid`` and ``ready``.

    Members
    -------
    ports : In(walk_signature), one for each of ``config.ports``
        The request ports, which ask for a walk when their TLB misses.
    walk : Out(walk_signature), vpn : Out
        The walker; the page number that is asked for, in the cycle of ``walk.req.valid`` even if
        ``late``.
    """

    def __init__(self, config, *, late=False):
        self._count = len(config.ports)
        self._late = late
        self._keeps = config.has_miss_file
        signature = walk_signature(config)
        self._vpn_bits = config.vpn_bits
        super().__init__({
            "ports": In(signature).array(self._count), "walk": Out(signature),
            "vpn": Out(self._vpn_bits)})

    def elaborate(self, platform):
        m = Module()
        chosen = Signal(range(self._count))
        last = Signal(range(self._count))  # the port chosen last
        waiting = Signal()  # its request was offered and not accepted
        m.d.comb += chosen.eq(last)
        with m.If(~waiting):
            with m.Switch(last):
                for previous in range(self._count):
                    with m.Case(previous):
                        self._choose(m, chosen, previous)
        m.d.sync += [
            last.eq(chosen),
            waiting.eq(self.walk.req.valid & ~self.walk.req.ready),
        ]
        m.d.comb += [
            self.walk.req.payload.eq(self._asked(m, chosen)),
            self.vpn.eq(select(chosen, [
                port.req.payload.access.vaddr[PAGE_SHIFT:PAGE_SHIFT + self._vpn_bits]
                for port in self.ports])),
        ]
        for number, port in enumerate(self.ports):
            with m.If(chosen == number):
                m.d.comb += [
                    self.walk.req.valid.eq(port.req.valid),
                    port.req.ready.eq(self.walk.req.ready),
                ]
            m.d.comb += port.rsp.payload.eq(self.walk.rsp.payload)
            with m.If(self.walk.rsp.payload.port == number):
                m.d.comb += [
                    port.rsp.valid.eq(self.walk.rsp.valid),
                    self.walk.rsp.ready.eq(port.rsp.ready),
                ]
        return m

    def _asked(self, m, chosen):
        """Return what the port of the number ``chosen`` asks, in the next cycle if ``late``."""
        asked, number = [port.req.payload for port in self.ports], chosen
        if self._late:
            number = Signal.like(chosen, name="asking", reset_less=True)
            with m.If(self.walk.req.ready):
                m.d.sync += number.eq(chosen)
            if self._keeps:
                asked = self._kept(m, asked)
        payload = Signal.like(self.walk.req.payload, name="payload")
        m.d.comb += payload.as_value().eq(select(number, [one.as_value() for one in asked]))
        return payload

    def _kept(self, m, asked):
        """Return what the ports ask, in the cycle after it is accepted."""
        kept = [Signal.like(one, name=f"asked_{port}", reset_less=True)
                for port, one in enumerate(asked)]
        with m.If(self.walk.req.ready):
            m.d.sync += [one.eq(now) for one, now in zip(kept, asked, strict=True)]
        return kept

    def _choose(self, m, chosen, previous):
        """Make ``chosen`` the first port after ``previous`` that asks, if any does."""
        order = [(previous + step) % self._count for step in range(1, self._count + 1)]
        for number in reversed(order):
            with m.If(self.ports[number].req.valid):
                m.d.comb += chosen.eq(number)
