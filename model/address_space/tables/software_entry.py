"""Linux's own use of paging-structure entries that the hardware takes for not present.

The processor looks at no bit of an entry whose P is clear, so the kernel keeps there where a page
went (a swap entry), or a page that nobody may touch for now (PROT_NONE). [include/linux/swapops.h,
swap.h; arch/x86/include/asm/pgtable_64.h, pgtable-2level.h, pgtable-invert.h]
"""

import enum
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...x86 import PAGE_SHIFT, Entry

__all__ = ["AMD64_ENTRIES", "I686_ENTRIES", "PFN_KINDS", "PROTNONE", "EntryArrays", "EntryError",
           "EntryFlag", "EntryKind", "SoftwareFormat", "SwapPte"]

TYPE_BITS = 5  # MAX_SWAPFILES_SHIFT, and SWP_TYPE_BITS of both kernels
PROTNONE = Entry.G  # _PAGE_PROTNONE: what G means without P


class EntryError(ValueError):
    """A value that an entry cannot hold, or an entry that is not of the kind asked for."""


class EntryKind(enum.IntEnum):
    """What an entry is for the kernel.

    From ``HWPOISON`` on they are swap entries whose type is not that of a swap device, but says
    what happened to the page.
    """

    NONE = 0
    PRESENT = 1
    PROT_NONE = 2
    SWAP = 3
    HWPOISON = 4
    MIGRATION_READ = 5
    MIGRATION_READ_EXCLUSIVE = 6
    MIGRATION_WRITE = 7
    PTE_MARKER = 8
    SWAPIN_ERROR = 9


class EntryFlag(enum.IntFlag):
    """What a swap entry keeps of the entry that mapped the page."""

    SOFT_DIRTY = 1
    UFFD_WP = 2
    EXCLUSIVE = 4


NO_FLAGS = EntryFlag(0)
PFN_KINDS = (EntryKind.HWPOISON, EntryKind.MIGRATION_READ, EntryKind.MIGRATION_READ_EXCLUSIVE,
             EntryKind.MIGRATION_WRITE)


@dataclass(frozen=True, slots=True)
class SwapPte:
    """A swap type and an offset: the slot of a swap device, or for other kinds a page frame."""

    type: int
    offset: int
    flags: EntryFlag = NO_FLAGS


