import pytest

from pagewalk.model.kernel.reclaim.lru import LruFlag, Lruvec
from pagewalk.model.kernel.reclaim.workingset import workingset_eviction, workingset_refault

KINDS = {"inactive_anon": 0, "active_anon": LruFlag.ACTIVE, "inactive_file": LruFlag.FILE,
         "active_file": LruFlag.FILE | LruFlag.ACTIVE}


def lruvec_of(**sizes):
    """Return lists of the given sizes."""
    lruvec = Lruvec(0, 1000)
    pfn = 0
    for kind, size in sizes.items():
        for _ in range(size):
            lruvec.add(pfn, KINDS[kind])
            pfn += 1
    return lruvec


def test_shadow_tells_the_time_and_whether_the_page_was_active():
    lruvec = Lruvec(0, 10)
    lruvec.add(1)
    lruvec.add(2, LruFlag.WORKINGSET)
    assert [workingset_eviction(lruvec, pfn) for pfn in (1, 2, 1)] == [0, 3, 4]
    assert lruvec.nonresident_age == 3


# A page may compete with all but the inactive list of its own kind; with anonymous ones only if
# there is room in swap.
@pytest.mark.parametrize(("file", "swap", "rivals"), [
    (False, True, 10 + 100 + 200), (False, False, 100 + 200),
    (True, True, 200 + 10 + 400), (True, False, 200)])
def test_page_that_would_have_stayed_in_the_rivals_place_is_active_at_once(file, swap, rivals):
    kind = "file" if file else "anon"
    for distance, active in ((0, True), (rivals, True), (rivals + 1, False)):
        lruvec = lruvec_of(inactive_anon=400, active_anon=10, inactive_file=100, active_file=200)
        shadow = workingset_eviction(lruvec, 0)
        lruvec.nonresident_age += distance - 1
        flags = workingset_refault(lruvec, shadow, file=file, swap=swap)
        assert flags == (LruFlag.FILE if file else 0) | (LruFlag.ACTIVE if active else 0)
        assert lruvec.vmstat[f"workingset_refault_{kind}"] == 1
        assert lruvec.vmstat[f"workingset_activate_{kind}"] == active
        assert lruvec.nonresident_age == distance + active


def test_page_that_was_active_before_is_so_again_and_costs():
    lruvec = lruvec_of(active_anon=100)
    lruvec.add(500, LruFlag.WORKINGSET)
    shadow = workingset_eviction(lruvec, 500)
    assert workingset_refault(lruvec, shadow, file=False, swap=True) == (
        LruFlag.ACTIVE | LruFlag.WORKINGSET)
    assert lruvec.vmstat["workingset_restore_anon"] == 1
    assert lruvec.cost == [1, 0]
