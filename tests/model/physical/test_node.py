import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.physical.boot import build_nodes
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.physical.kernel_config import ZoneType
from pagewalk.model.physical.node import Node, fallback_orders
from pagewalk.model.physical.zone import Zone
from pagewalk.model.physical.zone_layout import ZoneSpan

from .linux_boots import BOOTS, Boot
from .machines import machines, two_nodes


def nodes(count, without_cpus=(), without_memory=()):
    """Nodes of one zone each, that has a page or not."""
    made = []
    for nid in range(count):
        span = ZoneSpan(nid, ZoneType.NORMAL, nid, 1, nid not in without_memory)
        made.append(Node(nid, [Zone(span, 0, None, zone_count=1, cpus=1)],
                         [] if nid in without_cpus else [nid]))
    return made


def orders(distances, **options):
    found = fallback_orders(nodes(len(distances), **options), lambda nid, to: distances[nid][to])
    return ["".join(map(str, found[nid])) for nid in range(len(distances))]


@pytest.mark.parametrize("name", BOOTS)
def test_nodes_fall_back_as_the_kernel_printed(name):
    boot = Boot(name)
    _, built = build_nodes(boot.machine)
    printed = re.findall(r"Fallback order for Node (\d+): ([\d ]+)", boot.dmesg)
    for nid, order in printed:
        zones = next(node for node in built if node.nid == int(nid)).zonelist
        assert list(dict.fromkeys(zone.nid for zone in zones)) == [
            int(one) for one in order.split()]
    assert len(built) == int(re.search(r"Built (\d+) zonelists", boot.dmesg)[1])
    assert len(printed) in (len(built), 0)  # a kernel without NUMA prints none


@pytest.mark.parametrize("name", BOOTS)
def test_zones_of_a_node_are_tried_from_the_highest_down(name):
    boot = Boot(name)
    for node in build_nodes(boot.machine)[1]:
        real = [zone for (nid, zone), figures in boot.zones.items()
                if nid == node.nid and figures["present"]]
        assert [zone.name for zone in node.own_zonelist] == real[::-1]
        assert node.zonelist[: len(real)] == node.own_zonelist


def test_two_pairs_of_near_nodes():
    """The example of the kernel's commit 54d032ced983, which mended the last line."""
    distances = [[10, 12, 32, 32], [12, 10, 32, 32], [32, 32, 10, 12], [32, 32, 12, 10]]
    assert orders(distances) == ["0123", "1032", "2301", "3210"]


EQUAL = [[10 if nid == other else 20 for other in range(4)] for nid in range(4)]


def test_equally_near_nodes_take_turns():
    assert orders(EQUAL) == ["0123", "1230", "2301", "3012"]


def test_nodes_without_processors_come_first():
    assert orders(EQUAL, without_cpus=(2,)) == ["0213", "1230", "2301", "3201"]


def test_nodes_without_memory_are_in_no_list_but_their_own():
    assert orders(EQUAL, without_memory=(1,)) == ["023", "1320", "230", "302"]


@pytest.mark.slow
@given(st.integers(1, 6).flatmap(lambda count: st.lists(
    st.lists(st.integers(11, 60).map(lambda far: far * 3), min_size=count, max_size=count),
    min_size=count, max_size=count)))
def test_every_node_is_in_every_list_once_and_the_nearer_ones_first(distances):
    """Distances that differ at all differ by more than the kernel's penalties, which add to 2."""
    for nid, order in enumerate(orders(distances)):
        assert order[0] == str(nid)
        assert sorted(order) == [str(one) for one in range(len(distances))]
        far = [distances[nid][int(one)] for one in order[1:]]
        assert far == sorted(far)


@pytest.mark.slow
@settings(deadline=None)
@given(machines())
def test_zonelists_hold_every_populated_zone_once_by_node(machine):
    _, built = build_nodes(machine)
    populated = [zone for node in built for zone in node.zones if zone.populated]
    for node in built:
        assert len(node.zonelist) == len(populated)
        assert set(node.zonelist) == set(populated)
        for first, then in pairwise(node.zonelist):
            assert first.nid != then.nid or first.index > then.index
        assert [zone.nid for zone in node.own_zonelist] == [node.nid] * len(node.own_zonelist)


def test_kswapd_is_woken_for_the_largest_order_and_the_highest_zone():
    node, = nodes(1)
    assert (node.kswapd_order, node.kswapd_highest_zoneidx) == (None, None)
    node.wakeup_kswapd(3, 0)
    node.wakeup_kswapd(1, 2)
    node.wakeup_kswapd(0, 1)
    assert (node.kswapd_order, node.kswapd_highest_zoneidx) == (3, 2)


def test_zones_that_overlap_are_found():
    _, built = build_nodes(two_nodes())
    built[0].check()
    dma, dma32 = built[0].zones[:2]
    dma32.span = ZoneSpan(0, ZoneType.DMA32, dma.span.end_pfn - 1, 100, 100)
    with pytest.raises(BrokenInvariant, match=r"^Zone DMA of node 0 reaches into zone DMA32$"):
        built[0].check()
