import pytest

from pagewalk.model.physical.boot import build_nodes, memblock_free_all
from pagewalk.model.physical.errors import DoubleFree, ForeignPage, OrderMismatch
from pagewalk.model.physical.fallback import ALLOC_KSWAPD, ALLOC_NOFRAGMENT
from pagewalk.model.physical.freelist import FreelistAllocator
from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.kernel_config import I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.page import MigrateType
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.watermark import ALLOC_WMARK_LOW, Watermarks

from .machines import GIB, MIB, two_nodes


@pytest.fixture
def memory():
    return PageAllocator.boot(two_nodes(cpus=(0, 1)))


def four_gib_and_more(config=None, nodes=()):
    """ZONE_DMA, little of DMA32, and Normal or HighMem."""
    e820 = (E820Range(0, 0x9FC00), E820Range(MIB, 48 * MIB), E820Range(4 * GIB, 4 * GIB + 64 * MIB))
    if config is I686:
        e820 = (E820Range(0, 0x9FC00), E820Range(MIB, 960 * MIB))
    return MemoryMap(e820, nodes, config=config) if config else MemoryMap(e820, nodes)


def names(context):
    return [(zone.nid, zone.name) for zone in context.zones]


def test_flags_choose_zones_from_the_highest_down():
    memory = PageAllocator.boot(four_gib_and_more())
    high = [(0, "Normal"), (0, "DMA32"), (0, "DMA")]
    assert names(memory.context(Gfp.KERNEL, 0)) == high
    assert names(memory.context(Gfp.HIGHUSER_MOVABLE, 0)) == high
    assert names(memory.context(Gfp.KERNEL | Gfp.DMA32, 0)) == high[1:]
    assert names(memory.context(Gfp.KERNEL | Gfp.DMA, 0)) == high[2:]
    memory = PageAllocator.boot(four_gib_and_more(I686))
    assert names(memory.context(Gfp.KERNEL, 0)) == [(0, "Normal"), (0, "DMA")]
    assert names(memory.context(Gfp.HIGHUSER, 0)) == [(0, "HighMem"), (0, "Normal"), (0, "DMA")]


def test_a_node_of_ones_own_excludes_all_others(memory):
    assert names(memory.context(Gfp.KERNEL, 1)) == [(1, "DMA32"), (0, "DMA32"), (0, "DMA")]
    assert names(memory.context(Gfp.KERNEL | Gfp.THISNODE, 1)) == [(1, "DMA32")]
    assert names(memory.context(Gfp.KERNEL | Gfp.DMA | Gfp.THISNODE, 1)) == []
    with pytest.raises(ValueError, match=r"^Node must be one of \[0, 1\], not 2$"):
        memory.context(Gfp.KERNEL, 2)


def test_migrate_types_are_not_told_apart_on_a_tiny_machine():
    """Ten MiB would be five pageblocks."""
    tiny = PageAllocator.boot(MemoryMap((E820Range(MIB, 10 * MIB),)))
    assert not tiny.mobility_grouped
    assert tiny.context(Gfp.HIGHUSER_MOVABLE, 0).migratetype == MigrateType.UNMOVABLE
    small = PageAllocator.boot(MemoryMap((E820Range(MIB, 12 * MIB),)))
    assert small.mobility_grouped
    assert small.context(Gfp.HIGHUSER_MOVABLE, 0).migratetype == MigrateType.MOVABLE


def test_only_zone_normal_gives_way_to_keep_migrate_types_apart(memory):
    normal = PageAllocator.boot(four_gib_and_more())
    flags = ALLOC_WMARK_LOW | ALLOC_KSWAPD
    assert normal.context(Gfp.KERNEL, 0).alloc_flags == flags | ALLOC_NOFRAGMENT
    assert normal.context(Gfp.KERNEL | Gfp.DMA32, 0).alloc_flags == flags
    assert memory.context(Gfp.KERNEL, 0).alloc_flags == flags
    assert memory.context(Gfp.KERNEL & ~Gfp.RECLAIM, 0).alloc_flags == ALLOC_WMARK_LOW
    i686 = PageAllocator.boot(four_gib_and_more(I686))
    assert i686.context(Gfp.KERNEL, 0).alloc_flags == flags


def test_a_node_without_dma32_does_not_give_way():
    """Of its own zones only ZONE_NORMAL has memory, and another node's would be remote."""
    memory = PageAllocator.boot(MemoryMap(
        (E820Range(0, 0x9FC00), E820Range(MIB, 48 * MIB), E820Range(4 * GIB, 4 * GIB + 64 * MIB)),
        (NodeRange(0, 0, 4 * GIB), NodeRange(1, 4 * GIB, 5 * GIB))))
    flags = ALLOC_WMARK_LOW | ALLOC_KSWAPD
    assert names(memory.context(Gfp.KERNEL, 1))[0] == (1, "Normal")
    assert memory.context(Gfp.KERNEL, 1).alloc_flags == flags


def exhaust(zone, migratetype):
    """Take the free blocks of a type until none is left."""
    while any(zone.buddy.rmqueue_smallest(order, migratetype) is not None for order in (10, 3, 0)):
        pass


def without_watermarks(machine):
    mem_map, nodes = build_nodes(machine)
    memblock_free_all(machine, nodes, ())
    return FreelistAllocator(machine.config, mem_map, nodes)


