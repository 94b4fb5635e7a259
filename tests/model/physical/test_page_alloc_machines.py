"""Page allocators of machines of other shapes: distances, highmem, size."""

import time

import pytest

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.kernel_config import I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.reserves import Sysctl

from .machines import GIB, MIB


@pytest.mark.slow
def test_distance_decides_where_to_borrow():
    nodes = tuple(NodeRange(nid, nid * 64 * MIB, (nid + 1) * 64 * MIB) for nid in range(3))
    for far, order in (((10, 30, 20), [0, 2, 1]), ((10, 20, 30), [0, 1, 2])):
        distances = (far, (far[1], 10, 20), (far[2], 20, 10))
        memory = PageAllocator.boot(MemoryMap(
            (E820Range(MIB, 192 * MIB),), nodes, (0, 1, 2), distances))
        seen = []
        while len(seen) < 3:
            nid = memory.zone_of(memory.alloc_pages(Gfp.HIGHUSER, cpu=0)).nid
            seen += [nid] if nid not in seen else []
        assert seen == order


def test_lowmem_is_kept_from_those_who_can_use_highmem():
    """On i686, user pages leave a share of ZONE_NORMAL that kernel pages may still take."""
    memory = PageAllocator.boot(MemoryMap((E820Range(MIB, 1024 * MIB),), config=I686),
                                sysctl=Sysctl(transparent_hugepages=False))
    normal = memory.nodes[0].zones[1]
    while True:
        try:
            memory.alloc_pages(Gfp.HIGHUSER | Gfp.NOWARN, 3)
        except OutOfMemory:
            break
    kept = normal.lowmem_reserve[2]
    assert kept == memory.nodes[0].zones[2].managed_pages // 32
    # The last batch was of seven blocks, and a block more must not go below.
    assert -64 < normal.free_pages - normal.watermarks.min - kept <= 8
    assert memory.zone_of(memory.alloc_pages(Gfp.KERNEL, 3)) is normal


@pytest.mark.slow
def test_a_node_of_64_gib_is_booted_in_two_seconds_and_a_gib():
    """Processor time, as others may be busy on this machine; the columns are all that is large."""
    machine = MemoryMap((E820Range(0, 0x9FC00), E820Range(MIB, 3 * GIB),
                         E820Range(4 * GIB, 65 * GIB)))
    before = time.process_time()
    memory = PageAllocator.boot(machine)
    assert time.process_time() - before < 2
    mem_map = memory.mem_map
    assert sum(zone.managed_pages for zone in memory.populated) == (64 * GIB >> 12) - 256
    assert sum(getattr(mem_map, name).nbytes for name in mem_map.scalars.__slots__) < GIB
    memory.free_pages(memory.alloc_pages(Gfp.KERNEL, 10), 10)
    memory.check()
