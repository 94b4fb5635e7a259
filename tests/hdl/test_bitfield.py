"""Fields of values by mask: which bits they are, and masks that are none."""

import re

import pytest
from amaranth import Signal

from pagewalk.hdl.bitfield import field
from pagewalk.model.x86 import Cr3, Cr4, Entry

from .bench import evaluate
from .parts import FunctionOf

ENTRY = 0x7FFF_0000_0000_0000 | Entry.PCD


@pytest.mark.parametrize(("mask", "width", "found"), [
    (Entry.P, 1, 0), (Entry.PCD, 1, 1), (Entry.KEY, 4, 0xF), (Entry.XD, 1, 0),
    (0xFF << 44, 8, 0xF0), (Entry.PWT | Entry.PCD, 2, 2), ((1 << 64) - 1, 64, ENTRY)])
def test_a_field_has_the_bits_of_its_mask(mask, width, found):
    dut = FunctionOf(lambda value: field(value, mask), width_in=64, width_out=width)
    assert evaluate(dut, [{"argument": ENTRY}], ("result",)) == [{"result": found}]
    assert len(field(Signal(64), mask)) == width


@pytest.mark.parametrize("mask", [0, 0b101, -1, Cr4.PSE | Cr4.PGE])
def test_a_mask_that_is_no_single_run_of_ones_is_refused(mask):
    message = f"Mask must be one run of ones, not {mask:#x}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        field(Signal(64), mask)


@pytest.mark.parametrize("mask", [Entry.XD, Entry.KEY, Cr3.PCID << 21])
def test_a_value_without_some_of_the_bits_is_refused(mask):
    """A slice would be cut short in silence: 32-bit entries have neither XD nor a key."""
    message = f"Value of 32 bits must have all bits of the mask {mask:#x}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        field(Signal(32), mask)
