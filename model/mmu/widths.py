"""How wide registers, addresses and entries are: what the scalar and the batch walk refuse."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..x86 import PagingMode

__all__ = ["check_mode", "check_width", "physical_bits", "words"]

MAXPHYADDR = range(32, 53)
"""The widths that a physical address may have. [SDM 4.1.4]"""


def check_width(name: str, value: int, bits: int) -> None:
    """Raise ``ValueError`` unless ``value`` is a number of ``bits`` bits, not negative.

    Raise ``TypeError`` if it is no integer. ``name`` is what it is, to begin the message with.
    """
    if not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, not {value!r}")
    number = int(value)
    if number >> bits:
        raise ValueError(f"{name} must be a number of {bits} bits, not {number:#x}")


def check_mode(mode: PagingMode) -> None:
    """Raise ``TypeError`` unless ``mode`` is a paging mode; its name is none."""
    if not isinstance(mode, PagingMode):
        raise TypeError(f"Paging mode must be a PagingMode, not {mode!r}")


def physical_bits(mode: PagingMode, paddr_bits: int) -> int:
    """Return the width of a physical address, given MAXPHYADDR, as far as ``mode`` reaches.

    Raise ``ValueError`` if MAXPHYADDR is not from 32 to 52, ``TypeError`` if ``mode`` is none.
    """
    check_mode(mode)
    if paddr_bits not in MAXPHYADDR:
        raise ValueError(f"MAXPHYADDR must be from 32 to 52 bits, not {paddr_bits!r}")
    return min(paddr_bits, mode.max_paddr_bits)


def words(name: str, values: ArrayLike, bits: int = 64) -> NDArray[np.uint64]:
    """Return ``values`` of any shape as ``uint64``, without a copy if they are that already.

    Raise as ``check_width`` for the first of them that is wrong.
    """
    if isinstance(values, int):  # such as a register for all rows: at a tenth of the time
        check_width(name, values, bits)
        return np.array(values, np.uint64)
    array = np.asarray(values)
    if array.dtype.kind not in "biu":
        # Numpy makes floats of integers on both sides of 2**63, and objects of wider ones.
        array = np.asarray(values, object)
        for value in array.reshape(-1):
            check_width(name, value, bits)
    elif array.dtype.kind == "u" and 8 * array.dtype.itemsize <= bits:
        pass
    elif array.size and (array.min() < 0 or int(array.max()) >> bits):
        wrong = array[(array < 0) | (array > (1 << bits) - 1)]
        check_width(name, wrong[0], bits)
    return array.astype(np.uint64, copy=False)
