import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.physical.fallback import ALLOC_KSWAPD
from pagewalk.model.physical.kernel_config import ZoneType
from pagewalk.model.physical.page import MemMap, MigrateType, PageState
from pagewalk.model.physical.watermark import (
    ALLOC_HIGHATOMIC,
    ALLOC_MIN_RESERVE,
    ALLOC_NON_BLOCK,
    ALLOC_OOM,
    ALLOC_WMARK_HIGH,
    ALLOC_WMARK_LOW,
    ALLOC_WMARK_MIN,
    Watermarks,
)
from pagewalk.model.physical.zone import Zone
from pagewalk.model.physical.zone_layout import ZoneSpan

START, PAGES = 4096, 8192


def zone_of(pages=PAGES, nid=0, cpus=1):
    mem_map = MemMap(START, START + pages)
    mem_map.add_memory(START, START + pages, 0)
    buddy = Buddy(mem_map, 0, START, START + pages)
    buddy.free_memory(START, START + pages)
    span = ZoneSpan(nid, ZoneType.NORMAL, START, pages, pages)
    zone = Zone(span, 2, buddy, zone_count=5, cpus=cpus)
    zone.watermarks = Watermarks(100, 125, 150, 175)
    zone.lowmem_reserve = [0, 0, 0, 40, 40]
    return zone


@pytest.fixture
def zone():
    return zone_of()


def leave(zone, pages):
    """Take single pages until so many are left."""
    while zone.free_pages > pages:
        order = min(10, (zone.free_pages - pages).bit_length() - 1)
        zone.buddy.alloc(order, MigrateType.UNMOVABLE)


@pytest.mark.parametrize(
    ("flags", "highest", "left", "enough"),
    [
        (ALLOC_WMARK_LOW, 2, 126, True),
        (ALLOC_WMARK_LOW, 2, 125, False),
        (ALLOC_WMARK_MIN, 2, 101, True),
        (ALLOC_WMARK_MIN, 2, 100, False),
        (ALLOC_WMARK_HIGH, 2, 151, True),
        (ALLOC_WMARK_HIGH, 2, 150, False),
        (ALLOC_WMARK_MIN, 3, 141, True),     # may use zone 3: 40 pages are kept from it
        (ALLOC_WMARK_MIN, 3, 140, False),
        (ALLOC_MIN_RESERVE, 2, 51, True),
        (ALLOC_MIN_RESERVE, 2, 50, False),
        (ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK, 2, 39, True),
        (ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK, 2, 38, False),
        (ALLOC_OOM, 2, 51, True),
        (ALLOC_OOM, 2, 50, False),
    ],
)
def test_a_single_page_is_spared_above_the_mark_alone(zone, flags, highest, left, enough):
    leave(zone, left)
    mark = zone.mark(flags)
    assert zone.watermark_ok(0, mark, highest, flags) is enough
    assert zone.watermark_fast(0, mark, highest, flags, atomic=False) is enough
    assert (zone.shortfall(0, mark, highest, flags) is None) is enough


def test_a_large_block_needs_as_many_pages_more_and_a_block(zone):
    assert zone.watermark_ok(10, 100, 2, 0)
    leave(zone, 1024)
    assert zone.watermark_ok(10, 0, 2, 0)       # 1024 - 1023 > 0
    assert not zone.watermark_ok(10, 1, 2, 0)
    assert zone.watermark_ok(9, 100, 2, 0)
    page = zone.buddy.alloc(0)
    assert not zone.watermark_ok(10, 0, 2, 0)
    assert zone.shortfall(10, 0, 2, 0).startswith("1023 pages free, 1023 of which do not count")
    assert zone.watermark_ok(9, 100, 2, 0)
    zone.buddy.free(page, 0)
    assert zone.watermark_ok(10, 0, 2, 0)


