"""What a paging-structure entry says: leaf or table, addresses, reserved bits.

[SDM volume 3A, 4.3 and 4.5, tables 4-4 to 4-6 and 4-14 to 4-19]
"""

from dataclasses import dataclass

from ..x86 import Cr4, Efer, Leaf, Level, PagingMode
from .control import Control

__all__ = ["EntryFormat"]


@dataclass(frozen=True, slots=True)
class EntryFormat:
    """The format of entries under given control registers; ``paddr_bits`` is MAXPHYADDR."""

    mode: PagingMode
    control: Control
    paddr_bits: int

    def is_leaf(self, level: Level, entry: int) -> bool:
        """Return whether an entry maps a page. [SDM 4.3, table 4-3]

        Where a level may map large pages PS says so, but in 32-bit paging only with CR4.PSE.
        """
        if level.leaf is not Leaf.IF_PS:
            return level.leaf is Leaf.ALWAYS
        mode = self.mode
        return bool(entry & mode.flags.PS and (not mode.has_pse or self.control.cr4 & Cr4.PSE))

    def table_address(self, entry: int) -> int:
        """Return the address of the table that an entry, or CR3, points to."""
        mode = self.mode
        moves = mode.page_shift - mode.frame_shift
        top = min(self.paddr_bits - moves, 8 * mode.entry_bytes)
        return (entry & (1 << top) - (1 << mode.frame_shift)) << moves

    def page_address(self, level: Level, entry: int) -> int:
        """Return the address of the page that a leaf maps."""
        low = self.table_address(entry) & -level.page_bytes
        if level.shift > self.mode.page_shift and self.mode.has_pse:
            # PSE-36: bits 20:13 are physical-address bits 39:32. [SDM table 4-4]
            return low | (entry >> 13 & 0xFF) << 32
        return low

    def memory_type(self, level: Level, entry: int) -> int:
        """Return the index into the PAT that a leaf selects: PAT, PCD, PWT. [SDM 4.9.2]"""
        flags = self.mode.flags
        pat_bit = flags.PAT if level.shift == self.mode.page_shift else flags.PAT_LARGE
        return 4 * bool(entry & pat_bit) + 2 * bool(entry & flags.PCD) + bool(entry & flags.PWT)

    def is_reserved(self, level: Level, entry: int) -> bool:
        """Return whether a present entry has a reserved bit set. [SDM 4.3 and 4.5]"""
        mode, flags = self.mode, self.mode.flags
        large = level.shift > mode.page_shift and self.is_leaf(level, entry)
        if mode.has_pse:
            # Bits 21:(M-19) of a 4-Mbyte page, M the physical-address width up to 40.
            return large and bool(entry & _ones(21, self.paddr_bits - 19))
        moves = mode.page_shift - mode.frame_shift
        mask = _ones(mode.max_paddr_bits - 1 - moves, self.paddr_bits - moves)
        if not self.control.efer & Efer.NXE:
            mask |= flags.XD
        if level.leaf is Leaf.NEVER:
            mask |= flags.PS
        if large:
            mask |= _ones(level.shift - 1, 13)
        return bool(entry & mask)


def _ones(high: int, low: int) -> int:
    """Return a mask of bits ``high`` down to ``low``, none if ``low`` is above ``high``."""
    return (1 << (high + 1)) - (1 << low) if low <= high else 0
