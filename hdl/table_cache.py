"""One level of the walk cache of the pool: looked up in one cycle, read in the next."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .onehot import encode
from .shapes import PCID_BITS, drop_layout
from .walk_shapes import key_layout, table_layout

__all__ = ["TableCache"]


class TableCache(wiring.Component):
    """Holds the tables that entries of one level point to; fully associative.

    What holds ``key`` in one cycle is known in the next: ``keep`` has it stay in ``hit`` and
    ``found``, and a ``fill`` replaces it. At most one entry matches any key. A fill of another key
    takes the places in turn, whether what they hold is valid or not. A fill in the cycle after
    another is left out, as are those that a drop comes after in the next cycle.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    shift : int
        Lowest linear-address bit that tells two entries of this level apart.
    entries : int
        Number of tables that the cache can hold.

    Members
    -------
    key : In(key_layout)
        The address and PCID to look up, to fill or to drop.
    keep : In(1), hit : Out(1), found : Out(table_layout)
        Whether to look up ``key``; in the cycle after, whether a table is held for it, and which
        one. ``hit`` stays until the next ``keep``, ``found`` does not.
    fill : In(1)
        Enter a table for ``key``.
    last_key : In(key_layout), filled : In(table_layout)
        In the cycle after: the key as it was, and the table.
    drop : In(drop_layout)
        Drop the tables that meet every condition asked for: with ``by_pcid`` those of the PCID in
        ``key``, with ``tables_by_address`` those for the address in ``key``.
    """

    def __init__(self, config, shift, entries):
        self._config = config
        self._low = shift - PAGE_SHIFT
        self._entries = entries
        key = key_layout(config)
        super().__init__({
            "key": In(key), "keep": In(1), "hit": Out(1), "found": Out(table_layout(config)),
            "fill": In(1), "last_key": In(key), "filled": In(table_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        tag_layout = data.StructLayout({"vpn": self._config.vpn_bits - self._low,
                                        "pcid": PCID_BITS})
        tags = [Signal(tag_layout, name=f"tag_{slot}") for slot in range(self._entries)]
        valid, same_pcid, same_vpn, matches = (Signal(self._entries) for _ in range(4))
        hits, known = Signal(self._entries), Signal(self._entries)  # matches in an earlier cycle
        filling, slot = Signal(), Signal(range(self._entries))
        oldest = Signal(range(self._entries))
        write, replaced = Signal(), Signal(self._entries)
        m.d.comb += [
            same_pcid.eq(Cat(tag.pcid == self.key.pcid for tag in tags)),
            same_vpn.eq(Cat(tag.vpn == self.key.vpn[self._low:] for tag in tags)),
            matches.eq(valid & same_pcid & same_vpn),
            self.hit.eq(hits.any()),
            write.eq(filling & ~self.drop.valid),
            slot.eq(Mux(known.any(), encode(known), oldest)),
        ]
        m.d.sync += [known.eq(matches), filling.eq(self.fill & ~filling)]
        with m.If(self.keep):  # the table is read when what is replaced in this cycle is gone
            m.d.sync += hits.eq(matches & ~replaced)
        with m.If(write & ~known.any()):
            m.d.sync += oldest.eq(Mux(oldest == self._entries - 1, 0, oldest + 1))
        for number, tag in enumerate(tags):
            m.d.comb += replaced[number].eq(write & (slot == number))
            with m.If(replaced[number]):
                m.d.sync += [tag.vpn.eq(self.last_key.vpn[self._low:]),
                             tag.pcid.eq(self.last_key.pcid), valid[number].eq(1)]
            with m.If(self.drop.valid & (same_pcid[number] | ~self.drop.by_pcid)
                      & (same_vpn[number] | ~self.drop.tables_by_address)):
                m.d.sync += valid[number].eq(0)

        # Two words at least: CXXRTL takes the address of a single one, which has no bits, from
        # beyond its object, and may find nothing there.
        m.submodules.tables = tables = memory.Memory(
            shape=table_layout(self._config), depth=max(self._entries, 2), init=[])
        write_port, read_port = tables.write_port(), tables.read_port(domain="comb")
        m.d.comb += [
            write_port.addr.eq(slot),
            write_port.data.eq(self.filled),
            write_port.en.eq(write),
            read_port.addr.eq(encode(hits)),
            self.found.eq(read_port.data),
        ]
        return m
