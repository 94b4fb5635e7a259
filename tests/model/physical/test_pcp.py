import time

import pytest

from pagewalk.model.physical.errors import (
    BadMigrateType,
    BadOrder,
    BrokenInvariant,
    DoubleFree,
    ForeignPage,
    OrderMismatch,
)
from pagewalk.model.physical.page import PageState
from pagewalk.model.physical.pcp import PerCpuPages, zone_batchsize, zone_highsize

from .buddies import (
    HIGHATOMIC,
    ISOLATE,
    MOVABLE,
    RECLAIMABLE,
    UNMOVABLE,
    free_lists,
    zone_of,
)

# Sizes


@pytest.mark.parametrize(("managed", "low", "batch"), [
    (3840, 237, 1), (113504, 6925, 31), (126625, 7812, 31),
    (500576, 11171, 63), (245722, 5486, 63), (509445, 11415, 63),
    (211025, 13033, 63), (103388, 1383, 31), (209105, 12913, 63), (299996, 3853, 63),
])
def test_sizes_are_those_of_real_zones(managed, low, batch):
    """/proc/zoneinfo of Linux 6.1 with one CPU, where high is the low watermark."""
    assert zone_batchsize(managed) == batch
    assert zone_highsize(low, batch) == low


@pytest.mark.parametrize(("managed", "low", "high"), [
    (3840, 237, 4), (113504, 6925, 124), (126625, 7812, 124)])
def test_sizes_are_those_of_real_zones_with_a_high_fraction_of_2000(managed, low, high):
    batch = zone_batchsize(managed)
    assert zone_highsize(low, batch, managed_pages=managed, high_fraction=2000) == high


def test_the_low_watermark_is_split_between_cpus_but_leaves_room_for_batches():
    assert [zone_highsize(1000, 31, cpus) for cpus in (1, 2, 8, 64)] == [1000, 500, 125, 124]
    assert zone_highsize(1000, 31, 1, managed_pages=100_000, high_fraction=8) == 12_500


# Lists


@pytest.fixture
def pcp():
    return PerCpuPages(zone_of(1 << 14), batch=31, high=200)


@pytest.mark.parametrize(("order", "kind", "pindex"), [
    (0, UNMOVABLE, 0), (0, MOVABLE, 1), (0, RECLAIMABLE, 2), (1, UNMOVABLE, 3),
    (3, RECLAIMABLE, 11), (9, UNMOVABLE, 12), (9, MOVABLE, 13), (9, RECLAIMABLE, 12),
])
def test_each_order_and_type_has_its_list(pcp, order, kind, pindex):
    assert pcp.pindex(order, kind) == pindex
    assert pcp.order(pindex) == order


def test_only_low_orders_and_whole_pageblocks_have_lists(pcp):
    assert [order for order in range(-1, 12) if pcp.takes(order)] == [0, 1, 2, 3, 9]
    for order in (-1, 4, 8, 10):
        with pytest.raises(BadOrder, match=rf"^Order must be 0 to 3 or 9, not {order}$"):
            pcp.alloc(order, MOVABLE)


@pytest.mark.parametrize(("order", "taken"), [(0, 31), (1, 15), (2, 7), (3, 3), (9, 2)])
def test_an_empty_list_takes_a_batch_of_blocks_in_ascending_order(pcp, order, taken):
    assert pcp.alloc(order, MOVABLE) == 0
    pages = list(range(1 << order, taken << order, 1 << order))
    assert list(pcp.lists[pcp.pindex(order, MOVABLE)]) == pages
    assert pcp.count == (taken - 1) << order
    assert [pcp.alloc(order, MOVABLE) for _ in pages] == pages
    assert pcp.count == 0


def test_a_batch_of_1_is_a_single_block_of_any_order():
    pcp = PerCpuPages(zone_of(4096), batch=1, high=4)
    assert pcp.alloc(3, MOVABLE) == 0
    assert pcp.count == 0


def test_the_last_pages_are_handed_out_though_they_are_no_batch():
    pcp = PerCpuPages(zone_of(5), batch=31, high=200)
    assert [pcp.alloc(0, MOVABLE) for _ in range(6)] == [4, 0, 1, 2, 3, None]
    pcp.check()


