import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.physical.boot import build_nodes, memblock_free_all
from pagewalk.model.physical.kernel_config import I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap
from pagewalk.model.physical.page import MAX_ORDER, MIGRATE_TYPES, PageState

from .linux_boots import DATA, Boot
from .machines import MIB, machines

TRACED = sorted(path.parent.name for path in DATA.glob("*/freelists-order-10.txt"))


def booted(machine, reserved=()):
    mem_map, nodes = build_nodes(machine)
    memblock_free_all(machine, nodes, reserved)
    return mem_map, nodes


def free_lists(zone):
    return {(order, kind): zone.buddy.free_list(order, kind).tolist()
            for order in range(MAX_ORDER) for kind in range(MIGRATE_TYPES)}


def is_subsequence(part, whole):
    """Return whether the items of ``part`` are in ``whole`` in the same order."""
    rest = iter(whole)
    return all(item in rest for item in part)


@pytest.mark.parametrize("name", TRACED)
def test_blocks_that_were_never_used_lie_in_the_order_of_the_real_lists(name):
    """After a while, the movable blocks of 1024 pages are still as boot left them.

    From the lowest to the highest, but in highmem, which is freed page by page.
    """
    boot = Boot(name)
    _, nodes = booted(boot.machine)
    fresh = {(zone.nid, zone.name): zone for node in nodes for zone in node.own_zonelist}
    compared = 0
    for line in boot.read("freelists-order-10").splitlines()[1:]:
        (nid, zone, kind), real = line[: line.index(":")].split(), line.split()[3:]
        if kind == "1":
            mine = free_lists(fresh[int(nid), zone])[10, 1]
            assert is_subsequence([int(pfn) for pfn in real], mine), (nid, zone)
            compared += len(real)
    assert compared > 150


def test_the_first_zone_is_free_as_on_a_real_machine():
    """Nothing but the first MiB is reserved there, so that the lists are complete."""
    for name in ("i686-A", "i686-B"):
        boot = Boot(name)
        zone = booted(boot.machine)[1][0].zones[0]
        lists = free_lists(zone)
        assert [[len(lists[order, kind]) for order in range(MAX_ORDER)]
                for kind in range(MIGRATE_TYPES)] == boot.free_blocks()[0, "DMA"]


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(machines(), st.lists(st.tuples(st.integers(0, 1 << 21), st.integers(1, 5000)), max_size=4))
def test_all_memory_is_free_but_what_is_reserved_and_no_hole_is(machine, lengths):
    reserved = [(start, start + length) for start, length in lengths]
    mem_map, nodes = booted(machine, reserved)
    for node in nodes:
        node.check()
    kept = np.zeros(len(mem_map), bool)
    for start, end in [(0, 256), *reserved]:
        kept[max(0, start - mem_map.base) : max(0, end - mem_map.base)] = True
    hole = np.ones(len(mem_map), bool)
    for node in nodes:
        for zone in node.own_zonelist:
            for one in machine.ranges:
                low = max(one.start_pfn, zone.span.start_pfn) - mem_map.base
                high = min(one.end_pfn, zone.span.end_pfn) - mem_map.base
                if one.nid == node.nid and low < high:
                    hole[low:high] = False
    free = np.zeros(len(mem_map), bool)
    for node in nodes:
        for zone in node.own_zonelist:
            for (order, _), blocks in free_lists(zone).items():
                for pfn in blocks:
                    free[pfn - mem_map.base : pfn - mem_map.base + (1 << order)] = True
    assert np.array_equal(free, ~hole & ~kept)
    assert np.array_equal(mem_map.state == PageState.HOLE, hole)
    managed = sum(zone.managed_pages for node in nodes for zone in node.zones)
    assert managed == free.sum()


def one_by_one(mem_map, zone, ranges):
    """Free pages of highmem as the kernel does it, the reference."""
    for start, end in ranges:
        for pfn in range(start, end):
            mem_map.state[pfn - mem_map.base] = PageState.TAIL
            zone.buddy.free_one_page(pfn, 0, zone.buddy.pageblock_type(pfn))


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(1, 3000)), max_size=5))
def test_highmem_is_freed_as_if_page_by_page(holes):
    """Every list, in order, however the free pages are cut up."""
    machine = MemoryMap((E820Range(MIB, 912 * MIB),), config=I686)
    base = machine.lowmem_limit[0]
    reserved = [(base + start, base + start + length) for start, length in holes]
    zone = booted(machine, reserved)[1][0].zones[2]
    mem_map, nodes = build_nodes(machine)
    reference = nodes[0].zones[2]
    end = reference.span.end_pfn
    kept = {pfn for low, high in reserved for pfn in range(low, min(high, end))}
    pages = [(pfn, pfn + 1) for pfn in range(base, end) if pfn not in kept]
    one_by_one(mem_map, reference, pages)
    assert free_lists(zone) == free_lists(reference)


def test_flat_memory_has_pageblocks_of_each_zone():
    """HighMem begins within a pageblock: its part of that is unmovable, as on real machines."""
    for name in ("i686-A", "i686-B"):
        mem_map, nodes = build_nodes(Boot(name).machine)
        normal, highmem = nodes[0].zones[1:3]
        assert not mem_map.sparse
        assert normal.buddy.pageblock_type(normal.span.end_pfn - 1) == 1
        assert highmem.buddy.pageblock_type(highmem.span.start_pfn) == 0
