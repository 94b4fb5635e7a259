import pytest
from numpy.random import default_rng

from pagewalk.model.kernel.reclaim.lru import EVICTABLE, LruFlag, LruList
from pagewalk.model.kernel.reclaim.scan import SWAP_CLUSTER_MAX, ScanControl, prepare_scan_count
from pagewalk.model.kernel.reclaim.shrink import (
    Pageout,
    PageReferences,
    page_check_references,
    shrink_active_list,
    shrink_lruvec,
)

from ..page_world import PageWorld

INACTIVE_ANON, ACTIVE_ANON, INACTIVE_FILE, ACTIVE_FILE = EVICTABLE


def everything(**changes):
    """Return a control that looks at every page once."""
    return ScanControl(priority=0, nr_to_reclaim=1 << 30, **changes)


@pytest.mark.parametrize(("flags", "accessed", "expected", "after"), [
    (0, 0, PageReferences.RECLAIM, 0),
    (0, 1, PageReferences.KEEP, LruFlag.REFERENCED),
    (0, 2, PageReferences.ACTIVATE, LruFlag.REFERENCED),
    (0, True, PageReferences.KEEP, LruFlag.REFERENCED),
    (LruFlag.REFERENCED, 1, PageReferences.ACTIVATE, LruFlag.REFERENCED),
    (LruFlag.REFERENCED, 0, PageReferences.RECLAIM, 0),
    (LruFlag.REFERENCED | LruFlag.FILE, 0, PageReferences.RECLAIM_CLEAN, LruFlag.FILE),
    (LruFlag.FILE, 0, PageReferences.RECLAIM, LruFlag.FILE),
])
def test_page_gets_a_second_chance_and_is_active_at_the_third(flags, accessed, expected, after):
    world = PageWorld()
    world.fill([1], flags)
    world.accessed_bits = {1: accessed}
    assert page_check_references(world.lruvec, 1, world) is expected
    assert world.lruvec.flags(1) == after


def test_code_of_a_file_is_active_at_once_and_stays_so_while_it_is_used():
    world = PageWorld()
    world.fill(range(4), LruFlag.FILE)
    world.fill(range(4, 8))
    world.code = {0, 1, 4, 5}
    world.touch([0, 2, 4])
    shrink_lruvec(world.lruvec, everything(), world)
    assert list(world.lruvec.pages(ACTIVE_FILE)) == [0]
    assert list(world.lruvec.pages(INACTIVE_FILE)) == [2]
    assert list(world.lruvec.pages(INACTIVE_ANON)) == [4]
    world.touch([0])
    shrink_active_list(world.lruvec, ACTIVE_FILE, 1, everything(), world)
    assert list(world.lruvec.pages(ACTIVE_FILE)) == [0]
    assert world.lruvec.vmstat["pgdeactivate"] == 0
    shrink_active_list(world.lruvec, ACTIVE_FILE, 1, everything(), world)
    assert list(world.lruvec.pages(INACTIVE_FILE)) == [0, 2]
    assert world.lruvec.vmstat["pgdeactivate"] == 1
    world.check()


def test_page_that_was_not_accessed_goes_and_one_that_was_stays():
    world = PageWorld()
    world.fill(range(20), LruFlag.FILE)
    world.touch(range(5, 10))
    assert shrink_lruvec(world.lruvec, sc := everything(), world) == 15
    assert sorted(world.freed) == [*range(5), *range(10, 20)]
    assert list(world.lruvec.pages(INACTIVE_FILE)) == [9, 8, 7, 6, 5]
    assert (sc.nr_scanned, sc.nr_reclaimed) == (20, 15)
    assert dict(world.lruvec.vmstat) == {"pgscan_file": 20, "pgsteal_file": 15,
                                         "pgscan_direct": 20, "pgsteal_direct": 15}
    world.touch([7])
    shrink_lruvec(world.lruvec, everything(kswapd=True), world)
    assert list(world.lruvec.pages(ACTIVE_FILE)) == [7]
    assert world.lruvec.vmstat["pgactivate"] == 1
    assert world.lruvec.vmstat["pgsteal_kswapd"] == 4
    world.check()


