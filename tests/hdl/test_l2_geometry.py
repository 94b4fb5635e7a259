"""Which sets and tags pages have."""

from itertools import product

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.l2_geometry import L2Geometry
from pagewalk.model.x86 import IA32, X86_64

from .bench import evaluate
from .parts import FunctionOf

by_mode = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


@by_mode
@pytest.mark.parametrize("sets", [4, 256])
def test_a_page_has_one_set_and_tag_and_shares_them_with_no_other(mode, sets):
    shape = L2Geometry(Config(mode=mode, l2_entries=4 * sets))
    vpn_bits = shape.config.vpn_bits
    vpns = [sum(chosen) for chosen in product(*((0, 1 << bit) for bit in (
        0, 1, vpn_bits // 3, 9, 10, 18 % vpn_bits, vpn_bits - 1)))]
    for number, level in enumerate(mode.pages):
        def place(vpn, number=number):
            return (shape.index(vpn, number) << shape.tag_bits) | shape.tag(vpn, number)

        results = evaluate(FunctionOf(place, width_in=vpn_bits, width_out=vpn_bits + 8),
                           [{"argument": vpn} for vpn in vpns], ["result"])
        places = {}
        for vpn, result in zip(vpns, results, strict=True):
            places.setdefault(result["result"], set()).add(vpn >> level.shift - 12)
            assert result["result"] >> shape.tag_bits == (vpn >> level.shift - 12) % sets
        assert all(len(pages) == 1 for pages in places.values())
        assert len(places) == len({vpn >> level.shift - 12 for vpn in vpns})
