"""Fields of hardware values, selected by the masks of ``model.x86``."""

from ..model.x86 import lowest_bit

__all__ = ["field"]


def field(value, mask):
    """Return the bits of ``value`` that ``mask`` covers, as wide as the mask has ones.

    The masks are those of ``model.x86``, so that a bit position stands in one place only.

    Parameters
    ----------
    value : value-like
        A register or a paging-structure entry, at least as wide as ``mask``.
    mask : int
        A mask of one field, such as ``Entry.KEY`` or ``Cr3.PCID``.

    Raises
    ------
    :exc:`ValueError`
        If the ones of ``mask`` are not next to each other, or there are none, or ``value`` is too
        narrow to have them all.
    """
    low = lowest_bit(mask) if mask > 0 else 0
    high = low + mask.bit_count()
    if mask <= 0 or mask != (1 << high) - (1 << low):
        raise ValueError(f"Mask must be one run of ones, not {mask:#x}")
    if high > len(value):
        raise ValueError(f"Value of {len(value)} bits must have all bits of the mask {mask:#x}")
    return value[low:high]
