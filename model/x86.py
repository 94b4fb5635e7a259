"""x86 paging as data: modes, levels, entry bits, control registers, error codes.

Facts only, shared by the golden model and the hardware; what follows from them is decided twice,
independently, in ``model/mmu/walk.py`` and in ``hdl/``. Source: Intel SDM volume 3A, chapter 2
(control registers), chapter 4 (paging) and chapter 6 (exception vectors).

Register and entry bits are plain ints under a class as name, not ``enum.IntFlag``: the walk tests
them millions of times, and flag arithmetic is about ten times slower.
"""

import enum
from dataclasses import dataclass, replace

__all__ = [
    "IA32",
    "LA57",
    "MODES",
    "PAGE_BYTES",
    "PAGE_SHIFT",
    "X86_64",
    "AccessKind",
    "Cr0",
    "Cr3",
    "Cr4",
    "Efer",
    "Entry",
    "ErrorCode",
    "InvalidateOp",
    "Leaf",
    "Level",
    "PagingMode",
    "Purpose",
    "Vector",
    "lowest_bit",
    "selected_mode",
]

PAGE_SHIFT = 12
"""log2 of the bytes of a page frame: every paging structure is one 4-Kbyte frame."""

PAGE_BYTES = 1 << PAGE_SHIFT
"""Bytes of a page frame."""


def lowest_bit(mask: int) -> int:
    """Return the position of the lowest bit that is set in ``mask``, where a field begins."""
    return (mask & -mask).bit_length() - 1


class AccessKind(enum.IntEnum):
    """What an access does at its linear address."""

    READ = 0
    WRITE = 1
    FETCH = 2


class Purpose(enum.IntEnum):
    """What a translation is wanted for, beside the access itself; no term of the SDM.

    ``CHECK`` is an access that does not take place yet: it faults as the access would, and sets A,
    but no D; a write of it is what the 386 calls a write check. ``PROBE`` and ``LOOKUP`` have no
    effect at all: no flag is set, and where the access would fault the answer is that there is
    nothing. ``LOOKUP`` makes do with what the TLB at hand holds.
    """

    ACCESS = 0
    CHECK = 1
    PROBE = 2
    LOOKUP = 3


class Cr0:
    """CR0 bits that paging looks at, and those that MOV checks. [SDM 2.5]"""

    PE = 1 << 0
    WP = 1 << 16
    NW = 1 << 29
    CD = 1 << 30
    PG = 1 << 31


class Cr3:
    """CR3 fields beside the root frame. [SDM 4.5, table 4-12; 4.10.4.1]"""

    PCID = 0xFFF
    NO_FLUSH = 1 << 63


class Cr4:
    """CR4 bits that paging looks at. [SDM 2.5]"""

    PSE = 1 << 4
    PAE = 1 << 5
    PGE = 1 << 7
    LA57 = 1 << 12
    PCIDE = 1 << 17
    SMEP = 1 << 20
    SMAP = 1 << 21
    PKE = 1 << 22


class Efer:
    """IA32_EFER bits that paging looks at. [SDM 2.2.1]"""

    LME = 1 << 8
    LMA = 1 << 10
    NXE = 1 << 11


class Entry:
    """Bits of a paging-structure entry. [SDM tables 4-4 to 4-6 and 4-14 to 4-19]

    ``PS`` and ``PAT`` are one bit: PS in an entry that may map a large page, PAT in a PTE; the PAT
    bit of a large page is ``PAT_LARGE``. ``KEY`` is the protection key of a leaf in the modes that
    have protection keys.
    """

    P = 1 << 0
    RW = 1 << 1
    US = 1 << 2
    PWT = 1 << 3
    PCD = 1 << 4
    A = 1 << 5
    D = 1 << 6
    PS = 1 << 7
    PAT = 1 << 7
    G = 1 << 8
    PAT_LARGE = 1 << 12
    KEY = 0xF << 59
    XD = 1 << 63


class ErrorCode(enum.IntFlag):
    """Bits of the page-fault error code. [SDM 4.7, figure 4-12]"""

    P = 1 << 0
    WR = 1 << 1
    US = 1 << 2
    RSVD = 1 << 3
    ID = 1 << 4
    PK = 1 << 5


class Vector(enum.IntEnum):
    """Exception vectors that a translation can end in. [SDM 6.3.1, table 6-1]"""

    SS = 12
    GP = 13
    PF = 14
    MC = 18


class InvalidateOp(enum.IntEnum):
    """Operations that invalidate cached translations. [SDM 4.10.4.1]

    The four ``INVPCID`` types are in the order of the instruction's type operand.
    """

    INVPCID_ADDRESS = 0
    INVPCID_CONTEXT = 1
    INVPCID_ALL = 2
    INVPCID_ALL_NON_GLOBAL = 3
    INVLPG = 4
    MOV_CR3 = 5
    MOV_CR4 = 6
    MOV_CR0 = 7


