"""Stealing, rule by rule; the state machine of test_buddy does it at random."""

import pytest

from pagewalk.model.physical.fallback import ALLOC_KSWAPD, ALLOC_NOFRAGMENT, Fallback
from pagewalk.model.physical.page import PageFlag

from .buddies import HIGHATOMIC, MOVABLE, RECLAIMABLE, UNMOVABLE, free_lists, zone_of

BLOCK = 512


def zone_with(*blocks, pages=4096):
    """A full zone of movable pageblocks, but for free ``blocks``: (page, order, migrate type)."""
    buddy = zone_of(pages)
    while (pfn := buddy.rmqueue(0, MOVABLE)) is not None:
        buddy.mem_map.order[pfn] = 0
    for pfn, order, kind in blocks:
        buddy.mem_map.join_pages(pfn, order)
        buddy.free_one_page(pfn, order, kind)
    return buddy


@pytest.mark.parametrize(("wanted", "others", "chosen"), [
    (UNMOVABLE, (RECLAIMABLE, MOVABLE), RECLAIMABLE),
    (UNMOVABLE, (MOVABLE,), MOVABLE),
    (MOVABLE, (RECLAIMABLE, UNMOVABLE), RECLAIMABLE),
    (MOVABLE, (UNMOVABLE,), UNMOVABLE),
    (RECLAIMABLE, (UNMOVABLE, MOVABLE), UNMOVABLE),
    (RECLAIMABLE, (MOVABLE,), MOVABLE),
])
def test_types_help_out_in_the_kernels_order(wanted, others, chosen):
    buddy = zone_with(*((1024 * place, 6, kind) for place, kind in enumerate(others)))
    assert buddy.rmqueue(0, wanted) == 1024 * others.index(chosen)
    assert buddy.last_fallback.fallback_migratetype == chosen


def test_reserves_are_not_stolen_from():
    buddy = zone_with((0, 9, HIGHATOMIC))
    assert [buddy.rmqueue(0, kind) for kind in (UNMOVABLE, MOVABLE, RECLAIMABLE)] == [None] * 3
    assert buddy.last_fallback is None


def test_the_largest_block_is_stolen_and_the_smallest_would_do():
    buddy = zone_with((0, 2, MOVABLE), (1024, 7, MOVABLE), (2048, 5, MOVABLE))
    assert buddy.rmqueue(0, UNMOVABLE) == 1024
    assert buddy.last_fallback == Fallback(1024, 0, 7, UNMOVABLE, MOVABLE, True)


def test_a_movable_request_takes_the_smallest_where_it_may_not_take_the_pageblock():
    buddy = zone_with((0, 2, UNMOVABLE), (1024, 3, UNMOVABLE), (2048, 0, UNMOVABLE))
    assert buddy.rmqueue(1, MOVABLE) == 0
    assert buddy.last_fallback == Fallback(0, 1, 2, MOVABLE, UNMOVABLE, True)
    assert free_lists(buddy) == {
        (0, UNMOVABLE): [2048], (1, MOVABLE): [2], (3, UNMOVABLE): [1024]}


def test_a_movable_request_takes_the_largest_from_half_a_pageblocks_order_on():
    buddy = zone_with((0, 2, UNMOVABLE), (1024, 4, UNMOVABLE))
    assert buddy.rmqueue(1, MOVABLE) == 1024


def test_stolen_blocks_wait_at_the_tail_of_their_new_list():
    buddy = zone_with((0, 3, MOVABLE), (8, 1, MOVABLE), (16, 3, MOVABLE), (1024, 0, RECLAIMABLE))
    buddy.rmqueue(0, RECLAIMABLE)
    assert buddy.rmqueue(1, RECLAIMABLE) == 8
    assert free_lists(buddy) == {(3, RECLAIMABLE): [0, 16]}


def fill(buddy, flag):
    buddy.mem_map.flags[:] = flag


@pytest.mark.parametrize(("wanted", "old", "flag", "free_order", "claimed"), [
    (UNMOVABLE, MOVABLE, 0, 4, True),              # the rest is not movable: of use
    (UNMOVABLE, MOVABLE, PageFlag.LRU, 4, False),  # the rest is movable
    (UNMOVABLE, MOVABLE, PageFlag.LRU, 8, True),   # but half is free
    (UNMOVABLE, MOVABLE, PageFlag.MOVABLE, 4, False),
    (MOVABLE, UNMOVABLE, PageFlag.LRU, 4, True),
    (MOVABLE, UNMOVABLE, 0, 4, False),
    (MOVABLE, UNMOVABLE, 0, 8, True),
    (RECLAIMABLE, UNMOVABLE, 0, 4, False),         # no telling what the rest is
    (RECLAIMABLE, UNMOVABLE, 0, 8, True),
])
def test_a_pageblock_changes_hands_if_half_is_free_or_of_use(wanted, old, flag, free_order,
                                                             claimed):
    buddy = zone_with((1024, free_order, old))
    buddy.set_pageblock_type(1024, old)
    fill(buddy, flag)
    buddy.rmqueue(0, wanted)
    assert buddy.pageblock_type(1024) == (wanted if claimed else old)
    assert buddy.last_fallback.change_ownership is claimed


