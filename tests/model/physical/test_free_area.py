import numpy as np
import pytest

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.errors import BadMigrateType, BadOrder, BrokenInvariant
from pagewalk.model.physical.free_area import FreeArea
from pagewalk.model.physical.page import MAX_ORDER, MemMap

from .buddies import ISOLATE, MOVABLE, RECLAIMABLE, UNMOVABLE, free_lists, zone_of


@pytest.fixture
def area():
    """A zone of reserved pages from 100 to 2999, between two others."""
    mem_map = MemMap(0, 4096)
    for number, (start, end) in enumerate([(0, 100), (100, 3000), (3000, 4096)]):
        mem_map.add_memory(start, end, number)
    return FreeArea(mem_map, 1, 100, 3000, name="DMA32")


def load(area, order, kind, *pfns):
    area.load(order, kind, np.array(pfns, np.int64))


def test_lists_keep_the_order_that_they_were_loaded_in(area):
    load(area, 0, MOVABLE, 301, 299, 300)
    load(area, 0, RECLAIMABLE, 105)
    load(area, 10, UNMOVABLE, 1024)
    load(area, 0, MOVABLE, 103)
    assert free_lists(area) == {
        (0, MOVABLE): [301, 299, 300, 103], (0, RECLAIMABLE): [105], (10, UNMOVABLE): [1024]}
    assert area.nr_free == [5] + [0] * 9 + [1]
    assert area.free_pages == 5 + 1024


def test_the_first_of_a_list_is_its_head(area):
    assert area.first(3, MOVABLE) is None
    load(area, 3, MOVABLE, 800, 400)
    assert area.first(3, MOVABLE) == 800


def test_a_larger_block_will_do_but_no_smaller_one_and_no_other_type(area):
    load(area, 3, MOVABLE, 800)
    assert [area.has_block(order, MOVABLE) for order in (0, 3, 4)] == [True, True, False]
    assert not area.has_block(0, RECLAIMABLE)


@pytest.mark.parametrize(("order", "pfn"), [(1, 301), (0, 99), (0, 3000), (4, 2992), (0, 305)])
def test_blocks_that_cannot_be_the_zones_are_not_loaded(area, order, pfn):
    load(area, 0, MOVABLE, 305)
    with pytest.raises(ValueError, match=r"^(No block|Block) of order \d .* page 0x[0-9a-f]+"):
        load(area, order, MOVABLE, pfn)
    assert free_lists(area) == {(0, MOVABLE): [305]}


@pytest.mark.parametrize("order", [-1, MAX_ORDER])
def test_there_is_no_list_of_another_order(area, order):
    for call in (area.free_list, area.first, area.list_head):
        with pytest.raises(BadOrder):
            call(order, MOVABLE)


@pytest.mark.parametrize("kind", [-1, ISOLATE + 1])
def test_there_is_no_list_of_another_type(area, kind):
    for call in (area.free_list, area.first, area.list_head):
        with pytest.raises(BadMigrateType):
            call(0, kind)


def test_a_list_that_runs_in_a_circle_is_found(area):
    load(area, 0, MOVABLE, 301, 299)
    area.mem_map.next[299] = 301
    with pytest.raises(BrokenInvariant, match=r"^A list of order 0 of zone DMA32 is longer than "):
        area.free_list(0, MOVABLE)


def test_buddyinfo_is_the_line_of_proc(area):
    load(area, 0, MOVABLE, 301)
    load(area, 9, RECLAIMABLE, 1024, 2048)
    counts = [1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]
    assert area.buddyinfo() == "zone    DMA32 " + "".join(f"{count:6} " for count in counts)


def test_a_zone_spans_its_ends(area):
    assert [area.spans(pfn) for pfn in (99, 100, 2999, 3000)] == [False, True, True, False]


@pytest.mark.parametrize(("sparse", "expected"), [(True, MOVABLE), (False, UNMOVABLE)])
def test_a_pageblock_of_two_zones_has_a_type_for_each_in_flat_memory(sparse, expected):
    mem_map = MemMap(0, 4096, pageblock_order=10, sparse=sparse)
    mem_map.add_memory(0, 1500, 0)
    mem_map.add_memory(1500, 4096, 1)
    low, high = Buddy(mem_map, 0, 0, 1500), Buddy(mem_map, 1, 1500, 4096)
    assert low.pageblock_type(1400) == MOVABLE
    assert high.pageblock_type(1600) == expected
    assert high.pageblock_type(2048) == MOVABLE
    low.set_pageblock_type(1400, RECLAIMABLE)
    assert high.pageblock_type(1600) == (RECLAIMABLE if sparse else UNMOVABLE)


def test_zones_of_a_map_have_lists_of_their_own():
    mem_map = MemMap(0, 2048)
    mem_map.add_memory(0, 1024, 0)
    mem_map.add_memory(1024, 2048, 1)
    zones = [Buddy(mem_map, number, 1024 * number, 1024 * number + 1024) for number in (0, 1)]
    zones[1].free_memory(1024, 2048)
    assert [free_lists(zone) for zone in zones] == [{}, {(10, MOVABLE): [1024]}]


def test_map_may_begin_anywhere():
    buddy = zone_of(100, start=(1 << 20) + 1)
    assert buddy.first(0, UNMOVABLE) == (1 << 20) + 1
