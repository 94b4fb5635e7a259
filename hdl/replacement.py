"""Replacement policies, which choose the entry that a fully associative TLB gives up next."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["POLICIES", "Fifo", "Lru", "Policy", "RandomPolicy", "TreePlru"]


class Policy(wiring.Component):
    """The ports that every replacement policy has; each one chooses ``victim`` in its own way.

    ``victim`` takes account of all touches up to the previous cycle.

    Parameters
    ----------
    entries : int
        Number of entries, of those that ``check`` allows.

    Members
    -------
    touch : In(1), slot : In(range(entries))
        Whether an entry is used in this cycle, by a hit or a fill, and which one.
    filled : In(1)
        Whether the touch is a fill.
    victim : Out(range(entries))
        The entry to replace next.

    Raises
    ------
    :exc:`ValueError`
        If the policy cannot work with ``entries`` entries.
    """

    def __init__(self, entries):
        self.check(entries)
        self._entries = entries
        super().__init__({
            "touch": In(1),
            "slot": In(range(entries)),
            "filled": In(1),
            "victim": Out(range(entries)),
        })

    @property
    def entries(self):
        """Number of entries."""
        return self._entries

    @classmethod
    def check(cls, entries):
        """Raise ``ValueError`` if the policy cannot work with ``entries`` entries."""
        if entries < 1:
            raise ValueError(f"Entry count must be a positive integer, not {entries!r}")


class TreePlru(Policy):
    """Replaces an entry that was not used lately, by tree pseudo-LRU.

    The entries are the leaves of a binary tree. Each node has one bit, which points to the half
    below it that was used longer ago; the victim is where the bits lead from the root. A touch
    turns the bits on the way to its entry away from it. So ``entries - 1`` flip-flops are enough,
    but what is left of the order is only which half was used last, at each node.

    ``entries`` must be a power of two. Node 1 is the root, nodes 2n and 2n+1 are below node n.
    """

    @classmethod
    def check(cls, entries):
        super().check(entries)
        if entries & (entries - 1):
            raise ValueError(f"Entry count must be a power of two for policy 'plru', not {entries}")

    def elaborate(self, platform):
        m = Module()
        tree = Signal(self.entries)  # bit n is node n; bit 0 is not used
        depth = (self.entries - 1).bit_length()
        victim_bits = []
        for _ in range(depth):
            # The bits found so far, behind a leading one, are the number of the node to ask next.
            victim_bits.insert(0, tree.bit_select(Cat(*victim_bits, Const(1, 1)), 1))
        m.d.comb += self.victim.eq(Cat(*victim_bits))
        with m.If(self.touch):
            for level in range(depth):
                path = self.slot[depth - level:]
                for index in range(1 << level):
                    with m.If(path == index if level else Const(1)):
                        m.d.sync += tree[(1 << level) + index].eq(~self.slot[depth - level - 1])
        return m


class Lru(Policy):
    """Replaces the entry that was not used for the longest time (LRU).

    A matrix holds, for each pair of entries, which of the two was used later: that is the whole
    order, and a touch changes one row and one column of it at once. It takes
    ``entries * (entries - 1) / 2`` flip-flops, for any number of entries.
    """

    def elaborate(self, platform):
        m = Module()
        # newer[i][j], j < i: entry i was used after entry j. Ties at reset go to the lowest.
        newer = [Signal(i, init=(1 << i) - 1, name=f"newer_{i}") for i in range(self.entries)]
        for i in range(self.entries):
            # Entry i is the oldest if all others are newer.
            oldest = Signal(name=f"oldest_{i}")
            others = [newer[j][i] for j in range(i + 1, self.entries)]
            m.d.comb += oldest.eq(~newer[i].any() & Cat(*others).all())
            with m.If(oldest):
                m.d.comb += self.victim.eq(i)
            with m.If(self.touch & (self.slot == i)):
                m.d.sync += newer[i].eq(-1)
                m.d.sync += [newer[j][i].eq(0) for j in range(i + 1, self.entries)]
        return m


class Fifo(Policy):
    """Replaces the entry that was filled first (FIFO): fills go round, hits change nothing.

    It works with any number of entries.
    """

    def elaborate(self, platform):
        m = Module()
        with m.If(self.touch & self.filled):
            last = self.slot == self.entries - 1
            m.d.sync += self.victim.eq(Mux(last, 0, self.slot + 1))
        return m


class RandomPolicy(Policy):
    """Replaces a pseudo-random entry, by a 16-bit maximal-length LFSR that steps on each fill.

    The state of the LFSR is scaled to the number of entries, which may be any up to 4096. The
    sequence is the same after each reset.
    """

    def elaborate(self, platform):
        m = Module()
        lfsr = Signal(16, init=0xACE1)
        with m.If(self.touch & self.filled):
            # x^16 + x^14 + x^13 + x^11 + 1
            m.d.sync += lfsr.eq(Cat(lfsr[1:], lfsr[0] ^ lfsr[2] ^ lfsr[3] ^ lfsr[5]))
        m.d.comb += self.victim.eq((lfsr * self.entries) >> 16)
        return m


POLICIES = {"plru": TreePlru, "lru": Lru, "fifo": Fifo, "random": RandomPolicy}
"""Every replacement policy, by the name that ``Config.policy`` takes."""
