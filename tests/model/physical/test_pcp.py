import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

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
    blocks_by_order,
    free_lists,
    zone_of,
)

# All of it, at random


class PcpMachine(RuleBasedStateMachine):
    """Three CPUs share a zone; a page may be freed on another CPU than it was allocated on."""

    cpus = st.integers(0, 2)
    choices = st.randoms(use_true_random=False)

    @initialize(batch=st.sampled_from([1, 7, 31]), high=st.sampled_from([0, 1, 40, 200]),
                pages=st.sampled_from([900, 5000]), order=st.sampled_from([9, 10]))
    def start(self, batch, high, pages, order):
        self.buddy = zone_of(pages, start=3, pageblock_order=order)
        self.before = blocks_by_order(self.buddy)
        self.pcps = [PerCpuPages(self.buddy, batch=batch, high=high) for _ in range(3)]
        self.live = {}
        self.pages = pages

    @rule(cpu=cpus, order=st.sampled_from([0, 0, 0, 1, 2, 3, 9, 10]), kind=st.integers(0, 2),
          count=st.integers(1, 60))
    def alloc(self, cpu, order, kind, count):
        pcp = self.pcps[cpu]
        if not pcp.takes(order):
            with pytest.raises(BadOrder):
                pcp.alloc(order, kind)
            return
        for _ in range(count):
            expected = next(iter(pcp.lists[pcp.pindex(order, kind)]), None)
            pfn = pcp.alloc(order, kind)
            assert expected in (None, pfn)
            if pfn is not None:
                self.live[pfn] = order

    @rule(cpu=cpus, choice=choices, count=st.integers(1, 80))
    def free(self, cpu, choice, count):
        pcp = self.pcps[cpu]
        for pfn in choice.sample(sorted(self.live), min(count, len(self.live))):
            order = self.live.pop(pfn)
            others = pcp.count
            pcp.free(pfn, order)
            assert pcp.count <= max(others, pcp.high) or pcp.high < 2 * pcp.batch
            with pytest.raises((DoubleFree, OrderMismatch)):
                pcp.free(pfn, order)

    @rule(cpu=cpus, choice=choices, count=st.integers(1, 40))
    def free_list(self, cpu, choice, count):
        single = [pfn for pfn, order in sorted(self.live.items()) if not order]
        chosen = choice.sample(single, min(count, len(single)))
        self.pcps[cpu].free_list(chosen)
        for pfn in chosen:
            del self.live[pfn]

    @rule(cpu=cpus)
    def expire(self, cpu):
        pcp = self.pcps[cpu]
        before = pcp.count
        pcp.expire()
        assert pcp.count <= max(0, before - pcp.batch)

    @rule(cpu=cpus)
    def drain(self, cpu):
        self.pcps[cpu].drain()
        assert self.pcps[cpu].count == 0

    @rule(cpu=cpus, batch=st.integers(1, 63), high=st.integers(0, 300), reclaim=st.booleans())
    def change(self, cpu, batch, high, reclaim):
        pcp = self.pcps[cpu]
        pcp.batch, pcp.high, pcp.reclaim_active = batch, high, reclaim

    @rule(choice=choices)
    def reserve(self, choice):
        if self.live:
            self.buddy.reserve_highatomic_pageblock(choice.choice(sorted(self.live)))

    @invariant()
    def nothing_is_broken_or_lost(self):
        self.buddy.check()
        for pcp in self.pcps:
            pcp.check()
        listed = [pfn for pcp in self.pcps for blocks in pcp.lists for pfn in blocks]
        assert len(set(listed)) == len(listed)
        used = sum(1 << order for order in self.live.values())
        held = sum(pcp.count for pcp in self.pcps)
        assert self.buddy.free_pages + held + used == self.pages

    def teardown(self):
        """Everything comes back."""
        if not hasattr(self, "pcps"):
            return
        for place, (pfn, order) in enumerate(self.live.items()):
            self.pcps[place % 3].free(pfn, order)
        for pcp in self.pcps:
            pcp.drain()
        self.buddy.check()
        if not self.buddy.had_highatomic:  # which keeps pageblocks apart
            assert blocks_by_order(self.buddy) == self.before


TestPcpKeepsEveryPage = PcpMachine.TestCase
TestPcpKeepsEveryPage.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


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


def test_a_million_pairs_take_seconds(pcp):
    start = time.perf_counter()
    for _ in range(1_000_000):
        pcp.free(pcp.alloc(0, MOVABLE), 0)
    assert time.perf_counter() - start < 10
    pcp.check()


@pytest.mark.parametrize("seed", [1, 2])
def test_after_many_operations_on_many_cpus_everything_comes_back(seed):
    buddy = zone_of(1 << 14, start=77)
    before = blocks_by_order(buddy)
    pcps = [PerCpuPages(buddy, batch=31, high=500) for _ in range(16)]
    generator, live, count = np.random.default_rng(seed), [], 100_000
    draws = zip((generator.random(count) < 0.55).tolist(),
                generator.integers(0, 16, count).tolist(),
                np.minimum(generator.geometric(0.6, count) - 1, 3).tolist(),
                generator.random(count).tolist(), strict=True)
    for allocates, cpu, order, where in draws:
        if allocates:
            pfn = pcps[cpu].alloc(order, cpu % 3)
            live += [] if pfn is None else [(pfn, order)]
        elif live:
            place = int(where * len(live))
            live[place], live[-1] = live[-1], live[place]
            pcps[cpu].free(*live.pop())
    for place, (pfn, order) in enumerate(live):
        pcps[place % 16].free(pfn, order)
    for pcp in pcps:
        pcp.check()
        pcp.drain()
    buddy.check()
    assert blocks_by_order(buddy) == before