def test_a_freed_page_is_the_next_to_be_handed_out(pcp):
    pages = [pcp.alloc(0, MOVABLE) for _ in range(5)]
    pcp.free(pages[2], 0)
    pcp.free(pages[0], 0)
    assert [pcp.alloc(0, MOVABLE) for _ in range(2)] == [pages[0], pages[2]]


def test_a_page_is_freed_to_the_list_of_its_pageblock(pcp):
    pfn = pcp.alloc(0, UNMOVABLE)
    pcp.buddy.set_pageblock_type(pfn, RECLAIMABLE)
    pcp.free(pfn, 0)
    assert pcp.lists[RECLAIMABLE][0] == pfn


def test_a_reserved_page_waits_among_movable_ones_and_returns_to_the_reserve(pcp):
    pfn = pcp.alloc(0, MOVABLE)
    pcp.drain()
    pcp.buddy.set_pageblock_type(pfn, HIGHATOMIC)
    pcp.free(pfn, 0)
    assert list(pcp.lists[MOVABLE]) == [pfn]
    pcp.drain()
    assert free_lists(pcp.buddy)[9, HIGHATOMIC] == [0]


def test_an_isolated_page_goes_straight_to_the_buddy_allocator(pcp):
    pfn = pcp.alloc(0, MOVABLE)
    pcp.drain()
    pcp.buddy.set_pageblock_type(pfn, ISOLATE)
    pcp.free(pfn, 0)
    assert pcp.count == 0
    assert free_lists(pcp.buddy)[9, ISOLATE] == [0]


# Too many


def pages_of(pcp, count):
    """Allocate pages and leave the lists empty."""
    pages = [pcp.alloc(0, MOVABLE) for _ in range(count)]
    pcp.drain()
    return pages


def test_the_oldest_batch_goes_when_high_is_reached(pcp):
    pages = pages_of(pcp, 250)
    pcp.free_list(pages[:199])
    assert pcp.count == 199
    pcp.free(pages[199], 0)
    assert pcp.count == 200 - 31
    assert list(pcp.lists[MOVABLE]) == pages[199:30:-1]
    assert pcp.buddy.mem_map.block_of(pages[30])[1] == PageState.BUDDY


def test_each_time_in_a_row_twice_as_much_goes_until_something_is_allocated():
    pcp = PerCpuPages(zone_of(1 << 14), batch=7, high=300)
    pages, freed = pages_of(pcp, 4000), []
    for pfn in pages:
        before = pcp.count
        pcp.free(pfn, 0)
        if pcp.count <= before:
            freed.append(before + 1 - pcp.count)
    assert freed[:7] == [7, 14, 28, 56, 112, 224, 224]
    assert pcp.free_factor == 5
    pcp.alloc(0, MOVABLE)
    assert pcp.free_factor == 2


def test_a_batch_stays_however_much_goes():
    pcp = PerCpuPages(zone_of(1 << 14), batch=31, high=100)
    counts = []
    for pfn in pages_of(pcp, 1000):
        pcp.free(pfn, 0)
        counts.append(pcp.count)
    assert min(counts[100:]) == 31
    assert max(counts) == 99


def test_reclaim_lowers_high_to_four_batches(pcp):
    pcp.reclaim_active = True
    for pfn in pages_of(pcp, 123):
        pcp.free(pfn, 0)
    assert pcp.count == 123
    pages = pages_of(pcp, 124)
    pcp.free_list(pages)
    assert pcp.count == 124 - 31


def test_lists_that_may_hold_nothing_give_each_page_back():
    pcp = PerCpuPages(zone_of(1 << 14), batch=31, high=0)
    pfn = pcp.alloc(0, MOVABLE)
    pcp.drain()
    pcp.free(pfn, 0)
    assert pcp.count == 0


def test_larger_blocks_empty_the_lists_when_much_is_freed_in_a_row(pcp):
    large = [pcp.alloc(2, MOVABLE) for _ in range(3)]
    pages = pages_of(pcp, 240)
    pcp.free(large[0], 2)
    assert pcp.count == 4
    pcp.free_list(pages[:196])
    assert pcp.free_factor == 1
    pcp.free(large[1], 2)
    assert pcp.count == 0
    pcp.free_factor = 0
    pcp.free(large[2], 2)
    assert pcp.count == 4


