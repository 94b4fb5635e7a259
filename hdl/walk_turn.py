"""Whose turn it is at the memory port of the walkers' pool."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WalkTurn"]


class WalkTurn(wiring.Component):
    """Points to the context that may use the memory port, a cycle ahead.

    An access that memory does not accept keeps the port. Otherwise the next context in turn that
    wants the port comes next; if none does, then whoever is ``expected`` to.

    Parameters
    ----------
    count : int
        Number of contexts.

    Members
    -------
    wants : In, one bit for each context
        Which contexts want the port in this cycle.
    valid, ready : In(1)
        Whether an access is on offer in this cycle, and whether memory takes one.
    source : In
        The context whose access that is.
    expected : In
        The context that may want the port in the next cycle.
    turn : Out
        Whose turn it is in this cycle.
    held : Out(1)
        The access of ``turn`` was on offer in the last cycle, so that it must stay.
    """

    def __init__(self, count):
        self._count = count
        number = range(max(2, count))
        super().__init__({
            "wants": In(count), "valid": In(1), "ready": In(1), "source": In(number),
            "expected": In(number), "turn": Out(number), "held": Out(1)})

    def elaborate(self, platform):
        m = Module()
        following = Signal.like(self.turn)  # if the access at hand is accepted
        waits = Signal()  # the context whose turn it is wants the port, and another has it
        m.d.comb += following.eq(self.expected)
        with m.Switch(self.turn):
            for turn in range(self._count):
                with m.Case(turn):
                    m.d.comb += waits.eq(self.wants[turn] & (self.source != turn))
                    for step in reversed(range(1, self._count)):
                        other = (turn + step) % self._count
                        with m.If(self.wants[other]):
                            m.d.comb += following.eq(other)
        m.d.sync += self.held.eq(self.valid & ~self.ready)
        with m.If(self.valid & ~self.ready):
            m.d.sync += self.turn.eq(self.source)
        with m.Elif(~waits):
            m.d.sync += self.turn.eq(following)
        return m