def test_oldest_pages_are_asked_first_and_in_their_order():
    world = PageWorld()
    world.fill(range(40), LruFlag.FILE)
    world.dirty = {3}
    shrink_lruvec(world.lruvec, ScanControl(priority=2, nr_to_reclaim=8), world)
    assert world.log[:6] == [("try_to_unmap", 0), ("remove_mapping", 0), ("try_to_unmap", 1),
                             ("remove_mapping", 1), ("try_to_unmap", 2), ("remove_mapping", 2)]
    assert world.log[6:9] == [("try_to_unmap", 3), ("pageout", 3), ("remove_mapping", 3)]
    assert sorted(world.freed) == list(range(7))  # 40 >> 2, of which files have 140 parts of 200


def test_active_pages_become_inactive_and_must_be_accessed_again_to_stay():
    world = PageWorld()
    world.fill(range(4), LruFlag.ACTIVE)
    world.touch(range(4))
    shrink_active_list(world.lruvec, ACTIVE_ANON, 3, everything(), world)
    assert list(world.lruvec.pages(INACTIVE_ANON)) == [2, 1, 0]
    assert list(world.lruvec.pages(ACTIVE_ANON)) == [3]
    assert world.lruvec.flags(0) == LruFlag.WORKINGSET
    assert world.accessed_bits == {3: 1}
    assert dict(world.lruvec.vmstat) == {"pgrefill": 3, "pgdeactivate": 3}


def test_active_list_is_left_alone_when_it_may_not_be_touched():
    world = PageWorld()
    world.fill(range(10), LruFlag.FILE)
    world.fill(range(10, 20), LruFlag.FILE | LruFlag.ACTIVE)
    prepare_scan_count(world.lruvec, sc := everything())
    shrink_lruvec(world.lruvec, sc, world)
    assert sc.skipped_deactivate
    assert world.lruvec.size(ACTIVE_FILE) == 10


@pytest.mark.parametrize(("result", "where"), [
    (Pageout.KEEP, INACTIVE_FILE), (Pageout.ACTIVATE, ACTIVE_FILE), (Pageout.SUCCESS, None),
    (Pageout.CLEAN, None)])
def test_dirty_page_goes_as_its_pageout_says(result, where):
    world = PageWorld()
    world.fill([1], LruFlag.FILE)
    world.dirty = {1}
    world.pageout_result = result
    assert shrink_lruvec(world.lruvec, everything(), world) == (where is None)
    assert world.lruvec.list_of(1) is where
    assert world.lruvec.cost == [0, 0]  # one page of none left is more than a quarter: it faded
    world.check()


def test_what_was_written_is_cost():
    world = PageWorld()
    world.fill(range(100))
    world.touch(range(90))
    world.dirty = set(range(95))
    shrink_lruvec(world.lruvec, everything(), world)
    assert world.lruvec.cost == [5, 0]


def test_dirty_file_page_that_was_read_once_stays():
    world = PageWorld()
    world.fill([1, 2], LruFlag.FILE | LruFlag.REFERENCED)
    world.dirty = {1}
    shrink_lruvec(world.lruvec, everything(), world)
    assert sorted(world.freed) == [2]
    assert world.lruvec.flags(1) == LruFlag.FILE


def test_page_that_cannot_be_unmapped_is_active():
    world = PageWorld()
    world.fill(range(4), LruFlag.FILE)
    world.stuck = {0, 2}
    shrink_lruvec(world.lruvec, everything(), world)
    assert list(world.lruvec.pages(ACTIVE_FILE)) == [2, 0]
    assert sorted(world.freed) == [1, 3]


def test_page_that_finds_no_slot_stays_mapped_and_is_active():
    world = PageWorld()
    world.fill(range(4))
    world.slots = 3
    shrink_lruvec(world.lruvec, everything(), world)
    assert sorted(world.freed) == [0, 1]
    assert world.lruvec.vmstat["pgactivate"] == 2
    assert [name for name, pfn in world.log if pfn == 2] == ["add_to_swap", "try_to_free_swap"]


def test_anonymous_pages_are_balanced_even_if_none_was_looked_at():
    for slots, inactive in ((1, SWAP_CLUSTER_MAX), (0, 0)):
        world = PageWorld()
        world.fill(range(100), LruFlag.ACTIVE)
        world.slots = slots
        shrink_lruvec(world.lruvec, ScanControl(), world)
        assert world.lruvec.size(INACTIVE_ANON) == inactive