@dataclass(frozen=True, slots=True)
class EntryArrays:
    """N entries decoded together; each array has the shape (N,).

    ``kind`` (uint8) holds values of ``EntryKind``. ``type`` (uint8), ``offset`` (uint64) and
    ``flags`` (uint8, ``EntryFlag``) are those of swap entries of any kind, and 0 elsewhere; ``pfn``
    (uint64) that of present and PROT_NONE entries, and of swap entries whose offset is a frame.
    """

    kind: NDArray[np.uint8]
    type: NDArray[np.uint8]
    offset: NDArray[np.uint64]
    flags: NDArray[np.uint8]
    pfn: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class SoftwareFormat:
    """How one kernel encodes software entries.

    Parameters
    ----------
    bits
        Width of an entry.
    type_shift, offset_shift, offset_bits
        Where a swap entry holds its type, of 5 bits, and its offset.
    inverted
        Whether offsets, and page frames of PROT_NONE entries, are stored with every bit flipped,
        so that a processor that speculates on them (L1TF) meets no memory.
    pfn_bits
        Bits of the page frame in an entry, from bit 12 up.
    swap_pfn_bits
        Bits of the page frame in an offset; what is above says whether it was accessed and dirty.
    flag_bits
        The bit of each ``EntryFlag`` that this kernel keeps in swap entries.
    ignored
        Bits that a processor may have set in an empty entry. [_PAGE_KNL_ERRATUM_MASK]
    kinds
        What the highest swap types mean, the last of them being type 31.
    """

    bits: int
    type_shift: int
    offset_shift: int
    offset_bits: int
    inverted: bool
    pfn_bits: int
    swap_pfn_bits: int
    flag_bits: tuple[tuple[EntryFlag, int], ...]
    ignored: int
    kinds: tuple[EntryKind, ...]

    @property
    def max_swapfiles(self) -> int:
        """How many swap types are devices, MAX_SWAPFILES."""
        return (1 << TYPE_BITS) - len(self.kinds)

    def type_of(self, kind: EntryKind) -> int:
        """Return the swap type that stands for a kind; raise ``EntryError`` if none does."""
        if kind not in self.kinds:
            raise EntryError(f"No swap type means {kind.name}")
        return self.max_swapfiles + self.kinds.index(kind)

    def kind(self, entry: int, shift: int = PAGE_SHIFT) -> EntryKind:
        """Return what an entry is. [pte_none, pte_present, pmd_present, non_swap_entry]

        ``shift`` is log2 of the bytes that an entry of its level maps. In one that can map a large
        page, PS alone makes it present: a huge page that is being split has no P for a moment.
        """
        if not entry & ~self.ignored:
            return EntryKind.NONE
        if entry & Entry.P:
            return EntryKind.PRESENT
        if entry & PROTNONE or (shift > PAGE_SHIFT and entry & Entry.PS):
            return EntryKind.PROT_NONE
        special = self._field(entry, self.type_shift, TYPE_BITS) - self.max_swapfiles
        return self.kinds[special] if special >= 0 else EntryKind.SWAP

    def encode_swap(self, entry: SwapPte) -> int:
        """Return the entry that holds a type and an offset; raise ``EntryError``. [__swp_entry]"""
        if not 0 <= entry.type < 1 << TYPE_BITS:
            raise EntryError(f"Swap type must be 0 to {(1 << TYPE_BITS) - 1}, not {entry.type}")
        if not 0 <= entry.offset < 1 << self.offset_bits:
            raise EntryError(f"Swap offset must have at most {self.offset_bits} bits, "
                             f"not be {entry.offset:#x}")
        mask = (1 << self.offset_bits) - 1 if self.inverted else 0
        value = entry.type << self.type_shift | (entry.offset ^ mask) << self.offset_shift
        kept = dict(self.flag_bits)
        for flag in entry.flags:
            if flag not in kept:
                raise EntryError(f"A swap entry of {self.bits} bits cannot hold {flag.name}")
            value |= kept[flag]
        return value

    def decode_swap(self, entry: int) -> SwapPte:
        """Return type, offset and flags of a swap entry of any kind; raise ``EntryError``.

        [pte_to_swp_entry, __swp_type, __swp_offset]
        """
        kind = self.kind(entry)
        if kind < EntryKind.SWAP:
            raise EntryError(f"Entry {entry:#x} is {kind.name}, not a swap entry")
        mask = (1 << self.offset_bits) - 1 if self.inverted else 0
        flags = NO_FLAGS
        for flag, bit in self.flag_bits:
            flags |= flag if entry & bit else NO_FLAGS
        return SwapPte(self._field(entry, self.type_shift, TYPE_BITS),
                         self._field(entry, self.offset_shift, self.offset_bits) ^ mask, flags)

    def encode_prot_none(self, pfn: int, flags: int = Entry.A, shift: int = PAGE_SHIFT) -> int:
        """Return the entry of a page that nobody may access; raise ``EntryError``.

        ``flags`` are other bits of the entry, PS of a large page among them, and ``shift`` is log2
        of the bytes of the page, which its frame must be aligned to. [pfn_pte, pfn_pmd, PAGE_NONE]
        """
        if pfn << PAGE_SHIFT & ~self._frame_mask(shift):
            raise EntryError(f"Page frame must have at most {self.pfn_bits} bits and be aligned to "
                             f"{1 << shift} bytes, not be {pfn:#x}")
        frame = self._flip(pfn << PAGE_SHIFT) & self._frame_mask(shift)
        return frame | flags & ~Entry.P | PROTNONE

    def pfn(self, entry: int, shift: int = PAGE_SHIFT) -> int:
        """Return the page frame of an entry that has one.

        Such are present and PROT_NONE entries, and swap entries whose offset is a page frame
        (``PFN_KINDS``). Raise ``EntryError`` for any other. [pte_pfn, pmd_pfn, swp_offset_pfn]
        """
        kind = self.kind(entry, shift)
        if kind in PFN_KINDS:
            return self.decode_swap(entry).offset & (1 << self.swap_pfn_bits) - 1
        if kind not in (EntryKind.PRESENT, EntryKind.PROT_NONE):
            raise EntryError(f"Entry {entry:#x} is {kind.name} and has no page frame")
        value = self._flip(entry) if kind is EntryKind.PROT_NONE else entry
        return (value & self._frame_mask(shift)) >> PAGE_SHIFT

    def decode(self, entries: NDArray[np.unsignedinteger], shift: int = PAGE_SHIFT) -> EntryArrays:
        """Decode entries (N,) of one level as ``kind``, ``decode_swap`` and ``pfn`` do."""
        raw = entries.astype(np.uint64)
        types = (raw >> np.uint64(self.type_shift) & np.uint64(31)).astype(np.uint8)
        kind = np.full(len(raw), EntryKind.SWAP, np.uint8)
        for number, special in enumerate(self.kinds, self.max_swapfiles):
            kind[types == number] = special
        held = PROTNONE | (Entry.PS if shift > PAGE_SHIFT else 0)
        kind[(raw & np.uint64(held)) != 0] = EntryKind.PROT_NONE
        kind[(raw & np.uint64(Entry.P)) != 0] = EntryKind.PRESENT
        kind[(raw & np.uint64(~self.ignored & (1 << 64) - 1)) == 0] = EntryKind.NONE
        swap = kind >= EntryKind.SWAP
        mask = np.uint64((1 << self.offset_bits) - 1)
        flip = mask if self.inverted else np.uint64(0)
        offset = np.where(swap, raw >> np.uint64(self.offset_shift) & mask ^ flip, np.uint64(0))
        flags = np.zeros(len(raw), np.uint8)
        for flag, bit in self.flag_bits:
            flags |= np.where(swap & ((raw & np.uint64(bit)) != 0), np.uint8(flag), np.uint8(0))
        return EntryArrays(kind, np.where(swap, types, np.uint8(0)), offset, flags,
                           self._pfns(raw, kind, offset, shift))

    def _pfns(self, raw: NDArray[np.uint64], kind: NDArray[np.uint8],
              offset: NDArray[np.uint64], shift: int) -> NDArray[np.uint64]:
        value = np.where((kind == EntryKind.PROT_NONE) & self.inverted, ~raw, raw)
        pfn = (value & np.uint64(self._frame_mask(shift))) >> np.uint64(PAGE_SHIFT)
        pfn[~np.isin(kind, (EntryKind.PRESENT, EntryKind.PROT_NONE))] = 0
        of_swap = np.isin(kind, PFN_KINDS)
        pfn[of_swap] = offset[of_swap] & np.uint64((1 << self.swap_pfn_bits) - 1)
        return pfn

    def _flip(self, entry: int) -> int:
        """Return a PROT_NONE entry with its page frame's bits flipped, if this kernel flips them.

        [protnone_mask]
        """
        return entry ^ self._frame_mask(PAGE_SHIFT) if self.inverted else entry

    def _frame_mask(self, shift: int) -> int:
        """Return the bits of an entry that hold the frame of a page of ``1 << shift`` bytes."""
        return (1 << PAGE_SHIFT + self.pfn_bits) - (1 << shift)

    @staticmethod
    def _field(entry: int, shift: int, bits: int) -> int:
        return entry >> shift & (1 << bits) - 1


