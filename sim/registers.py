"""Control registers as files record them, and the paging mode that they select."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.x86 import LA57, Cr0, Cr4, Efer, PagingMode

__all__ = ["misfit"]


def misfit(mode: PagingMode, registers: Mapping[str, NDArray[Any]]) -> tuple[str, int, str] | None:
    """Return the first value of ``cr0``, ``cr4`` or ``efer`` (N,) that does not select ``mode``.

    It is told by the name of the register, its position, and in words which bit should be set or
    clear. Return None if all values fit. [SDM 4.1.1]
    """
    long = mode.vaddr_bits == LA57.vaddr_bits
    rules = (
        ("cr0", Cr0.PG, True, "PG"),
        ("cr4", Cr4.PAE, long, "PAE"),
        ("efer", Efer.LMA, long, "LMA"),
        ("efer", Efer.LME, long, "LME"),
        ("cr4", Cr4.LA57, mode.translated_bits == LA57.translated_bits, "LA57"),
    )
    for name, bit, expected, bit_name in rules:
        wrong = np.flatnonzero((registers[name] & bit != 0) != expected)
        if len(wrong):
            state = "set" if expected else "clear"
            return name, int(wrong[0]), f"{bit_name} {state}, as in {mode.name} paging"
    return None
