import pytest

from pagewalk.model.address_space.kernel_half.direct_map import HighmemError
from pagewalk.model.address_space.kernel_half.kernel_map import KernelMap
from pagewalk.model.address_space.kernel_half.kmap import KmapError

from ..dict_tables import DictTables
from ..linux_kernels import machine

HIGH = 0x4_0000


@pytest.fixture
def i686():
    return KernelMap(machine("i686-A"), DictTables())


@pytest.fixture
def amd64():
    return KernelMap(machine("amd64-B"), DictTables())


def test_lowmem_needs_no_mapping(i686):
    assert not i686.is_highmem(0x36BFD)
    for address in (i686.kmap(0x36BFD), i686.kmap_local(0x36BFD), i686.page_address(0x36BFD)):
        assert address == 0xF6BF_D000
    i686.kunmap(0x36BFD)
    i686.kunmap_local(0xF6BF_D000)
    assert i686.pkmap is not None
    assert not any(i686.pkmap.counts)


def test_highmem_is_reached_only_through_a_dynamic_area(i686):
    assert i686.is_highmem(0x36BFE)
    assert i686.page_address(HIGH) is None
    with pytest.raises(HighmemError):
        i686.direct.page_address(HIGH)
    assert i686.kmap(HIGH) == 0xFEC0_1000 == i686.page_address(HIGH)
    local = i686.kmap_local(HIGH)
    assert local == 0xFFFB_B000
    area = i686.vmalloc.vmap([HIGH])
    assert {vaddr: pfn for vaddr, (pfn, _) in i686._tables.pages.items()} == {
        0xFEC0_1000: HIGH, local: HIGH, area.start: HIGH}
    i686.kunmap_local(local)
    i686.kunmap(HIGH)
    with pytest.raises(KmapError):
        i686.kunmap(HIGH)


def test_amd64_maps_all_memory_directly(amd64):
    assert amd64.pkmap is None
    assert amd64.kmap(HIGH) == amd64.kmap_local(HIGH) == 0xFFFF_8880_4000_0000
    amd64.kunmap(HIGH)
    amd64.kunmap_local(0xFFFF_8880_4000_0000)
    with pytest.raises(HighmemError):
        amd64.page_address(0x18_0000)


def test_the_direct_map_is_made_with_every_page_size_or_those_given():
    sizes = {}
    for given in (None, (4096, 2 << 20)):
        tables = DictTables()
        KernelMap(machine("amd64-B"), tables).map_direct(given)
        sizes[given] = {row[3] for row in tables.ranges}
    assert sizes == {None: {4096, 2 << 20, 1 << 30}, (4096, 2 << 20): {4096, 2 << 20}}
