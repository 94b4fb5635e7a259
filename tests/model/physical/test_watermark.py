import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.physical.kernel_config import CONFIGS
from pagewalk.model.physical.watermark import (
    ALLOC_HIGHATOMIC,
    ALLOC_MIN_RESERVE,
    ALLOC_NON_BLOCK,
    ALLOC_OOM,
    ALLOC_WMARK_MIN,
    Watermarks,
    lowmem_reserves,
    min_free_kbytes,
    recommended_min_free_kbytes,
    reserve,
    stat_threshold,
    zone_watermarks,
)

from .linux_boots import BOOTS, Boot

PAGES = st.integers(0, 1 << 26)
HIGHMEM = ("HighMem", "Movable")


@pytest.fixture(params=BOOTS)
def boot(request):
    return Boot(request.param)


def marks_of(boot, when):
    """Return the watermarks of each zone, from the managed pages at a moment of boot."""
    managed = boot.managed(when)
    i686 = boot.machine.config.name == "i686"
    lowmem = sum(pages for (_, name), pages in managed.items() if name not in HIGHMEM)
    min_free, = boot.sysctl["min_free_kbytes"]
    scale, = boot.sysctl["watermark_scale_factor"]
    return {
        (nid, name): zone_watermarks(pages, lowmem, min_free, scale_factor=scale,
                                     highmem=i686 and name in HIGHMEM)
        for (nid, name), pages in managed.items()
    }


def reserves_of(boot, when):
    """Return the lowmem reserve of each zone, from the managed pages at a moment of boot."""
    managed = boot.managed(when)
    rows = {}
    for nid in {nid for nid, _ in managed}:
        zones = [zone for zone in managed if zone[0] == nid]
        rows |= zip(zones, lowmem_reserves([managed[zone] for zone in zones],
                                           boot.sysctl["lowmem_reserve_ratio"]), strict=True)
    return rows


def test_watermarks_are_the_real_ones(boot):
    """Exactly, with the pages that were managed when khugepaged started."""
    for zone, marks in marks_of(boot, "khugepaged").items():
        real = boot.zones[zone]
        assert (marks.min, marks.low, marks.high) == (real["min"], real["low"], real["high"]), zone


def test_watermarks_from_the_managed_pages_in_the_end_are_within_one_percent(boot):
    """Or two pages, in a zone as small as ZONE_DMA."""
    for zone, marks in marks_of(boot, "end").items():
        for mine, name in ((marks.min, "min"), (marks.low, "low"), (marks.high, "high")):
            assert mine == pytest.approx(boot.zones[zone][name], rel=0.01, abs=2), zone


def test_lowmem_reserves_are_the_real_ones(boot):
    """Exactly, with the pages that were managed when they were set for the first time."""
    for zone, reserves in reserves_of(boot, "init").items():
        assert reserves == boot.zones[zone]["protection"], zone


def test_lowmem_reserves_from_the_managed_pages_in_the_end_are_within_two_percent(boot):
    """But for a zone under one that a gigantic page was taken from when they were set."""
    before, after = boot.managed("init"), boot.managed("khugepaged")
    gigantic = {nid for nid, name in before if before[nid, name] != after[nid, name]}
    for (nid, name), reserves in reserves_of(boot, "end").items():
        if nid not in gigantic:
            assert reserves == pytest.approx(boot.zones[nid, name]["protection"], rel=0.02)


def test_min_free_kbytes_is_the_real_one(boot):
    """The kernel's choice, and then khugepaged's, which takes the watermarks into account."""
    init, managed = boot.managed("init"), boot.managed("khugepaged")
    low = [zone for zone in managed if zone[1] not in HIGHMEM]
    first = min_free_kbytes(sum(init[zone] for zone in low))
    lowmem = sum(init.values()) if not any(zone[1] == "HighMem" for zone in init) else sum(
        init[zone] for zone in low)
    high = {zone: zone_watermarks(init[zone], lowmem, first).high for zone in low}
    wanted = recommended_min_free_kbytes(
        1 << boot.machine.config.pageblock_order,
        sum(boot.zones[zone]["present"] > 0 for zone in low),
        sum(managed[zone] - high[zone] for zone in low))
    assert [max(first, wanted)] == boot.sysctl["min_free_kbytes"]