def test_pages_without_a_block_are_not_enough(zone):
    pages = [zone.buddy.alloc(0) for _ in range(PAGES)]
    for pfn in pages[::2]:
        zone.buddy.free(pfn, 0)
    assert zone.free_pages == PAGES // 2
    assert zone.watermark_ok(0, 100, 2, 0)
    assert not zone.watermark_ok(1, 100, 2, 0)
    assert zone.shortfall(1, 100, 2, 0) == (
        f"{PAGES // 2} pages free, but no block of order 1 or more")


def test_pages_reserved_for_atomic_use_count_for_those_alone(zone):
    pfn = zone.buddy.alloc(3)
    zone.buddy.reserve_highatomic_pageblock(pfn)
    leave(zone, 512 + 50)
    free = zone.free_pages
    assert zone.unusable_free(0, 0) == 512
    assert not zone.watermark_ok(0, free - 512, 2, 0)
    assert zone.watermark_ok(0, free - 513, 2, 0)
    assert zone.watermark_ok(0, free - 1, 2, ALLOC_HIGHATOMIC)
    while zone.buddy.rmqueue_smallest(0, MigrateType.UNMOVABLE) is not None:
        pass
    assert not zone.has_block(3, 0)
    assert zone.has_block(3, ALLOC_HIGHATOMIC)
    assert zone.has_block(3, ALLOC_OOM)
    assert not zone.has_block(3, ALLOC_NON_BLOCK)


def test_free_pages_may_be_imagined(zone):
    leave(zone, 10)
    assert not zone.watermark_ok(0, 100, 2, 0)
    assert zone.watermark_ok(0, 100, 2, 0, free_pages=101)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_fast_check_and_the_words_agree_with_the_full_check(data):
    zone = zone_of(2048)
    for _ in range(data.draw(st.integers(0, 60))):
        order = data.draw(st.integers(0, 6))
        pfn = zone.buddy.rmqueue(order, data.draw(st.sampled_from([0, 1, 2])))
        if pfn is not None and order and data.draw(st.booleans()):
            zone.buddy.reserve_highatomic_pageblock(pfn)
    order, highest = data.draw(st.integers(0, 10)), data.draw(st.integers(0, 4))
    flags = data.draw(st.sampled_from([
        ALLOC_WMARK_LOW, ALLOC_WMARK_MIN, ALLOC_MIN_RESERVE, ALLOC_OOM, ALLOC_HIGHATOMIC,
        ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK | ALLOC_HIGHATOMIC]))
    mark = data.draw(st.integers(0, 2100))
    ok = zone.watermark_ok(order, mark, highest, flags)
    assert zone.watermark_fast(order, mark, highest, flags, atomic=True) is ok
    assert (zone.shortfall(order, mark, highest, flags) is None) is ok


def test_mixing_migrate_types_raises_the_watermarks(zone):
    zone.watermark_boost_factor = 15_000
    zone.watermarks = Watermarks(1000, 1100, 1200, 1300)
    zone.boost_watermark(0)
    assert zone.watermark_boost == 512
    assert not zone.boosted
    for _ in range(9):
        zone.boost_watermark(ALLOC_KSWAPD)
    assert zone.watermark_boost == 1800  # 15,000 / 10,000 of 1200
    assert zone.boosted
    assert zone.mark(ALLOC_WMARK_LOW) == 1100 + 1800
    leave(zone, 2500)
    mark = zone.mark(ALLOC_WMARK_MIN)
    assert not zone.watermark_fast(0, mark, 2, ALLOC_WMARK_MIN, atomic=False)
    assert zone.watermark_fast(0, mark, 2, ALLOC_WMARK_MIN, atomic=True)
    assert not zone.watermark_fast(1, mark, 2, ALLOC_WMARK_MIN, atomic=True)
    assert not zone.watermark_fast(0, zone.mark(ALLOC_WMARK_LOW), 2, ALLOC_WMARK_LOW, atomic=True)


def test_no_watermark_is_boosted_if_that_is_off_or_the_zone_is_small(zone):
    zone.boost_watermark(ALLOC_KSWAPD)
    assert (zone.watermark_boost, zone.boosted) == (0, False)
    small = zone_of(2047)
    small.watermark_boost_factor = 15_000
    small.boost_watermark(ALLOC_KSWAPD)
    assert small.watermark_boost == 0


