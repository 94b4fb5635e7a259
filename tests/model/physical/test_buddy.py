import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.errors import (
    BadOrder,
    DoubleFree,
    ForeignPage,
    MisalignedBlock,
    OrderMismatch,
)
from pagewalk.model.physical.fallback import ALLOC_NOFRAGMENT
from pagewalk.model.physical.page import MAX_ORDER, MemMap, PageFlag

from .buddies import (
    HIGHATOMIC,
    MOVABLE,
    blocks_by_order,
    free_lists,
    zone_of,
)
from .naive import NaiveBuddy

# All of it, at random


class BuddyMachine(RuleBasedStateMachine):
    """Two zones of one map, one with a hole and both ending amid a pageblock, do as naive ones."""

    ranges = ((5, 1190), (1190, 4010))
    hole = range(700, 730)

    @initialize(order=st.sampled_from([3, 9, 10]), sparse=st.booleans())
    def start(self, order, sparse):
        self.mem_map = MemMap(0, 4010, pageblock_order=order, sparse=sparse)
        parts = [(5, 700, 0), (730, 1190, 0), (1190, 4010, 1)]
        for first, end, zone in parts:
            self.mem_map.add_memory(first, end, zone)
        self.zones = [Buddy(self.mem_map, number, *span) for number, span in enumerate(self.ranges)]
        self.naive = []
        for zone, span in zip(self.zones, self.ranges, strict=True):
            self.naive.append(NaiveBuddy(*span, order, enumerate(zone.pageblock.tolist())))
            self.naive[-1].zones = self.naive
        if sparse:
            self.naive[1].types = self.naive[0].types
        for first, end, number in parts:
            self.zones[number].free_memory(first, end)
            self.free_naively(self.naive[number], first, end)
        self.live = {}

    def free_naively(self, naive, pfn, end):
        """Give pages to the naive zone as boot does, to the tails."""
        while pfn < end:
            order = max(order for order in range(MAX_ORDER)
                        if pfn % (1 << order) == 0 and pfn + (1 << order) <= end)
            naive.free(pfn, order, tail=True)
            pfn += 1 << order

    zone_numbers = st.integers(0, 1)
    orders = st.sampled_from([0, 0, 0, 1, 2, 3, 4, 8, 9, 10])

    @rule(number=zone_numbers, order=orders, kind=st.integers(0, 2), whole=st.booleans(),
          count=st.integers(1, 9))
    def alloc(self, number, order, kind, whole, count):
        for _ in range(count):
            pfn = self.zones[number].rmqueue(order, kind, ALLOC_NOFRAGMENT if whole else 0)
            assert pfn == self.naive[number].alloc(order, kind, whole)
            if pfn is not None:
                self.live[pfn] = number, order

    @rule(number=zone_numbers, order=orders)
    def alloc_highatomic(self, number, order):
        pfn = self.zones[number].rmqueue(order, HIGHATOMIC)
        assert pfn == self.naive[number].alloc(order, HIGHATOMIC)
        if pfn is not None:
            self.live[pfn] = number, order

    @rule(choice=st.randoms(use_true_random=False), count=st.integers(1, 30))
    def free(self, choice, count):
        for pfn in choice.sample(sorted(self.live), min(count, len(self.live))):
            number, order = self.live.pop(pfn)
            self.mem_map.flags[pfn : pfn + (1 << order)] = 0
            self.naive[number].movable_pages -= set(range(pfn, pfn + (1 << order)))
            self.zones[number].free(pfn, order)
            self.naive[number].free(pfn, order)
            with pytest.raises(DoubleFree):
                self.zones[number].free(pfn, order)

    @rule(choice=st.randoms(use_true_random=False), flag=st.sampled_from(PageFlag))
    def use_as_movable(self, choice, flag):
        for pfn, (number, order) in self.live.items():
            if choice.random() < 0.5:
                self.mem_map.flags[pfn : pfn + (1 << order)] = flag
                self.naive[number].movable_pages |= set(range(pfn, pfn + (1 << order)))

    @rule(choice=st.randoms(use_true_random=False))
    def reserve(self, choice):
        if self.live:
            pfn = choice.choice(sorted(self.live))
            number = self.live[pfn][0]
            self.zones[number].reserve_highatomic_pageblock(pfn)
            self.naive[number].reserve(pfn, self.zones[number].managed_pages)

    @rule(number=zone_numbers, kind=st.integers(0, 2), force=st.booleans())
    def unreserve(self, number, kind, force):
        got = self.zones[number].unreserve_highatomic_pageblock(kind, force=force)
        assert got == self.naive[number].unreserve(kind, force)

    @rule(pfn=st.integers(0, 4095), order=st.integers(-1, 11))
    def free_what_is_not_allocated(self, pfn, order):
        number = int(pfn >= 1190)
        if self.live.get(pfn) == (number, order):
            return
        with pytest.raises((BadOrder, DoubleFree, ForeignPage, MisalignedBlock, OrderMismatch)):
            self.zones[number].free(pfn, order)

    @invariant()
    def lists_are_those_of_the_naive_zone(self):
        for zone, naive in zip(self.zones, self.naive, strict=True):
            assert free_lists(zone) == {key: pages for key, pages in naive.lists.items() if pages}
            assert dict(enumerate(zone.pageblock.tolist())) == naive.types
            assert zone.nr_reserved_highatomic == naive.reserved

    @invariant()
    def nothing_is_broken_or_lost(self):
        for number, zone in enumerate(self.zones):
            zone.check()
            used = sum(1 << order for owner, order in self.live.values() if owner == number)
            assert zone.free_pages + used == zone.managed_pages


