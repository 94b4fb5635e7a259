import re

import numpy as np
import pytest

from pagewalk.model.physical.boot import build_nodes
from pagewalk.model.physical.freelist import FreelistAllocator
from pagewalk.model.physical.kernel_config import I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.page import PageState
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.procfs import buddyinfo, pagetypeinfo, zoneinfo
from pagewalk.model.physical.reserves import Reserves, Sysctl

from .linux_boots import BOOTS, Boot
from .machines import GIB, MIB

MODELLED = re.compile(
    r"Node|  pages free|        (?:boost|min|low|high|spanned|present|managed|cma|protection)"
    r"|      nr_free_pages|      numa_|  pagesets|    cpu|  +(?:count|high|batch):|  vm stats"
    r"|  node_unreclaimable|  start_pfn")


def load_blocks(zone, counts):
    """Put as many blocks on each list as the real zone had, wherever there is room.

    The largest come first, so that there is if there was on the real machine.
    """
    mem_map = zone.buddy.mem_map
    for order in reversed(range(11)):
        room = (mem_map.state == PageState.RESERVED) & (mem_map.zone == zone.buddy.zone)
        starts = np.flatnonzero(room.reshape(-1, 1 << order).all(axis=1)) << order
        for kind, by_order in enumerate(counts):
            wanted, starts = np.split(starts, [by_order[order]])
            assert len(wanted) == by_order[order]
            zone.buddy.load(order, kind, wanted + mem_map.base)


def load_pageblocks(zone, counts):
    """Make as many pageblocks of each type, in the order of the pages that the kernel looks at."""
    kinds = [kind for kind, count in enumerate(counts) for _ in range(count)]
    step = zone.buddy.mem_map.pageblock_pages
    for pfn in range(zone.span.start_pfn, zone.span.end_pfn, step):
        if pfn in zone.buddy.mem_map and kinds:
            zone.buddy.set_pageblock_type(pfn, kinds.pop(0))
    assert not kinds


def load_counters(zone, real):
    zone.buddy.managed_pages = real["managed"]
    for name in zone.numa.__slots__:
        setattr(zone.numa, name, real.get(f"numa_{name}", 0))
    zone.pcp[0].count = real["count:"]


@pytest.fixture(scope="module", params=BOOTS)
def loaded(request):
    """A real boot, and the model in the state that its files show.

    Counts of blocks, pages and events are loaded; all that follows from the amount of memory is
    worked out.
    """
    boot = Boot(request.param)
    mem_map, nodes = build_nodes(boot.machine)
    memory = FreelistAllocator(boot.machine.config, mem_map, nodes)
    reserves = Reserves(boot.machine.config, nodes, nodes[0], Sysctl())
    for when, work_out in (("init", reserves.init_per_zone_wmark_min),
                           ("khugepaged", reserves.set_recommended_min_free_kbytes)):
        for zone in memory.populated:
            zone.buddy.managed_pages = boot.managed(when)[zone.nid, zone.name]
        work_out()
    for zone in memory.populated:
        place = zone.nid, zone.name
        load_pageblocks(zone, boot.pageblocks()[place])
        load_blocks(zone, boot.free_blocks()[place])
        load_counters(zone, boot.zones[place])
    return boot, memory


@pytest.mark.parametrize("name", BOOTS)
def test_buddyinfo_is_that_of_a_real_machine(name):
    """Counts of blocks are loaded; they may be of any type."""
    boot = Boot(name)
    counts = {
        (int(nid), zone): [int(count) for count in rest.split()]
        for nid, zone, rest in re.findall(r"Node (\d+), zone +(\w+) +([\d ]+)\n",
                                          boot.read("buddyinfo"))}
    memory = FreelistAllocator(boot.machine.config, *build_nodes(boot.machine))
    for zone in memory.populated:
        load_blocks(zone, [[0] * 11, counts[zone.nid, zone.name]])
    assert buddyinfo(memory) == boot.read("buddyinfo")


def test_pagetypeinfo_is_that_of_a_real_machine(loaded):
    boot, memory = loaded
    assert pagetypeinfo(memory) == boot.read("pagetypeinfo")


def test_zoneinfo_is_that_of_a_real_machine(loaded):
    """Every line that is printed, in order, and no modelled line is missing."""
    boot, memory = loaded
    real = [line for line in boot.zoneinfo.splitlines() if MODELLED.match(line)]
    free = {(nid, zone): sum(count << order for kinds in counts
                             for order, count in enumerate(kinds))
            for (nid, zone), counts in boot.free_blocks().items()}
    # The files were not read at one moment: free pages are those of pagetypeinfo.
    pages, expected = 0, []
    for line in real:
        if found := re.match(r"Node (\d+), zone +(\w+)", line):
            pages = free.get((int(found[1]), found[2]), 0)
        expected.append(re.sub(r"(pages free +|nr_free_pages )\d+", rf"\g<1>{pages}", line))
    assert zoneinfo(memory).splitlines() == expected


