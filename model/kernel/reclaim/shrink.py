"""Reclaim: which pages leave memory, and how many of which list are looked at.

As in mm/vmscan.c of Linux 6.1 with the classic LRU, which Debian's kernels use. A page that was
accessed since it was last looked at gets a second chance; one that was accessed twice is active.

Code that was run stays active, so that little room for files is left to code: else a machine whose
swap is full would read its programs again for each few instructions.

Left out are control groups, throttling, demotion, and the rule that a machine with hardly any file
pages takes anonymous ones. Transparent huge pages are lists of small ones here, and split as the
first of these goes (``thp``), before a whole cluster of swap is asked for. Dirty file pages are
written where they are met, as there is no flusher thread; and writing is done at once, so that a
page that was written can go.
"""

from enum import Enum
from typing import Protocol

from .lru import EVICTABLE, LruFlag, LruList, Lruvec
from .scan import (
    DEF_PRIORITY,
    FILE_BIT,
    SWAP_CLUSTER_MAX,
    ScanControl,
    get_scan_count,
    inactive_is_low,
    prepare_scan_count,
)
from .workingset import workingset_eviction

__all__ = ["PageOps", "PageReferences", "Pageout", "page_check_references", "reclaim_pages",
           "shrink_active_list", "shrink_lruvec", "shrink_node"]

# Plain numbers, which are much faster:
ACTIVE, UNEVICTABLE, WORKINGSET = (
    int(flag) for flag in (LruFlag.ACTIVE, LruFlag.UNEVICTABLE, LruFlag.WORKINGSET))


class PageReferences(Enum):
    """What is to become of an inactive page. [enum page_references]"""

    RECLAIM = "reclaim"
    RECLAIM_CLEAN = "reclaim if clean"
    KEEP = "keep"
    ACTIVATE = "activate"
    UNEVICTABLE = "leave alone"


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
    """What reclaim asks about a page, and has done to it, without knowing what the page is for.

    What one of these raises goes to the caller of reclaim, and all pages stay on their lists.
    """

    def accessed(self, pfn: int) -> int:
        """Clear the accessed bits of all entries that map a page; return how many tell of a use.

        [folio_referenced]
        """

    def is_executable(self, pfn: int) -> bool:
        """Return whether a mapping that may be executed has a page. [vm_flags & VM_EXEC]

        Linux asks the mappings alone through which it was used.
        """

    def is_locked(self, pfn: int) -> bool:
        """Return whether a mapping that is locked in memory has a page. [folio_referenced_one]"""

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
        """Return whether a clean page leaves a shadow: it has a place, in a file or in swap."""

    def remove_mapping(self, pfn: int, shadow: int | None) -> None:
        """Free a clean page and leave ``shadow`` in its place. [__remove_mapping]"""


def page_check_references(lruvec: Lruvec, pfn: int, ops: PageOps) -> PageReferences:
    """Decide about an inactive page by its accessed bits, which are cleared.

    Once accessed it stays for another round; twice, in this round and the last or from two page
    tables, it is active, and so is code of a file at once. [folio_check_references]
    """
    accessed = ops.accessed(pfn)
    referenced = lruvec.test_clear_referenced(pfn)
    if accessed:
        lruvec.set_referenced(pfn)
        active = referenced or accessed > 1 or _is_code(lruvec, pfn, ops)
        return PageReferences.ACTIVATE if active else PageReferences.KEEP
    if referenced and lruvec.is_file(pfn):
        return PageReferences.RECLAIM_CLEAN
    return PageReferences.RECLAIM


def _is_code(lruvec: Lruvec, pfn: int, ops: PageOps) -> bool:
    return lruvec.is_file(pfn) and ops.is_executable(pfn)


def shrink_node(lruvec: Lruvec, sc: ScanControl, ops: PageOps) -> int:
    """Look at a share of the lists of one node; return how many pages became free. [shrink_node]

    It is one round of either way into reclaim: ``direct_reclaim`` and ``kswapd``.
    """
    prepare_scan_count(lruvec, sc)
    return shrink_lruvec(lruvec, sc, ops)


def shrink_lruvec(lruvec: Lruvec, sc: ScanControl, ops: PageOps) -> int:
    """Look at as much of each list as ``get_scan_count`` says; return how many pages became free.

    The lists are looked at in turn, a batch of each. Once enough pages are free the shares may be
    far from done, and stopping there would take more of whichever kind came first. So the kind
    that has less left is stopped, and the other one goes on to the same fraction of its share. A
    first direct reclaim does its shares whole: it is cheap, and it keeps the kinds balanced.
    [shrink_lruvec]
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
    """Stop the kind that has less left to look at, and leave the other one the same fraction.

    ``left`` is how many pages of each list are still to be looked at of ``targets``.
    """
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
    """Make pages from the tail of an active list inactive, not accessed. [shrink_active_list]

    Code of a file that was accessed goes to the head of the list instead.
    """
    pages = lruvec.isolate(lru, count, sc.eligible)
    lruvec.vmstat["pgrefill"] += len(pages)
    done = kept = 0
    try:
        for pfn in pages:
            if ops.accessed(pfn) and _is_code(lruvec, pfn, ops):
                lruvec.putback(pfn)
                kept += 1
            else:
                lruvec.putback(pfn, set_flags=WORKINGSET, clear_flags=ACTIVE)
            done += 1
    finally:
        lruvec.vmstat["pgdeactivate"] += done - kept
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
            else:
                if outcome is PageReferences.ACTIVATE:
                    if not file:
                        ops.try_to_free_swap(pfn)
                    lruvec.vmstat["pgactivate"] += 1
                _putback(lruvec, pfn, outcome)
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


def _shrink_page(lruvec: Lruvec, pfn: int, file: bool, ops: PageOps, *,
                 ignore_references: bool = False) -> tuple[PageReferences, bool]:
    """Free an isolated page if it can go; return what became of it, and whether it was written.

    [shrink_folio_list]
    """
    references = PageReferences.RECLAIM
    if not ignore_references:
        references = page_check_references(lruvec, pfn, ops)
    if references in (PageReferences.KEEP, PageReferences.ACTIVATE):
        return references, False
    if ops.is_locked(pfn):
        return PageReferences.UNEVICTABLE, False
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


def reclaim_pages(lruvec: Lruvec, pages: list[int], ops: PageOps) -> int:
    """Free what can go of pages on evictable lists, used or not; return how many. [reclaim_pages]
    """
    reclaimed = 0
    for pfn in pages:
        if lruvec.isolate_page(pfn):
            outcome, _ = _shrink_page(lruvec, pfn, lruvec.is_file(pfn), ops, ignore_references=True)
            if outcome is PageReferences.RECLAIM:
                reclaimed += 1
            else:
                _putback(lruvec, pfn, outcome)
    return reclaimed


def _putback(lruvec: Lruvec, pfn: int, outcome: PageReferences) -> None:
    """Put a page that stays on the list that it belongs on now."""
    flags = {PageReferences.ACTIVATE: ACTIVE, PageReferences.UNEVICTABLE: UNEVICTABLE}
    lruvec.putback(pfn, clear_flags=ACTIVE | UNEVICTABLE, set_flags=flags.get(outcome, 0))


def _putback_rest(lruvec: Lruvec, pages: list[int]) -> None:
    """Put pages that were not looked at back where they were."""
    for pfn in reversed(pages):
        lruvec.putback(pfn, tail=True)