@pytest.mark.parametrize("claim", [False, True])
def test_the_caller_may_know_whether_a_pageblock_changes_hands(claim):
    buddy = zone_with((1024, 4, MOVABLE))
    assert buddy.rmqueue_fallback(0, UNMOVABLE, claim=claim)
    assert buddy.pageblock_type(1024) == (UNMOVABLE if claim else MOVABLE)


def test_whole_pageblocks_change_hands_with_their_pages():
    buddy = zone_with((1024, 10, MOVABLE))
    assert buddy.rmqueue(3, RECLAIMABLE) == 1024
    assert [buddy.pageblock_type(pfn) for pfn in range(0, 4096, BLOCK)] == [
        MOVABLE, MOVABLE, RECLAIMABLE, RECLAIMABLE, *[MOVABLE] * 4]


def test_without_fragmentation_only_whole_pageblocks_are_stolen():
    buddy = zone_with((0, 8, MOVABLE))
    assert buddy.rmqueue(0, UNMOVABLE, ALLOC_NOFRAGMENT) is None
    assert buddy.rmqueue(8, UNMOVABLE, ALLOC_NOFRAGMENT) is None
    buddy = zone_with((0, 8, MOVABLE), (1024, 9, MOVABLE))
    assert buddy.rmqueue(0, UNMOVABLE, ALLOC_NOFRAGMENT) == 1024
    buddy = zone_with((0, 8, MOVABLE))
    assert buddy.rmqueue(0, UNMOVABLE) == 0


def test_a_pageblock_that_the_zone_ends_in_is_not_stolen_whole():
    buddy = zone_with((512, 4, MOVABLE), (528, 3, MOVABLE), pages=1000)
    assert buddy.rmqueue(0, UNMOVABLE) == 512
    assert free_lists(buddy)[3, MOVABLE] == [528]
    assert buddy.pageblock_type(512) == MOVABLE


def test_fragmenting_a_pageblock_boosts_the_watermarks():
    calls = []
    buddy = zone_with((0, 9, MOVABLE), (1024, 5, MOVABLE))
    buddy.boost_watermark = calls.append
    buddy.rmqueue(9, UNMOVABLE, ALLOC_KSWAPD)
    assert calls == []
    buddy.rmqueue(0, UNMOVABLE, ALLOC_KSWAPD)
    assert calls == [ALLOC_KSWAPD]


# The reserve for high-order atomic requests


def test_a_reserved_pageblock_serves_atomic_requests_only():
    buddy = zone_with((1024, 8, MOVABLE), (1280, 3, MOVABLE))
    buddy.reserve_highatomic_pageblock(1030)
    assert buddy.nr_reserved_highatomic == BLOCK
    assert free_lists(buddy) == {(8, HIGHATOMIC): [1024], (3, HIGHATOMIC): [1280]}
    assert buddy.rmqueue(0, MOVABLE) is None
    assert buddy.rmqueue(3, HIGHATOMIC) == 1280
    buddy.free(1280, 3)
    assert free_lists(buddy)[3, HIGHATOMIC] == [1280]
    buddy.check()


def test_a_reserved_pageblock_does_not_merge_with_others():
    buddy = zone_with((1024, 8, MOVABLE), (1536, 9, MOVABLE))
    buddy.reserve_highatomic_pageblock(1024)
    buddy.mem_map.join_pages(1280, 8)
    buddy.free(1280, 8)
    assert free_lists(buddy) == {(9, HIGHATOMIC): [1024], (9, MOVABLE): [1536]}
    buddy.check()
    assert buddy.unreserve_highatomic_pageblock(MOVABLE, force=True)
    assert free_lists(buddy) == {(9, MOVABLE): [1536, 1024]}  # as in the kernel: none merges them
    buddy.check()


def test_about_one_percent_of_a_zone_is_reserved_at_most():
    buddy = zone_with(pages=1 << 17)
    for pfn in range(0, 1 << 17, BLOCK):
        buddy.reserve_highatomic_pageblock(pfn)
    limit = (1 << 17) // 100 + BLOCK
    assert limit <= buddy.nr_reserved_highatomic < limit + BLOCK
    buddy.reserve_highatomic_pageblock(0)
    assert limit <= buddy.nr_reserved_highatomic < limit + BLOCK


def test_the_last_reserved_pageblock_is_kept_unless_forced():
    buddy = zone_with((0, 3, MOVABLE), (1024, 5, MOVABLE), pages=1 << 17)
    buddy.reserve_highatomic_pageblock(1024)
    assert not buddy.unreserve_highatomic_pageblock(MOVABLE)
    buddy.reserve_highatomic_pageblock(0)
    assert buddy.unreserve_highatomic_pageblock(RECLAIMABLE)
    assert free_lists(buddy) == {(3, RECLAIMABLE): [0], (5, HIGHATOMIC): [1024]}
    assert not buddy.unreserve_highatomic_pageblock(MOVABLE)
    assert buddy.unreserve_highatomic_pageblock(MOVABLE, force=True)
    assert buddy.nr_reserved_highatomic == 0
    assert not buddy.unreserve_highatomic_pageblock(MOVABLE, force=True)
