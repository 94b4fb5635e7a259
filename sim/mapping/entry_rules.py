"""What entries of page tables say, over arrays: table or page, reserved bits, rights.

[SDM volume 3A, 4.3, 4.5 and 4.6.1] The golden walk decides the same in ``model/mmu``, an entry at
a time; the tests hold one against the other.
"""

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.control import Control
from ...model.x86 import PAGE_SHIFT, Cr4, Efer, Entry, Leaf, Level, PagingMode

__all__ = ["EXECUTE", "USER", "WRITE", "leaf_mask", "page_addresses", "reserved_mask", "rights_of",
           "table_pfns"]

WRITE, USER, EXECUTE = 1, 2, 4
"""Bits of combined rights; reading is always permitted."""

Words = NDArray[np.uint64]
Bools = NDArray[np.bool_]

ADDRESS = (1 << 52) - (1 << PAGE_SHIFT)


def leaf_mask(mode: PagingMode, control: Control, level: Level, words: Words) -> Bools:
    """Return which of the entries map a page, if they are present."""
    if level.leaf is not Leaf.IF_PS:
        return np.full(words.shape, level.leaf is Leaf.ALWAYS)
    if mode.has_pse and not control.cr4 & Cr4.PSE:
        return np.zeros(words.shape, bool)
    mask: Bools = words & Entry.PS != 0
    return mask


def reserved_mask(mode: PagingMode, control: Control, level: Level, words: Words) -> Bools:
    """Return which of the entries have a reserved bit, MAXPHYADDR being as wide as can be."""
    always, in_leaf = 0, 0
    large = level.shift > PAGE_SHIFT
    if mode.has_pse:
        in_leaf = 1 << 21 if large else 0
    else:
        always |= 0 if control.efer & Efer.NXE else Entry.XD
        always |= Entry.PS if level.leaf is Leaf.NEVER else 0
        in_leaf = (1 << level.shift) - (1 << 13) if large else 0
    mask: Bools = words & np.uint64(always) != 0
    if in_leaf:
        mask |= leaf_mask(mode, control, level, words) & (words & np.uint64(in_leaf) != 0)
    return mask


def table_pfns(words: Words) -> Words:
    """Return the frame numbers of the tables that entries point to."""
    pfns: Words = (words & np.uint64(ADDRESS)) >> np.uint64(PAGE_SHIFT)
    return pfns


def page_addresses(mode: PagingMode, level: Level, words: Words) -> Words:
    """Return the addresses of the pages that leaves of one level map; PSE-36 included."""
    low: Words = words & np.uint64(ADDRESS & -level.page_bytes)
    if level.shift > PAGE_SHIFT and mode.has_pse:
        low |= (words >> np.uint64(13) & np.uint64(0xFF)) << np.uint64(32)
    return low


def rights_of(mode: PagingMode, words: Words) -> NDArray[np.uint8]:
    """Return the rights that entries give; those of a walk are the AND over its levels."""
    rights = np.where(words & Entry.RW != 0, WRITE, 0) | np.where(words & Entry.US != 0, USER, 0)
    execute = np.ones(words.shape, bool)
    if mode.has_execute_disable:
        execute = words & np.uint64(Entry.XD) == 0
    return (rights | np.where(execute, EXECUTE, 0)).astype(np.uint8)
