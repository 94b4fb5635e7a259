import time

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagewalk.model.physical.errors import BadOrder, BrokenInvariant
from pagewalk.model.physical.gfp import Gfp, gfp_zone
from pagewalk.model.physical.kernel_config import I686
from pagewalk.model.physical.memory_map import E820Range, MemoryMap, NodeRange
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.physical.page import MAX_ORDER, MigrateType, PageState
from pagewalk.model.physical.page_alloc import PageAllocator
from pagewalk.model.physical.reserves import Sysctl

from .machines import GIB, MIB, two_nodes


@pytest.fixture
def memory():
    return PageAllocator.boot(two_nodes(cpus=(0, 1)))


def drain_node(memory, gfp, nid, order=0):
    """Allocate from one node alone until it refuses; return the blocks."""
    blocks = []
    while True:
        try:
            blocks.append(memory.alloc_pages(gfp | Gfp.THISNODE, order, nid))
        except OutOfMemory:
            return blocks


def blocks_of(memory):
    """Return the free blocks of every zone, by order."""
    return [
        [sorted(pfn for kind in range(5) for pfn in zone.buddy.free_list(order, kind).tolist())
         for order in range(MAX_ORDER)]
        for zone in memory.populated
    ]


def test_memory_is_local_first(memory):
    for cpu in (0, 1):
        for _ in range(200):
            assert memory.zone_of(memory.alloc_pages(Gfp.KERNEL, cpu=cpu)).nid == cpu
    for nid in (0, 1):
        counted = memory.nodes[nid].zones[1].numa
        assert (counted.hit, counted.miss, counted.foreign) == (200, 0, 0)
        assert (counted.local, counted.other) == (200, 0)


def test_a_node_that_is_low_borrows_from_the_next_and_that_is_counted(memory):
    """Its own zones down to their low watermarks, then the other node's."""
    gfp = Gfp.HIGHUSER_MOVABLE
    zones, taken = memory.nodes[1].zonelist, {}
    for _ in range(40_000):
        zone = memory.zone_of(memory.alloc_pages(gfp, cpu=1))
        taken[zone.nid, zone.name] = taken.get((zone.nid, zone.name), 0) + 1
        if zone.name == "DMA":
            break
    assert list(taken) == [(zone.nid, zone.name) for zone in zones]
    for zone in zones[:2]:
        batch = zone.pcp[0].batch
        assert 0 <= zone.watermarks.low + zone.lowmem_reserve[3] - zone.free_pages <= batch
    home, first, last = (zone.numa for zone in zones)
    missed = taken[0, "DMA32"] + taken[0, "DMA"]
    assert (home.hit, home.miss, home.foreign) == (taken[1, "DMA32"], 0, missed)
    assert (first.hit, first.miss, first.foreign) == (0, taken[0, "DMA32"], 0)
    assert (last.hit, last.miss, last.foreign) == (0, taken[0, "DMA"], 0)
    assert (home.local, home.other) == (home.hit, 0)
    assert (first.local, first.other) == (0, first.miss)
    assert memory.nodes[1].kswapd_order is None  # not as long as any zone is above its mark


def test_distance_decides_where_to_borrow():
    nodes = tuple(NodeRange(nid, nid * 64 * MIB, (nid + 1) * 64 * MIB) for nid in range(3))
    for far, order in (((10, 30, 20), [0, 2, 1]), ((10, 20, 30), [0, 1, 2])):
        distances = (far, (far[1], 10, 20), (far[2], 20, 10))
        memory = PageAllocator.boot(MemoryMap(
            (E820Range(MIB, 192 * MIB),), nodes, (0, 1, 2), distances))
        seen = []
        while len(seen) < 3:
            nid = memory.zone_of(memory.alloc_pages(Gfp.HIGHUSER, cpu=0)).nid
            seen += [nid] if nid not in seen else []
        assert seen == order


