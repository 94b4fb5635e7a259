"""The walk cache, which holds tables that walks came to, so that a later walk may begin there.

The SDM calls such caches paging-structure caches. [SDM 4.10.3]
"""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .onehot import encode
from .shapes import PCID_BITS, drop_layout
from .walk_shapes import key_layout, table_layout

__all__ = ["LevelCache", "WalkCache"]


class LevelCache(wiring.Component):
    """Holds the tables that entries of one level point to; fully associative.

    ``hit`` and ``found`` follow ``key`` combinationally; ``fill`` and ``drop`` take effect at the
    end of the cycle. At most one entry matches any key, as a fill replaces the one that does. Any
    other fill takes the places in turn, whether what they hold is valid or not.

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
    hit : Out(1), found : Out(table_layout)
        Whether a table is held for ``key``, and which one.
    fill : In(1), filled : In(table_layout)
        Enter the table ``filled`` for ``key``.
    drop : In(drop_layout)
        Drop the tables that meet every condition asked for: with ``by_pcid`` those of the PCID in
        ``key``, with ``tables_by_address`` those for the address in ``key``.
    """

    def __init__(self, config, shift, entries):
        self._config = config
        self._low = shift - PAGE_SHIFT
        self._entries = entries
        super().__init__({
            "key": In(key_layout(config)),
            "hit": Out(1),
            "found": Out(table_layout(config)),
            "fill": In(1),
            "filled": In(table_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        tag_layout = data.StructLayout({
            "valid": 1, "vpn": self._config.vpn_bits - self._low, "pcid": PCID_BITS})
        tags = [Signal(tag_layout, name=f"tag_{slot}") for slot in range(self._entries)]
        same_pcid, same_vpn, matches = (Signal(self._entries) for _ in range(3))
        oldest, fill_slot = Signal(range(self._entries)), Signal(range(self._entries))
        vpn = self.key.vpn[self._low:]
        m.d.comb += [
            same_pcid.eq(Cat(tag.pcid == self.key.pcid for tag in tags)),
            same_vpn.eq(Cat(tag.vpn == vpn for tag in tags)),
            matches.eq(Cat(tag.valid for tag in tags) & same_pcid & same_vpn),
            self.hit.eq(matches.any()),
            fill_slot.eq(Mux(self.hit, encode(matches), oldest)),
        ]
        with m.If(self.fill & ~self.hit):
            m.d.sync += oldest.eq(Mux(oldest == self._entries - 1, 0, oldest + 1))
        for slot, tag in enumerate(tags):
            with m.If(self.fill & (fill_slot == slot)):
                m.d.sync += [tag.valid.eq(1), tag.vpn.eq(vpn), tag.pcid.eq(self.key.pcid)]
            with m.Elif(self.drop.valid & (same_pcid[slot] | ~self.drop.by_pcid)
                        & (same_vpn[slot] | ~self.drop.tables_by_address)):
                m.d.sync += tag.valid.eq(0)

        # Two words at least: CXXRTL takes the address of a single one, which has no bits, from
        # beyond its object, and may find nothing there.
        m.submodules.tables = tables = memory.Memory(
            shape=table_layout(self._config), depth=max(self._entries, 2), init=[])
        write_port, read_port = tables.write_port(), tables.read_port(domain="comb")
        m.d.comb += [
            write_port.addr.eq(fill_slot),
            write_port.data.eq(self.filled),
            write_port.en.eq(self.fill),
            read_port.addr.eq(encode(matches)),
            self.found.eq(read_port.data),
        ]
        return m


class WalkCache(wiring.Component):
    """Finds the lowest table on the way to a linear address that an earlier walk came to.

    It has a ``LevelCache`` for each level but the last. The lowest that hits decides, because the
    most reads are saved from there. Combinational from ``key`` to ``found``.

    A table is found by the linear address and the PCID of the walk that came to it, not by the
    entry that points to it: the rights that are held with it are those of all entries above it, and
    another way to the same table may have other rights.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU; ``walk_cache`` is the number of entries of the lowest level.

    Members
    -------
    key : In(key_layout)
        The address and PCID to look up or to fill.
    nxe : In(1)
        IA32_EFER.NXE. While it is clear XD is a reserved bit, so that no table is used which an
        entry with XD leads to.
    hit : Out(1), level : Out, found : Out(table_layout)
        Whether a walk of ``key`` may begin below the root; if so, at which level, an index into
        ``config.mode.levels``, and in which table.
    fill : In(1), fill_level : In, filled : In(table_layout)
        Enter the table that an entry of ``fill_level`` points to. The entry's accessed flag must be
        set by then, because a walk that begins at the table does not set it, and its meaning must
        not depend on CR4.PSE.
    drop : In(drop_layout)
        Which tables to drop, given only when ``fill`` is not and nothing is looked up.
    """

    def __init__(self, config):
        self._config = config
        levels = range(len(config.mode.levels))
        super().__init__({
            "key": In(key_layout(config)),
            "nxe": In(1),
            "hit": Out(1),
            "level": Out(levels),
            "found": Out(table_layout(config)),
            "fill": In(1),
            "fill_level": In(levels),
            "filled": In(table_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        if not self._config.walk_cache:
            return m
        key = Signal.like(self.key)
        m.d.comb += key.eq(self.key)
        with m.If(self.drop.valid):
            m.d.comb += [key.vpn.eq(self.drop.vpn), key.pcid.eq(self.drop.pcid)]
        upper_levels = self._config.mode.levels[:-1]
        for number, level in enumerate(upper_levels):
            entries = max(self._config.walk_cache >> len(upper_levels) - 1 - number, 1)
            m.submodules[level.name.lower()] = cache = LevelCache(
                self._config, level.shift, entries)
            m.d.comb += [
                cache.key.eq(key),
                cache.fill.eq(self.fill & (self.fill_level == number)),
                cache.filled.eq(self.filled),
                cache.drop.eq(self.drop),
            ]
            with m.If(cache.hit & (self.nxe | ~cache.found.execute_disable)):
                m.d.comb += [
                    self.hit.eq(1), self.level.eq(number + 1), self.found.eq(cache.found)]
        return m