def test_lists_are_emptied_in_turn_from_the_one_that_was_freed_to(pcp):
    buddy = pcp.buddy
    pages = pages_of(pcp, 6)
    for pfn, kind in zip(pages, (UNMOVABLE, MOVABLE, RECLAIMABLE) * 2, strict=True):
        buddy.set_pageblock_type(pfn, kind)
        pcp.free(pfn, 0)
    assert [list(blocks) for blocks in pcp.lists[:3]] == [[3, 0], [4, 1], [5, 2]]
    assert pcp.free_bulk(3, RECLAIMABLE) == [2, 5, 0]
    assert [list(blocks) for blocks in pcp.lists[:3]] == [[3], [4, 1], []]
    assert pcp.free_bulk(100) == [3, 1, 4]
    assert pcp.free_bulk(1) == []
    buddy.check()


def test_draining_takes_all_in_the_order_of_the_lists(pcp):
    for order in (9, 3, 0):
        pcp.alloc(order, MOVABLE)
    pcp.alloc(0, UNMOVABLE)
    pcp.drain()
    assert pcp.count == 0
    assert not any(pcp.lists)
    pcp.check()


# What is refused


@pytest.mark.parametrize("kind", [-1, HIGHATOMIC, ISOLATE])
def test_only_types_with_lists_are_allocated(pcp, kind):
    with pytest.raises(BadMigrateType):
        pcp.alloc(0, kind)


def test_a_page_on_a_list_or_of_another_order_is_not_freed(pcp):
    pfn = pcp.alloc(1, MOVABLE)
    with pytest.raises(OrderMismatch):
        pcp.free(pfn, 0)
    with pytest.raises(DoubleFree):
        pcp.free(pfn + 2, 1)
    with pytest.raises(ForeignPage):
        pcp.free(1 << 20, 0)
    pcp.free(pfn, 1)
    for owner in (pcp, PerCpuPages(pcp.buddy, batch=1, high=1), pcp.buddy):
        with pytest.raises(DoubleFree, match=r"^Page 0x0 is free already$"):
            owner.free(pfn, 1)
    pcp.check()


def test_recorded_lists_are_loaded_as_they_are(pcp):
    pages = pages_of(pcp, 64)
    pcp.load(1, pages[5:3:-1])
    pcp.load(6, [8, 12])
    assert list(pcp.lists[1]) == [5, 4]
    assert list(pcp.lists[6]) == [8, 12]
    assert pcp.count == 10
    pcp.check()
    with pytest.raises(ValueError, match=r"^Page 0x5 is not allocated$"):
        pcp.load(1, [5])


@pytest.mark.parametrize(("breaks", "message"), [
    (lambda pcp: setattr(pcp, "count", 5), "5 pages are counted on per-CPU lists, not 30"),
    (lambda pcp: pcp.lists[MOVABLE].pop(), "30 pages are counted on per-CPU lists, not 29"),
    (lambda pcp: pcp.lists[0].append(pcp.lists[MOVABLE].pop()) or pcp.lists[0].append(29)
     or setattr(pcp, "count", 31), "A page is on per-CPU lists twice"),
    (lambda pcp: pcp.lists[3].append(5), "is not a block of order 1 of per-CPU pages"),
    (lambda pcp: pcp.lists[0].append(4000), "is not a block of order 0 of per-CPU pages"),
])
def test_what_is_broken_is_found(pcp, breaks, message):
    pcp.alloc(0, MOVABLE)
    pcp.check()
    breaks(pcp)
    with pytest.raises(BrokenInvariant, match=message):
        pcp.check()


# How fast it is


@pytest.mark.slow
def test_a_million_pairs_take_seconds(pcp):
    start = time.process_time()
    for _ in range(1_000_000):
        pcp.free(pcp.alloc(0, MOVABLE), 0)
    assert time.process_time() - start < 10
    pcp.check()