def test_kswapd_is_woken_by_the_first_allocation_below_the_low_watermark(memory):
    zone, gfp = memory.nodes[1].zones[1], Gfp.KERNEL | Gfp.THISNODE
    while memory.nodes[1].kswapd_order is None:
        before = zone.free_pages
        memory.alloc_pages(gfp, nid=1)
    assert zone.watermarks.low - zone.pcp[0].batch < before <= zone.watermarks.low
    memory.nodes[1].kswapd_order = None
    memory.alloc_pages(gfp & ~Gfp.KSWAPD_RECLAIM, nid=1)
    assert memory.nodes[1].kswapd_order is None


def test_below_the_low_watermark_kswapd_is_woken_and_the_min_watermark_holds(memory):
    blocks = drain_node(memory, Gfp.KERNEL, 0)
    for zone in memory.nodes[0].own_zonelist:
        kept = zone.watermarks.min + zone.lowmem_reserve[gfp_zone(Gfp.KERNEL, memory.config)]
        assert 0 <= kept - zone.free_pages < zone.pcp[0].batch
    assert (memory.nodes[0].kswapd_order, memory.nodes[0].kswapd_highest_zoneidx) == (0, 2)
    assert memory.nodes[1].kswapd_order is None
    for pfn in blocks:
        memory.free_pages(pfn)
    memory.check()


@pytest.mark.parametrize(
    ("gfp", "left"),
    [
        (Gfp.KERNEL, 1.0), (Gfp.NOWAIT, 1.0), (Gfp.KERNEL | Gfp.HIGH, 0.5), (Gfp.ATOMIC, 0.375),
        (Gfp.ATOMIC | Gfp.NOMEMALLOC, 0.5), (Gfp.KERNEL | Gfp.NOFAIL, 0.5),
        (Gfp.KERNEL | Gfp.MEMALLOC, 0.0), (Gfp.KERNEL | Gfp.MEMALLOC | Gfp.NOMEMALLOC, 1.0),
    ],
)
def test_flags_open_the_reserves_below_the_min_watermark(memory, gfp, left):
    drain_node(memory, gfp, 1)
    zone = memory.nodes[1].zones[1]
    # A batch may go in one; and odd numbers are halved upwards.
    least = zone.watermarks.min * left
    assert max(0, least - zone.pcp[0].batch) <= zone.free_pages <= least + 2


def test_a_task_that_is_killed_or_frees_memory_may_have_more(memory):
    zone = memory.nodes[1].zones[1]
    memory.oom_victim = True
    drain_node(memory, Gfp.KERNEL, 1)
    least = zone.watermarks.min / 2
    assert least - zone.pcp[0].batch <= zone.free_pages <= least + 2
    memory.oom_victim, memory.memalloc = False, True
    drain_node(memory, Gfp.KERNEL, 1)
    assert zone.free_pages == 0


def test_those_who_cannot_wait_reserve_pageblocks_for_large_blocks(memory):
    zone = memory.nodes[1].zones[1]
    drain_node(memory, Gfp.KERNEL, 1, order=3)
    pfn = memory.alloc_pages(Gfp.ATOMIC | Gfp.THISNODE, 3, nid=1)
    assert zone.buddy.nr_reserved_highatomic == 512
    assert zone.buddy.pageblock_type(pfn) == MigrateType.HIGHATOMIC
    memory.check()
    free = sum(zone.buddy.free_list(order, MigrateType.HIGHATOMIC).size << order
               for order in range(MAX_ORDER))
    assert free > 0
    # Before a request fails that may wait, the reserve is given up.
    drain_node(memory, Gfp.KERNEL, 1)
    drain_node(memory, Gfp.KERNEL | Gfp.HIGH, 1)
    assert zone.buddy.nr_reserved_highatomic == 0
    memory.check()