def test_fresh_machines_have_as_many_pageblocks_as_real_ones():
    for name in BOOTS:
        boot = Boot(name)
        text = pagetypeinfo(PageAllocator.boot(boot.machine))
        for (nid, zone), counts in boot.pageblocks().items():
            line = re.search(rf"^Node {nid}, zone +{zone} +([\d ]+)$", text, re.MULTILINE)[1]
            assert sum(map(int, line.split())) == sum(counts), (name, nid, zone)


def blocks_in(text, place):
    line = re.search(rf"^{place} +((?:\d+ +)+)$", text, re.MULTILINE)[1]
    return sum(map(int, line.split()))


def test_pageblocks_in_holes_are_counted_with_the_memory_above_them():
    """Of amd64 only those with some memory in them. The kernel looks at every 512th page."""
    machine = MemoryMap((
        E820Range(MIB, 9 * MIB), E820Range(10 * MIB + 4096, 16 * MIB),  # a hole in a block
        E820Range(16 * MIB, 20 * MIB), E820Range(40 * MIB, 64 * MIB),   # ten blocks of hole
    ), (NodeRange(0, 0, 20 * MIB), NodeRange(1, 20 * MIB, 64 * MIB)))
    text = pagetypeinfo(PageAllocator.boot(machine))
    # Pages 256, 768, ... 3840: each in memory but 2304, which is in the hole of a block.
    assert blocks_in(text, "Node 0, zone +DMA") == 8
    assert blocks_in(text, "Node 0, zone +DMA32") == 2
    assert blocks_in(text, "Node 1, zone +DMA32") == 12


def test_pageblocks_within_a_zone_may_be_of_another_node():
    machine = MemoryMap((E820Range(16 * MIB, 64 * MIB),), (
        NodeRange(0, 0, 32 * MIB), NodeRange(1, 32 * MIB, 48 * MIB),
        NodeRange(0, 48 * MIB, 64 * MIB)))
    text = pagetypeinfo(PageAllocator.boot(machine))
    assert [blocks_in(text, f"Node {nid}, zone +DMA32") for nid in (0, 1)] == [16, 8]


def test_flat_memory_has_pageblocks_in_its_holes():
    machine = MemoryMap((E820Range(16 * MIB, 32 * MIB), E820Range(48 * MIB, 64 * MIB)),
                        config=I686)
    text = pagetypeinfo(PageAllocator.boot(machine))
    assert blocks_in(text, "Node 0, zone +Normal") == 48 // 4


def test_a_boost_shows_in_all_watermarks():
    memory = PageAllocator.boot(MemoryMap((E820Range(16 * MIB, 64 * MIB),)))
    zone = memory.populated[0]
    plain = zone.watermarks
    zone.watermark_boost = 512
    lines = zoneinfo(memory).splitlines()
    at = lines.index("        boost    512")
    assert [int(line.split()[1]) for line in lines[at + 1 : at + 4]] == [
        mark + 512 for mark in (plain.min, plain.low, plain.high)]


def test_a_node_without_memory_prints_its_empty_zones():
    machine = MemoryMap((E820Range(MIB, 64 * MIB),), (NodeRange(0, 0, GIB),), cpus=(0, 1))
    memory = PageAllocator.boot(machine)
    lines = zoneinfo(memory).splitlines()
    empty = lines[lines.index("Node 1, zone      DMA"):]
    assert len(empty) == 5 * 11
    assert empty[10] == "        protection: (0, 0, 0, 0, 0)"
    assert "Node 1" not in buddyinfo(memory)
    assert pagetypeinfo(memory).count("Page block order: 9\nPages per block:  512\n\n") == 1


def test_every_processor_has_its_pageset():
    machine = MemoryMap((E820Range(MIB, 64 * MIB),), cpus=(0, 0, 0))
    text = zoneinfo(PageAllocator.boot(machine))
    for cpu in range(3):
        assert text.count(f"\n    cpu: {cpu}\n              count: 0\n") == 2
    assert text.count("vm stats threshold: 4\n") == 6


@pytest.mark.slow
def test_counts_stop_at_a_hundred_thousand():
    """As the kernel will not hold the zone's lock for longer. [pagetypeinfo_showfree_print]"""
    machine = MemoryMap((E820Range(16 * MIB, 16 * MIB + 800 * MIB),))
    memory = FreelistAllocator(machine.config, *build_nodes(machine))
    zone = memory.populated[0]
    start = zone.span.start_pfn
    zone.buddy.load(0, 1, np.arange(start, start + 200_000, 2))
    line = next(line for line in pagetypeinfo(memory).splitlines() if "Movable" in line)
    assert line.endswith("type      Movable >100000      0 " + "     0 " * 9)
    assert buddyinfo(memory).startswith("Node 0, zone    DMA32 100000 ")