def test_stat_threshold_is_the_real_one(boot):
    for zone, managed in boot.managed("init").items():
        if boot.zones[zone]["present"]:
            assert stat_threshold(managed, cpus=1) == boot.zones[zone]["threshold"], zone


@pytest.mark.parametrize(
    ("megabytes", "kbytes"),  # from the comment on calculate_min_free_kbytes
    [(16, 512), (32, 724), (64, 1024), (128, 1448), (256, 2048), (512, 2896), (1024, 4096),
     (2048, 5792), (4096, 8192), (8192, 11585), (16384, 16384), (1, 128), (1 << 30, 262144)],
)
def test_min_free_kbytes_grows_with_the_square_root_of_memory(megabytes, kbytes):
    assert min_free_kbytes(megabytes << 8) == kbytes


def test_khugepaged_wants_eleven_pageblocks_a_zone_but_no_more_than_a_twentieth():
    assert recommended_min_free_kbytes(512, 3, 1 << 30) == 11 * 3 * 512 * 4
    assert recommended_min_free_kbytes(512, 3, 1000) == 50 * 4


@given(PAGES, PAGES, st.integers(0, 1 << 24), st.integers(1, 3000), st.booleans())
def test_watermarks_rise_in_equal_steps(managed, others, min_free, scale, highmem):
    lowmem = managed + others + 1
    marks = zone_watermarks(managed, lowmem, min_free, scale_factor=scale, highmem=highmem)
    step = marks.low - marks.min
    assert step == marks.high - marks.low == marks.promo - marks.high
    assert step >= managed * scale // 10000
    assert 0 <= marks.min
    if highmem:
        assert 32 <= marks.min <= 128


@given(PAGES, PAGES, PAGES, st.integers(0, 1 << 22), st.integers(0, 1 << 22))
def test_watermarks_grow_with_the_zone_and_with_min_free_kbytes(small, more, lowmem, kbytes, plus):
    lowmem += small + more + 1
    low = zone_watermarks(small, lowmem, kbytes)
    for high in (zone_watermarks(small + more, lowmem, kbytes),
                 zone_watermarks(small, lowmem, kbytes + plus)):
        assert (low.min, low.low, low.high, low.promo) <= (high.min, high.low, high.high,
                                                          high.promo)
        assert low.high <= high.high


@given(st.lists(PAGES, min_size=5, max_size=5), st.sampled_from(sorted(CONFIGS)))
def test_lowmem_reserves_rise_with_the_highest_zone_allowed(pages, name):
    config = CONFIGS[name]
    managed = pages[: len(config.zones)]
    rows = lowmem_reserves(managed, config.lowmem_reserve_ratio)
    for low, row in enumerate(rows):
        assert row == sorted(row)
        assert not any(row[: low + 1])  # nothing is kept from those who can go no higher
        for high in range(low + 1, len(row)):
            ratio = config.lowmem_reserve_ratio[low]
            above = sum(managed[low + 1 : high + 1])
            assert row[high] == (above // ratio if ratio and managed[low] else 0)


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (ALLOC_WMARK_MIN, 1000),
        (ALLOC_NON_BLOCK, 1000),                        # GFP_NOWAIT has no reserves
        (ALLOC_MIN_RESERVE, 500),
        (ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK, 375),     # GFP_ATOMIC: 62.5 %
        (ALLOC_HIGHATOMIC, 1000),
        (ALLOC_OOM, 500),
        (ALLOC_OOM | ALLOC_MIN_RESERVE, 250),
    ],
)
def test_some_may_go_below_the_mark(flags, left):
    assert reserve(1000, flags) == left


def test_odd_marks_are_halved_upwards():
    assert reserve(7, ALLOC_MIN_RESERVE) == 4
    assert reserve(7, ALLOC_MIN_RESERVE | ALLOC_NON_BLOCK) == 3


def test_a_zone_begins_without_watermarks():
    assert Watermarks() == Watermarks(0, 0, 0, 0)
