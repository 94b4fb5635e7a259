"""How long reclaim goes on: until enough pages are free, looking at more and more of the lists.

Each round looks at a share of each list, at first a 4096th, twice as much each time. Both ways
in are here: the one who needs memory reclaims some itself, or kswapd reclaims until the zones are
above their high watermarks. [mm/vmscan.c]
"""

from collections.abc import Callable, Sequence

from .lru import LruList, Lruvec
from .scan import (
    DEF_PRIORITY,
    SWAP_CLUSTER_MAX,
    ScanControl,
    inactive_is_low,
    prepare_scan_count,
)
from .shrink import PageOps, shrink_active_list, shrink_lruvec

__all__ = ["balance_pgdat", "shrink_node", "try_to_free_pages"]


def shrink_node(lruvec: Lruvec, sc: ScanControl, ops: PageOps) -> int:
    """Look at a share of the lists of one node; return how many pages are free. [shrink_node]"""
    prepare_scan_count(lruvec, sc)
    return shrink_lruvec(lruvec, sc, ops)


def try_to_free_pages(lruvecs: Sequence[Lruvec], sc: ScanControl, ops: PageOps) -> int:
    """Free ``sc.nr_to_reclaim`` pages of some nodes for one who needs memory; return how many are.

    If none could be freed while active pages were spared, they are no longer.
    [try_to_free_pages, do_try_to_free_pages]
    """
    initial = sc.priority
    while True:
        for priority in range(initial, -1, -1):
            sc.priority = priority
            for lruvec in lruvecs:
                shrink_node(lruvec, sc, ops)
            if sc.nr_reclaimed >= sc.nr_to_reclaim:
                break
        for lruvec in lruvecs:
            _snapshot_refaults(lruvec)
        if sc.nr_reclaimed or not sc.skipped_deactivate:
            return sc.nr_reclaimed
        sc.force_deactivate, sc.skipped_deactivate = True, False


def balance_pgdat(lruvec: Lruvec, sc: ScanControl, ops: PageOps,
                  balanced: Callable[[], bool]) -> int:
    """Free pages of a node until it is ``balanced``; return how many.

    ``balanced`` says whether some zone is above its high watermark; ``sc.nr_to_reclaim``, the sum
    of the high watermarks, is what each round is to look at before the next looks at more. If
    nothing could be freed this was a failure, of which kswapd takes 16 before it gives up.
    [balance_pgdat, kswapd_shrink_node]
    """
    sc.priority = DEF_PRIORITY
    while sc.priority >= 1 and not balanced():
        if ops.has_swap() and inactive_is_low(lruvec, LruList.INACTIVE_ANON):
            shrink_active_list(lruvec, LruList.ACTIVE_ANON, SWAP_CLUSTER_MAX, sc, ops)
        sc.nr_scanned = 0
        freed = shrink_node(lruvec, sc, ops)
        if sc.nr_scanned < sc.nr_to_reclaim or not freed:
            sc.priority -= 1
    _snapshot_refaults(lruvec)
    return sc.nr_reclaimed


def _snapshot_refaults(lruvec: Lruvec) -> None:
    """Remember how many pages came back to be active at once. [snapshot_refaults]"""
    lruvec.refaults = [lruvec.vmstat[f"workingset_activate_{kind}"] for kind in ("anon", "file")]
