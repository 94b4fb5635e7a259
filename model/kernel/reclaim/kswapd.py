"""kswapd: frees pages of a node in the background, so that allocations need not wait.

Who wakes it: the page allocator, when a zone is below its low watermark or was boosted
(``PageAllocator._wake_all_kswapds``, ``FreelistAllocator._rmqueue``); it only leaves a note in the
node (``Node.wakeup_kswapd``). Who runs it: ``Kernel.acting`` (and ``swapoff``), at the end of
whatever the kernel was asked to do, by way of ``Reclaimer.run_kswapd``, which looks for such notes.
There is one processor: a kernel thread has its turn when the process leaves the kernel.
[balance_pgdat in mm/vmscan.c]
"""

from collections.abc import Callable

from .lru import LruList, Lruvec
from .scan import DEF_PRIORITY, SWAP_CLUSTER_MAX, ScanControl, inactive_is_low
from .shrink import PageOps, shrink_active_list, shrink_node

__all__ = ["balance_pgdat"]


def balance_pgdat(lruvec: Lruvec, sc: ScanControl, ops: PageOps,
                  balanced: Callable[[], bool]) -> int:
    """Free pages of a node until it is ``balanced``; return how many became free.

    A round that looks at fewer pages than wanted, or frees none, is followed by one that looks at
    twice the share of each list; otherwise the share is enough, and stays. The last share is half
    of each list: kswapd never looks at all of them, as direct reclaim does. Anonymous pages are
    made inactive in each round even if it takes only file pages: reclaim must know which of them
    are in use when their turn comes. [balance_pgdat, kswapd_shrink_node, kswapd_age_node]

    Parameters
    ----------
    lruvec, ops
        The lists of the node, and what can be done to a page.
    sc
        ``nr_to_reclaim``, the sum of the high watermarks, is how many pages each round is to
        look at.
    balanced
        Says whether some zone is above its high watermark.
    """
    sc.priority = DEF_PRIORITY
    while sc.priority >= 1 and not balanced():
        if ops.has_swap() and inactive_is_low(lruvec, LruList.INACTIVE_ANON):
            shrink_active_list(lruvec, LruList.ACTIVE_ANON, SWAP_CLUSTER_MAX, sc, ops)
        sc.nr_scanned = 0
        freed = shrink_node(lruvec, sc, ops)
        if sc.nr_scanned < sc.nr_to_reclaim or not freed:
            sc.priority -= 1
    lruvec.snapshot_refaults()
    return sc.nr_reclaimed
