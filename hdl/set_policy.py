"""Replacement policies of the sets of a TLB, each of which keeps the past of a set in a word.

They are those of ``hdl.replacement``; the words of all sets are in a RAM of whoever uses them.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .onehot import encode

__all__ = ["SET_POLICIES", "FifoSet", "LruSet", "PlruSet", "RandomSet", "SetPolicy"]


class SetPolicy(wiring.Component):
    """The ports that the replacement policy of a set has. Combinational, but for ``RandomSet``.

    Parameters
    ----------
    ways : int
        Number of entries of a set.

    Members
    -------
    state : In
        What is kept of the set's past, at first 0.
    victim : Out(range(ways))
        The entry to replace next.
    way : In(range(ways)), filled : In(1)
        The entry that is used, by a hit or a fill, and whether it is a fill of this cycle.
    after : Out
        The state after that.
    """

    def __init__(self, ways):
        self._ways = ways
        super().__init__({
            "state": In(self.state_bits),
            "victim": Out(range(ways)),
            "way": In(range(ways)),
            "filled": In(1),
            "after": Out(self.state_bits),
        })

    @property
    def state_bits(self):
        """Width of the state, 0 if the policy keeps none."""
        return 0


class PlruSet(SetPolicy):
    """Tree pseudo-LRU, as ``TreePlru`` has it; bit *n* of the state is its node *n*."""

    @property
    def state_bits(self):
        return self._ways  # node 0 is not used

    def elaborate(self, platform):
        m = Module()
        depth, victim = (self._ways - 1).bit_length(), []
        for _ in range(depth):
            victim.insert(0, self.state.bit_select(Cat(*victim, Const(1, 1)), 1))
        m.d.comb += [self.victim.eq(Cat(*victim)), self.after.eq(self.state)]
        for level in range(depth):
            path = self.way[depth - level:]
            for number in range(1 << level):
                with m.If(path == number if level else Const(1)):
                    m.d.comb += self.after[(1 << level) + number].eq(~self.way[depth - level - 1])
        return m


class LruSet(SetPolicy):
    """The entry that was not used for the longest time, as ``Lru`` has it.

    The state has a bit for each pair of entries: the one of the lower number was used later.
    """

    @property
    def state_bits(self):
        return self._ways * (self._ways - 1) // 2

    def elaborate(self, platform):
        m = Module()
        pairs = [(high, low) for high in range(self._ways) for low in range(high)]
        later = {}  # whether the first entry was used after the second
        for number, (high, low) in enumerate(pairs):
            later[low, high], later[high, low] = self.state[number], ~self.state[number]
            m.d.comb += self.after[number].eq(
                Mux(self.way == high, 0, Mux(self.way == low, 1, self.state[number])))
        # At first all bits are 0: a higher entry counts as used later, so that entry 0 is oldest.
        oldest = [Cat(later[other, one] for other in range(self._ways) if other != one).all()
                  for one in range(self._ways)]
        m.d.comb += self.victim.eq(encode(oldest))
        return m


class FifoSet(SetPolicy):
    """First in, first out: the state is the entry to fill next."""

    @property
    def state_bits(self):
        return (self._ways - 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        following = Mux(self.way == self._ways - 1, 0, self.way + 1)
        m.d.comb += [
            self.victim.eq(self.state),
            self.after.eq(Mux(self.filled, following, self.state)),
        ]
        return m


class RandomSet(SetPolicy):
    """A pseudo-random entry, by one LFSR for all sets, which steps on each fill."""

    def elaborate(self, platform):
        m = Module()
        lfsr = Signal(16, init=0xACE1)
        with m.If(self.filled):
            # x^16 + x^14 + x^13 + x^11 + 1
            m.d.sync += lfsr.eq(Cat(lfsr[1:], lfsr[0] ^ lfsr[2] ^ lfsr[3] ^ lfsr[5]))
        m.d.comb += self.victim.eq((lfsr * self._ways) >> 16)
        return m


SET_POLICIES = {"plru": PlruSet, "lru": LruSet, "fifo": FifoSet, "random": RandomSet}
"""Every replacement policy of a set, by the name that ``Config.policy`` takes."""