class Hoard:
    """Reclaim that gives pages back, so many at a time."""

    def __init__(self, memory, blocks, order=0):
        self.memory, self.blocks, self.order = memory, blocks, order
        self.zones = {memory.zone_of(pfn) for pfn in blocks}
        self.calls, self.at_once = [], 1

    def try_to_free_pages(self, context, order):
        assert self.memory.memalloc
        self.calls.append((context.gfp, order))
        taken, self.blocks[:] = self.blocks[: self.at_once], self.blocks[self.at_once :]
        for pfn in taken:
            self.memory.free_pages(pfn, self.order)
        return len(taken) << self.order

    def zone_reclaimable_pages(self, zone):
        return len(self.blocks) << self.order if zone in self.zones else 0


def test_reclaim_is_asked_when_nothing_is_left(memory):
    blocks = drain_node(memory, Gfp.KERNEL, 1)
    memory.reclaim = hoard = Hoard(memory, blocks)
    for expected in (1, 2):
        hoard.at_once = 200
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
        drain_node(memory, Gfp.NOWAIT, 1)  # which never reclaims
        assert hoard.calls == [(Gfp.KERNEL | Gfp.THISNODE, 0)] * expected
    assert not memory.memalloc


def test_reclaim_is_repeated_as_long_as_there_is_hope(memory):
    """Page by page, until there is one more than the watermark; they wait on per-CPU lists."""
    blocks = drain_node(memory, Gfp.KERNEL | Gfp.HIGH, 1)
    memory.drain_all_pages()
    zone = memory.nodes[1].zones[1]
    missing = zone.watermarks.min + 1 - zone.free_pages
    memory.reclaim = hoard = Hoard(memory, blocks)
    assert memory.zone_of(memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)) is zone
    assert len(hoard.calls) == missing > 100


def test_reclaim_of_pages_that_are_no_block_is_hopeless(memory):
    blocks = drain_node(memory, Gfp.KERNEL | Gfp.MEMALLOC, 1)
    memory.reclaim = hoard = Hoard(memory, sorted(blocks)[::2])
    hoard.at_once = 2000
    with pytest.raises(OutOfMemory, match="no block of order 1 or more"):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, 1, nid=1)
    assert len(hoard.calls) == 1


def test_who_asks_not_to_insist_gets_one_round_of_reclaim(memory):
    blocks = drain_node(memory, Gfp.KERNEL, 1)
    memory.reclaim = hoard = Hoard(memory, blocks)
    hoard.at_once = 0
    with pytest.raises(OutOfMemory):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE | Gfp.NORETRY, nid=1)
    assert len(hoard.calls) == 1
    with pytest.raises(OutOfMemory):  # of a costly order, too, unless told otherwise
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, 4, nid=1)
    assert len(hoard.calls) == 2
    with pytest.raises(OutOfMemory):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE | Gfp.RETRY_MAYFAIL, nid=1)
    assert len(hoard.calls) == 2 + 17  # sixteen rounds without progress are tolerated


def test_reclaim_that_allocates_is_not_asked_again(memory):
    drain_node(memory, Gfp.KERNEL, 1)
    given = []

    class Greedy:
        def try_to_free_pages(self, context, order):
            given.append(memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1))
            return 0

        def zone_reclaimable_pages(self, zone):
            return 0

    memory.reclaim = Greedy()
    with pytest.raises(OutOfMemory):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
    assert len(given) == 1  # and from below the watermarks


def test_reclaim_that_finds_nothing_left_fails_by_itself(memory):
    drain_node(memory, Gfp.KERNEL | Gfp.MEMALLOC, 1)
    errors = []

    class Hungry:
        def try_to_free_pages(self, context, order):
            with pytest.raises(OutOfMemory) as caught:
                memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
            errors.append(caught.value)
            return 0

        def zone_reclaimable_pages(self, zone):
            return 0

    memory.reclaim = Hungry()
    with pytest.raises(OutOfMemory):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
    assert len(errors) == 1


