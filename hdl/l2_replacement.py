"""Replacement in the sets of the second-level TLB: the policies, with a state for each set."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .onehot import encode
from .replacement import POLICIES

__all__ = ["L2Replacement"]


class L2Replacement(wiring.Component):
    """Chooses the way that a set gives up next, by a policy of ``hdl.replacement.POLICIES``.

    Each set replaces as that policy does for as many entries as there are ways, but for
    ``random``: there one sequence serves the fills of all sets. The states stand in a RAM. The
    state of a set that is read in cycle *t* decides ``victim`` in cycle *t* + 2, and on until
    ``hold`` is clear and another set has been read. In a cycle of ``touch`` or ``clear`` nothing is
    read.

    Parameters
    ----------
    geometry : :class:`L2Geometry`
        Parameters of the second-level TLB.

    Members
    -------
    read : In(1), index : In
        Read the state of that set.
    hold : In(1)
        Keep the state of the set that was read two cycles ago for another cycle.
    victim : Out, one bit for each way
        The way to replace next, of a set that is full.
    touch : In, one bit for each way
        The way that is used in this cycle, if any, in the set that ``victim`` is of.
    filled : In(1)
        Whether it is filled.
    clear : In(1)
        Make the state of the set ``touch_index`` what it was at first.
    touch_index : In
        The set that is touched.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        index, ways = range(geometry.sets), geometry.ways
        super().__init__({
            "read": In(1),
            "index": In(index),
            "hold": In(1),
            "victim": Out(ways),
            "touch": In(ways),
            "filled": In(1),
            "clear": In(1),
            "touch_index": In(index),
        })

    def elaborate(self, platform):
        m = Module()
        ways, policy = self._geometry.ways, self._geometry.config.l2_policy
        slot = encode(self.touch)
        number = Signal(range(ways))
        m.d.comb += self.victim.eq(Cat(number == way for way in range(ways)))
        if policy == "random":  # its state is one for all sets, as it knows nothing of the entries
            m.submodules.policy = one = POLICIES[policy](ways)
            m.d.comb += [
                one.touch.eq(self.touch.any()), one.slot.eq(slot), one.filled.eq(self.filled),
                number.eq(one.victim)]
            return m
        choose, touched, bits = STATES[policy]
        if not bits(ways):
            return m
        state = self._state(m, bits(ways), lambda state: touched(state, slot, self.filled, ways))
        m.d.comb += number.eq(choose(state, ways))
        return m

    def _state(self, m, bits, touched):
        """Return the state at hand, of ``bits`` bits; ``touched(state)`` is written on a touch."""
        m.submodules.states = states = memory.Memory(
            shape=bits, depth=self._geometry.sets, init=[])
        write_port, read_port = states.write_port(), states.read_port(domain="comb")
        output, state = (Signal(bits, name=name, reset_less=True) for name in ("output", "state"))
        writes = self.touch.any() | self.clear
        m.d.comb += [
            write_port.addr.eq(self.touch_index),
            write_port.data.eq(Mux(self.clear, 0, touched(state))),
            write_port.en.eq(writes),
            read_port.addr.eq(self.index),
        ]
        with m.If(self.read & ~writes):
            m.d.sync += output.eq(read_port.data)
        with m.If(~self.hold):
            m.d.sync += state.eq(output)
        return state


def plru_victim(state, ways):
    """Return where the bits of the tree lead; bit n - 1 of ``state`` is that of node n."""
    tree, victim_bits = Cat(Const(0, 1), state), []
    for _ in range((ways - 1).bit_length()):
        victim_bits.insert(0, tree.bit_select(Cat(*victim_bits, Const(1, 1)), 1))
    return Cat(*victim_bits)


def plru_touched(state, slot, _filled, ways):
    """Return the tree with the bits on the way to ``slot`` turned away from it."""
    depth, nodes = (ways - 1).bit_length(), []
    for level in range(depth):
        path, away = slot[depth - level:], ~slot[depth - level - 1]
        for index in range(1 << level):
            on_the_way = path == index if level else Const(1)
            nodes.append(Mux(on_the_way, away, state[(1 << level) + index - 1]))
    return Cat(*nodes)


def pairs(ways):
    """Return the pairs of ways that the state of LRU has a bit for, in their order."""
    return [(i, j) for i in range(ways) for j in range(i)]


def lru_victim(state, ways):
    """Return the way that all others were used after.

    The bit of a pair i, j with j < i is set if j was used after i; so at first i is the later.
    """
    later = {pair: state[number] for number, pair in enumerate(pairs(ways))}
    oldest = [Cat(*(~later[j, way] for j in range(way + 1, ways)),
                  *(later[way, j] for j in range(way))).all() for way in range(ways)]
    return encode(Cat(*oldest))


def lru_touched(state, slot, _filled, ways):
    """Return the state with ``slot`` used after all others."""
    return Cat(Mux(slot == i, 0, Mux(slot == j, 1, state[number]))[0]
               for number, (i, j) in enumerate(pairs(ways)))


def fifo_victim(state, _ways):
    """Return the way after the one filled last, which is the state."""
    return state


def fifo_touched(state, slot, filled, ways):
    """Return the way after ``slot`` if it is filled."""
    return Mux(filled, Mux(slot == ways - 1, 0, slot + 1), state)


STATES = {
    "plru": (plru_victim, plru_touched, lambda ways: ways - 1),
    "lru": (lru_victim, lru_touched, lambda ways: ways * (ways - 1) // 2),
    "fifo": (fifo_victim, fifo_touched, lambda ways: (ways - 1).bit_length()),
}
"""Victim and next state of a set, and the width of its state, which is 0 at first."""
