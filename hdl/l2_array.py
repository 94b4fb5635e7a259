"""The entries of the second-level TLB, and what they are to the operation that reads them."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .l2_generations import L2Generations
from .l2_match import L2Match
from .l2_replacement import L2Replacement
from .l2_ways import L2Ways
from .permission import needs_layout
from .shapes import PCID_BITS, drop_layout, translation_layout

__all__ = ["L2Array", "verdict_layout"]


def verdict_layout(geometry):
    """Return what the ways of a set are to an operation, a bit for each way.

    ``usable`` are entries that answer the request. ``refused`` translate it, too, but must not be
    used: the access is not permitted, or would have to set the dirty flag, or XD is reserved.
    ``overlaps`` would be found together with the page that is filled, ``vacant`` hold nothing that
    can be found, ``victim`` is the way to replace if none is vacant.
    """
    names = ("usable", "refused", "overlaps", "vacant", "victim")
    return data.StructLayout(dict.fromkeys(names, geometry.ways))


class L2Array(wiring.Component):
    """Reads a set, and compares its entries with a key two cycles later.

    A set that is read in cycle *t* with ``key`` has ``dropped`` in cycle *t* + 3, and ``verdict``
    with the ``translation`` of the way that is usable; the last two hold as long as ``hold`` is
    set. ``key``, ``needs``, ``global_page`` and ``drop`` hold while a set is read and
    compared.

    Parameters
    ----------
    geometry : :class:`L2Geometry`
        Parameters of the second-level TLB.

    Members
    -------
    key : In
        Page number and PCID to compare.
    read : In(1), index : In, page : In
        Read the set of that number, for pages of a size.
    clearing : In(1)
        The sets that are written are cleared.
    needs : In(needs_layout), global_page : In(1), drop : In(drop_layout)
        What else the entries are compared with, as ``L2Match`` says.
    dropped : Out, one bit for each way
        Entries to drop; ``compared_index`` was their set in the cycle before.
    hold : In(1)
        Keep ``verdict``.
    verdict : Out(verdict_layout), judged_index : Out, translation : Out(translation_layout)
        What the ways are to the operation, their set, and the translation of the usable one.
    write, valid : In, one bit for each way; write_index : In
        Ways to write in that set, and which of them with a valid entry.
    filled : In(translation_layout)
        The translation that is written, for the key that was compared last.
    touch : In, one bit for each way; fills : In(1)
        The way that is used or, with ``fills``, filled in the set ``write_index``.
    raise_generation : In(1), wraps : Out(1)
        Raise the generation of the PCID that is compared, and whether it becomes 0.
    """

    def __init__(self, geometry):
        self._geometry = geometry
        config, ways, index = geometry.config, geometry.ways, range(geometry.sets)
        super().__init__({
            "key": In(data.StructLayout({"vpn": config.vpn_bits, "pcid": PCID_BITS})),
            "read": In(1),
            "index": In(index),
            "page": In(range(len(config.mode.pages))),
            "clearing": In(1),
            "needs": In(needs_layout(geometry.config)),
            "global_page": In(1),
            "drop": In(drop_layout(config)),
            "dropped": Out(ways),
            "compared_index": Out(index),
            "hold": In(1),
            "verdict": Out(verdict_layout(geometry)),
            "judged_index": Out(index),
            "translation": Out(translation_layout(config)),
            "write": In(ways),
            "valid": In(ways),
            "write_index": In(index),
            "filled": In(translation_layout(config)),
            "touch": In(ways),
            "fills": In(1),
            "raise_generation": In(1),
            "wraps": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        geometry = self._geometry
        m.submodules.ways = ways = L2Ways(geometry)
        m.submodules.generations = generations = L2Generations(geometry.config.mode)
        m.submodules.replacement = replacement = L2Replacement(geometry)
        fetched_index, compared_index = Signal.like(self.index), Signal.like(self.index)
        fetched, fetched_page = Signal(), Signal.like(self.page)
        compared = Signal(geometry.key_layout(), reset_less=True)  # but for its generation
        key = Signal.like(compared)
        m.d.comb += [
            key.eq(compared),
            key.generation.eq(generations.generation),
            ways.read.eq(self.read),
            ways.read_index.eq(self.index),
            ways.write.eq(self.write),
            ways.valid.eq(self.valid),
            ways.write_index.eq(self.write_index),
            ways.written.tag.eq(key.tag),
            ways.written.pcid.eq(key.pcid),
            ways.written.generation.eq(key.generation),
            ways.written.translation.eq(self.filled),
            generations.read.eq(self.read),
            generations.pcid.eq(self.key.pcid),
            generations.raise_it.eq(self.raise_generation),
            generations.raised.eq(key.pcid),
            self.wraps.eq(generations.wraps),
            self.compared_index.eq(compared_index),
            replacement.read.eq(fetched),
            replacement.index.eq(fetched_index),
            replacement.hold.eq(self.hold),
            replacement.touch.eq(self.touch),
            replacement.filled.eq(self.fills),
            replacement.clear.eq(self.clearing & self.write.all()),
            replacement.touch_index.eq(self.write_index),
        ]
        m.d.sync += [
            fetched.eq(self.read),
            fetched_index.eq(self.index),
            compared_index.eq(fetched_index),
            fetched_page.eq(self.page),
            compared.tag.eq(geometry.tag(self.key.vpn, fetched_page)),
            compared.page.eq(fetched_page),
            compared.pcid.eq(self.key.pcid),
        ]
        self._judge(m, ways, key, compared_index)
        m.d.comb += self.verdict.victim.eq(replacement.victim)
        return m

    def _judge(self, m, ways, key, compared_index):
        """Compare the entries with ``key``, and tell in the next cycle what they are."""
        translations, judged_index = 0, Signal.like(compared_index)
        dropped = Signal.like(self.dropped, reset_less=True)
        for number, entry in enumerate(ways.ways):
            m.submodules[f"match_{number}"] = match = L2Match(self._geometry)
            found = Signal(entry.translation.shape(), name=f"found_{number}", reset_less=True)
            one = match.verdict
            hit = one.same_page & one.visible
            is_ = Signal(data.StructLayout(dict.fromkeys(
                ("usable", "refused", "overlaps", "vacant"), 1)),
                name=f"is_{number}", reset_less=True)
            m.d.comb += [
                match.entry.eq(entry),
                match.key.eq(key),
                match.needs.eq(self.needs),
                match.global_page.eq(self.global_page),
                match.drop.eq(self.drop),
                *(self.verdict[name][number].eq(is_[name]) for name in is_.shape().members),
            ]
            with m.If(~self.hold):
                m.d.sync += [
                    found.eq(entry.translation),
                    is_.usable.eq(hit & one.permitted),
                    is_.refused.eq(hit & ~one.permitted),
                    is_.overlaps.eq(one.same_page & one.related),
                    is_.vacant.eq(one.vacant),
                ]
            translations |= Mux(self.verdict.usable[number], found.as_value(), 0)
            m.d.sync += dropped[number].eq(match.dropped)
        with m.If(~self.hold):
            m.d.sync += judged_index.eq(compared_index)
        m.d.comb += [self.translation.eq(translations), self.judged_index.eq(judged_index),
                     self.dropped.eq(dropped)]