def test_another_zone_is_tried_before_a_pageblock_is_shared():
    """ZONE_NORMAL has movable pages enough, but none of a whole free pageblock to take over."""
    memory = without_watermarks(four_gib_and_more())
    normal, dma32, dma = memory.nodes[0].own_zonelist
    for pfn in [normal.buddy.alloc(8, MigrateType.MOVABLE)
                for _ in range(normal.managed_pages // 256)][::2]:
        normal.buddy.free(pfn, 8)
    context = memory.context(Gfp.KERNEL, 0)
    pfn = memory.get_page_from_freelist(context, 0, context.alloc_flags, 0)
    assert memory.zone_of(pfn) is dma32
    dma32.watermarks = dma.watermarks = Watermarks(1 << 20, 1 << 20, 1 << 20, 1 << 20)
    pfn = memory.get_page_from_freelist(context, 0, context.alloc_flags, 0)
    assert memory.zone_of(pfn) is normal  # rather than fail


def test_locality_is_worth_more_than_keeping_migrate_types_apart():
    nodes = NodeRange(0, 0, 4 * GIB + 64 * MIB), NodeRange(1, 4 * GIB + 64 * MIB, 5 * GIB)
    machine = MemoryMap(
        (E820Range(MIB, 48 * MIB), E820Range(4 * GIB, 4 * GIB + 128 * MIB)), nodes)
    memory = without_watermarks(machine)
    normal, dma32, dma = memory.nodes[0].own_zonelist
    for pfn in [normal.buddy.alloc(8, MigrateType.MOVABLE)
                for _ in range(normal.managed_pages // 256)][::2]:
        normal.buddy.free(pfn, 8)
    dma32.watermarks = dma.watermarks = Watermarks(1 << 20, 1 << 20, 1 << 20, 1 << 20)
    context = memory.context(Gfp.KERNEL, 0)
    assert context.alloc_flags & ALLOC_NOFRAGMENT
    pfn = memory.get_page_from_freelist(context, 0, context.alloc_flags, 0)
    assert memory.zone_of(pfn) is normal
    assert memory.nodes[1].zones[2].numa.miss == 0


def test_a_boosted_zone_wakes_kswapd_with_the_next_page(memory):
    zone = memory.nodes[1].zones[1]
    zone.boosted = True
    memory.free_pages(memory.alloc_pages(Gfp.KERNEL, nid=1))
    assert not zone.boosted
    assert (memory.nodes[1].kswapd_order, memory.nodes[1].kswapd_highest_zoneidx) == (0, 1)
    assert memory.nodes[0].kswapd_order is None


def test_a_page_is_freed_with_its_last_reference(memory):
    pfn = memory.alloc_pages(Gfp.KERNEL, 2)
    refcount = memory.mem_map.refcount
    assert refcount[pfn - memory.mem_map.base] == 1
    refcount[pfn - memory.mem_map.base] = 3
    for left in (2, 1):
        memory.free_pages(pfn, 2)
        assert refcount[pfn - memory.mem_map.base] == left
    memory.free_pages(pfn, 2)
    assert refcount[pfn - memory.mem_map.base] == 0
    with pytest.raises(DoubleFree):
        memory.free_pages(pfn, 2)


@pytest.mark.parametrize("order", [0, 3, 4, 9, 10])
def test_a_block_comes_back_by_the_way_it_went(memory, order):
    """Those of 0 to 3 and 9 by the per-CPU list, the others at once."""
    zone = memory.nodes[0].zones[1]
    free = zone.free_pages
    pfn = memory.alloc_pages(Gfp.KERNEL, order)
    memory.free_pages(pfn, order)
    listed = sum(pcp.count for pcp in zone.pcp)
    assert (listed > 0) == (order in (0, 3, 9))
    assert zone.free_pages + listed == free
    memory.drain_all_pages()
    assert zone.free_pages == free
    memory.check()


def test_each_processor_has_its_own_lists(memory):
    zone = memory.nodes[0].zones[1]
    first = memory.alloc_pages(Gfp.KERNEL, nid=0, cpu=0)
    second = memory.alloc_pages(Gfp.KERNEL, nid=0, cpu=1)
    assert second - first >= zone.pcp[0].batch
    memory.free_pages(first, cpu=1)
    assert memory.alloc_pages(Gfp.KERNEL, nid=0, cpu=1) == first


def test_what_is_not_allocated_cannot_be_freed(memory):
    pfn = memory.alloc_pages(Gfp.KERNEL, 1)
    with pytest.raises(OrderMismatch):
        memory.free_pages(pfn, 0)
    for foreign, why in ((0xA0, "it is a hole"), (1 << 40, "it is a hole"), (-1, "it is a hole"),
                         (0x20, "it is reserved")):
        with pytest.raises(ForeignPage, match=why):
            memory.free_pages(foreign)
    memory.mem_map.refcount[pfn - memory.mem_map.base] = 2
    with pytest.raises(OrderMismatch):
        memory.free_pages(pfn, 0)
    assert memory.mem_map.refcount[pfn - memory.mem_map.base] == 2
    memory.check()


def test_what_boot_reserved_can_be_given_back():
    memory = PageAllocator.boot(two_nodes(), reserved=[(5000, 6000)])
    zone = memory.zone_of(5000)
    managed, marks = zone.managed_pages, zone.watermarks
    memory.free_reserved_area(5100, 5600)
    assert zone.managed_pages == managed + 500
    assert zone.watermarks == marks
    memory.check()
    with pytest.raises(ForeignPage, match="it is not reserved"):
        memory.free_reserved_area(5099, 5101)
    with pytest.raises(ForeignPage, match="it is a hole"):
        memory.free_reserved_area(0xA0, 0xA1)


def test_exhausting_a_type_takes_from_another(memory):
    zone = memory.nodes[1].zones[1]
    exhaust(zone, MigrateType.UNMOVABLE)
    pfn = memory.alloc_pages(Gfp.KERNEL, nid=1)
    assert memory.zone_of(pfn) is zone
    assert zone.buddy.pageblock_type(pfn) == MigrateType.UNMOVABLE
