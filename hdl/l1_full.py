"""An L1 TLB that is fully associative: any page, of any size of the mode, in any entry."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .onehot import encode
from .permission import denials, needs_layout, sets_dirty
from .replacement import POLICIES
from .shapes import PCID_BITS, drop_layout, rights_layout, translation_layout

__all__ = ["FullL1", "found_layout", "lookup_key_layout"]


def lookup_key_layout(config):
    """Return what an L1 compares: page number and PCID; ``page`` is the size of a page to fill."""
    return data.StructLayout({
        "vpn": config.vpn_bits, "pcid": PCID_BITS, "page": range(len(config.mode.pages))})


def found_layout(entries):
    """Return what the first half of a lookup finds: one bit for each entry of each finding."""
    return data.StructLayout(
        dict.fromkeys(("match", "unusable", "denied", "key_denied"), entries))


class FullL1(wiring.Component):
    """Holds translations, and finds the one of a page number and PCID, and what it denies.

    What is compared, and the rights, are flip-flops: each entry is compared with the key, and asked
    what it denies, beside all others. The translations are in a distributed RAM. A lookup has two
    halves, so that who looks up may hold what lies between them in a register: ``found`` follows
    the key and ``needs``, and all that is known of the page follows ``at_hand``, both
    combinationally. ``fill``, ``drop`` and ``touch`` take effect at the end of the cycle. At most
    one entry matches any key, as a fill drops all entries that overlap the new page.

    Which entry a fill is to replace is chosen a cycle ahead: it takes account of all that happened
    up to the cycle before the last.

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
    denied : Out(1), key_denied : Out(1)
        Whether the entry that is ``present`` denies the access, and whether its key does.
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
            "touch": In(1),
            "fill": In(1),
            "fill_translation": In(translation_layout(config)),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        entries = self._entries
        tags = [Signal(self._tag_layout(), name=f"tag_{slot}") for slot in range(entries)]
        same_address = [Signal(name=f"same_address_{slot}") for slot in range(entries)]
        same_pcid = [Signal(name=f"same_pcid_{slot}") for slot in range(entries)]
        key = Signal.like(self.offered)
        m.d.comb += key.eq(Mux(self.inside, self.inner, self.offered))
        for slot, tag in enumerate(tags):
            m.d.comb += [
                same_address[slot].eq(self._same_address(tag, key)),
                same_pcid[slot].eq(tag.pcid == key.pcid),
                self.found.match[slot].eq(
                    tag.valid & same_address[slot] & (same_pcid[slot] | tag.global_page)),
            ]
        self._judge(m, tags)
        fill_slot = self._choose(m, tags)
        with m.If(self.fill | self.drop.valid):  # in most cycles nothing changes
            for slot, tag in enumerate(tags):
                self._update(m, tag, key, same_address[slot], same_pcid[slot],
                             fill=self.fill & (fill_slot == slot))

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

    def _judge(self, m, tags):
        """Find what each entry says of the access, and what the one that matches says of it."""
        found, needs, one = self.found, self.needs, self.at_hand
        for slot, tag in enumerate(tags):
            denied, key_denied = denials(needs, tag.rights)
            m.d.comb += [
                found.denied[slot].eq(denied),
                found.key_denied[slot].eq(key_denied),
                found.unusable[slot].eq(
                    (sets_dirty(needs) & ~tag.dirty) | (tag.rights.execute_disable & ~needs.nxe)),
            ]
        m.d.comb += [
            self.present.eq(one.match.any()),
            self.slot.eq(encode(one.match)),
            self.hit.eq((one.match & ~one.unusable).any()),
            self.denied.eq((one.match & one.denied).any()),
            self.key_denied.eq((one.match & one.key_denied).any()),
        ]

    def _choose(self, m, tags):
        """Return the entry that a fill replaces, and keep the replacement policy up to date."""
        entries = range(self._entries)
        m.submodules.policy = policy = POLICIES[self._config.policy](len(entries))
        vacant, replaced, fill_slot = Signal(entries), Signal(entries), Signal(entries)
        for slot in reversed(entries):
            with m.If(~tags[slot].valid):
                m.d.comb += vacant.eq(slot)
        m.d.sync += replaced.eq(Mux(Cat(tag.valid for tag in tags).all(), policy.victim, vacant))
        m.d.comb += [
            fill_slot.eq(Mux(self.present, self.slot, replaced)),
            policy.touch.eq(self.touch | self.fill),
            policy.filled.eq(self.fill),
            policy.slot.eq(Mux(self.fill, fill_slot, self.slot)),
        ]
        return fill_slot

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

    def _update(self, m, tag, key, same_address, same_pcid, *, fill):
        """Fill the entry of ``tag`` if ``fill``, or drop it if it must go."""
        filled, drop = self.fill_translation, self.drop
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