def test_without_swap_anonymous_pages_are_not_looked_at():
    world = PageWorld()
    world.slots = 0
    world.fill(range(10))
    world.fill(range(10, 20), LruFlag.FILE)
    assert shrink_lruvec(world.lruvec, sc := everything(), world) == 10
    assert sc.nr_scanned == 10
    assert world.lruvec.size(INACTIVE_ANON) == 10


def test_pages_of_other_zones_stay():
    world = PageWorld()
    world.fill(range(20))
    shrink_lruvec(world.lruvec, everything(eligible=lambda pfn: pfn >= 10), world)
    assert sorted(world.freed) == list(range(10, 20))
    world.check()


def test_unevictable_pages_are_not_looked_at():
    world = PageWorld()
    world.fill(range(5))
    world.lruvec.set_unevictable(2, True)
    shrink_lruvec(world.lruvec, everything(), world)
    assert list(world.lruvec.pages(LruList.UNEVICTABLE)) == [2]
    assert sorted(world.freed) == [0, 1, 3, 4]


def test_reclaim_ends_soon_after_enough_pages_are_free():
    world = PageWorld()
    world.fill(range(500))
    assert shrink_lruvec(world.lruvec, ScanControl(priority=0), world) == SWAP_CLUSTER_MAX


def test_other_kind_is_looked_at_in_proportion_after_enough_are_free():
    world = PageWorld(4000)
    world.fill(range(1000))
    world.fill(range(1000, 4000), LruFlag.FILE)
    freed = shrink_lruvec(world.lruvec, ScanControl(priority=0, nr_to_reclaim=200), world)
    files = sum(pfn >= 1000 for pfn in world.freed)
    anon = freed - files
    assert freed > 200
    assert abs(files / 3000 - anon / 1000) < 0.02


def test_error_leaves_all_pages_on_their_lists_in_their_order():
    world = PageWorld()
    world.fill(range(100))
    world.dirty = {10}
    world.pageout_result = OSError("disk")
    with pytest.raises(OSError, match=r"^disk$"):
        shrink_lruvec(world.lruvec, sc := everything(), world)
    world.check()
    assert sorted(world.freed) == list(range(10))
    assert list(world.lruvec.pages(INACTIVE_ANON)) == list(range(10, 100))[::-1]
    assert sc.nr_scanned == 10


def test_error_while_active_pages_are_looked_at_leaves_them_active():
    class Broken(PageWorld):
        def accessed(self, pfn):
            if pfn == 2:
                raise KeyError
            return False

    world = Broken()
    world.fill(range(5), LruFlag.ACTIVE)
    with pytest.raises(KeyError):
        shrink_active_list(world.lruvec, ACTIVE_ANON, 5, everything(), world)
    world.check()
    assert list(world.lruvec.pages(ACTIVE_ANON)) == [4, 3, 2]
    assert list(world.lruvec.pages(INACTIVE_ANON)) == [1, 0]


@pytest.mark.parametrize("seed", range(10))
def test_no_page_is_lost_or_freed_twice_whatever_happens(seed):
    rng = default_rng(seed)
    world = PageWorld(200)
    flags = [0, LruFlag.FILE]
    inside = set()
    for _ in range(400):
        for pfn in rng.integers(0, 200, 5).tolist():
            if pfn not in inside:
                world.lruvec.add(pfn, flags[int(rng.integers(2))])
                inside.add(pfn)
        world.touch(rng.choice(sorted(inside), 4).tolist())
        world.dirty = set(rng.integers(0, 200, 60).tolist())
        world.stuck = set(rng.integers(0, 200, 20).tolist())
        world.pageout_result = [*Pageout, OSError()][int(rng.integers(5))]
        world.slots = int(rng.integers(40))
        sc = ScanControl(priority=int(rng.integers(6)), swappiness=int(rng.integers(201)))
        prepare_scan_count(world.lruvec, sc)
        try:
            shrink_lruvec(world.lruvec, sc, world)
        except OSError:
            pass
        world.check()
        assert world.freed.keys() <= inside
        inside -= world.freed.keys()
        assert len(world.lruvec) == len(inside)
        world.freed.clear()


def test_pages_leave_a_shadow_unless_they_have_no_place_for_it():
    world = PageWorld()
    for pfn in range(4):
        world.lruvec.add(pfn)
    world.shadowless = {1, 2}
    shrink_lruvec(world.lruvec, everything(), world)
    assert {pfn for pfn, shadow in world.freed.items() if shadow is None} == {1, 2}
    assert world.lruvec.nonresident_age == 2
