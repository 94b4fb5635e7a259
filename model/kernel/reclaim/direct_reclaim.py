"""Direct reclaim: whoever finds no free page frees some itself, before the allocation goes on.

The page allocator calls it in its slow path (``PageAllocator._direct_reclaim``), by way of
``model.kernel.reclaimer``. [try_to_free_pages in mm/vmscan.c]
"""

from collections.abc import Sequence

from .lru import Lruvec
from .scan import ScanControl
from .shrink import PageOps, shrink_node

__all__ = ["try_to_free_pages"]


def try_to_free_pages(lruvecs: Sequence[Lruvec], sc: ScanControl, ops: PageOps) -> int:
    """Free ``sc.nr_to_reclaim`` pages of some nodes; return how many became free.

    Each round looks at twice as much of the lists as the one before, from a 4096th up to all.
    Active pages are spared while the inactive lists are long enough. If that left nothing that
    could be freed, all rounds are made again with active pages as well: the alternative would be
    to kill a process while memory is full of pages that were only not allowed to age.
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
            lruvec.snapshot_refaults()
        if sc.nr_reclaimed or not sc.skipped_deactivate:
            return sc.nr_reclaimed
        sc.force_deactivate, sc.skipped_deactivate = True, False
