"""The rules of paging as masks, so that a whole array of entries is judged in a few operations.

What an access asks of the entries depends only on its own flags and the control registers, 16
bits together. A combination of these bits is a *class* of accesses, and ``AccessRules`` holds the
answers for all classes. What an entry must look like depends only on its level: ``LevelRules``.
Section numbers are those of Intel SDM volume 3A, as in ``walk.py``, whose decisions these are.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..x86 import (
    PAGE_SHIFT,
    AccessKind,
    Cr0,
    Cr4,
    Efer,
    Entry,
    ErrorCode,
    Leaf,
    PagingMode,
    Purpose,
    Vector,
    lowest_bit,
)

__all__ = ["ACCESS_BITS", "REGISTER_BITS", "AccessRules", "LevelRules", "access_rules",
           "level_rules", "paddr_mask"]

ACCESS_BITS = {"kind": {1: 0, 2: 1}, "user": {1: 2}, "implicit": {1: 3}, "ac": {1: 4},
               "stack": {1: 5}, "purpose": {1: 14, 2: 15}}
REGISTER_BITS = {
    "cr0": {Cr0.PG: 6, Cr0.WP: 7},
    "cr4": {Cr4.PSE: 8, Cr4.PAE: 9, Cr4.SMEP: 10, Cr4.SMAP: 11, Cr4.PKE: 12},
    "efer": {Efer.NXE: 13},
}
"""How the number of a class is made up: for each field of an access, and each register, which bit
of it (as a mask) becomes which bit of the number (as a position)."""

CLASS_COUNT = 1 << 16

Bools = NDArray[np.bool_]
Words = NDArray[np.uint64]


class AccessRules:
    """What each class of accesses asks of entries: arrays of shape (classes,).

    Rights are the AND over all levels of R/W, U/S and, bit 63 being inverted, of *not* XD.
    [SDM 4.6.1]

    Members
    -------
    paging
        Whether CR0.PG is set. This, ``reserved`` and ``large`` depend on the registers alone.
    not_canonical
        The vector of an access whose address is not canonical.
    reserved
        Bits of every entry that are reserved for want of EFER.NXE. [SDM 4.5]
    large
        PS where it makes a leaf of an entry that may be one, or 0. [SDM 4.3, table 4-3]
    care, want
        The bits of the rights that matter, and the values that they must have for the access to
        be permitted. [SDM 4.6.1]
    key
        Which of the two bits that PKRU has for a key (AD is 1, WD is 2) block the access.
        [SDM 4.6.2]
    passed, used
        Flags set in the entries above the leaf, and in the leaf. [SDM 4.8]
    error
        Bits of the error code that tell of the access alone. [SDM 4.7]
    """

    def __init__(self, mode: PagingMode) -> None:
        number = np.arange(CLASS_COUNT)
        bits = {(name, bit): number >> place & 1 == 1
                for name, places in (ACCESS_BITS | REGISTER_BITS).items()
                for bit, place in places.items()}
        user, implicit, ac, stack = (bits[name, 1] for name in ("user", "implicit", "ac", "stack"))
        wp, nxe = bits["cr0", Cr0.WP], bits["efer", Efer.NXE]
        pse, pae, pke = (bits["cr4", bit] for bit in (Cr4.PSE, Cr4.PAE, Cr4.PKE))
        smep, smap = bits["cr4", Cr4.SMEP], bits["cr4", Cr4.SMAP]
        write, fetch = (number & 3 == kind for kind in (AccessKind.WRITE, AccessKind.FETCH))
        as_user = user & ~implicit

        self.paging = bits["cr0", Cr0.PG]
        self.not_canonical = np.where(stack, Vector.SS, Vector.GP).astype(np.uint8)
        self.reserved = _mask(Entry.XD, ~nxe & mode.has_execute_disable)
        self.large = _mask(Entry.PS, pse | (not mode.has_pse))
        # A supervisor access must not meet a user-mode page if SMEP or SMAP stands against it.
        no_user_page = ~as_user & np.where(fetch, smep, smap & (implicit | ~ac))
        must = (_mask(Entry.RW, write & (as_user | wp)) | _mask(Entry.US, as_user)
                | _mask(Entry.XD, fetch))
        self.care = must | _mask(Entry.US, no_user_page)
        self.want = must
        keyed = pke & ~fetch & mode.has_protection_keys
        self.key = _mask(1, keyed) | _mask(2, keyed & write & (as_user | wp))
        quiet, takes_place = (number >> 14) & 2 != 0, number >> 14 == Purpose.ACCESS
        self.passed: Words = _mask(Entry.A, ~quiet)
        self.used: Words = self.passed | _mask(Entry.D, write & takes_place)
        self.error = (ErrorCode.WR * write + ErrorCode.US * as_user
                      + ErrorCode.ID * (fetch & (smep | pae & nxe))).astype(np.uint16)


@cache
def access_rules(mode: PagingMode) -> AccessRules:
    """Return the rules for accesses in ``mode``, made once."""
    return AccessRules(mode)


@dataclass(frozen=True, slots=True)
class LevelRules:
    """How to read the entries of one level at one width of physical addresses.

    Members
    -------
    number, leaf
        The level's position from the root, 0, down, and whether its entries map pages.
    large
        PS if an entry of the level may map a large page, or 0.
    page
        The index into ``PagingMode.pages``, -1 if the level maps no page.
    shift, index_mask
        Where the level's index lies in a linear address.
    reserved, reserved_large
        Bits reserved in every entry, and further ones in an entry that maps a large page; apart
        from those that ``AccessRules`` adds.
    page_bits, high_bits, high_shift
        The address of a page is ``page_bits`` of the entry, and for PSE-36 also ``high_bits``
        shifted left by ``high_shift``.
    pat_shift
        How far to shift the PAT bit right to make it bit 2.
    """

    number: int
    leaf: Leaf
    large: int
    page: int
    shift: int
    index_mask: int
    reserved: int
    reserved_large: int
    page_bits: int
    pat_shift: int
    high_bits: int
    high_shift: int

    @property
    def offset_bits(self) -> int:
        """Bits of a linear address that lie below the index of this level."""
        return (1 << self.shift) - 1

    def index(self, vaddr: Words, out: Words | None = None) -> Words:
        """Return the index of the entry of this level for each linear address."""
        shifted = np.right_shift(vaddr, self.shift, out=out)
        return np.bitwise_and(shifted, self.index_mask, out=out)


@cache
def level_rules(mode: PagingMode, paddr_bits: int) -> tuple[LevelRules, ...]:
    """Return the rules of the levels of ``mode``, the root first; ``paddr_bits`` is MAXPHYADDR."""
    return tuple(_level_rules(mode, number, paddr_bits) for number in range(len(mode.levels)))


def _level_rules(mode: PagingMode, number: int, paddr_bits: int) -> LevelRules:
    level = mode.levels[number]
    width = min(paddr_bits, mode.max_paddr_bits)
    large = level.shift > PAGE_SHIFT
    if mode.has_pse:
        # Only a large page has reserved bits: 21:(M-19), M being MAXPHYADDR. [SDM 4.3, table 4-4]
        reserved, reserved_large = 0, _ones(21, width - 19)
    else:
        # Above the address, and below that of a large page. [SDM 4.5, tables 4-14 to 4-19]
        reserved, reserved_large = _ones(51, width), _ones(level.shift - 1, 13)
        if level.leaf is Leaf.NEVER:
            reserved |= Entry.PS
    return LevelRules(
        number=number,
        leaf=level.leaf,
        large=Entry.PS if level.leaf is Leaf.IF_PS else 0,
        page=mode.pages.index(level) if level in mode.pages else -1,
        shift=level.shift,
        index_mask=(1 << level.index_bits) - 1,
        reserved=reserved,
        reserved_large=reserved_large if large else 0,
        page_bits=paddr_mask(mode, paddr_bits) & -level.page_bytes,
        pat_shift=lowest_bit(Entry.PAT_LARGE if large else Entry.PAT) - 2,
        # Bits 20:13 of a 4-Mbyte page are physical-address bits 39:32. [SDM table 4-4]
        high_bits=0xFF << 13 if large and mode.has_pse else 0,
        high_shift=19,
    )


def paddr_mask(mode: PagingMode, paddr_bits: int) -> int:
    """Return the bits of an entry, or of CR3, that hold the address of a table or 4-Kbyte page."""
    return _ones(min(paddr_bits, mode.max_paddr_bits, 8 * mode.entry_bytes) - 1, PAGE_SHIFT)


def _mask(bits: int, where: Bools | bool) -> Words:
    """Return ``bits`` where the condition holds, 0 elsewhere."""
    return np.where(where, np.uint64(bits), np.uint64(0))


def _ones(high: int, low: int) -> int:
    """Return a mask of bits ``high`` down to ``low``, none if ``low`` is above ``high``."""
    return (1 << (high + 1)) - (1 << low) if low <= high else 0
