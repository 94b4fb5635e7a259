
import pytest

from pagewalk.model.physical.errors import BadOrder, BrokenInvariant
from pagewalk.model.physical.gfp import Gfp, gfp_zone
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.physical.page import MAX_ORDER, MigrateType, PageState
from pagewalk.model.physical.page_alloc import PageAllocator

from .machines import two_nodes


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


@pytest.mark.slow
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


def test_those_who_cannot_wait_but_are_not_urgent_reserve_nothing(memory):
    drain_node(memory, Gfp.NOWAIT, 1, order=3)
    assert memory.nodes[1].zones[1].buddy.nr_reserved_highatomic == 0
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
        def try_to_free_pages(self, *_):
            given.append(memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1))
            return 0

        def zone_reclaimable_pages(self, _zone):
            return 0

    memory.reclaim = Greedy()
    with pytest.raises(OutOfMemory):
        memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
    assert len(given) == 1  # and from below the watermarks


def test_reclaim_that_finds_nothing_left_fails_by_itself(memory):
    drain_node(memory, Gfp.KERNEL | Gfp.MEMALLOC, 1)
    errors = []

    class Hungry:
        def try_to_free_pages(self, *_):
            with pytest.raises(OutOfMemory) as caught:
                memory.alloc_pages(Gfp.KERNEL | Gfp.THISNODE, nid=1)
            errors.append(caught.value)
            return 0

        def zone_reclaimable_pages(self, _zone):
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
        def try_to_free_pages(self, *_):
            raise RuntimeError("a defect")

        def zone_reclaimable_pages(self, _zone):
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


def test_pages_that_no_zone_has_are_found(memory):
    memory.check()
    memory.mem_map.state[0xA0 - memory.mem_map.base] = PageState.RESERVED
    memory.mem_map.zone[0xA0 - memory.mem_map.base] = 200
    with pytest.raises(BrokenInvariant, match=r"^There are \d+ pages, but \d+ in all zones$"):
        memory.check()
