"""The decoder of paging-structure entries. [SDM tables 4-4 to 4-6 and 4-14 to 4-19]"""

from amaranth import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Entry, Leaf, lowest_bit
from .bitfield import field
from .shapes import MEMORY_TYPE_BITS, rights_layout

__all__ = ["EntryDecoder"]


class EntryDecoder(wiring.Component):
    """Tells what a paging-structure entry of a given level means. Combinational.

    Parameters
    ----------
    config : :class:`Config`
        Parameters of the MMU.

    Members
    -------
    entry : In
        The entry, as wide as the mode's entries.
    level : In
        Its level, an index into ``config.mode.levels``.
    pse, nxe : In(1)
        CR4.PSE (32-bit paging only) and IA32_EFER.NXE.
    present, reserved : Out(1)
        Whether P is set, and whether a bit is set that is reserved in this entry. All other
        outputs mean something only for an entry that is present and not reserved.
    leaf : Out(1)
        Whether the entry maps a page; otherwise it points to a table.
    pointer : Out(1)
        Whether the entry is present, not reserved, and no leaf; known sooner than these three.
    table : Out
        Frame number of the table that the entry points to, if it does.
    frame, page : Out
        Frame number of the page that the entry maps, if it does, with the bits below a large
        page's size zero, and the page's size as an index into ``config.mode.pages``.
    rights : Out(rights_layout)
        Rights of this entry alone; the key only means something in a leaf.
    accessed, dirty, global_page : Out(1)
        The flags A, D and G.
    memory_type : Out(MEMORY_TYPE_BITS)
        Index into the PAT: the bits PWT, PCD and PAT, lowest first. [SDM 4.9.2]
    """

    def __init__(self, config):
        self._config = config
        mode = config.mode
        super().__init__({
            "entry": In(8 * mode.entry_bytes),
            "level": In(range(len(mode.levels))),
            "pse": In(1),
            "nxe": In(1),
            "present": Out(1),
            "reserved": Out(1),
            "leaf": Out(1),
            "pointer": Out(1),
            "table": Out(config.root_bits),
            "frame": Out(config.pfn_bits),
            "page": Out(range(len(mode.pages))),
            "rights": Out(rights_layout()),
            "accessed": Out(1),
            "dirty": Out(1),
            "global_page": Out(1),
            "memory_type": Out(MEMORY_TYPE_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        entry, mode = self.entry, self._config.mode
        m.d.comb += [
            self.present.eq(field(entry, Entry.P)),
            self.rights.writable.eq(field(entry, Entry.RW)),
            self.rights.user.eq(field(entry, Entry.US)),
            self.accessed.eq(field(entry, Entry.A)),
            self.dirty.eq(field(entry, Entry.D)),
            self.global_page.eq(field(entry, Entry.G)),
            self.table.eq(entry[PAGE_SHIFT:]),
        ]
        if mode.has_execute_disable:
            m.d.comb += self.rights.execute_disable.eq(field(entry, Entry.XD))
        if mode.has_protection_keys:
            m.d.comb += self.rights.key.eq(field(entry, Entry.KEY))
        with m.Switch(self.level):
            for number, level in enumerate(mode.levels):
                with m.Case(number):
                    self._decode(m, level)
        return m

    def _decode(self, m, level):
        """Drive the outputs that depend on the level, for an entry of ``level``."""
        entry, mode = self.entry, self._config.mode
        large = level.shift > PAGE_SHIFT
        page_size = field(entry, Entry.PS) & (self.pse if mode.has_pse else 1)
        leaf = {Leaf.NEVER: Const(0), Leaf.IF_PS: page_size, Leaf.ALWAYS: Const(1)}[level.leaf]
        m.d.comb += [
            self.leaf.eq(leaf),
            self.reserved.eq(Cat(self._reserved(level, leaf)).any()),
            self.pointer.eq(self.present & ~leaf & ~Cat(self._reserved(level, Const(0))).any()),
        ]
        if level in mode.pages:
            m.d.comb += [
                self.frame.eq(self._frame(level)),
                self.page.eq(mode.pages.index(level)),
                self.memory_type.eq(Cat(
                    field(entry, Entry.PWT),
                    field(entry, Entry.PCD),
                    field(entry, Entry.PAT_LARGE if large else Entry.PAT))),
            ]

    def _reserved(self, level, leaf):
        """Return the bits that this level reserves, each masked with when it does."""
        entry, config, mode = self.entry, self._config, self._config.mode
        reserved = []
        if not mode.has_pse:
            reserved.append(entry[config.physical_bits:mode.max_paddr_bits])
        if mode.has_execute_disable:
            reserved.append(field(entry, Entry.XD) & ~self.nxe)
        if level.leaf is Leaf.NEVER:
            reserved.append(field(entry, Entry.PS))
        if level.shift > PAGE_SHIFT:
            # Between PAT and the address of a large page, but for what PSE-36 keeps there.
            above_entry = config.physical_bits - len(entry) if mode.has_pse else 0
            lowest = PSE36_LOW + above_entry
            reserved.append(leaf & entry[lowest:level.shift].any())
        return reserved

    def _frame(self, level):
        """Return the page frame number that a leaf of this level holds."""
        entry, config = self.entry, self._config
        zeros = Const(0, level.shift - PAGE_SHIFT)
        if not config.mode.has_pse or level.shift == PAGE_SHIFT:
            return Cat(zeros, entry[level.shift:config.physical_bits])
        above_entry = config.physical_bits - len(entry)
        return Cat(zeros, entry[level.shift:], entry[PSE36_LOW:PSE36_LOW + above_entry])


PSE36_LOW = lowest_bit(Entry.PAT_LARGE) + 1
"""Lowest entry bit of what a 4-Mbyte page adds to its 32-bit address. [SDM 4.3, table 4-4]

Address bits 32 and up stand in the entry from this bit on, as many as there are; the bits between
them and the address are reserved. In a large page of the other modes all of them are.
"""
