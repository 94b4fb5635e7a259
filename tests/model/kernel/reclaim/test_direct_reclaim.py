"""How long direct reclaim goes on, and what it leaves when it breaks off."""

import os

import pytest

from pagewalk.model.kernel.reclaim.direct_reclaim import try_to_free_pages
from pagewalk.model.kernel.reclaim.kswapd import balance_pgdat
from pagewalk.model.kernel.reclaim.lru import LruFlag, LruList
from pagewalk.model.kernel.reclaim.scan import SWAP_CLUSTER_MAX, ScanControl
from pagewalk.model.kernel.reclaim.shrink import Pageout, shrink_node
from pagewalk.model.kernel.swap.errors import SwapFileShrunk
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.swap.swap import Swap

from ..page_world import PageWorld
from ..swap_tools import mkswap


def test_who_needs_memory_frees_a_batch():
    world = PageWorld()
    world.fill(range(1000))
    freed = try_to_free_pages([world.lruvec], sc := ScanControl(), world)
    assert SWAP_CLUSTER_MAX <= freed == len(world.freed) < 2 * SWAP_CLUSTER_MAX
    assert freed == sc.nr_reclaimed
    assert 0 < sc.priority < 12


def test_more_is_looked_at_the_harder_it_is():
    world = PageWorld()
    world.fill(range(1000))
    world.touch(range(990))
    assert try_to_free_pages([world.lruvec], sc := ScanControl(), world) >= SWAP_CLUSTER_MAX
    assert sc.priority <= 1


def test_all_nodes_are_asked():
    first, second = PageWorld(500), PageWorld(500)
    for world in (first, second):
        world.fill(range(500))
    freed = try_to_free_pages([first.lruvec, second.lruvec], ScanControl(), first)
    assert freed == len(first.log) // 3
    assert len(first.lruvec) + len(second.lruvec) == 1000 - freed
    assert len(first.lruvec) < 500
    assert len(second.lruvec) < 500


def test_nothing_can_be_freed_from_nothing():
    world = PageWorld()
    assert try_to_free_pages([world.lruvec], ScanControl(), world) == 0
    world.fill(range(10))
    world.slots = 0
    assert try_to_free_pages([world.lruvec], ScanControl(), world) == 0
    assert len(world.lruvec) == 10


def test_active_pages_are_spared_only_while_others_can_go():
    world = PageWorld()
    world.slots = 0
    world.fill(range(50), LruFlag.FILE)
    world.fill(range(50, 100), LruFlag.FILE | LruFlag.ACTIVE)
    world.stuck = set(range(50))
    shrink_node(world.lruvec, ScanControl(priority=0), world)
    assert world.lruvec.size(LruList.ACTIVE_FILE) == 100  # the stuck ones came to the others
    assert try_to_free_pages([world.lruvec], ScanControl(), world) >= SWAP_CLUSTER_MAX
    world.check()


def test_active_pages_are_touched_at_last_if_nothing_else_could_be_freed():
    world = PageWorld()
    world.slots = 0
    world.fill(range(60, 80), LruFlag.FILE | LruFlag.ACTIVE)
    world.fill(range(60), LruFlag.FILE)
    world.dirty = set(range(60))
    world.pageout_result = Pageout.KEEP
    assert try_to_free_pages([world.lruvec], sc := ScanControl(), world)
    assert sc.force_deactivate
    assert min(world.freed) >= 60
    world.check()


def test_refaults_are_remembered_when_reclaim_ends():
    world = PageWorld()
    world.lruvec.vmstat["workingset_activate_anon"] = 5
    world.lruvec.vmstat["workingset_activate_file"] = 7
    try_to_free_pages([world.lruvec], ScanControl(), world)
    assert world.lruvec.refaults == [5, 7]
    world.lruvec.vmstat["workingset_activate_file"] = 9
    balance_pgdat(world.lruvec, ScanControl(kswapd=True), world, lambda: True)
    assert world.lruvec.refaults == [5, 9]


class Frames(PageWorld):
    """Anonymous pages of a few bytes that live in a real swap file when they are not here."""

    def __init__(self, size, swap):
        super().__init__(size)
        self.swap = swap
        self.entries = {}
        self.contents = {}

    def has_swap(self):
        return self.swap.nr_swap_pages > 0

    def add_to_swap(self, pfn):
        return self.swap.cache.entry(pfn) is not None or self.swap.add_to_swap(pfn) is not None

    def try_to_unmap(self, pfn):
        if pfn not in self.entries:
            self.entries[pfn] = self.swap.cache.entry(pfn)
            self.swap.swap_duplicate(self.entries[pfn])
        return True

    def is_dirty(self, pfn):
        return self.swap.cache.is_dirty(pfn)

    def pageout(self, pfn):
        self.swap.swap_writepage(pfn, self.contents[pfn])
        return Pageout.SUCCESS

    def remove_mapping(self, pfn, shadow):
        self.swap.delete_from_swap_cache(pfn, shadow)
        del self.contents[pfn]


def test_swap_file_that_shrinks_during_reclaim_loses_nothing_that_was_in_memory(tmp_path):
    path = mkswap(tmp_path / "swap", 200)
    with SwapFile(path) as device:
        world = Frames(100, swap := Swap(0, 100))
        swap.swapon(device)
        world.fill(range(100))
        world.contents = {pfn: bytes([pfn]) * 4096 for pfn in range(100)}
        os.truncate(path, 20 * 4096)
        with pytest.raises(SwapFileShrunk, match="write slot 20 for page 0x13: "):
            try_to_free_pages([world.lruvec], ScanControl(nr_to_reclaim=60), world)
        world.check()
        swap.check()
        assert sorted(world.contents) == list(range(19, 100))
        assert all(data == bytes([pfn]) * 4096 for pfn, data in world.contents.items())
        assert len(world.lruvec) == 81
        assert swap.cache.page(world.entries[19]) == 19
        assert swap.cache.is_dirty(19)
        for pfn in range(19):
            assert swap.swap_readpage(world.entries[pfn], pfn)[0] == bytes([pfn]) * 4096
