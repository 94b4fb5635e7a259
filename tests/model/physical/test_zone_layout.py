import re
from itertools import pairwise

import pytest
from hypothesis import given, settings

from pagewalk.model.physical.boot_options import Amount, BootOptions
from pagewalk.model.physical.kernel_config import I686, ZoneType
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.zone_layout import (
    highmem_kinds,
    vm_total_pages,
    zone_limits,
    zone_movable_pfns,
    zone_spans,
)

from .linux_boots import BOOTS, Boot
from .machines import GIB, MIB, machines

MAX_ORDER_PAGES = 1024


@pytest.fixture(params=BOOTS)
def boot(request):
    return Boot(request.param)


def test_zones_are_where_the_real_ones_are(boot):
    spans = {(span.nid, span.kind.value): span for span in zone_spans(boot.machine)}
    assert list(spans) == list(boot.zones)
    for zone, figures in boot.zones.items():
        span = spans[zone]
        assert (span.start_pfn, span.spanned, span.present) == (
            figures["start_pfn:"], figures["spanned"], figures["present"]), zone


def test_zone_ranges_are_those_that_the_kernel_printed(boot):
    printed = re.findall(r"^\S* *\S+   (\w+) +(?:\[mem 0x(\w+)-0x(\w+)\]|empty)$", boot.dmesg,
                         re.MULTILINE)
    limits = zone_limits(boot.machine)
    assert [kind.value for kind in limits] == [name for name, _, _ in printed]
    for name, start, last in printed:
        low, high = limits[ZoneType(name)]
        assert (low << 12, (high << 12) - 1) == (int(start, 16), int(last, 16)) if start else (
            low == high)


def test_total_pages_are_what_the_kernel_printed(boot):
    printed = re.search(r"mobility grouping on.  Total pages: (\d+)", boot.dmesg)
    assert vm_total_pages(boot.machine) == int(printed[1])


def test_reserved_pages_of_zone_dma_are_not_in_the_total():
    machine = Boot("amd64-A").machine
    total = vm_total_pages(machine)
    assert vm_total_pages(machine, [(0, 300), (1000, 1100), (5000, 6000)]) == total - 144
    i686 = Boot("i686-A").machine
    assert vm_total_pages(i686, [(1000, 1100)]) == vm_total_pages(i686)


def test_flat_memory_describes_its_holes_too():
    """40 bytes for every page of ZONE_NORMAL, where amd64 would have 64 for those present."""
    e820 = (E820Range(MIB, 16 * MIB), E820Range(16 * MIB, 116 * MIB),
            E820Range(416 * MIB, 516 * MIB))
    present = (16 - 1 + 200) * 256
    assert vm_total_pages(MemoryMap(e820, config=I686)) == present - 38 - 500 * 256 * 40 // 4096
    assert vm_total_pages(MemoryMap(e820)) == present - 60 - 200 * 256 * 64 // 4096


@settings(deadline=None)
@given(machines())
def test_every_page_of_memory_is_in_one_zone_and_no_hole_is_in_any(machine):
    spans, limits = zone_spans(machine), zone_limits(machine)
    top = max(end for _, end in limits.values())
    for nid in machine.nids:
        populated = sorted((span for span in spans if span.nid == nid and span.spanned),
                           key=lambda span: span.start_pfn)
        assert all(below.end_pfn <= above.start_pfn
                   for below, above in pairwise(populated))
        memory = sum(max(0, min(one.end_pfn, top) - one.start_pfn)
                     for one in machine.ranges if one.nid == nid)
        assert sum(span.present for span in populated) == memory
    for span in spans:
        assert 0 <= span.present <= span.spanned
        if span.spanned and span.kind is not ZoneType.MOVABLE:
            low, high = limits[span.kind]
            assert low <= span.start_pfn <= span.end_pfn <= high


def amd64(gigabytes: int, nodes=(), **options) -> MemoryMap:
    return MemoryMap((E820Range(MIB, gigabytes * GIB),), nodes, options=BootOptions(**options))


