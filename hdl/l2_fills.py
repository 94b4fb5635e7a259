"""The translations that wait to be entered into the second-level TLB."""

from amaranth import Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .l2_misses import walk_id_bits
from .shapes import PCID_BITS, translation_layout

__all__ = ["L2Fills", "fill_layout"]


def fill_layout(config):
    """Return a page to enter: a page number in it, its PCID, and its translation."""
    return data.StructLayout({
        "vpn": config.vpn_bits, "pcid": PCID_BITS, "translation": translation_layout(config)})


class L2Fills(wiring.Component):
    """A queue of pages to enter, as long as there can be walks under way.

    It is never full, as long as no request is looked up while it is not empty: each page comes from
    a walk, and there are no more walks under way than it has places.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    push : In(1), pushed : In(fill_layout)
        A page to enter after all others.
    waiting : Out(1), first : Out(fill_layout)
        Whether there is one, from two cycles after that on, and the first of them. Both come from
        flip-flops; in the cycle after ``pop`` there is none.
    pop : In(1)
        The first of them was entered.
    clear : In(1)
        None of them is to be entered; there is no ``push`` then.
    """

    def __init__(self, config):
        walks = len(config.ports) * config.misses + config.prefetches
        self._depth_bits = max(walk_id_bits(config), (walks - 1).bit_length())
        self._layout = layout = fill_layout(config)
        super().__init__({
            "push": In(1), "pushed": In(layout), "waiting": Out(1), "first": Out(layout),
            "pop": In(1), "clear": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.ram = ram = memory.Memory(
            shape=self._layout, depth=1 << self._depth_bits, init=[])
        first, last = Signal(self._depth_bits), Signal(self._depth_bits)
        waiting, head_waits = Signal(), Signal()
        head = Signal.like(self.first, reset_less=True)
        write_port, read_port = ram.write_port(), ram.read_port(domain="comb")
        m.d.comb += [
            write_port.addr.eq(last),
            write_port.data.eq(self.pushed),
            write_port.en.eq(self.push),
            read_port.addr.eq(first),
            self.first.eq(head),
            self.waiting.eq(head_waits),
        ]
        m.d.sync += [head.eq(read_port.data), head_waits.eq(waiting & ~self.pop & ~self.clear)]
        with m.If(self.pop):
            m.d.sync += first.eq(first + 1)
        with m.If(self.push):
            m.d.sync += last.eq(last + 1)
        with m.If(self.clear):
            m.d.sync += [waiting.eq(0), first.eq(0), last.eq(0)]
        with m.Elif(self.push):
            m.d.sync += waiting.eq(1)
        with m.Elif(self.pop & (last == (first + 1)[:self._depth_bits])):
            m.d.sync += waiting.eq(0)
        return m
