"""The walk cache of the pool, which is looked up in a cycle of its own. [SDM 4.10.3]"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .shapes import drop_layout
from .table_cache import TableCache
from .walk_shapes import key_layout, table_layout

__all__ = ["WalkLookup"]


class WalkLookup(wiring.Component):
    """Does one thing a cycle with the walk cache: drop, fill or look up.

    In the cycle after a lookup was asked for, ``looking`` says that it is done, by the key of that
    cycle; it is not if there was a drop or a fill instead, which come first in this order. If
    ``keep`` is given then, what was found stands in ``hit``, ``level`` and ``found`` from the next
    cycle on, until the next ``keep``; but the table does so for one cycle only. A drop takes effect
    at the end of the cycle after it was given, so before any lookup that is asked for later; a fill
    one cycle later. A fill is left out if it comes in the cycle after another of the same level, or
    with or just before a drop.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU; ``walk_cache`` is the number of entries of the lowest level.

    Members
    -------
    ask : In(1), key : In(key_layout)
        Look up the tables on the way to an address, in the next cycle, in which the key follows.
    looking : Out(1), keep : In(1)
        Whether a lookup is done in this cycle, and whether to keep what it finds.
    nxe : In(1)
        IA32_EFER.NXE of the walk whose lookup was kept. While it is clear XD is a reserved bit, so
        that no table is used which an entry with XD leads to.
    hit : Out(1)
        Whether a level found a table, be it of use or not.
    level : Out, found : Out(table_layout)
        Where the walk begins if ``hit``: the level, an index into ``config.mode.levels``, and the
        table; level 0 and the rights of the root if no table is of use.
    fill : In(1), fill_key : In(key_layout), fill_level : In, filled : In(table_layout)
        Enter the table that an entry of ``fill_level`` points to. The entry's accessed flag must be
        set by then, because a walk that begins at the table does not set it, and its meaning must
        not depend on CR4.PSE.
    drop : In(drop_layout)
        Which tables to drop.
    """

    def __init__(self, config):
        self._config = config
        levels = range(len(config.mode.levels))
        super().__init__({
            "ask": In(1), "key": In(key_layout(config)),
            "looking": Out(1), "keep": In(1),
            "nxe": In(1),
            "hit": Out(1), "level": Out(levels), "found": Out(table_layout(config)),
            "fill": In(1), "fill_key": In(key_layout(config)),
            "fill_level": In(levels), "filled": In(table_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        key = Signal.like(self.key)
        fill_key, drop_key = (Signal.like(key, name=name, reset_less=True)
                              for name in ("fill_key", "drop_key"))
        table = Signal.like(self.filled, reset_less=True)
        table_level = Signal.like(self.fill_level, reset_less=True)
        last_key, last_table = (Signal.like(one, reset_less=True) for one in (self.key, table))
        drop = Signal.like(self.drop)
        filling = Signal()
        m.d.sync += [
            self.looking.eq(self.ask & ~self.fill & ~self.drop.valid),
            filling.eq(self.fill & ~self.drop.valid),
            table.eq(self.filled),
            table_level.eq(self.fill_level),
            last_key.eq(key),
            last_table.eq(table),
            drop.valid.eq(self.drop.valid),
            drop.by_pcid.eq(self.drop.by_pcid),
            drop.tables_by_address.eq(self.drop.tables_by_address),
        ]
        for name in ("vpn", "pcid"):
            m.d.sync += [drop_key[name].eq(self.drop[name]), fill_key[name].eq(self.fill_key[name])]
            m.d.comb += key[name].eq(Mux(
                drop.valid, drop_key[name], Mux(filling, fill_key[name], self.key[name])))
        upper_levels = self._config.mode.levels[:-1]
        m.d.comb += [self.found.writable.eq(1), self.found.user.eq(1)]  # of the root
        hits = []
        for number, level in enumerate(upper_levels if self._config.walk_cache else ()):
            entries = max(self._config.walk_cache >> len(upper_levels) - 1 - number, 1)
            m.submodules[level.name.lower()] = cache = TableCache(
                self._config, level.shift, entries)
            hits.append(cache.hit)
            m.d.comb += [
                cache.key.eq(key),
                cache.keep.eq(self.keep),
                cache.fill.eq(filling & (table_level == number)),
                cache.last_key.eq(last_key),
                cache.filled.eq(last_table),
                cache.drop.eq(drop),
            ]
            with m.If(cache.hit & (self.nxe | ~cache.found.execute_disable)):
                m.d.comb += [self.level.eq(number + 1), self.found.eq(cache.found)]
        for hit in hits:
            with m.If(hit):
                m.d.comb += self.hit.eq(1)
        return m