TestBuddyAgainstNaiveLists = pytest.mark.slow(BuddyMachine.TestCase)
TestBuddyAgainstNaiveLists.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_after_many_operations_everything_comes_back(seed, request):
    buddy = zone_of(1 << 15, start=77)
    before = blocks_by_order(buddy)
    live = random_operations(buddy, np.random.default_rng(seed),
                             request.config.getoption("--operations"))
    buddy.check()
    for pfn, order in live:
        buddy.free(pfn, order)
    buddy.check()
    assert blocks_by_order(buddy) == before
    assert buddy.free_pages == buddy.managed_pages == 1 << 15


def random_operations(buddy, generator, count):
    """Allocate and free at random, small blocks above all; return the blocks left allocated.

    There is more of the one and then of the other, so that the zone runs out again and again.
    """
    live = []
    for chunk, done in enumerate(range(0, count, 20_000)):
        size = min(20_000, count - done)
        orders = np.minimum(generator.geometric(0.45, size) - 1, MAX_ORDER - 1).tolist()
        kinds = generator.integers(0, 3, size).tolist()
        allocates = (generator.random(size) < (0.4, 0.9)[chunk % 2]).tolist()
        for order, kind, allocate, where in zip(orders, kinds, allocates,
                                                generator.random(size).tolist(), strict=True):
            if allocate:
                pfn = buddy.rmqueue(order, kind)
                if pfn is not None:
                    live.append((pfn, order))
            elif live:
                place = int(where * len(live))
                live[place], live[-1] = live[-1], live[place]
                buddy.free(*live.pop())
    return live


def test_a_single_type_gets_its_very_lists_back():
    buddy = zone_of(1 << 14)
    before = free_lists(buddy)
    generator = np.random.default_rng(3)
    blocks = [buddy.alloc(0, MOVABLE) for _ in range(1 << 14)]
    assert free_lists(buddy) == {}
    for pfn in generator.permutation(blocks).tolist():
        buddy.free(pfn, 0)
    after = free_lists(buddy)
    assert {key: sorted(pages) for key, pages in after.items()} == before
    buddy.check()


# Where blocks come from and where they go


def test_a_block_is_split_from_its_end_and_handed_out_from_its_start():
    buddy = zone_of(1024)
    assert buddy.alloc(0, MOVABLE) == 0
    assert free_lists(buddy) == {(order, MOVABLE): [1 << order] for order in range(10)}
    assert [buddy.alloc(0, MOVABLE) for _ in range(5)] == [1, 2, 3, 4, 5]


def test_the_smallest_sufficient_block_is_taken():
    buddy = zone_of(4096)
    blocks = [buddy.alloc(order, MOVABLE) for order in (3, 5, 3)]
    buddy.free(blocks[1], 5)
    assert buddy.alloc(4, MOVABLE) == 16
    assert buddy.alloc(5, MOVABLE) == 32


def test_upper_halves_go_to_the_heads_of_the_lists():
    buddy = zone_of(2048)
    first = [buddy.alloc(9, MOVABLE) for _ in range(4)]
    buddy.free(first[3], 9)
    buddy.free(first[0], 9)
    assert free_lists(buddy) == {(9, MOVABLE): [0, 1536]}
    assert buddy.alloc(7, MOVABLE) == 0
    buddy.free(first[1], 9)
    assert free_lists(buddy) == {
        (7, MOVABLE): [128], (8, MOVABLE): [256], (9, MOVABLE): [512, 1536],
    }


def test_a_freed_block_goes_to_the_head_and_is_handed_out_next():
    buddy = zone_of(1024)
    pages = [buddy.alloc(0, MOVABLE) for _ in range(8)]
    for pfn in (1, 3, 5):
        buddy.free(pfn, 0)
    assert buddy.free_list(0, MOVABLE).tolist() == [5, 3, 1]
    assert buddy.alloc(0, MOVABLE) == 5
    assert pages == list(range(8))