def test_costly_blocks_are_worth_more_rounds_only_if_memory_may_be_compacted(memory):
    memory.reclaim = hoard = Hoard(memory, drain_node(memory, Gfp.KERNEL, 1, 4), 4)
    hoard.at_once = 0
    gfp = Gfp.KERNEL | Gfp.THISNODE | Gfp.RETRY_MAYFAIL
    for more, rounds in ((Gfp.IO, 1), (0, 18)):
        with pytest.raises(OutOfMemory):
            memory.alloc_pages(gfp & ~more, 4, nid=1)
        assert len(hoard.calls) == rounds


def test_reclaim_that_is_not_enough_takes_from_the_reserve_for_atomic_use(memory):
    """One of two reserved pageblocks, as long as there are others."""
    zone = memory.nodes[1].zones[1]
    blocks = [memory.alloc_pages(Gfp.KERNEL, 3, nid=1) for _ in range(200)]
    for pfn in blocks[0], blocks[-1]:
        zone.buddy.reserve_highatomic_pageblock(pfn)
    assert zone.buddy.nr_reserved_highatomic == 2 * 512
    memory.reclaim = hoard = Hoard(
        memory, drain_node(memory, Gfp.KERNEL | Gfp.NORETRY, 1))
    memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
    assert len(hoard.calls) == 1
    assert zone.buddy.nr_reserved_highatomic == 512


def test_kswapd_is_not_woken_for_a_zone_without_managed_pages():
    """Node 1 is populated, but boot has reserved all of it."""
    memory = PageAllocator.boot(two_nodes(), reserved=[(64 << 8, 128 << 8)])
    drain_node(memory, Gfp.KERNEL, 0)
    with pytest.raises(OutOfMemory):
        memory.alloc_pages(Gfp.KERNEL, nid=1)
    assert memory.nodes[0].kswapd_order == 0
    assert memory.nodes[1].kswapd_order is None


def test_reclaim_that_breaks_leaves_no_trace(memory):
    drain_node(memory, Gfp.KERNEL, 1)

    class Broken:
        def try_to_free_pages(self, context, order):
            raise RuntimeError("a defect")

        def zone_reclaimable_pages(self, zone):
            return 0

    memory.reclaim = Broken()
    with pytest.raises(RuntimeError):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
    assert not memory.memalloc


def test_fragmented_memory_refuses_large_blocks_and_says_why(memory):
    """Every other page is free: half of memory, but no block of two."""
    pages = []
    while True:
        try:
            pages.append(memory.alloc_pages(Gfp.KERNEL | Gfp.MEMALLOC))
        except OutOfMemory:
            break
    for pfn in sorted(pages)[::2]:
        memory.free_pages(pfn)
    memory.drain_all_pages()
    with pytest.raises(OutOfMemory) as caught:
        memory.alloc_pages(Gfp.KERNEL, 10, cpu=1)
    error, lines = caught.value, str(caught.value).splitlines()
    assert (error.order, error.gfp) == (10, Gfp.KERNEL)
    assert lines[0] == "page allocation failure: order:10, mode:0xcc0(GFP_KERNEL)"
    assert [(one.nid, one.zone) for one in error.refusals] == [
        (1, "DMA32"), (0, "DMA32"), (0, "DMA")]
    for one, zone in zip(error.refusals, memory.nodes[1].zonelist, strict=True):
        assert one.buddyinfo == f"Node {one.nid}, zone {one.zone:>8} {zone.free_pages:6} " + (
            "     0 " * 10)
        assert zone.free_pages > zone.watermarks.high + 1023
        assert one.reason == f"{zone.free_pages} pages free, but no block of order 10 or more"
        assert one.buddyinfo in lines
    memory.check()


