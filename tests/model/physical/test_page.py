import numpy as np
import pytest

from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.physical.page import MemMap, MigrateType, PageState

ALLOCATED, BUDDY, HOLE, RESERVED, TAIL = (
    PageState.ALLOCATED, PageState.BUDDY, PageState.HOLE, PageState.RESERVED, PageState.TAIL)


@pytest.fixture
def mem_map():
    """Pages 0 to 99 and 200 to 4999; 16 pages from 256 on are allocated as one block."""
    mem_map = MemMap(0, 5000)
    mem_map.add_memory(0, 100, zone=0, node=0)
    mem_map.add_memory(200, 5000, zone=3, node=1)
    mem_map.state[257:272] = TAIL
    mem_map.state[256] = ALLOCATED
    mem_map.order[256] = 4
    mem_map.migratetype[256] = MigrateType.RECLAIMABLE
    return mem_map


def test_the_map_is_widened_to_whole_blocks_of_the_largest_order():
    mem_map = MemMap(1500, 5000)
    assert (mem_map.base, len(mem_map)) == (1024, 4096)
    assert (mem_map.state == HOLE).all()
    assert len(mem_map.pageblock) == 8


def test_memory_is_where_it_was_added(mem_map):
    assert [pfn in mem_map for pfn in (0, 99, 100, 199, 200, 4999, 5000, -1, 1 << 40)] == [
        True, True, False, False, True, True, False, False, False]
    assert mem_map.zone[[50, 200, 4999]].tolist() == [0, 3, 3]
    assert mem_map.node[[50, 200, 4999]].tolist() == [0, 1, 1]
    assert mem_map.block(50) == (RESERVED, 0)


def test_a_hole_is_of_the_zone_after_it_and_others_stay(mem_map):
    assert mem_map.zone[100:200].tolist() == [3] * 100
    late = MemMap(0, 3000)
    late.add_memory(1024, 2048, zone=1)
    late.add_memory(100, 200, zone=2)
    assert late.zone[[0, 99, 100, 200, 1023, 1024]].tolist() == [1, 1, 2, 1, 1, 1]


def test_pageblocks_that_begin_in_memory_are_movable():
    mem_map = MemMap(0, 4096)
    mem_map.add_memory(1, 600, zone=0)
    mem_map.add_memory(1500, 2049, zone=0)
    assert mem_map.pageblock.tolist() == [0, 1, 0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("span", [(5, 5), (7, 5), (-1, 5)])
def test_an_empty_map_is_refused(span):
    with pytest.raises(ValueError, match=r"^Page range must not be empty, not "):
        MemMap(*span)


@pytest.mark.parametrize("order", [0, 11])
def test_a_pageblock_order_that_no_block_has_is_refused(order):
    with pytest.raises(ValueError, match=rf"^Pageblock order must be 1 to 10, not {order}$"):
        MemMap(0, 100, pageblock_order=order)


@pytest.mark.parametrize(("span", "message"), [
    ((5000, 6000), "are not in the map"),
    ((100, 100), "are not in the map"),
    ((-5, 10), "are not in the map"),
    ((90, 110), "have memory already"),
    ((150, 201), "have memory already"),
])
def test_memory_that_cannot_be_added_is_refused(mem_map, span, message):
    before = mem_map.state.copy()
    with pytest.raises(ValueError, match=message):
        mem_map.add_memory(*span, zone=0)
    assert np.array_equal(mem_map.state, before)


def test_scalars_are_the_columns_themselves(mem_map):
    for name in type(mem_map.scalars).__slots__:
        getattr(mem_map.scalars, name)[7] = 9
        assert getattr(mem_map, name)[7] == 9


def test_list_heads_are_empty_lists_beyond_the_pages(mem_map):
    first, second = mem_map.list_heads(55), mem_map.list_heads(55)
    assert len(mem_map) <= first < first + 55 <= second
    heads = np.arange(first, second)
    assert np.array_equal(mem_map.next[heads], heads)
    assert np.array_equal(mem_map.prev[heads], heads)


def test_list_heads_run_out(mem_map):
    mem_map.list_heads(4000)
    with pytest.raises(ValueError, match=r"^List heads are used up: 97 more than 4096 wanted$"):
        mem_map.list_heads(97)
    mem_map.list_heads(96)


def test_the_block_of_a_page_begins_where_its_order_says(mem_map):
    assert mem_map.block_of(256) == mem_map.block_of(271) == (256, ALLOCATED, 4)
    assert mem_map.block_of(255) == (255, RESERVED, 0)
    assert mem_map.block_of(150) == (150, HOLE, 0)
    assert mem_map.block_of(1 << 40) == (1 << 40, HOLE, 0)


def test_split_pages_are_freed_one_by_one(mem_map):
    mem_map.split_page(256, 4)
    assert [mem_map.block(pfn) for pfn in range(256, 272)] == [(ALLOCATED, 0)] * 16
    assert mem_map.migratetype[256:272].tolist() == [MigrateType.RECLAIMABLE] * 16
    mem_map.blocks()


@pytest.mark.parametrize(("pfn", "order"), [(256, 3), (257, 0), (300, 0), (150, 0), (-1, 0)])
def test_only_an_allocated_block_is_split(mem_map, pfn, order):
    with pytest.raises(ValueError, match=rf"^No allocated block of order {order} begins at page "):
        mem_map.split_page(pfn, order)


def test_joined_pages_are_one_block_whatever_they_were(mem_map):
    mem_map.split_page(256, 4)
    mem_map.join_pages(260, 2)
    mem_map.join_pages(256, 3)
    assert mem_map.block_of(263) == (256, ALLOCATED, 3)
    mem_map.join_pages(258, 1)  # a part of it: the rest falls to pages
    assert [mem_map.block(pfn)[0] for pfn in range(256, 264)] == [
        ALLOCATED, ALLOCATED, ALLOCATED, TAIL, *[ALLOCATED] * 4]
    mem_map.blocks()


def test_only_allocated_pages_are_joined(mem_map):
    mem_map.split_page(256, 4)
    for state in (BUDDY, PageState.PCP, RESERVED, HOLE):
        mem_map.state[262] = state
        with pytest.raises(ValueError, match=r"^Page 0x106 is not allocated$"):
            mem_map.join_pages(256, 4)
        assert mem_map.state[256] == ALLOCATED


def test_blocks_cover_every_page_once(mem_map):
    heads, orders = mem_map.blocks()
    assert len(heads) == len(mem_map) - 15
    assert orders[heads == 256].tolist() == [4]
    assert orders.sum() == 4


@pytest.mark.parametrize(("pfn", "state", "order", "message"), [
    (0, TAIL, 0, "Page 0x0 is in no block"),
    (300, TAIL, 0, "Block of order 0 at page 0x12b does not end where the next begins"),
    (260, RESERVED, 0, "Block of order 4 at page 0x100 does not end where the next begins"),
    (256, ALLOCATED, 3, "Block of order 3 at page 0x100 does not end where the next begins"),
])
def test_a_page_in_no_block_or_in_two_is_found(mem_map, pfn, state, order, message):
    mem_map.state[pfn] = state
    mem_map.order[pfn] = order
    with pytest.raises(BrokenInvariant) as error:
        mem_map.blocks()
    assert str(error.value) == message


def test_a_crooked_block_is_found(mem_map):
    mem_map.state[301:303] = [ALLOCATED, TAIL]
    mem_map.order[301] = 1
    with pytest.raises(BrokenInvariant, match=r"^Block of order 1 at page 0x12d is not aligned$"):
        mem_map.blocks()
