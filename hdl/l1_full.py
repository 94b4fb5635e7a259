"""An L1 TLB that is fully associative: any page, of any size of the mode, in any entry."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .l1_tags import L1Tags, found_layout, lookup_key_layout
from .onehot import encode
from .permission import needs_layout
from .replacement import POLICIES
from .shapes import drop_layout, translation_layout

__all__ = ["FullL1"]


class FullL1(wiring.Component):
    """Holds translations, and finds the one of a page number and PCID, and what it denies.

    What is compared, and the rights, are flip-flops: each entry is compared with the key, and asked
    what it denies, beside all others. The translations are in a distributed RAM. A lookup has two
    halves, so that who looks up may hold what lies between them in a register: ``found`` follows
    the key and ``needs``, and all that is known of the page follows ``at_hand``, both
    combinationally. ``fill``, ``drop`` and ``touch`` take effect at the end of the cycle. At most
    one entry matches any key, as a fill drops all entries that overlap the new page.

    Which entry a fill is to replace is chosen a cycle ahead: it takes account of what was filled
    and dropped up to the cycle before the last. What is used is noted at once with a miss file;
    else a cycle later, as a fill then comes at least three cycles after a use.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.
    entries : int, optional
        Number of entries, ``config.entries`` by default.
    smallest : int
        The smallest size of page that is filled, an index into ``config.mode.pages``.

    Members
    -------
    offered : In(lookup_key_layout), inner : In(lookup_key_layout), inside : In(1)
        Page numbers and PCIDs: of a request to look up, and of what is filled or dropped. The key,
        which is compared, is the second if ``inside``. Its ``page`` is the size of a page to fill,
        else 0.
    needs : In(needs_layout)
        What the access asks of the page.
    found : Out, at_hand : In
        What the first half of a lookup finds, and the second goes by; one bit for each entry.
    hit : Out(1)
        Whether an entry translates the key and can be used: it is dirty if the access writes, and
        has no XD while IA32_EFER.NXE is clear.
    present : Out(1), slot : Out, translation : Out(translation_layout)
        Whether an entry translates the key, usable or not, its number, and what it holds.
    denied : Out(1), key_denied : Out(1), fine : Out(1)
        Whether the entry that is ``present`` denies the access, and whether its key does; whether
        it can be used, and denies nothing.
    touch : In(1)
        Tell the replacement policy that the entry ``slot`` is used.
    fill : In(1), fill_translation : In(translation_layout)
        Enter the translation of the key: into the entry ``slot`` if there is one ``present``, or
        else into the first invalid entry, or else into the policy's victim.
    drop : In(drop_layout)
        Entries to drop; the key must hold its address and PCID.
    """

    def __init__(self, config, entries=None, smallest=0):
        self._config = config
        self._entries = entries = config.entries if entries is None else entries
        self._smallest = smallest
        found = found_layout(entries)
        super().__init__({
            "offered": In(lookup_key_layout(config)),
            "inner": In(lookup_key_layout(config)),
            "inside": In(1),
            "needs": In(needs_layout(config)),
            "found": Out(found),
            "at_hand": In(found),
            "hit": Out(1),
            "present": Out(1),
            "slot": Out(range(entries)),
            "translation": Out(translation_layout(config)),
            "denied": Out(1),
            "key_denied": Out(1),
            "fine": Out(1),
            "touch": In(1),
            "fill": In(1),
            "fill_translation": In(translation_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        entries = self._entries
        m.submodules.tags = tags = L1Tags(self._config, entries, self._smallest)
        fill_slot = self._choose(m, tags)
        m.d.comb += [
            tags.key.eq(Mux(self.inside, self.inner, self.offered)),
            tags.needs.eq(self.needs),
            tags.fill.eq(self.fill),
            tags.fill_slot.eq(fill_slot),
            tags.filled.eq(self.fill_translation),
            tags.drop.eq(self.drop),
            *(self.found[name].eq(getattr(tags, name)) for name in self.found.shape().members),
        ]
        one = self.at_hand
        m.d.comb += [
            self.present.eq(one.match.any()),
            self.slot.eq(encode(one.match)),
            self.hit.eq((one.match & ~one.unusable).any()),
            self.denied.eq((one.match & one.denied).any()),
            self.key_denied.eq((one.match & one.key_denied).any()),
            self.fine.eq((one.match & one.fine).any()),
        ]

        # Two words at least: CXXRTL takes the address of a single one, which has no bits, from
        # beyond its object, and may find nothing there.
        m.submodules.translations = translations = memory.Memory(
            shape=translation_layout(self._config), depth=max(entries, 2), init=[])
        write_port = translations.write_port()
        read_port = translations.read_port(domain="comb")
        m.d.comb += [
            write_port.addr.eq(fill_slot),
            write_port.data.eq(self.fill_translation),
            write_port.en.eq(self.fill),
            read_port.addr.eq(self.slot),
            self.translation.eq(read_port.data),
        ]
        return m

    def _choose(self, m, tags):
        """Return the entry that a fill replaces, and keep the replacement policy up to date."""
        m.submodules.policy = policy = POLICIES[self._config.policy](self._entries)
        replaced, fill_slot = Signal(range(self._entries)), Signal(range(self._entries))
        m.d.sync += replaced.eq(Mux(tags.full, policy.victim, tags.vacant))
        touched, touched_slot = Signal(), Signal.like(self.slot, reset_less=True)
        m.d["comb" if self._config.has_miss_file else "sync"] += [
            touched.eq(self.touch), touched_slot.eq(self.slot)]
        m.d.comb += [
            fill_slot.eq(Mux(self.present, self.slot, replaced)),
            policy.touch.eq(touched | self.fill),
            policy.filled.eq(self.fill),
            policy.slot.eq(Mux(self.fill, fill_slot, touched_slot)),
        ]
        return fill_slot