def shape(machine: MemoryMap) -> dict[tuple[int, str], int]:
    """Return the pages of each zone that has any."""
    return {(span.nid, span.kind.value): span.present
            for span in zone_spans(machine) if span.present}


NODES = (NodeRange(0, 0, 4 * GIB), NodeRange(1, 4 * GIB, 8 * GIB))


def test_kernelcore_is_spread_over_nodes():
    """3 GiB for each node; the first has that below 4 GiB, where nothing can be movable."""
    machine = amd64(8, NODES, kernelcore=Amount(pages=6 * GIB >> 12))
    # Node 0 gives its 4 GiB less 1 MiB, and so node 1 has to give 1 MiB more than two.
    movable = zone_movable_pfns(machine)
    assert movable == {1: (6 * GIB >> 12) + MAX_ORDER_PAGES}
    assert shape(machine)[1, "Movable"] == (2 * GIB >> 12) - MAX_ORDER_PAGES
    assert shape(machine)[1, "Normal"] == (2 * GIB >> 12) + MAX_ORDER_PAGES


def test_a_node_that_is_full_leaves_kernelcore_to_the_others():
    nodes = (NodeRange(0, 0, 5 * GIB), NodeRange(1, 5 * GIB, 16 * GIB))
    machine = amd64(16, nodes, kernelcore=Amount(pages=12 * GIB >> 12))
    # A share is 6 GiB: all of node 0, and on a second round the rest from node 1.
    start = zone_movable_pfns(machine)[1]
    assert start == (12 * GIB >> 12) + MAX_ORDER_PAGES
    assert 0 not in zone_movable_pfns(machine)


@pytest.mark.parametrize(
    ("options", "movable"),
    [
        ({}, 0),
        ({"movablecore": Amount(pages=GIB >> 12)}, GIB >> 12),
        ({"movablecore": Amount(pages=1)}, MAX_ORDER_PAGES),
        ({"kernelcore": Amount(pages=7 * GIB >> 12), "movablecore": Amount(pages=2 * GIB >> 12)},
         (GIB >> 12) - MAX_ORDER_PAGES),   # the larger kernelcore of the two
        ({"kernelcore": Amount(pages=9 * GIB >> 12)}, 0),
        ({"movablecore": Amount(percent=100)}, 0),  # leaves no kernelcore, which is as if unset
        ({"movablecore": Amount(percent=99)}, 4 * GIB >> 12),  # what is below 4 GiB cannot be
        ({"kernelcore": Amount(percent=1)}, 4 * GIB >> 12),
    ],
)
def test_movable_memory_of_one_node(options, movable):
    pages = shape(amd64(8, **options)).get((0, "Movable"), 0)
    assert abs(pages - movable) < MAX_ORDER_PAGES, pages
    assert pages % MAX_ORDER_PAGES == 0


def test_movable_node_takes_all_that_can_be_unplugged():
    nodes = (NodeRange(0, 0, 4 * GIB, hotplug=True), NodeRange(1, 4 * GIB, 8 * GIB, hotplug=True))
    # Not node 0, where the kernel is; and kernelcore= does not count.
    machine = amd64(8, nodes, movable_node=True, kernelcore=Amount(percent=99))
    assert zone_movable_pfns(machine) == {1: 4 * GIB >> 12}
    assert shape(machine)[1, "Movable"] == 4 * GIB >> 12
    assert (1, "Normal") not in shape(machine)


def test_movable_memory_comes_from_highmem_where_there_is_any():
    machine = MemoryMap((E820Range(MIB, 2 * GIB),), config=I686,
                        options=BootOptions(movablecore=Amount(pages=100 * MIB >> 12)))
    assert shape(machine)[0, "Movable"] == 100 * MIB >> 12
    assert highmem_kinds(machine) == {ZoneType.HIGHMEM, ZoneType.MOVABLE}
    small = MemoryMap((E820Range(MIB, 512 * MIB),), config=I686)
    assert highmem_kinds(small) == {ZoneType.HIGHMEM}
