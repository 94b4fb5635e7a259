"""SLUB on the page allocator of the model: watermarks, per-CPU lists, fallback and all."""

from dataclasses import replace

import pytest

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.kernel_config import I686 as I686_KERNEL
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.memory_map import E820Range, MemoryMap
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.slab.errors import SlabOutOfMemory
from pagewalk.model.physical.slab.geometry import AMD64, I686
from pagewalk.model.physical.slab.slub import Slub

from ..machines import MIB, two_nodes
from ..slab_runs import random_run


def amd64():
    return two_nodes(cpus=(0, 1, 1)), replace(AMD64, nr_cpus=3)


def i686():
    e820 = (E820Range(0, 0x9FC00), E820Range(MIB, 1280 * MIB))
    return MemoryMap(e820, (), (0,), None, I686_KERNEL), I686


def boot(machine, config):
    pages = PageAllocator.boot(machine)
    order = {nid: list(dict.fromkeys(zone.nid for zone in node.zonelist))
             for nid, node in pages.nodes.items() if node.has_memory}
    slub = Slub(PhysicalMemory(), pages, config, pages.cpu_nodes, order)
    return slub, pages


def free_pages(pages):
    pages.drain_all_pages()
    pages.check()
    return {(zone.nid, zone.name): zone.free_pages for zone in pages.populated}


def use_up(slub):
    """Take objects of a page each until there is no memory."""
    taken = []
    while True:
        try:
            taken.append(slub.kmalloc(4096))
        except SlabOutOfMemory:
            return taken


@pytest.mark.parametrize("machine", [amd64, i686])
def test_after_a_random_run_the_page_allocator_has_every_page_back(machine):
    slub, pages = boot(*machine())
    slub.shrink()
    before = free_pages(pages)
    random_run(slub, 5, 40_000, cpus=len(pages.cpu_nodes))
    assert sum(free_pages(pages).values()) < sum(before.values())
    slub.shrink()
    slub.check()
    assert free_pages(pages) == before


def test_objects_lie_on_the_node_and_in_the_zone_wanted():
    slub, pages = boot(*amd64())
    for size in (64, 8192, 20000):
        for cpu, node in [(0, -1), (1, -1), (0, 1), (1, 0)]:
            pfn = slub.backing.pfn(slub.kmalloc(size, cpu=cpu, node=node))
            assert pages.page_to_nid(pfn) == (pages.cpu_nodes[cpu] if node < 0 else node)
        pfn = slub.backing.pfn(slub.kmalloc(size, Gfp.KERNEL | Gfp.DMA))
        assert pages.zone_of(pfn).name == "DMA"


def test_on_i686_objects_never_lie_in_high_memory():
    slub, pages = boot(*i686())
    zones = {pages.zone_of(slub.backing.pfn(slub.kmalloc(8192, Gfp.KERNEL | Gfp.HIGHMEM))).name
             for _ in range(500)}
    assert zones == {"Normal"}


def test_memory_that_is_used_up_is_out_of_memory_and_comes_back():
    slub, pages = boot(*amd64())
    slub.shrink()
    before = free_pages(pages)
    taken = use_up(slub)
    with pytest.raises(SlabOutOfMemory, match=r"cache kmalloc-4k, object size 4096, "):
        slub.kmalloc(4096)
    slub.check()
    # The watermark of each zone, and what other zones may not use of the lowest, is left.
    assert len(taken) > 0.9 * sum(before.values())
    smaller = [slab for slab in slub.heap.cache(4096).store.slabs.values() if slab.order == 0]
    assert smaller  # near the end there were no blocks of 8 pages any more
    for pointer in taken:
        slub.kfree(pointer)
    slub.shrink()
    slub.check()
    assert free_pages(pages) == before
