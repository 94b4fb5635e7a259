"""How much reclaim looks at: the aims of one reclaim, and the share of each list. [mm/vmscan.c]"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isqrt

from ...x86 import PAGE_SHIFT
from .lru import EVICTABLE, LruFlag, LruList, Lruvec

__all__ = ["DEF_PRIORITY", "FILE_BIT", "SWAP_CLUSTER_MAX", "ScanControl", "get_scan_count",
           "inactive_is_low", "prepare_scan_count"]

SWAP_CLUSTER_MAX = 32
DEF_PRIORITY = 12
FILE_BIT = LruList.INACTIVE_FILE
ACTIVE = int(LruFlag.ACTIVE)  # numbers are much faster


@dataclass(slots=True)
class ScanControl:
    """The aims of one reclaim, and how far it has come. [struct scan_control]

    Parameters
    ----------
    nr_to_reclaim
        How many pages are wanted.
    priority
        Pages looked at in one go: the size of a list, shifted right by this.
    swappiness
        How cheap it is to swap, compared with reading files again: 0 to 200, equal at 100.
    may_swap
        Whether anonymous pages and shared memory may be taken.
    kswapd
        Whether this is kswapd, and not an allocation that waits for memory.
    eligible
        Says whether a page is of a zone that is of use; by default every page is. [reclaim_idx]
    force_deactivate
        Whether active pages are looked at even if there are enough inactive ones.

    Members
    -------
    nr_scanned, nr_reclaimed
        How many pages were looked at, and how many are free now.
    may_deactivate
        Whether active pages may become inactive, of either kind. [DEACTIVATE_ANON, _FILE]
    skipped_deactivate
        Whether a list was left alone for that.
    cache_trim_mode
        Whether there are enough inactive file pages to take nothing else.
    """

    nr_to_reclaim: int = SWAP_CLUSTER_MAX
    priority: int = DEF_PRIORITY
    swappiness: int = 60
    may_swap: bool = True
    kswapd: bool = False
    eligible: Callable[[int], bool] | None = None
    force_deactivate: bool = False
    nr_scanned: int = 0
    nr_reclaimed: int = 0
    may_deactivate: tuple[bool, bool] = (True, True)
    skipped_deactivate: bool = False
    cache_trim_mode: bool = False


def inactive_is_low(lruvec: Lruvec, inactive: LruList) -> bool:
    """Return whether an inactive list is too short beside its active one.

    They are to be equal below 1 Gbyte; beyond, the active one may be sqrt(10 * Gbytes) times as
    long. [inactive_is_low]
    """
    inactive_pages = lruvec.size(inactive)
    active_pages = lruvec.size(LruList(inactive + ACTIVE))
    gbytes = (inactive_pages + active_pages) >> (30 - PAGE_SHIFT)
    return inactive_pages * (isqrt(10 * gbytes) if gbytes else 1) < active_pages


def prepare_scan_count(lruvec: Lruvec, sc: ScanControl) -> None:
    """Decide which active lists may be touched, and whether files are enough.

    Pages become inactive while too few are, or while pages that come back become active at once.
    [prepare_scan_count]
    """
    if sc.force_deactivate:
        sc.may_deactivate = (True, True)
    else:
        anon, file = (
            lruvec.vmstat[f"workingset_activate_{kind}"] != lruvec.refaults[at]
            or inactive_is_low(lruvec, inactive)
            for at, (kind, inactive) in enumerate((("anon", LruList.INACTIVE_ANON),
                                                   ("file", LruList.INACTIVE_FILE))))
        sc.may_deactivate = (anon, file)
    inactive_files = lruvec.size(LruList.INACTIVE_FILE)
    sc.cache_trim_mode = bool(inactive_files >> sc.priority) and not sc.may_deactivate[1]


def get_scan_count(lruvec: Lruvec, sc: ScanControl, has_swap: bool) -> list[int]:
    """Return how many pages of each evictable list to look at. [get_scan_count]

    Reclaim takes from the kind of page that is cheaper to lose. Cost is what has been written and
    what had to be read again lately: the kind that cost less is looked at more, weighted with
    ``swappiness``. Three cases need no balance: without swap only files can go; with plenty of
    inactive files, which are cheapest of all, only they do; and at priority 0, the last round
    before a process is killed, everything is looked at.
    """
    sizes = [lruvec.size(lru) >> sc.priority for lru in EVICTABLE]
    if not sc.may_swap or not has_swap:
        shares = (0, 1)
    elif not sc.priority and sc.swappiness:
        return sizes
    elif sc.cache_trim_mode:
        shares = (0, 1)
    else:
        # Each kind is taken to cost at least a third of all: a kind whose cost were taken as 0
        # would be looked at alone, and never be found to cost something by now.
        total = sum(lruvec.cost)
        anon_cost, file_cost = total + lruvec.cost[0], total + lruvec.cost[1]
        total = anon_cost + file_cost
        shares = (sc.swappiness * (total + 1) // (anon_cost + 1),
                  (200 - sc.swappiness) * (total + 1) // (file_cost + 1))
    return [size * shares[bool(lru & FILE_BIT)] // sum(shares)
            for lru, size in zip(EVICTABLE, sizes, strict=True)]
