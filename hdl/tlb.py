"""The first-level TLB: fully associative, for every page size of the mode."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT
from .replacement import POLICIES
from .shapes import drop_layout, translation_layout

__all__ = ["Tlb"]


class Tlb(wiring.Component):
    """Tags in flip-flops, compared all at once; translations in a distributed RAM.

    ``hit``, ``present`` and ``slot`` follow ``key`` combinationally, ``translation`` follows
    ``read_slot``. ``fill``, ``evict``, ``drop`` and ``touch`` take effect at the end of the cycle.
    At most one entry matches any key: a fill drops all entries that overlap the new page.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    key : In
        Page number and PCID to compare; ``page`` is the size of a page to fill, else 0.
    write : In(1)
        Only an entry with the dirty flag set can hit.
    hit : Out(1)
        An entry translates ``key``, and is dirty if ``write``.
    present : Out(1)
        An entry translates ``key``, dirty or not.
    slot : Out
        That entry.
    read_slot : In, translation : Out(translation_layout)
        An entry to read, and what it holds.
    touch, evict : In(1)
        Tell the replacement policy that ``read_slot`` is used; drop it.
    fill : In(1), fill_translation : In(translation_layout)
        Enter the translation of ``key``, in ``read_slot`` if ``reuse``, else in the first invalid
        entry, else in the policy's victim.
    reuse : In(1)
        See ``fill``.
    drop : In(drop_layout)
        Entries to drop; ``key`` must hold its address and PCID.
    """

    def __init__(self, config):
        self._config = config
        slots = range(config.entries)
        super().__init__({
            "key": In(data.StructLayout({
                "vpn": config.vpn_bits, "pcid": 12, "page": range(len(config.mode.pages))})),
            "write": In(1),
            "hit": Out(1),
            "present": Out(1),
            "slot": Out(slots),
            "read_slot": In(slots),
            "translation": Out(translation_layout(config)),
            "touch": In(1),
            "evict": In(1),
            "fill": In(1),
            "fill_translation": In(translation_layout(config)),
            "reuse": In(1),
            "drop": In(drop_layout(config)),
        })

    def elaborate(self, platform):
        m = Module()
        entries = self._config.entries
        valid = Signal(entries)
        matches = Signal(entries)
        dirty = Signal(entries)
        fill_slot = Signal(range(entries))
        for slot in range(entries):
            self._entry(m, slot, valid[slot], matches[slot], dirty[slot],
                        self.fill & (fill_slot == slot))

        m.submodules.policy = policy = POLICIES[self._config.policy](entries)
        vacant = Signal(range(entries))
        for slot in reversed(range(entries)):
            with m.If(~valid[slot]):
                m.d.comb += vacant.eq(slot)
        m.d.comb += [
            self.present.eq(matches.any()),
            self.hit.eq((matches & (dirty | (~self.write).replicate(entries))).any()),
            self.slot.eq(_encode(matches)),
            fill_slot.eq(Mux(self.reuse, self.read_slot,
                             Mux(valid.all(), policy.victim, vacant))),
            policy.touch.eq(self.touch | self.fill),
            policy.filled.eq(self.fill),
            policy.slot.eq(Mux(self.fill, fill_slot, self.read_slot)),
        ]

        m.submodules.translations = translations = memory.Memory(
            shape=translation_layout(self._config), depth=entries, init=[])
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

    def _entry(self, m, slot, valid, matches, dirty, fill):
        """Add the tag of one entry, its comparison and its updates."""
        config = self._config
        vpn = Signal(config.vpn_bits, name=f"vpn_{slot}")
        pcid = Signal(12, name=f"pcid_{slot}")
        page = Signal(range(len(config.mode.pages)), name=f"page_{slot}")
        global_page = Signal(name=f"global_{slot}")
        same_address = Signal(name=f"same_address_{slot}")
        same_pcid = Signal(name=f"same_pcid_{slot}")
        m.d.comb += [
            same_address.eq(Cat(self._same_parts(vpn, page)).all()),
            same_pcid.eq(pcid == self.key.pcid),
            matches.eq(valid & same_address & (same_pcid | global_page)),
        ]
        dropped = (
            self.drop.valid
            & (same_address | ~self.drop.by_address)
            & Mux(global_page, self.drop.globals, same_pcid | ~self.drop.by_pcid)
        )
        # A global page is found under every PCID, so it replaces the entries of them all.
        overlapped = self.fill & same_address & (
            same_pcid | global_page | self.fill_translation.global_page)
        with m.If(fill):
            m.d.sync += [
                valid.eq(1),
                vpn.eq(self.key.vpn),
                pcid.eq(self.key.pcid),
                page.eq(self.fill_translation.page),
                global_page.eq(self.fill_translation.global_page),
                dirty.eq(self.fill_translation.dirty),
            ]
        with m.Elif(dropped | overlapped | (self.evict & (self.read_slot == slot))):
            m.d.sync += valid.eq(0)

    def _same_parts(self, vpn, page):
        """Yield, for each part of the page number, whether it is the key's or need not be.

        The parts are cut at the page sizes; those below the larger of both pages do not count.
        """
        shifts = [level.shift - PAGE_SHIFT for level in self._config.mode.pages]
        for size, low in enumerate(shifts):
            high = shifts[size + 1] if size + 1 < len(shifts) else self._config.vpn_bits
            covered = (page > size) | (self.key.page > size)
            yield (vpn[low:high] == self.key.vpn[low:high]) | covered


def _encode(one_hot):
    """Return the position of the set bit of a vector that has at most one."""
    width = (len(one_hot) - 1).bit_length()
    return Cat(
        Cat(one_hot[slot] for slot in range(len(one_hot)) if slot >> bit & 1).any()
        for bit in range(width)
    )