def test_a_steal_within_a_pageblock_boosts(zone):
    zone.watermark_boost_factor = 15_000
    for _ in range(7):
        zone.buddy.alloc(10, MigrateType.MOVABLE)
    zone.buddy.alloc(8, MigrateType.MOVABLE)
    zone.buddy.alloc(9, MigrateType.MOVABLE)
    zone.buddy.alloc(0, MigrateType.UNMOVABLE, ALLOC_KSWAPD)
    assert zone.watermark_boost == 512
    assert zone.boosted


def test_lists_of_all_processors_share_the_low_watermark():
    zone = zone_of(cpus=4)
    zone.watermarks = Watermarks(1000, 1200, 1400, 1600)
    zone.set_pageset_sizes(node_cpus=3, high_fraction=0)
    assert [(pcp.high, pcp.batch) for pcp in zone.pcp] == [(400, 1)] * 4
    zone.set_pageset_sizes(node_cpus=0, high_fraction=0)  # of a node without processors: all
    assert zone.pcp[3].high == 300
    zone.set_pageset_sizes(node_cpus=2, high_fraction=10)
    assert zone.pcp[0].high == PAGES // 10 // 2


def test_allocations_are_counted_by_where_they_were_meant_to_go():
    near, far = zone_of(nid=0), zone_of(nid=1)
    near.count_allocation(near, cpu_nid=0)
    near.count_allocation(near, cpu_nid=1)
    far.count_allocation(near, cpu_nid=0)
    counted = near.numa
    assert (counted.hit, counted.miss, counted.foreign, counted.local, counted.other) == (
        2, 0, 1, 1, 1)
    counted = far.numa
    assert (counted.hit, counted.miss, counted.foreign, counted.local, counted.other) == (
        0, 1, 0, 0, 1)


def test_a_zone_without_pages_has_no_allocator():
    zone = Zone(ZoneSpan(1, ZoneType.MOVABLE), 3, None, zone_count=5, cpus=2)
    zone.check()
    assert not zone.populated
    assert (zone.managed_pages, zone.free_pages, zone.pcp) == (0, 0, [])
    with pytest.raises(ValueError, match=r"^Zone Movable of node 1 has no pages$"):
        _ = zone.buddy


def spoil_managed(zone):
    zone.buddy.managed_pages += 1


def spoil_state(zone):
    zone.buddy.rmqueue(0, 1)
    zone.buddy.mem_map.state[zone.buddy.mem_map.state == PageState.ALLOCATED] = PageState.HOLE


def spoil_lists(zone):
    zone.buddy.free_pages += 1


def spoil_pcp(zone):
    zone.pcp[0].count += 1


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda zone: setattr(zone, "watermarks", Watermarks(5, 4, 6, 7)),
         r"^Watermarks of zone Normal do not rise: "),
        (lambda zone: setattr(zone, "lowmem_reserve", [0, 0, 0, 2, 1]),
         r"^Zone Normal of index 2 reserves \[0, 0, 0, 2, 1\]$"),
        (lambda zone: setattr(zone, "lowmem_reserve", [0, 0, 1, 1, 1]),
         r"^Zone Normal of index 2 reserves"),
        (spoil_managed, r"^Zone Normal has 8192 pages, 8192 managed, not 8192 and 8193$"),
        (spoil_state, r"^Zone Normal has 8191 pages, 8191 managed, not 8192 and 8192$"),
        (spoil_lists, r"free pages"),
        (spoil_pcp, r"per-CPU lists"),
    ],
)
def test_a_zone_that_contradicts_itself_is_found(zone, spoil, message):
    zone.check()
    spoil(zone)
    with pytest.raises(BrokenInvariant, match=message):
        zone.check()


def test_pages_are_the_zones_own(zone):
    zone.buddy.mem_map.zone[np.array([5])] = 1
    with pytest.raises(BrokenInvariant):
        zone.check()
