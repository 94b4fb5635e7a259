import pytest

from pagewalk.model.physical.boot import build_nodes
from pagewalk.model.physical.boot_options import Amount, BootOptions
from pagewalk.model.physical.memory_map import E820Range, MemoryMap
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.reserves import Reserves, Sysctl
from pagewalk.model.physical.watermark import min_free_kbytes, zone_watermarks

from .linux_boots import BOOTS, Boot
from .machines import GIB, MIB, two_nodes


@pytest.fixture(params=BOOTS)
def boot(request):
    return Boot(request.param)


def set_managed(nodes, managed):
    for node in nodes:
        for zone in node.own_zonelist:
            zone.buddy.managed_pages = managed[zone.nid, zone.name]


def grown(boot):
    """Return the nodes and the reserves of a machine that has gone through the stages of boot."""
    _, nodes = build_nodes(boot.machine)
    reserves = Reserves(boot.machine.config, nodes, nodes[0], Sysctl())
    set_managed(nodes, boot.managed("init"))
    reserves.init_per_zone_wmark_min()
    set_managed(nodes, boot.managed("khugepaged"))
    reserves.set_recommended_min_free_kbytes()
    set_managed(nodes, boot.managed("end"))
    return nodes, reserves


def assert_as_real(zone, real):
    marks = zone.watermarks
    assert (marks.min, marks.low, marks.high) == (real["min"], real["low"], real["high"])
    assert zone.lowmem_reserve == real["protection"]
    assert zone.stat_threshold == real["threshold"]
    assert zone.managed_pages == real["managed"]
    for pcp in zone.pcp:
        assert (pcp.high, pcp.batch) == (real["high:"], real["batch:"])


def test_all_that_zones_keep_back_is_as_on_the_real_machine(boot):
    """min_free_kbytes, watermarks, lowmem reserves, per-CPU lists and thresholds, exactly."""
    nodes, reserves = grown(boot)
    assert [reserves.min_free_kbytes] == boot.sysctl["min_free_kbytes"]
    for node in nodes:
        for zone in node.zones:
            assert_as_real(zone, boot.zones[zone.nid, zone.name])


@pytest.mark.parametrize("name", [name for name in BOOTS if name != "amd64-B"])
def test_booting_with_as_many_pages_reserved_leads_to_the_same(name):
    """And what boot frees in the end becomes managed without changing it.

    Not of amd64-B, where a gigantic page becomes managed in between.
    """
    boot = Boot(name)
    reserved = boot.reserved()
    memory = PageAllocator.boot(boot.machine, reserved=reserved)
    before, after = boot.managed("init"), boot.managed("end")
    for zone in memory.populated:
        late = after[zone.nid, zone.name] - before[zone.nid, zone.name]
        start = next((start for start, end in reserved
                      if zone.span.start_pfn <= start and start + late <= end
                      and end <= zone.span.end_pfn), 0)
        memory.free_reserved_area(start, start + late)
    memory.check()
    for node in memory.nodes.values():
        for zone in node.zones:
            assert_as_real(zone, boot.zones[zone.nid, zone.name])


def test_tunables_have_the_values_of_the_real_machine(boot):
    assert boot.sysctl["lowmem_reserve_ratio"] == list(boot.machine.config.lowmem_reserve_ratio)
    for name in ("watermark_scale_factor", "watermark_boost_factor",
                 "percpu_pagelist_high_fraction"):
        assert boot.sysctl[name] == [getattr(Sysctl(), name)]


@pytest.fixture
def memory():
    return PageAllocator.boot(two_nodes(256, cpus=(0, 0, 1)))


def test_min_free_kbytes_is_shared_out_among_zones(memory):
    memory.reserves.write(min_free_kbytes=40_000)
    assert sum(zone.watermarks.min for zone in memory.populated) in range(9998, 10001)
    memory.reserves.write(watermark_scale_factor=300)
    for zone in memory.populated:
        gap = zone.watermarks.low - zone.watermarks.min
        assert gap == max(zone.watermarks.min // 4, zone.managed_pages * 300 // 10_000)
        assert zone.pcp[0].high == max(
            zone.watermarks.low // len(memory.nodes[zone.nid].cpus), 4 * zone.pcp[0].batch)


def test_a_tunable_changes_only_what_depends_on_it(memory):
    marks = [zone.watermarks for zone in memory.populated]
    memory.reserves.write(lowmem_reserve_ratio=(100, 0, 32, 0, 0))
    dma = memory.nodes[0].zones[0]
    assert dma.lowmem_reserve == [0] + [memory.nodes[0].zones[1].managed_pages // 100] * 4
    memory.reserves.write(percpu_pagelist_high_fraction=50)
    assert dma.pcp[0].high == dma.managed_pages // 50 // 2
    memory.reserves.write(watermark_boost_factor=0)
    assert dma.watermark_boost_factor == 0
    assert marks == [zone.watermarks for zone in memory.populated]
    with pytest.raises(TypeError, match="swappiness"):
        memory.reserves.write(swappiness=10)


def test_the_kernel_does_not_choose_less_than_the_administrator():
    machine = two_nodes(256)
    chosen = PageAllocator.boot(machine, sysctl=Sysctl(transparent_hugepages=False)).reserves
    assert chosen.min_free_kbytes == min_free_kbytes((512 << 8) - 256)
    sysctl = Sysctl(min_free_kbytes=chosen.min_free_kbytes + 5, transparent_hugepages=False)
    assert PageAllocator.boot(machine, sysctl=sysctl).reserves.min_free_kbytes == (
        chosen.min_free_kbytes + 5)


def test_khugepaged_counts_zones_of_kernel_memory_alone():
    """Eleven pageblocks of 2 MiB for each of DMA, DMA32 and Normal, and none for Movable."""
    machine = MemoryMap((E820Range(MIB, 16 * GIB),),
                        options=BootOptions(movablecore=Amount(pages=4 * GIB >> 12)))
    memory = PageAllocator.boot(machine)
    assert [zone.name for zone in memory.populated] == ["DMA", "DMA32", "Normal", "Movable"]
    assert memory.reserves.min_free_kbytes == 3 * 11 * 2048


def test_pages_above_the_high_watermarks_are_for_buffers(memory):
    above = sum(zone.managed_pages - zone.watermarks.high for zone in memory.populated)
    assert memory.reserves.buffer_pages() == above
    dma = memory.nodes[0].zones[0]
    assert memory.reserves.free_zone_pages(0) == dma.managed_pages - dma.watermarks.high


def test_highmem_keeps_little_however_large_min_free_kbytes_is():
    nodes, reserves = grown(Boot("i686-B"))
    reserves.write(min_free_kbytes=400_000)
    highmem = nodes[0].zones[2]
    lowmem = nodes[0].zones[0].managed_pages + nodes[0].zones[1].managed_pages
    assert highmem.watermarks.min == 128
    assert highmem.watermarks == zone_watermarks(
        highmem.managed_pages, lowmem, 400_000, highmem=True)
