"""What an entry of the second-level TLB is to the operation that has read it."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .permission import denials, needs_layout, sets_dirty
from .shapes import drop_layout

__all__ = ["L2Match", "match_layout"]


def match_layout():
    """Return what an entry is to an operation, in the parts that take about the same time to tell.

    ``same_page`` is set if it is an entry for the page in question, ``visible`` if it is found
    under the PCID in question, if at all. ``permitted`` says that the access may use it: nothing
    that the access would have to change or fault for is left to a walk. ``related`` says that it
    would be found under a PCID together with the page that is filled, if both are for one page;
    ``vacant`` that it holds nothing, or nothing that can ever be found again.
    """
    return data.StructLayout(dict.fromkeys(
        ("same_page", "visible", "permitted", "related", "vacant"), 1))


class L2Match(wiring.Component):
    """Compares the entry of one way with a key, and judges it. Combinational.

    Parameters
    ----------
    geometry : :class:`L2Geometry`
        Parameters of the second-level TLB.

    Members
    -------
    entry : In(entry_layout)
        The entry.
    key : In(key_layout)
        Page, PCID and generation of the PCID, to compare it with.
    needs : In(needs_layout)
        What the access that is looked up asks of its page.
    global_page : In(1)
        Whether the page that is filled is global.
    verdict : Out(match_layout)
        What the entry is.
    drop : In(drop_layout), dropped : Out(1)
        Which entries to drop, and whether this one is among them; ``key`` has address and PCID.
    """

    def __init__(self, geometry):
        super().__init__({
            "entry": In(geometry.entry_layout()),
            "key": In(geometry.key_layout()),
            "needs": In(needs_layout(geometry.config)),
            "global_page": In(1),
            "verdict": Out(match_layout()),
            "drop": In(drop_layout(geometry.config)),
            "dropped": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        entry, key, drop, found = self.entry, self.key, self.drop, self.entry.translation
        verdict, needs, rights = self.verdict, self.needs, found.rights
        denied, _ = denials(needs, rights)
        same_page, same_pcid, current = Signal(), Signal(), Signal()
        m.d.comb += [
            same_page.eq((entry.tag == key.tag) & (found.page == key.page)),
            same_pcid.eq(entry.pcid == key.pcid),
            current.eq(entry.generation == key.generation),
            verdict.same_page.eq(entry.valid & same_page),
            verdict.visible.eq(found.global_page | (same_pcid & current)),
            verdict.permitted.eq(~(denied | (sets_dirty(needs) & ~found.dirty)
                                   | (rights.execute_disable & ~needs.nxe))),
            # A global page is found under every PCID, so it replaces the entries of them all.
            verdict.related.eq(same_pcid | found.global_page | self.global_page),
            verdict.vacant.eq(~entry.valid | (~found.global_page & same_pcid & ~current)),
            self.dropped.eq(entry.valid & (same_page | ~drop.by_address)
                            & Mux(found.global_page, drop.globals, same_pcid | ~drop.by_pcid)),
        ]
        return m
