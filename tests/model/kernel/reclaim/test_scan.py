import pytest

from pagewalk.model.kernel.reclaim.lru import EVICTABLE
from pagewalk.model.kernel.reclaim.scan import (
    ScanControl,
    get_scan_count,
    inactive_is_low,
    prepare_scan_count,
)

INACTIVE_ANON, _, INACTIVE_FILE, _ = EVICTABLE


class Sizes:
    """Lists of which there are only the sizes."""

    def __init__(self, *sizes, cost=(0, 0)):
        self.sizes = sizes
        self.cost = list(cost)
        self.vmstat = {"workingset_activate_anon": 0, "workingset_activate_file": 0}
        self.refaults = [0, 0]

    def size(self, lru):
        return self.sizes[lru]


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
