import re

import pytest

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.geometry import AMD64, I686
from pagewalk.model.physical.slab.slab import Backing, CacheNode, Slab

from ..slab_pages import NoPages, Pages


def slab(pfn):
    return Slab(None, pfn, 1, 0, range(8), bytearray(8))


def test_partial_lists_take_slabs_at_both_ends_and_give_them_from_anywhere():
    node = CacheNode()
    slabs = {pfn: slab(pfn) for pfn in range(5)}
    for pfn, tail in [(0, True), (1, True), (2, False), (3, False), (4, True)]:
        node.add_partial(slabs[pfn], tail)
    assert list(node.partial) == [3, 2, 0, 1, 4]
    node.remove_partial(slabs[0])
    assert (list(node.partial), node.nr_partial) == ([3, 2, 1, 4], 4)


def test_a_slab_knows_its_frames():
    assert slab(6).frames == range(6, 8)


@pytest.mark.parametrize(
    ("config", "pfn", "address"),
    [(AMD64, 0, 0xFFFF_8880_0000_0000), (AMD64, 0x4B5C, 0xFFFF_8880_04B5_C000),
     (I686, 0x21A5, 0xC21A_5000)],
)
def test_pointers_are_those_of_the_direct_map(config, pfn, address):
    backing = Backing(PhysicalMemory(), Pages(), config)
    assert backing.address(pfn) == address
    assert {backing.pfn(address), backing.pfn(address + 4095)} == {pfn}


def test_a_block_is_memory_on_the_node_of_the_cpu_unless_another_is_wanted():
    pages = Pages(frames=64, nodes=2)
    backing = Backing(PhysicalMemory(), pages, AMD64, (1, 0), {0: (0, 1), 1: (1, 0)})
    wishes = [(-1, 0), (-1, 1), (0, 0), (1, 1)]
    pfns = [backing.alloc_block(0, 2, node, cpu) for node, cpu in wishes]
    assert [pages.page_to_nid(pfn) for pfn in pfns] == [1, 0, 0, 1]
    for pfn in pfns:
        backing.write(backing.address(pfn) + 4090, b"across frames")
        assert backing.read(backing.address(pfn) + 4096, 7) == b" frames"


def test_what_the_page_allocator_cannot_give_is_its_own_error_and_makes_no_memory():
    backing = Backing(PhysicalMemory(), Pages(frames=1), AMD64)
    with pytest.raises(NoPages):
        backing.alloc_block(0, 1, -1, 0)
    assert not len(backing.memory)


def test_a_cpu_on_a_node_without_memory_is_refused():
    with pytest.raises(ValueError, match=re.escape("Node of CPU 1 must be one with memory, not 2")):
        Backing(PhysicalMemory(), Pages(), AMD64, (0, 2), {0: (0, 1), 1: (1, 0)})
