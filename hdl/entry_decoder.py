"""Decoding of a paging-structure entry. [SDM tables 4-4 to 4-6 and 4-14 to 4-19]"""

from amaranth import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..model.x86 import PAGE_SHIFT, Leaf
from .shapes import rights_layout

__all__ = ["EntryDecoder"]


class EntryDecoder(wiring.Component):
    """What an entry of a given level says. Combinational.

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
        P is set; a bit is set that is reserved in this entry. The rest counts only if present and
        not reserved.
    leaf : Out(1)
        The entry maps a page.
    table : Out
        Frame number of the next table, if not a leaf.
    frame, page : Out
        Frame number of the page, with the bits below a large page's size zero, and its size as an
        index into ``config.mode.pages``, if a leaf.
    rights : Out(rights_layout)
        Rights of this entry alone; the key only means something in a leaf.
    accessed, dirty, global_page : Out(1)
        A, D and G.
    memory_type : Out(3)
        PWT, PCD and PAT, lowest first.
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
            "table": Out(config.root_bits),
            "frame": Out(config.pfn_bits),
            "page": Out(range(len(mode.pages))),
            "rights": Out(rights_layout()),
            "accessed": Out(1),
            "dirty": Out(1),
            "global_page": Out(1),
            "memory_type": Out(3),
        })

    def elaborate(self, platform):
        m = Module()
        entry, config = self.entry, self._config
        m.d.comb += [
            self.present.eq(entry[0]),
            self.rights.writable.eq(entry[1]),
            self.rights.user.eq(entry[2]),
            self.accessed.eq(entry[5]),
            self.dirty.eq(entry[6]),
            self.global_page.eq(entry[8]),
            self.table.eq(entry[PAGE_SHIFT:]),
        ]
        if config.has_long_entries:
            m.d.comb += [
                self.rights.execute_disable.eq(entry[63]),
                self.rights.key.eq(entry[59:63]),
            ]
        with m.Switch(self.level):
            for number, level in enumerate(config.mode.levels):
                with m.Case(number):
                    self._decode(m, level)
        return m

    def _decode(self, m, level):
        """Add what depends on the level: leaf or not, frame, memory type, reserved bits."""
        entry, config = self.entry, self._config
        paging_size = entry[7] if config.has_long_entries else entry[7] & self.pse
        large = level.shift > PAGE_SHIFT
        leaf = {Leaf.NEVER: Const(0), Leaf.IF_PS: paging_size, Leaf.ALWAYS: Const(1)}[level.leaf]
        m.d.comb += self.leaf.eq(leaf)
        if level in config.mode.pages:
            m.d.comb += [
                self.frame.eq(self._frame(level)),
                self.page.eq(config.mode.pages.index(level)),
                self.memory_type.eq(Cat(entry[3:5], entry[12] if large else entry[7])),
            ]
        reserved = []
        if config.has_long_entries:
            reserved += [entry[config.physical_bits:52].any(), entry[63] & ~self.nxe]
            if level.leaf is Leaf.NEVER:
                reserved.append(entry[7])
        if large:
            lowest = 13 if config.has_long_entries else config.physical_bits - 19
            reserved.append(leaf & entry[lowest:level.shift].any())
        m.d.comb += self.reserved.eq(Cat(reserved).any())

    def _frame(self, level):
        """Return the page frame number that a leaf of this level holds."""
        entry, config = self.entry, self._config
        zeros = Const(0, level.shift - PAGE_SHIFT)
        if config.has_long_entries or level.shift == PAGE_SHIFT:
            return Cat(zeros, entry[level.shift:config.physical_bits])
        # PSE-36: address bits 39:32 of a 4-Mbyte page stand in bits 20:13.
        return Cat(zeros, entry[level.shift:], entry[13:13 + config.physical_bits - 32])