def test_an_exhausted_machine_says_what_each_zone_keeps(memory):
    drain_node(memory, Gfp.KERNEL | Gfp.DMA, 0)
    with pytest.raises(OutOfMemory) as caught:
        memory.alloc_pages(Gfp.KERNEL | Gfp.DMA)
    one, = caught.value.refusals
    zone = memory.nodes[0].zones[0]
    assert (one.nid, one.zone) == (0, "DMA")
    assert one.reason == (
        f"{zone.free_pages} pages free, 0 of which do not count, but more than "
        f"{zone.watermarks.min} (watermark) + 0 (lowmem reserve) must stay free")
    assert "mode:0xcc1(GFP_KERNEL|GFP_DMA)" in str(caught.value)


def test_an_allocation_that_no_zone_may_serve_says_so(memory):
    with pytest.raises(OutOfMemory, match=r"\nNo zone may serve it$") as caught:
        memory.alloc_pages(Gfp.KERNEL | Gfp.DMA | Gfp.THISNODE, nid=1)
    assert caught.value.refusals == ()


@pytest.mark.parametrize("order", [-1, 11])
def test_orders_that_no_block_has_are_refused(memory, order):
    with pytest.raises(BadOrder):
        memory.alloc_pages(Gfp.KERNEL, order)


def test_lowmem_is_kept_from_those_who_can_use_highmem():
    """On i686, user pages leave a share of ZONE_NORMAL that kernel pages may still take."""
    memory = PageAllocator.boot(MemoryMap((E820Range(MIB, 1024 * MIB),), config=I686),
                                sysctl=Sysctl(transparent_hugepages=False))
    normal = memory.nodes[0].zones[1]
    while True:
        try:
            memory.alloc_pages(Gfp.HIGHUSER | Gfp.NOWARN, 3)
        except OutOfMemory:
            break
    kept = normal.lowmem_reserve[2]
    assert kept == memory.nodes[0].zones[2].managed_pages // 32
    # The last batch was of seven blocks, and a block more must not go below.
    assert -64 < normal.free_pages - normal.watermarks.min - kept <= 8
    assert memory.zone_of(memory.alloc_pages(Gfp.KERNEL, 3)) is normal


def test_pages_that_no_zone_has_are_found(memory):
    memory.check()
    memory.mem_map.state[0xA0 - memory.mem_map.base] = PageState.RESERVED
    memory.mem_map.zone[0xA0 - memory.mem_map.base] = 200
    with pytest.raises(BrokenInvariant, match=r"^There are \d+ pages, but \d+ in all zones$"):
        memory.check()


@pytest.mark.slow
def test_a_node_of_64_gib_is_booted_in_two_seconds_and_a_gib():
    """Processor time, as others may be busy on this machine; the columns are all that is large."""
    machine = MemoryMap((E820Range(0, 0x9FC00), E820Range(MIB, 3 * GIB),
                         E820Range(4 * GIB, 65 * GIB)))
    before = time.process_time()
    memory = PageAllocator.boot(machine)
    assert time.process_time() - before < 2
    mem_map = memory.mem_map
    assert sum(zone.managed_pages for zone in memory.populated) == (64 * GIB >> 12) - 256
    assert sum(getattr(mem_map, name).nbytes for name in mem_map.scalars.__slots__) < GIB
    memory.free_pages(memory.alloc_pages(Gfp.KERNEL, 10), 10)
    memory.check()


GFPS = st.sampled_from([
    Gfp.KERNEL, Gfp.HIGHUSER_MOVABLE, Gfp.KERNEL | Gfp.RECLAIMABLE, Gfp.ATOMIC, Gfp.NOWAIT,
    Gfp.KERNEL | Gfp.DMA, Gfp.KERNEL | Gfp.DMA32, Gfp.HIGHUSER, Gfp.KERNEL | Gfp.MEMALLOC,
    Gfp.HIGHUSER_MOVABLE | Gfp.THISNODE, Gfp.TRANSHUGE_LIGHT,
])
HOLE_AT = 24 * MIB >> 12


