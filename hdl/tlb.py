"""The TLB of a request port: fully associative, for every page size of the mode."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .onehot import encode
from .replacement import POLICIES
from .shapes import PCID_BITS, drop_layout, translation_layout

__all__ = ["Tlb"]


class Tlb(wiring.Component):
    """Holds translations, and finds the one of a page number and PCID.

    The tags are flip-flops, all compared at once; the translations are in a distributed RAM.
    ``hit``, ``present`` and ``slot`` follow ``key`` combinationally, ``translation`` follows
    ``read_slot``. ``fill``, ``drop`` and ``touch`` take effect at the end of the cycle. At most one
    entry matches any key, as a fill drops all entries that overlap the new page.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    key : In
        Page number and PCID to compare; ``page`` is the size of a page to fill, else 0.
    write : In(1)
        Whether the access writes, so that only an entry with the dirty flag set can hit.
    hit : Out(1)
        Whether an entry translates ``key``, and is dirty if ``write``.
    present : Out(1)
        Whether an entry translates ``key``, dirty or not.
    slot : Out
        Number of the entry that is ``present``.
    read_slot : In, translation : Out(translation_layout)
        Number of an entry to read, and the translation that it holds.
    touch : In(1)
        Tell the replacement policy that the entry ``read_slot`` is used.
    fill : In(1), fill_translation : In(translation_layout), reuse : In(1)
        Enter the translation of ``key``: into the entry ``read_slot`` if ``reuse``, or else into
        the first invalid entry, or else into the policy's victim.
    drop : In(drop_layout)
        Entries to drop; ``key`` must hold its address and PCID.
    """

    def __init__(self, config):
        self._config = config
        slots = range(config.entries)
        super().__init__({
            "key": In(data.StructLayout({
                "vpn": config.vpn_bits, "pcid": PCID_BITS, "page": range(len(config.mode.pages))})),
            "write": In(1),
            "hit": Out(1),
            "present": Out(1),
            "slot": Out(slots),
            "read_slot": In(slots),
            "translation": Out(translation_layout(config)),
            "touch": In(1),
            "fill": In(1),
            "fill_translation": In(translation_layout(config)),
            "reuse": In(1),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        entries = self._config.entries
        tags = [Signal(self._tag_layout(), name=f"tag_{slot}") for slot in range(entries)]
        same_address, same_pcid, matches = (Signal(entries) for _ in range(3))
        dirty, valid = (Cat(tag[name] for tag in tags) for name in ("dirty", "valid"))
        fill_slot = Signal(range(entries))
        m.d.comb += [
            same_address.eq(Cat(self._same_address(tag) for tag in tags)),
            same_pcid.eq(Cat(tag.pcid == self.key.pcid for tag in tags)),
            matches.eq(valid & same_address & (same_pcid | Cat(tag.global_page for tag in tags))),
            self.present.eq(matches.any()),
            self.hit.eq(Mux(self.write, matches & dirty, matches).any()),
            self.slot.eq(encode(matches)),
        ]
        with m.If(self.fill | self.drop.valid):  # in most cycles nothing changes
            for slot, tag in enumerate(tags):
                self._update(m, tag, same_address[slot], same_pcid[slot],
                             fill=self.fill & (fill_slot == slot))

        m.submodules.policy = policy = POLICIES[self._config.policy](entries)
        vacant = Signal(range(entries))
        for slot in reversed(range(entries)):
            with m.If(~tags[slot].valid):
                m.d.comb += vacant.eq(slot)
        m.d.comb += [
            fill_slot.eq(
                Mux(self.reuse, self.read_slot, Mux(valid.all(), policy.victim, vacant))),
            policy.touch.eq(self.touch | self.fill),
            policy.filled.eq(self.fill),
            policy.slot.eq(Mux(self.fill, fill_slot, self.read_slot)),
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
            read_port.addr.eq(self.read_slot),
            self.translation.eq(read_port.data),
        ]
        return m

    def _tag_layout(self):
        """Return the part of an entry that is compared; the rest of it is in the RAM."""
        return data.StructLayout({
            "valid": 1,
            "vpn": self._config.vpn_bits,
            "pcid": PCID_BITS,
            "page": range(len(self._config.mode.pages)),
            "global_page": 1,
            "dirty": 1,
        })

    def _same_address(self, tag):
        """Return whether the page of ``tag`` and the page of the key overlap.

        Pages are aligned to their size, so two overlap if the larger holds the smaller. Page
        numbers are compared in parts, cut at the page sizes; the parts below the size of the larger
        page do not count.
        """
        shifts = [level.shift - PAGE_SHIFT for level in self._config.mode.pages]
        shifts.append(self._config.vpn_bits)
        return Cat(
            (tag.vpn[low:high] == self.key.vpn[low:high])
            | (tag.page > size) | (self.key.page > size)
            for size, (low, high) in enumerate(pairwise(shifts))
        ).all()

    def _update(self, m, tag, same_address, same_pcid, *, fill):
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
                tag.vpn.eq(self.key.vpn),
                tag.pcid.eq(self.key.pcid),
                tag.page.eq(filled.page),
                tag.global_page.eq(filled.global_page),
                tag.dirty.eq(filled.dirty),
            ]
        with m.Elif(dropped | overlapped):
            m.d.sync += tag.valid.eq(0)
