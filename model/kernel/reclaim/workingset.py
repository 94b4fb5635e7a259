"""Refault distance: whether a page that comes back would have stayed, had there been more room.

A page that goes out leaves a shadow: the time then, in evictions and activations. When it comes
back, the difference is how much longer the inactive list must have been to keep it. If there are
that many pages that it may compete with, it is active at once. [mm/workingset.c]
"""

from .lru import LruFlag, LruList, Lruvec

__all__ = ["workingset_eviction", "workingset_refault"]


def workingset_eviction(lruvec: Lruvec, pfn: int) -> int:
    """Return the shadow of a page that goes out, a number from 0. [workingset_eviction]"""
    shadow = lruvec.nonresident_age << 1 | bool(lruvec.flags(pfn) & LruFlag.WORKINGSET)
    lruvec.nonresident_age += 1
    return shadow


def workingset_refault(lruvec: Lruvec, shadow: int, *, file: bool, swap: bool) -> LruFlag:
    """Return the flags for ``Lruvec.add`` of a page that comes back.

    ``file`` says whether it is of a file, ``swap`` whether there is room in swap: without,
    anonymous pages cannot make way. [workingset_refault]
    """
    flags = LruFlag.FILE if file else LruFlag(0)
    kind = "file" if file else "anon"
    lruvec.vmstat[f"workingset_refault_{kind}"] += 1
    rivals = [LruList.ACTIVE_FILE]
    if not file:
        rivals.append(LruList.INACTIVE_FILE)
    if swap:
        rivals.append(LruList.ACTIVE_ANON)
        if file:
            rivals.append(LruList.INACTIVE_ANON)
    if lruvec.nonresident_age - (shadow >> 1) > sum(map(lruvec.size, rivals)):
        return flags
    lruvec.nonresident_age += 1
    lruvec.vmstat[f"workingset_activate_{kind}"] += 1
    flags |= LruFlag.ACTIVE
    if shadow & 1:
        lruvec.vmstat[f"workingset_restore_{kind}"] += 1
        lruvec.note_cost(file, 1)
        flags |= LruFlag.WORKINGSET
    return flags
