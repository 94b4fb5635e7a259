"""Which sets and tags pages have, and which sizes are refused."""

from itertools import product

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.event_shapes import port_events_layout
from pagewalk.hdl.l2_geometry import L2Geometry, l2_events_layout
from pagewalk.model.x86 import IA32, X86_64

from .bench import evaluate
from .parts import FunctionOf

by_mode = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


@by_mode
@pytest.mark.parametrize("sets", [4, 256])
def test_a_page_has_one_set_and_tag_and_shares_them_with_no_other(mode, sets):
    shape = L2Geometry(Config(mode=mode), 4 * sets, 4)
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


@pytest.mark.parametrize(("entries", "ways"), [(1000, 4), (12, 4), (6, 4), (4, 4), (0, 4)])
def test_sets_are_a_power_of_two_and_at_least_four(entries, ways):
    with pytest.raises(ValueError, match=(
            r"^Entries of the second-level TLB must be a power of two from 4 for each of"
            rf" {ways} ways, not {entries}$")):
        L2Geometry(Config(), entries, ways)


def test_a_policy_that_cannot_work_with_the_ways_is_refused():
    with pytest.raises(ValueError, match=r"^Entry count must be a power of two for policy 'plru'"):
        L2Geometry(Config(), 12, 3)
    assert L2Geometry(Config(), 12, 3, "lru").sets == 4


@by_mode
def test_its_lookups_are_told_as_those_of_a_port(mode):
    of_a_port = dict(port_events_layout(Config(mode=mode)).members)
    assert list(l2_events_layout(Config(mode=mode)).members) == [
        name for name in of_a_port if name not in ("stall", "fault")]
