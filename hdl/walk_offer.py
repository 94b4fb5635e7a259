"""What the pool offers to page-table memory."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import Entry
from .select import select
from .shapes import MEMORY_TAG_BITS, MemoryOp, memory_signature
from .walk_follow import index_of
from .walk_turn import WalkTurn

__all__ = ["WalkOffer", "asking_layout"]


def asking_layout(config):
    """Return what is to be known of a context to offer its access, the one of ``next_count``."""
    return data.StructLayout({
        "wants": 1, "next_count": MEMORY_TAG_BITS, "level": range(len(config.mode.levels)),
        "updating": 1, "dirty": 1, "at_found": 1})


class WalkOffer(wiring.Component):
    """Offers one access a cycle: what a response has just led to, or that of a context in turn.

    The read that follows from a response is offered in its cycle, if no other access has to stay on
    offer. All others come from contexts that want the port, in the cycles without a response. So a
    response makes way for its walk; a walk that ends makes way for the others, so that each comes
    to its turn.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    port : Out(stream)
        The accesses, as ``memory_signature`` has them.
    contexts : In(asking_layout), one for each context
        The contexts.
    take : In(1), taker : In, vpn : In, root : In
        The context ``taker`` begins to walk for a page number, from a root.
    found : In(1), finder : In, found_table : In
        The context ``finder`` begins at a table that the walk cache found.
    responded : In(1), number : In, count : In(MEMORY_TAG_BITS)
        There is a response; the context and the number of the access that it names.
    leads : In(1), table : In, index : In
        It leads down, to an entry of a table.
    led : In(1), last_number : In, last_table : In
        In the cycle after: whether it did, whose response it was, and the table.
    judged : In(1), judging : In, entry : In
        In the same cycle: whether it is judged, and then whose it was, and the entry as it was.
    expected : In
        The context that may want the port in the next cycle, if no other does.
    source : Out
        The context whose access is offered.
    accepted : Out, one bit for each context
        Whose access is accepted, of those that want the port.
    passed : Out(1)
        In the cycle before, the access that a response led to was accepted.
    """

    def __init__(self, config):
        self._config = config
        number = range(max(2, config.walkers))
        request = memory_signature(config).members["req"].signature
        index_bits = max(level.index_bits for level in config.mode.levels)
        entry = 8 * config.mode.entry_bytes
        super().__init__({
            "port": Out(request),
            "contexts": In(asking_layout(config)).array(config.walkers),
            "take": In(1), "taker": In(number), "vpn": In(config.vpn_bits),
            "root": In(config.root_bits),
            "found": In(1), "finder": In(number), "found_table": In(config.root_bits),
            "responded": In(1), "number": In(number), "count": In(MEMORY_TAG_BITS),
            "leads": In(1), "table": In(config.root_bits), "index": In(index_bits),
            "led": In(1), "last_number": In(number), "last_table": In(config.root_bits),
            "judged": In(1), "judging": In(number), "entry": In(entry),
            "expected": In(number),
            "source": Out(number), "accepted": Out(config.walkers), "passed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        contexts, port = self.contexts, self.port
        m.submodules.turn = turn = WalkTurn(len(contexts))
        following = Signal()  # what is offered follows from the response at hand
        wants = Cat(one.wants for one in contexts)
        updating = Signal()
        passed = Signal(reset_less=True)  # even in the cycle of a reset

        def of(name):
            return select(turn.turn, [one[name] for one in contexts])

        m.d.comb += self.passed.eq(passed)
        m.d.sync += passed.eq(following & port.valid & port.ready)
        table, index, entry = self._remembered(m, turn.turn, of)
        number_bits = (len(contexts) - 1).bit_length()
        m.d.comb += [
            following.eq(self.responded & ~turn.held),
            updating.eq(~following & of("updating")),
            self.source.eq(Mux(following, self.number, turn.turn)),
            port.valid.eq(Mux(following, self.leads, of("wants"))),
            port.payload.tag.eq(Cat(
                Mux(following, (self.count + 1)[:MEMORY_TAG_BITS], of("next_count")),
                self.source[:number_bits])),
            port.payload.op.eq(Mux(updating, MemoryOp.COMPARE_EXCHANGE, MemoryOp.READ)),
            port.payload.address.eq(Cat(
                Const(0, (self._config.mode.entry_bytes - 1).bit_length()),
                Mux(following, self.index, index), Mux(following, self.table, table))),
            port.payload.expected.eq(Mux(updating, entry, 0)),
            port.payload.desired.eq(Mux(
                updating, entry | Entry.A | Mux(of("dirty"), Entry.D, 0), 0)),
            self.accepted.eq(Cat(
                one.wants & (turn.turn == number) for number, one in enumerate(contexts))
                & (~following & port.ready).replicate(len(contexts))),
            turn.wants.eq(wants),
            turn.valid.eq(port.valid),
            turn.ready.eq(port.ready),
            turn.source.eq(self.source),
            turn.expected.eq(self.expected),
        ]
        return m

    def _remembered(self, m, number, of):
        """Return the table, the index and the entry of the access that a context wants to make."""
        config, depth = self._config, max(2, len(self.contexts))

        def remember(name, shape, enable, address, value):
            m.submodules[name] = words = memory.Memory(shape=shape, depth=depth, init=[])
            write, read = words.write_port(), words.read_port(domain="comb")
            m.d.comb += [write.en.eq(enable), write.addr.eq(address), write.data.eq(value),
                         read.addr.eq(number)]
            return read.data

        vpn = remember("vpns", config.vpn_bits, self.take, self.taker, self.vpn)
        root = remember("roots", config.root_bits, self.take, self.taker, self.root)
        found = remember("found_tables", config.root_bits, self.found, self.finder,
                         self.found_table)
        below = remember("tables", config.root_bits, self.led, self.last_number, self.last_table)
        entry = remember("entries", len(self.entry), self.judged, self.judging, self.entry)
        level = of("level")
        table = Mux(self.led & (self.last_number == number), self.last_table,
                    Mux(level == 0, root, Mux(of("at_found"), found, below)))
        return table, index_of(config.mode, vpn, level), entry
