"""Canonical addresses: the two halves, their ends, and random addresses."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.canonical import is_canonical
from pagewalk.model.x86 import IA32, X86_64

from .bench import evaluate
from .parts import FunctionOf
from .tables import bits

EDGES = {
    0: 1,
    0x0000_7FFF_FFFF_FFFF: 1,
    0x0000_8000_0000_0000: 0,
    0x0000_FFFF_FFFF_FFFF: 0,
    0x0001_0000_0000_0000: 0,
    0x7FFF_FFFF_FFFF_FFFF: 0,
    0x8000_0000_0000_0000: 0,
    0xFFFF_7FFF_FFFF_FFFF: 0,
    0xFFFF_8000_0000_0000: 1,
    0xFFFF_FFFF_FFFF_FFFF: 1,
}


def rtl_canonical(mode, vaddrs):
    dut = FunctionOf(lambda vaddr: is_canonical(mode, vaddr), width_in=mode.vaddr_bits, width_out=1)
    return [result["result"]
            for result in evaluate(dut, [{"argument": vaddr} for vaddr in vaddrs], ("result",))]


def test_only_the_two_halves_of_48_bits_are_canonical():
    assert dict(zip(EDGES, rtl_canonical(X86_64, EDGES), strict=True)) == EDGES


@pytest.mark.parametrize("bit", range(47, 64))
def test_each_bit_from_47_up_makes_a_difference(bit):
    assert rtl_canonical(X86_64, [1 << bit, (1 << 64) - 1 ^ 1 << bit]) == [0, 0]


@pytest.mark.parametrize("seed", range(2))
def test_random_addresses_are_canonical_if_they_extend_their_sign(seed):
    rng = default_rng(seed)
    vaddrs = [bits(rng, 64) >> int(rng.integers(64)) for _ in range(200)]
    vaddrs += [(1 << 64) - 1 ^ vaddr for vaddr in vaddrs]
    expected = [int(-(1 << 47) <= (vaddr ^ 1 << 63) - (1 << 63) < 1 << 47) for vaddr in vaddrs]
    assert 0 < sum(expected) < len(expected)
    assert rtl_canonical(X86_64, vaddrs) == expected


@pytest.mark.parametrize("vaddr", [0, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])
def test_every_32_bit_address_is_canonical(vaddr):
    assert rtl_canonical(IA32, [vaddr]) == [1]
