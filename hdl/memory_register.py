"""The register between page-table memory and the walkers, for a shorter way through the logic."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .shapes import memory_signature

__all__ = ["MemoryRegister"]


class MemoryRegister(wiring.Component):
    """Gives each response of page-table memory to the walkers in the cycle after it came.

    Requests pass in their cycle. So each access takes one cycle more, and no logic stands between
    the response and a flip-flop. A reset empties the register: what was in it was the response to
    an access that the reset cuts off.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    walker : In(memory_signature)
        The walkers, which take a response at once.
    memory : Out(memory_signature)
        Page-table memory.
    """

    def __init__(self, config):
        super().__init__({
            "walker": In(memory_signature(config)),
            "memory": Out(memory_signature(config)),
        })

    def elaborate(self, platform):
        m = Module()
        response = self.walker.rsp
        wiring.connect(m, wiring.flipped(self.walker.req), wiring.flipped(self.memory.req))
        m.d.comb += self.memory.rsp.ready.eq(1)
        m.d.sync += [
            response.valid.eq(self.memory.rsp.valid),
            response.payload.eq(self.memory.rsp.payload),
        ]
        return m