AMD64_ENTRIES = SoftwareFormat(
    bits=64,
    type_shift=59,
    offset_shift=9,
    offset_bits=50,
    inverted=True,
    pfn_bits=52 - PAGE_SHIFT,
    swap_pfn_bits=46 - PAGE_SHIFT,
    flag_bits=((EntryFlag.SOFT_DIRTY, Entry.RW), (EntryFlag.UFFD_WP, Entry.US),
               (EntryFlag.EXCLUSIVE, Entry.PWT)),
    ignored=Entry.A | Entry.D,
    kinds=(EntryKind.HWPOISON, EntryKind.MIGRATION_READ, EntryKind.MIGRATION_READ_EXCLUSIVE,
           EntryKind.MIGRATION_WRITE, EntryKind.PTE_MARKER, EntryKind.SWAPIN_ERROR),
)
"""Debian's 6.1 for amd64: 26 swap devices (no CONFIG_DEVICE_PRIVATE)."""

I686_ENTRIES = replace(
    AMD64_ENTRIES,
    bits=32,
    type_shift=1,
    offset_bits=32 - 9,
    inverted=False,
    pfn_bits=32 - PAGE_SHIFT,
    swap_pfn_bits=32 - PAGE_SHIFT,
    flag_bits=(),
    ignored=0,
    kinds=tuple(kind for kind in AMD64_ENTRIES.kinds if kind is not EntryKind.PTE_MARKER),
)
"""Debian's 6.1 for i686 without PAE: 27 swap devices (no CONFIG_PTE_MARKER), no flags kept."""
