"""Generations of PCIDs, by which all entries of a PCID are dropped at once."""

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .l2_geometry import GENERATION_BITS
from .shapes import PCID_BITS

__all__ = ["L2Generations"]


class L2Generations(wiring.Component):
    """Holds the generation of each PCID.

    An entry that is not global counts only as long as it has the generation of its PCID. The
    generations go round: who raises one to 0 has to see to it that no entry of the PCID is left.
    After a reset they are any, so that no entry may be left then.

    What is read in cycle *t* stands in ``generation`` in cycle *t* + 2, and stays there until two
    cycles after the next read. No cycle may have both ``read`` and ``raise_it``.

    Parameters
    ----------
    mode : :class:`PagingMode`
        Paging mode; one without PCIDs has one generation.

    Members
    -------
    read : In(1), pcid : In
        Read the generation of that PCID.
    generation : Out
        What was read.
    raise_it : In(1), raised : In
        Make the generation of the PCID ``raised``, which is ``generation``, the one after it.
    wraps : Out(1)
        Whether the one after it is 0.
    """

    def __init__(self, mode):
        self._has_pcids = mode.has_pcids
        pcid_bits = PCID_BITS if mode.has_pcids else 0
        super().__init__({
            "read": In(1),
            "pcid": In(pcid_bits),
            "generation": Out(GENERATION_BITS),
            "raise_it": In(1),
            "raised": In(pcid_bits),
            "wraps": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        result = Signal(GENERATION_BITS, reset_less=True)
        output = Signal(GENERATION_BITS, reset_less=True)
        following = Signal(GENERATION_BITS)
        m.d.comb += [
            self.generation.eq(result),
            following.eq(result + 1),
            self.wraps.eq(following == 0),
        ]
        m.d.sync += result.eq(output)
        if not self._has_pcids:
            with m.If(self.raise_it):
                m.d.sync += output.eq(following)
            return m
        m.submodules.ram = ram = memory.Memory(
            shape=GENERATION_BITS, depth=1 << PCID_BITS, init=[])
        write_port, read_port = ram.write_port(), ram.read_port(domain="comb")
        m.d.comb += [
            write_port.addr.eq(self.raised),
            write_port.data.eq(following),
            write_port.en.eq(self.raise_it),
            read_port.addr.eq(self.pcid),
        ]
        with m.If(self.read & ~self.raise_it):
            m.d.sync += output.eq(read_port.data)
        return m
