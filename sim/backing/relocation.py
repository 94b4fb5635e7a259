"""Page numbers moved so that they are spread over the upper levels of page tables."""

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_SHIFT, PagingMode

__all__ = ["relocated"]


def relocated(mode: PagingMode, vpn: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return page numbers with the part above a last-level table mixed, one to one.

    What is in one table, and so in one huge page, stays together there. Nothing of the order of
    the tables is left. ``vpn`` has the bits that ``mode`` translates.
    """
    low = mode.levels[-1].index_bits
    bits = mode.translated_bits - PAGE_SHIFT - low
    mask, half = (1 << bits) - 1, bits // 2 + 1
    area = (vpn >> low).astype(np.uint64)
    for step in range(3):  # each of the two is one to one on numbers of so many bits
        odd = np.uint64((0x9E37_79B9_7F4A_7C15 * (2 * (seed + step) + 1) | 1) & (1 << 64) - 1)
        area = area * odd & np.uint64(mask)
        area ^= area >> np.uint64(half)
    return (area << np.uint64(low)).astype(np.int64) | vpn & (1 << low) - 1
