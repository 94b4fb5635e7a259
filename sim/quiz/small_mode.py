"""Paging modes that are small enough for a blackboard: pages of 32 bytes, short entries.

They are data for the golden walk, as the modes of processors are. The first is the geometry of the
homework of "Operating Systems: Three Easy Pieces", chapter 20: 15 bits of virtual address, 128
pages of physical memory, entries of one byte.
"""

from dataclasses import replace

from ...model.mmu.control import Control
from ...model.x86 import Cr0, Entry, Leaf, Level, PagingMode

__all__ = ["ONE_LEVEL", "RIGHTS", "TWO_LEVELS", "small_control"]

PAGE_SHIFT = 5
PADDR_BITS = 12


class _NoFlags(Entry):
    """No bit at all: what an entry has is said by those derived from this."""

    P = RW = US = PWT = PCD = A = D = PS = PAT = G = PAT_LARGE = KEY = XD = 0


class _Valid(_NoFlags):
    """A valid bit; the seven bits below are a page number."""

    P = 1 << 7


class _Rights(_NoFlags):
    """A valid bit, a bit for writing, one for user mode; the seven lowest are a page number."""

    P = 1 << 15
    RW = 1 << 14
    US = 1 << 13


TWO_LEVELS = PagingMode(
    name="small",
    levels=(
        Level("PDE", "page directory", 10, 5, Leaf.NEVER),
        Level("PTE", "page table", 5, 5, Leaf.ALWAYS),
    ),
    entry_bytes=1,
    vaddr_bits=15,
    translated_bits=15,
    max_paddr_bits=PADDR_BITS,
    flags=_Valid,
    page_shift=PAGE_SHIFT,
    frame_shift=0,
)
"""5 bits of page directory, 5 of page table, 5 of offset; entries of a valid bit and a number."""

ONE_LEVEL = replace(TWO_LEVELS, levels=TWO_LEVELS.levels[1:], vaddr_bits=10, translated_bits=10)
"""One table of 32 entries, as those of ``TWO_LEVELS``."""

RIGHTS = replace(
    ONE_LEVEL, levels=(Level("PTE", "page table", 5, 4, Leaf.ALWAYS),), entry_bytes=2,
    vaddr_bits=9, translated_bits=9, flags=_Rights)
"""One table of 16 entries of two bytes, which also say who may do what."""


def small_control(page: int) -> Control:
    """Return the registers for a small mode whose root table is in page number ``page``.

    CR3 holds the number alone. Writes of the supervisor are not checked: CR0.WP is clear.
    """
    return Control(page, cr0=Cr0.PG, cr4=0, efer=0)