def test_a_block_whose_buddys_buddy_is_free_goes_to_the_tail():
    """Page 9 may soon be free as well; then 8 to 11 are one block, as 10 and 11 are already."""
    buddy = zone_of(1024)
    for _ in range(16):
        buddy.alloc(0, MOVABLE)
    for pfn in (1, 10, 11, 8):
        buddy.free(pfn, 0)
    assert buddy.free_list(0, MOVABLE).tolist() == [1, 8]
    buddy.free(9, 0)
    assert free_lists(buddy)[2, MOVABLE] == [8]


@pytest.mark.parametrize(("order", "expected"), [(8, [1536, 0]), (9, [0, 2048])])
def test_the_tail_is_for_blocks_that_may_grow_to_the_largest_but_one(order, expected):
    """A block of order 9 whose buddy's buddy, of order 10, is free still goes to the head."""
    buddy = zone_of(4096)
    live = [buddy.alloc(order, MOVABLE) for _ in range(4096 >> order)]
    step = 1 << order
    other, whole, last = (1536, (512, 768), 0) if order == 8 else (2048, (1024, 1536), 0)
    for pfn in (other, *whole, last):
        buddy.free(pfn, order)
    assert len(live) == 4096 // step
    assert buddy.free_list(order, MOVABLE).tolist() == expected


def test_a_freed_block_goes_to_the_tail_if_asked():
    buddy = zone_of(1024)
    for _ in range(4):
        buddy.alloc(0, MOVABLE)
    buddy.free(0, 0)
    buddy.free_one_page(2, 0, MOVABLE, to_tail=True)
    assert buddy.free_list(0, MOVABLE).tolist() == [0, 2]


def test_blocks_do_not_merge_across_zones_or_holes():
    mem_map = MemMap(0, 64)
    mem_map.add_memory(0, 20, 0)
    mem_map.add_memory(20, 24, 1)
    mem_map.add_memory(28, 64, 1)
    zones = [Buddy(mem_map, 0, 0, 20), Buddy(mem_map, 1, 20, 64)]
    zones[0].free_memory(0, 20)
    zones[1].free_memory(20, 24)
    zones[1].free_memory(28, 64)
    assert free_lists(zones[0]) == {(4, MOVABLE): [0], (2, MOVABLE): [16]}
    assert free_lists(zones[1]) == {(2, MOVABLE): [20, 28], (5, MOVABLE): [32]}
    for zone in zones:
        zone.check()


def test_any_order_is_handed_out_aligned_and_whole():
    for order in range(MAX_ORDER):
        buddy = zone_of(2048, start=1024)
        pages = set()
        for _ in range(2048 >> order):
            pfn = buddy.alloc(order, MOVABLE)
            assert pfn % (1 << order) == 0
            pages |= set(range(pfn, pfn + (1 << order)))
        assert pages == set(range(1024, 3072))
        assert buddy.rmqueue(order, MOVABLE) is None


def test_take_gives_the_block_asked_for_and_splits_around_it():
    buddy = zone_of(1024)
    assert buddy.take(0x123, 0)
    assert not buddy.take(0x123, 0)
    assert not buddy.take(0x120, 2)
    assert not buddy.take(5000, 0)
    assert free_lists(buddy) == {
        (0, MOVABLE): [0x122], (1, MOVABLE): [0x120], (2, MOVABLE): [0x124],
        (3, MOVABLE): [0x128], (4, MOVABLE): [0x130], (5, MOVABLE): [0x100],
        (6, MOVABLE): [0x140], (7, MOVABLE): [0x180], (8, MOVABLE): [0], (9, MOVABLE): [0x200],
    }
    buddy.check()
    buddy.free(0x123, 0)
    assert free_lists(buddy) == {(10, MOVABLE): [0]}


# How fast it is


def test_a_node_of_64_gib_is_built_in_less_than_2_s_and_1_gib():
    start = time.process_time()
    buddy = zone_of(1 << 24)
    assert time.process_time() - start < 2
    assert buddy.nr_free == [0] * 10 + [1 << 14]
    columns = [value for value in vars(buddy.mem_map).values() if isinstance(value, np.ndarray)]
    assert sum(column.nbytes for column in columns) < 1 << 29
    buddy.check()


@pytest.mark.slow
def test_a_hundred_thousand_pairs_take_seconds_at_most():
    buddy = zone_of(1 << 15)
    start = time.process_time()
    for _ in range(100_000):
        buddy.free(buddy.alloc(0, MOVABLE), 0)
    assert time.process_time() - start < 10
    buddy.check()