class AllocatorMachine(RuleBasedStateMachine):
    """Random allocations of a machine with nodes, a hole, reserved pages and three processors."""

    @initialize(sizes=st.tuples(st.integers(300, 9000), st.integers(300, 9000)),
                reserved=st.lists(st.tuples(st.integers(300, 15000), st.integers(1, 2000)),
                                  max_size=3))
    def boot(self, sizes, reserved):
        low, high = HOLE_AT + 100 + sizes[0], HOLE_AT + 100 + sum(sizes)
        machine = MemoryMap(
            (E820Range(0, 0x9FC00), E820Range(MIB, HOLE_AT << 12),
             E820Range(HOLE_AT + 100 << 12, high << 12)),
            (NodeRange(0, 0, low << 12), NodeRange(1, low << 12, high << 12)), (0, 1, 1))
        self.reserved = [(start, start + length) for start, length in reserved]
        self.memory = PageAllocator.boot(machine, reserved=self.reserved)
        self.fresh = blocks_of(self.memory)
        self.owned, self.blocks = np.zeros(high + 1, bool), {}
        self.owned[HOLE_AT : HOLE_AT + 100] = self.owned[:256] = True
        for start, end in self.reserved:
            self.owned[start:end] = True

    @rule(gfp=GFPS, order=st.integers(0, 10), nid=st.sampled_from([None, 0, 1]),
          cpu=st.integers(0, 2), count=st.integers(1, 400))
    def alloc(self, gfp, order, nid, cpu, count):
        for _ in range(count >> order // 2):
            try:
                pfn = self.memory.alloc_pages(gfp, order, nid, cpu)
            except OutOfMemory as error:
                asked = self.memory.context(gfp, (0, 1, 1)[cpu] if nid is None else nid).zones
                self.refused(error, order, asked)
                return
            assert pfn % (1 << order) == 0
            assert not self.owned[pfn : pfn + (1 << order)].any()
            self.owned[pfn : pfn + (1 << order)] = True
            self.blocks[pfn] = order
            zone = self.memory.zone_of(pfn)
            assert zone.index <= gfp_zone(gfp, self.memory.config)
            assert zone.span.start_pfn <= pfn <= pfn + (1 << order) <= zone.span.end_pfn

    @staticmethod
    def refused(error, order, asked):
        assert error.order == order
        assert [(one.nid, one.zone) for one in error.refusals] == [
            (zone.nid, zone.name) for zone in asked]

    @precondition(lambda self: self.blocks)
    @rule(which=st.lists(st.integers(0, 1 << 20), min_size=1, max_size=200), cpu=st.integers(0, 2))
    def free(self, which, cpu):
        for choice in which:
            if self.blocks:
                pfns = list(self.blocks)
                self.release(pfns[choice % len(pfns)], cpu)

    @rule()
    def drain(self):
        self.memory.drain_all_pages()

    def release(self, pfn, cpu):
        order = self.blocks.pop(pfn)
        self.owned[pfn : pfn + (1 << order)] = False
        self.memory.free_pages(pfn, order, cpu)

    @invariant()
    def everything_fits_together(self):
        self.memory.check()
        allocated = sum(1 << order for order in self.blocks.values())
        idle = sum(zone.free_pages + sum(pcp.count for pcp in zone.pcp)
                   for zone in self.memory.populated)
        assert idle + allocated == sum(zone.managed_pages for zone in self.memory.populated)
        counted = [zone.numa for zone in self.memory.populated]
        assert sum(one.hit + one.miss for one in counted) == sum(
            one.local + one.other for one in counted)
        assert sum(one.miss for one in counted) == sum(one.foreign for one in counted)

    def teardown(self):
        """With everything freed the same blocks are free as at the beginning."""
        for pfn in list(self.blocks):
            self.release(pfn, 0)
        self.memory.drain_all_pages()
        self.memory.check()
        if not any(zone.buddy.had_highatomic for zone in self.memory.populated):
            assert blocks_of(self.memory) == self.fresh


TestAllocatorMachine = AllocatorMachine.TestCase
TestAllocatorMachine.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
