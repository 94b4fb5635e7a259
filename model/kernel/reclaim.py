"""Reclaim: which pages leave memory, and how many of which list are looked at.

As in mm/vmscan.c of Linux 6.1 with the classic LRU, which Debian's kernels use. A page that was
accessed since it was last looked at gets a second chance; one that was accessed twice is active.

Left out are control groups, huge pages, throttling, demotion, and what asks for more than the
accessed bits: the protection of executable pages, and the rule that a machine with hardly any
file pages takes anonymous ones. Dirty file pages are written where they are met, as there is no
flusher thread; and writing is done at once, so that a page that was written can go.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import isqrt
from typing import Protocol

from ..x86 import PAGE_SHIFT
from .lru import EVICTABLE, LruFlag, LruList, Lruvec
from .workingset import workingset_eviction

__all__ = ["DEF_PRIORITY", "SWAP_CLUSTER_MAX", "PageOps", "PageReferences", "Pageout",
           "ScanControl", "get_scan_count", "inactive_is_low", "page_check_references",
           "prepare_scan_count", "shrink_active_list", "shrink_lruvec"]

SWAP_CLUSTER_MAX = 32
DEF_PRIORITY = 12
FILE_BIT = LruList.INACTIVE_FILE
ACTIVE, WORKINGSET = int(LruFlag.ACTIVE), int(LruFlag.WORKINGSET)  # numbers are much faster


class PageReferences(Enum):
    """What is to become of an inactive page. [enum page_references]"""

    RECLAIM = "reclaim"
    RECLAIM_CLEAN = "reclaim if clean"
    KEEP = "keep"
    ACTIVATE = "activate"


class Pageout(Enum):
    """What has become of a dirty page. [pageout_t]"""

    KEEP = "keep"
    """It cannot be written now."""
    ACTIVATE = "activate"
    """It cannot be written for some time."""
    SUCCESS = "success"
    """It is written, and clean."""
    CLEAN = "clean"
    """There was nothing to write."""


class PageOps(Protocol):
    """What reclaim asks of those who know what a page is for.

    What one of these raises goes to the caller of reclaim, and all pages stay on their lists.
    """

    def accessed(self, pfn: int) -> int:
        """Clear the accessed bits; return how many were set, or whether any was.

        [folio_referenced]
        """

    def has_swap(self) -> bool:
        """Return whether a slot of swap is free. [get_nr_swap_pages]"""

    def add_to_swap(self, pfn: int) -> bool:
        """Give an anonymous page a slot of swap; return whether it has one. [add_to_swap]

        True for shared memory, which gets one when it is written.
        """

    def try_to_free_swap(self, pfn: int) -> None:
        """Give up the slot of a page that stays, if it has one and swap is getting full.

        [folio_free_swap, mem_cgroup_swap_full]
        """

    def try_to_unmap(self, pfn: int) -> bool:
        """Take a page out of all page tables; return whether it is in none. [try_to_unmap]"""

    def is_dirty(self, pfn: int) -> bool:
        """Return whether a page that no page table maps must be written. [folio_test_dirty]"""

    def pageout(self, pfn: int) -> Pageout:
        """Write a dirty page. [pageout]"""

    def keeps_shadow(self, pfn: int) -> bool:
        """Return whether a clean page leaves a shadow: not shared memory that is in no slot."""

    def remove_mapping(self, pfn: int, shadow: int | None) -> None:
        """Free a clean page and leave ``shadow`` in its place. [__remove_mapping]"""


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
        Whether this is kswapd, not somebody who waits for memory.
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


def page_check_references(lruvec: Lruvec, pfn: int, accessed: int) -> PageReferences:
    """Decide about an inactive page of which ``accessed`` accessed bits were set.

    Once accessed it stays for another round; twice, in this round and the last or from two page
    tables, it is active. [folio_check_references]
    """
    referenced = lruvec.test_clear_referenced(pfn)
    if accessed:
        lruvec.set_referenced(pfn)
        return PageReferences.ACTIVATE if referenced or accessed > 1 else PageReferences.KEEP
    if referenced and lruvec.is_file(pfn):
        return PageReferences.RECLAIM_CLEAN
    return PageReferences.RECLAIM


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

    Anonymous pages and files share in inverse proportion to what reclaim of either has cost
    lately, weighted with ``swappiness``.
    """
    sizes = [lruvec.size(lru) >> sc.priority for lru in EVICTABLE]
    if not sc.may_swap or not has_swap:
        shares = (0, 1)
    elif not sc.priority and sc.swappiness:
        return sizes
    elif sc.cache_trim_mode:
        shares = (0, 1)
    else:
        # Each kind's cost is taken as at least a third of all, so that neither is forgotten.
        total = sum(lruvec.cost)
        anon_cost, file_cost = total + lruvec.cost[0], total + lruvec.cost[1]
        total = anon_cost + file_cost
        shares = (sc.swappiness * (total + 1) // (anon_cost + 1),
                  (200 - sc.swappiness) * (total + 1) // (file_cost + 1))
    return [size * shares[bool(lru & FILE_BIT)] // sum(shares)
            for lru, size in zip(EVICTABLE, sizes, strict=True)]


def shrink_lruvec(lruvec: Lruvec, sc: ScanControl, ops: PageOps) -> int:
    """Look at the share of each list that ``sc.priority`` asks for; return how many pages are free.

    Once enough are free, the kind that had the smaller part left is left alone, and the other
    only looked at in proportion. [shrink_lruvec]
    """
    targets = get_scan_count(lruvec, sc, ops.has_swap())
    left = list(targets)
    reclaimed = 0
    adjusted = not sc.kswapd and sc.priority == DEF_PRIORITY
    while left[LruList.INACTIVE_ANON] or left[LruList.ACTIVE_FILE] or left[LruList.INACTIVE_FILE]:
        for lru in EVICTABLE:
            batch = min(left[lru], SWAP_CLUSTER_MAX)
            left[lru] -= batch
            if batch:
                reclaimed += _shrink_list(lruvec, lru, batch, sc, ops)
        if reclaimed < sc.nr_to_reclaim or adjusted:
            continue
        if not (sum(left[:FILE_BIT]) and sum(left[FILE_BIT:])):
            break
        _adjust(left, targets)
        adjusted = True
    sc.nr_reclaimed += reclaimed
    if sc.may_swap and ops.has_swap() and inactive_is_low(lruvec, LruList.INACTIVE_ANON):
        shrink_active_list(lruvec, LruList.ACTIVE_ANON, SWAP_CLUSTER_MAX, sc, ops)
    return reclaimed


def _adjust(left: list[int], targets: list[int]) -> None:
    """Stop with the kind that has less left, and give the other the same fraction."""
    anon, file = sum(left[:FILE_BIT]), sum(left[FILE_BIT:])
    stop, go_on = (LruList.INACTIVE_ANON, FILE_BIT) if file > anon else (FILE_BIT,
                                                                         LruList.INACTIVE_ANON)
    percentage = min(anon, file) * 100 // (targets[stop] + targets[stop + 1] + 1)
    left[stop] = left[stop + 1] = 0
    for lru in (go_on, go_on + 1):
        scanned = targets[lru] - left[lru]
        left[lru] = max(0, targets[lru] * (100 - percentage) // 100 - scanned)


def _shrink_list(lruvec: Lruvec, lru: LruList, count: int, sc: ScanControl, ops: PageOps) -> int:
    """Look at ``count`` pages of a list; return how many are free. [shrink_list]"""
    if not lru & ACTIVE:
        return _shrink_inactive_list(lruvec, lru, count, sc, ops)
    if sc.may_deactivate[bool(lru & FILE_BIT)]:
        shrink_active_list(lruvec, lru, count, sc, ops)
    else:
        sc.skipped_deactivate = True
    return 0


def shrink_active_list(lruvec: Lruvec, lru: LruList, count: int, sc: ScanControl,
                       ops: PageOps) -> None:
    """Make pages from the tail of an active list inactive, not accessed. [shrink_active_list]"""
    pages = lruvec.isolate(lru, count, sc.eligible)
    lruvec.vmstat["pgrefill"] += len(pages)
    done = 0
    try:
        for pfn in pages:
            ops.accessed(pfn)
            lruvec.putback(pfn, set_flags=WORKINGSET, clear_flags=ACTIVE)
            done += 1
    finally:
        lruvec.vmstat["pgdeactivate"] += done
        _putback_rest(lruvec, pages[done:])


def _shrink_inactive_list(lruvec: Lruvec, lru: LruList, count: int, sc: ScanControl,
                          ops: PageOps) -> int:
    """Free what can go of ``count`` pages; return how many. [shrink_inactive_list]"""
    file = bool(lru & FILE_BIT)
    kind, who = "file" if file else "anon", "kswapd" if sc.kswapd else "direct"
    pages = lruvec.isolate(lru, count, sc.eligible)
    done = reclaimed = written = 0
    try:
        for pfn in pages:
            outcome, wrote = _shrink_page(lruvec, pfn, file, ops)
            if outcome is PageReferences.RECLAIM:
                reclaimed += 1
            elif outcome is PageReferences.ACTIVATE:
                if not file:
                    ops.try_to_free_swap(pfn)
                lruvec.vmstat["pgactivate"] += 1
                lruvec.putback(pfn, set_flags=ACTIVE)
            else:
                lruvec.putback(pfn)
            done += 1
            written += wrote
    finally:
        sc.nr_scanned += done
        for name in (kind, who):
            lruvec.vmstat[f"pgscan_{name}"] += done
            lruvec.vmstat[f"pgsteal_{name}"] += reclaimed
        lruvec.note_cost(file, written)
        _putback_rest(lruvec, pages[done:])
    return reclaimed


def _shrink_page(lruvec: Lruvec, pfn: int, file: bool,
                 ops: PageOps) -> tuple[PageReferences, bool]:
    """Free an isolated page if it can go; return what became of it, and whether it was written.

    [shrink_folio_list]
    """
    references = page_check_references(lruvec, pfn, ops.accessed(pfn))
    if references in (PageReferences.KEEP, PageReferences.ACTIVATE):
        return references, False
    if (not file and not ops.add_to_swap(pfn)) or not ops.try_to_unmap(pfn):
        return PageReferences.ACTIVATE, False
    written = False
    if ops.is_dirty(pfn):
        if references is PageReferences.RECLAIM_CLEAN:
            return PageReferences.KEEP, False
        result = ops.pageout(pfn)
        if result is Pageout.KEEP:
            return PageReferences.KEEP, False
        if result is Pageout.ACTIVATE:
            return PageReferences.ACTIVATE, False
        written = result is Pageout.SUCCESS
    shadow = workingset_eviction(lruvec, pfn) if ops.keeps_shadow(pfn) else None
    ops.remove_mapping(pfn, shadow)
    lruvec.delete(pfn)
    return PageReferences.RECLAIM, written


def _putback_rest(lruvec: Lruvec, pages: list[int]) -> None:
    """Put pages that were not looked at back where they were."""
    for pfn in reversed(pages):
        lruvec.putback(pfn, tail=True)
