import pytest
from numpy.random import default_rng

from pagewalk.model.kernel.lru import EVICTABLE, LruFlag, LruList, Lruvec
from pagewalk.model.kernel.reclaim import (
    SWAP_CLUSTER_MAX,
    Pageout,
    PageReferences,
    ScanControl,
    get_scan_count,
    inactive_is_low,
    page_check_references,
    prepare_scan_count,
    shrink_active_list,
    shrink_lruvec,
)

from .page_world import PageWorld

INACTIVE_ANON, ACTIVE_ANON, INACTIVE_FILE, ACTIVE_FILE = EVICTABLE


class Sizes:
    """Lists of which there are only the sizes."""

    def __init__(self, *sizes, cost=(0, 0)):
        self.sizes = sizes
        self.cost = list(cost)
        self.vmstat = {"workingset_activate_anon": 0, "workingset_activate_file": 0}
        self.refaults = [0, 0]

    def size(self, lru):
        return self.sizes[lru]


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
    lruvec = Lruvec(0, 10)
    lruvec.add(1, flags)
    assert page_check_references(lruvec, 1, accessed) is expected
    assert lruvec.flags(1) == after


# The table of mm/vmscan.c: memory, ratio, and the inactive pages that are just enough.
@pytest.mark.parametrize(("mbytes", "ratio"), [
    (10, 1), (100, 1), (1 << 10, 3), (10 << 10, 10), (100 << 10, 31), (1 << 20, 101),
    (10 << 20, 320)])
def test_inactive_list_is_low_by_the_ratio_of_the_kernel(mbytes, ratio):
    pages = mbytes << 8
    enough = -(-pages // (ratio + 1))
    for inactive, low in ((enough, False), (enough - 1, True)):
        assert inactive_is_low(Sizes(inactive, pages - inactive), INACTIVE_ANON) == low
        assert inactive_is_low(Sizes(0, 0, inactive, pages - inactive), INACTIVE_FILE) == low


@pytest.mark.parametrize(("changes", "cost", "has_swap", "expected"), [
    ({}, (0, 0), True, [30, 60, 210, 280]),  # 60 to 140
    ({"swappiness": 100}, (0, 0), True, [50, 100, 150, 200]),
    ({"swappiness": 0}, (0, 0), True, [0, 0, 300, 400]),
    ({}, (0, 0), False, [0, 0, 300, 400]),
    ({"may_swap": False}, (0, 0), True, [0, 0, 300, 400]),
    ({"cache_trim_mode": True}, (0, 0), True, [0, 0, 300, 400]),
    ({"swappiness": 100}, (30, 10), True, [41, 83, 174, 232]),
    ({"swappiness": 100}, (1000, 0), True, [33, 66, 200, 266]),
])
def test_lists_share_by_swappiness_and_cost(changes, cost, has_swap, expected):
    sizes = Sizes(400, 800, 1200, 1600, cost=cost)
    assert get_scan_count(sizes, ScanControl(priority=2, **changes), has_swap) == expected


def test_last_round_looks_at_everything():
    sizes = Sizes(400, 800, 1200, 1600, cost=(100, 0))
    assert get_scan_count(sizes, ScanControl(priority=0), True) == [400, 800, 1200, 1600]
    assert get_scan_count(sizes, ScanControl(priority=0), False) == [0, 0, 1200, 1600]
    assert get_scan_count(sizes, ScanControl(priority=0, swappiness=0), True)[:2] == [0, 0]


def test_active_pages_are_touched_when_too_few_are_inactive_or_pages_come_back():
    sc = ScanControl()
    prepare_scan_count(Sizes(10, 10, 9, 10), sc)
    assert sc.may_deactivate == (False, True)
    coming_back = Sizes(10, 10, 10, 10)
    coming_back.vmstat["workingset_activate_anon"] = 5
    prepare_scan_count(coming_back, sc)
    assert sc.may_deactivate == (True, False)
    coming_back.refaults = [5, 0]
    prepare_scan_count(coming_back, sc)
    assert sc.may_deactivate == (False, False)
    prepare_scan_count(coming_back, forced := ScanControl(force_deactivate=True))
    assert forced.may_deactivate == (True, True)


def test_files_alone_are_taken_while_there_are_enough_inactive_ones():
    for inactive, trim in ((1 << 12, True), ((1 << 12) - 1, False)):
        prepare_scan_count(Sizes(10, 10, inactive, 10), sc := ScanControl())
        assert sc.cache_trim_mode == trim
    prepare_scan_count(Sizes(10, 10, 1 << 12, 1 << 13), sc)
    assert not sc.cache_trim_mode


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