class Leaf(enum.Enum):
    """When an entry of a level maps a page instead of pointing at a table."""

    NEVER = "never"
    IF_PS = "if PS"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a paging hierarchy.

    ``shift`` is the lowest linear-address bit of the level's index, and so log2 of the bytes that
    one entry maps; the index has ``index_bits`` bits.
    """

    name: str
    table: str
    shift: int
    index_bits: int
    leaf: Leaf

    @property
    def page_bytes(self) -> int:
        """Bytes mapped by one entry of this level."""
        return 1 << self.shift


@dataclass(frozen=True, slots=True)
class PagingMode:
    """A paging mode: levels from the root down, and the widths that go with it.

    ``vaddr_bits`` is the width of a linear address, of which paging translates
    ``translated_bits``; where it is narrower, the rest must be its sign extension (canonical).
    ``max_paddr_bits`` is the widest physical address that entries of this mode can hold.

    The rest differs only in geometries made up for teaching. ``flags`` is where the bits of an
    entry are: 0 for one that entries do not have, which never forbids, and which a walk never sets.
    ``page_shift`` is log2 of the bytes of the smallest page; ``frame_shift`` where the frame number
    begins in an entry and in CR3, in x86 at the same bit as in an address.
    """

    name: str
    levels: tuple[Level, ...]
    entry_bytes: int
    vaddr_bits: int
    translated_bits: int
    max_paddr_bits: int
    flags: type[Entry] = Entry
    page_shift: int = PAGE_SHIFT
    frame_shift: int = PAGE_SHIFT

    @property
    def pages(self) -> tuple[Level, ...]:
        """Levels that can map a page, smallest page first; a page size is an index into this."""
        return tuple(level for level in reversed(self.levels) if level.leaf is not Leaf.NEVER)

    @property
    def has_execute_disable(self) -> bool:
        """Whether entries have the XD bit: those of 64 bits do. [SDM 4.6.1]"""
        return self.entry_bytes == 8

    @property
    def has_pse(self) -> bool:
        """Whether CR4.PSE decides if there are large pages, which then are PSE-36. [SDM 4.3]

        The modes with entries of 64 bits have large pages whatever CR4.PSE is.
        """
        return self.entry_bytes == 4

    @property
    def has_pcids(self) -> bool:
        """Whether CR4.PCIDE may be set: in IA-32e mode, with 64-bit addresses. [SDM 4.10.1]"""
        return self.vaddr_bits == 64

    @property
    def has_protection_keys(self) -> bool:
        """Whether leaf entries hold a protection key: 4-level and 5-level paging. [SDM 4.6.2]"""
        return self.vaddr_bits == 64

    def without_1g_pages(self) -> "PagingMode":
        """Return this mode on a processor without 1-Gbyte pages, where PS is reserved in a PDPTE.

        [SDM 4.1.4, CPUID.80000001H:EDX.Page1GB]
        """
        levels = (replace(level, leaf=Leaf.NEVER) if level.page_bytes == 1 << 30 else level
                  for level in self.levels)
        return replace(self, levels=tuple(levels))


IA32 = PagingMode(
    name="ia32",
    levels=(
        Level("PDE", "page directory", 22, 10, Leaf.IF_PS),
        Level("PTE", "page table", 12, 10, Leaf.ALWAYS),
    ),
    entry_bytes=4,
    vaddr_bits=32,
    translated_bits=32,
    max_paddr_bits=40,
)
"""32-bit paging with 4-Kbyte and (CR4.PSE) 4-Mbyte pages, PSE-36 included. [SDM 4.3]"""

X86_64 = PagingMode(
    name="x86_64",
    levels=(
        Level("PML4E", "PML4 table", 39, 9, Leaf.NEVER),
        Level("PDPTE", "page-directory-pointer table", 30, 9, Leaf.IF_PS),
        Level("PDE", "page directory", 21, 9, Leaf.IF_PS),
        Level("PTE", "page table", 12, 9, Leaf.ALWAYS),
    ),
    entry_bytes=8,
    vaddr_bits=64,
    translated_bits=48,
    max_paddr_bits=52,
)
"""4-level paging with 4-Kbyte, 2-Mbyte and 1-Gbyte pages. [SDM 4.5]"""

LA57 = replace(
    X86_64,
    name="la57",
    levels=(Level("PML5E", "PML5 table", 48, 9, Leaf.NEVER), *X86_64.levels),
    translated_bits=57,
)
"""5-level paging, 4-level paging with one more level above. [SDM 4.5]"""

MODES = {mode.name: mode for mode in (IA32, X86_64, LA57)}
"""Every paging mode, by name."""


def selected_mode(cr4: int, efer: int) -> PagingMode | None:
    """Return the paging mode that CR4 and IA32_EFER select once CR0.PG is set. [SDM 4.1.1]

    Return None for PAE paging, which is none of ``MODES``.
    """
    if efer & Efer.LMA:
        return LA57 if cr4 & Cr4.LA57 else X86_64
    return None if cr4 & Cr4.PAE else IA32
