"""The entries of a fully associative L1 TLB but for their translations, all asked at once."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .permission import denials, needs_layout, sets_dirty
from .shapes import PCID_BITS, drop_layout, rights_layout, translation_layout

__all__ = ["L1Tags", "found_layout", "lookup_key_layout"]


def lookup_key_layout(config):
    """Return what an L1 compares: page number and PCID; ``page`` is the size of a page to fill."""
    return data.StructLayout({
        "vpn": config.vpn_bits, "pcid": PCID_BITS, "page": range(len(config.mode.pages))})


def found_layout(entries):
    """Return what the first half of a lookup finds: one bit for each entry of each finding."""
    return data.StructLayout(
        dict.fromkeys(("match", "unusable", "denied", "key_denied", "fine"), entries))


class L1Tags(wiring.Component):
    """Holds what is compared of each entry, and its rights, in flip-flops.

    Each entry is compared with the key, and asked what it denies, beside all others, which
    ``match`` and its neighbours say combinationally. ``fill`` and ``drop`` take effect at the end
    of the cycle; in a cycle with neither nothing is written.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    entries : int
        Number of entries.
    smallest : int
        The smallest size of page that is held, an index into ``config.mode.pages``.

    Members
    -------
    key : In(lookup_key_layout), needs : In(needs_layout)
        Page number and PCID, and the size of a page to fill, else 0; what the access asks.
    match, unusable, denied, key_denied, fine : Out(entries)
        Of each entry, whether it translates the key; whether its page has to be walked all the
        same, as a flag is to be set or a bit is reserved; whether it denies the access, and whether
        its key does; ``fine`` is neither ``unusable`` nor ``denied``.
    vacant : Out(range(entries)), full : Out(1)
        The first entry that is not valid, and whether there is none.
    fill : In(1), fill_slot : In(range(entries)), filled : In(translation_layout)
        Enter the translation of the key into that entry, and drop all others that overlap it.
    drop : In(drop_layout)
        Entries to drop; the key must hold its address and PCID.
    """

    def __init__(self, config, entries, smallest):
        self._config = config
        self._entries = entries
        self._smallest = smallest
        super().__init__({
            "key": In(lookup_key_layout(config)),
            "needs": In(needs_layout(config)),
            **dict.fromkeys(found_layout(entries).members, Out(entries)),
            "vacant": Out(range(entries)),
            "full": Out(1),
            "fill": In(1),
            "fill_slot": In(range(entries)),
            "filled": In(translation_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        key = self.key
        tags = [Signal(self._tag_layout(), name=f"tag_{slot}") for slot in range(self._entries)]
        same_address = [Signal(name=f"same_address_{slot}") for slot in range(self._entries)]
        same_pcid = [Signal(name=f"same_pcid_{slot}") for slot in range(self._entries)]
        for slot, tag in enumerate(tags):
            denied, key_denied = denials(self.needs, tag.rights)
            m.d.comb += [
                same_address[slot].eq(self._same_address(tag, key)),
                same_pcid[slot].eq(tag.pcid == key.pcid),
                self.match[slot].eq(
                    tag.valid & same_address[slot] & (same_pcid[slot] | tag.global_page)),
                self.denied[slot].eq(denied),
                self.key_denied[slot].eq(key_denied),
                self.unusable[slot].eq((sets_dirty(self.needs) & ~tag.dirty)
                                       | (tag.rights.execute_disable & ~self.needs.nxe)),
                self.fine[slot].eq(~self.unusable[slot] & ~denied),
            ]
        for slot, tag in reversed(list(enumerate(tags))):
            with m.If(~tag.valid):
                m.d.comb += self.vacant.eq(slot)
        m.d.comb += self.full.eq(Cat(tag.valid for tag in tags).all())
        with m.If(self.fill | self.drop.valid):  # in most cycles nothing changes
            for slot, tag in enumerate(tags):
                self._update(m, tag, same_address[slot], same_pcid[slot],
                             fill=self.fill & (self.fill_slot == slot))
        return m

    def _tag_layout(self):
        """Return the part of an entry that is looked at in a lookup; the rest is in the RAM."""
        return data.StructLayout({
            "valid": 1,
            "vpn": self._config.vpn_bits,
            "pcid": PCID_BITS,
            "larger": len(self._config.mode.pages) - 1,  # bit n: larger than the page of number n
            "global_page": 1,
            "dirty": 1,
            "rights": rights_layout(),
        })

    def _same_address(self, tag, key):
        """Return whether the page of ``tag`` and the page of the key overlap.

        Pages are aligned to their size, so two overlap if the larger holds the smaller. Page
        numbers are compared in parts, cut at the page sizes; the parts below the size of the larger
        page do not count.
        """
        shifts = [level.shift - PAGE_SHIFT for level in self._config.mode.pages]
        shifts.append(self._config.vpn_bits)
        same = [tag.vpn[low:high] == key.vpn[low:high] for low, high in pairwise(shifts)]
        return Cat(same[-1], *(
            one | tag.larger[size] | (key.page > size)
            for size, one in enumerate(same[:-1]) if size >= self._smallest)).all()

    def _update(self, m, tag, same_address, same_pcid, *, fill):
        """Fill the entry of ``tag`` if ``fill``, or drop it if it must go."""
        filled, drop, key = self.filled, self.drop, self.key
        dropped = (
            drop.valid
            & (same_address | ~drop.by_address)
            & Mux(tag.global_page, drop.globals, same_pcid | ~drop.by_pcid)
        )
        # A global page is found under every PCID, so it replaces the entries of them all.
        overlapped = (
            self.fill & same_address & (same_pcid | tag.global_page | filled.global_page))
        with m.If(fill):
            m.d.sync += [
                tag.valid.eq(1),
                tag.vpn.eq(key.vpn),
                tag.pcid.eq(key.pcid),
                tag.larger.eq(Cat(filled.page > size for size in range(len(tag.larger)))),
                tag.global_page.eq(filled.global_page),
                tag.dirty.eq(filled.dirty),
                tag.rights.eq(filled.rights),
            ]
        with m.Elif(dropped | overlapped):
            m.d.sync += tag.valid.eq(0)
