"""The swap areas of a machine: their priorities, and which of them gives out slots."""

from abc import ABC, abstractmethod
from bisect import insort

import numpy as np

from ...physical.errors import BrokenInvariant
from .cache import SwapEntry
from .errors import BadSwapEntry, SwapDeviceBusy, TooManySwapDevices
from .file import SwapFile
from .slots import SWAPFILE_CLUSTER, SwapInfo
from .slots_cache import SWAP_SLOTS_CACHE_SIZE, SwapSlotsCache

__all__ = ["MAX_SWAPFILES", "UINT_MAX", "SwapAreas"]

MAX_SWAPFILES = 22  # 32 types, less 10 that Debian's amd64 kernels use for other entries
UINT_MAX = 0xFFFF_FFFF


class SwapAreas(ABC):
    """Swap areas by priority. [swap_info, swap_active_head, swap_avail_heads]

    Parameters
    ----------
    maximum_pages
        How many pages of an area a swap entry can tell apart. [swapfile_maximum_size]
    cluster
        How many slots a cluster has. [SWAPFILE_CLUSTER]
    rng
        Draws where solid-state disks begin; None for the first slot.

    Members
    -------
    info
        The swap areas by type; None where there is none any more. [swap_info]
    nr_swap_pages, total_swap_pages
        How many slots are free, and how many there are.
    slots_cache
        Slots that the processor keeps, which are neither free nor used.
    """

    def __init__(self, *, maximum_pages: int = UINT_MAX, cluster: int = SWAPFILE_CLUSTER,
                 rng: np.random.Generator | None = None) -> None:
        self.info: list[SwapInfo | None] = []
        self.nr_swap_pages = self.total_swap_pages = 0
        self.maximum_pages = maximum_pages
        self.slots_cache = SwapSlotsCache(self)
        self._cluster = cluster
        self._rng = rng
        self._active: list[SwapInfo] = []  # by priority, the highest first
        self._available: list[SwapInfo] = []  # those that are not full
        self._least_priority = -1

    @abstractmethod
    def attach(self, info: SwapInfo) -> None:
        """Get ready for the pages of a new area. [init_swap_address_space]"""

    @abstractmethod
    def try_to_reclaim(self, entry: SwapEntry) -> bool:
        """Free a slot that only the swap cache holds; return whether it was. [TTRS_ANYWAY]"""

    @abstractmethod
    def forget(self, entry: SwapEntry) -> None:
        """Forget what is known of the page that was in a slot that is free now."""

    @property
    def swap_full(self) -> bool:
        """Whether less than half of all slots are free. [vm_swap_full]"""
        return self.nr_swap_pages * 2 < self.total_swap_pages

    @property
    def free_slots(self) -> int:
        """How many slots nobody uses, those that the processor keeps among them."""
        return self.nr_swap_pages + len(self.slots_cache)

    # ---- areas that come and go

    def swapon(self, device: SwapFile, priority: int | None = None, *,
               solid_state: bool = False) -> SwapInfo:
        """Use a swap area; one without a ``priority`` comes after all that are there. [swapon(2)]

        ``solid_state`` is whether its disk does not turn. Raise ``ValueError`` for a priority that
        is not 0 to 32767, ``SwapDeviceBusy`` for an area that is in use already,
        ``TooManySwapDevices``.
        """
        if priority is not None and not 0 <= priority <= 0x7FFF:
            raise ValueError(f"Swap priority must be between 0 and 32767, not {priority}")
        if any(info is not None and info.device is device for info in self.info):
            raise SwapDeviceBusy(device.path, "the swap area is in use already")
        swap_type = next((at for at, info in enumerate(self.info) if info is None), len(self.info))
        if swap_type >= MAX_SWAPFILES:
            raise TooManySwapDevices(device.path, MAX_SWAPFILES)
        info = SwapInfo(
            swap_type, device, self.maximum_pages, cluster=self._cluster, rng=self._rng,
            unused=lambda offset: self.slots_cache.free(SwapEntry(swap_type, offset)),
            solid_state=solid_state)
        self.info[swap_type:swap_type + 1] = [info]
        self.attach(info)
        self._enable(info, -1 if priority is None else priority)
        self.slots_cache.enabled = True
        return info

    def _enable(self, info: SwapInfo, priority: int) -> None:
        """Let slots be taken from ``info``. [setup_swap_info, _enable_swap_info]"""
        if priority < 0:
            self._least_priority -= 1
        info.prio = priority if priority >= 0 else self._least_priority
        info.write_ok = True
        self.nr_swap_pages += info.pages
        self.total_swap_pages += info.pages
        insort(self._active, info, key=_rank)
        if not info.full:
            insort(self._available, info, key=_rank)

    def _disable(self, info: SwapInfo) -> None:
        """Let no more slots be taken from ``info``; others move up for it. [swapoff(2)]"""
        at = self._active.index(info)
        if info.prio < 0:
            for other in self._active[at + 1:]:
                other.prio += 1
            self._least_priority += 1
        del self._active[at]
        if info in self._available:
            self._available.remove(info)
        self.nr_swap_pages -= info.pages
        self.total_swap_pages -= info.pages
        info.write_ok = False
        self.slots_cache.disable()

    def _reenable_slots_cache(self) -> None:
        """Let slots be kept again if there is an area. [reenable_swap_slots_cache_unlock]"""
        self.slots_cache.enabled = bool(self._active)

    def proc_swaps(self) -> str:
        """Return the text of ``/proc/swaps``. [swap_show]"""
        lines = ["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"]
        for info in filter(None, self.info):
            name = "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in info.device.name)
            padding = " " * max(1, 40 - len(name.encode()))
            kind = "partition" if info.device.partition else "file\t"
            size, used = info.pages * 4, info.inuse_pages * 4
            lines.append(f"{name}{padding}{kind}\t{size}\t{_tab(size)}{used}\t{_tab(used)}"
                         f"{info.prio}\n")
        return "".join(lines)

    # ---- slots

    def get_swap_page(self) -> SwapEntry | None:
        """Give out a free slot for the swap cache; return None if swap is full.

        While plenty are free, it is one of those that the processor keeps. [folio_alloc_swap]
        """
        return self.slots_cache.alloc()

    def get_swap_pages(self, count: int) -> list[SwapEntry]:
        """Give out free slots of one area for the swap cache, up to ``count``, 64 at most.

        The area is the first of the highest priority that is not full. It then goes behind the
        others of its priority, so that they take turns and their disks share the work. A page
        that came back keeps its slot in case it leaves clean; once swap is half full that is a
        luxury, and slots that only the swap cache holds are given out again. [get_swap_pages]
        """
        if self.nr_swap_pages <= 0:
            return []
        goal = min(count, SWAP_SLOTS_CACHE_SIZE, self.nr_swap_pages)
        self.nr_swap_pages -= goal
        found: list[SwapEntry] = []
        for info in tuple(self._available):
            self._available.remove(info)
            insort(self._available, info, key=_rank)  # behind its equals [plist_requeue]
            found = [SwapEntry(info.type, offset) for offset in self._scan(info, goal)]
            if found:
                break
        self.nr_swap_pages += goal - len(found)
        return found

    def _scan(self, info: SwapInfo, count: int) -> list[int]:
        """Give out slots of one area, which is not listed as long as it is full."""
        offsets = info.scan_swap_map_slots(
            count, lambda: self.swap_full,
            lambda offset: self.try_to_reclaim(SwapEntry(info.type, offset)))
        if info.full and info in self._available:
            self._available.remove(info)
        return offsets

    def swapcache_free_entries(self, entries: list[SwapEntry]) -> None:
        """Let slots be free that nobody uses, those of one area after the other.

        Of one area they are freed in the order of ``entries``; Linux's sort may change that, which
        shows only in the order of clusters. [swapcache_free_entries, swap_range_free]
        """
        for entry in sorted(entries, key=lambda one: one.type):
            info = self._info(entry)
            info.entry_free(entry.offset)
            self.nr_swap_pages += 1
            if info.write_ok and info not in self._available:
                insort(self._available, info, key=_rank)
            self.forget(entry)

    def swap_duplicate(self, entry: SwapEntry) -> None:
        """Count one more page-table entry that holds ``entry``. [swap_duplicate]

        This and the next four raise ``BadSwapEntry`` for an entry that stands for nothing.
        """
        self._info(entry).duplicate(entry.offset)

    def swap_shmem_alloc(self, entry: SwapEntry) -> None:
        """Let a file of shared memory hold ``entry``, alone. [swap_shmem_alloc]"""
        self._info(entry).shmem_alloc(entry.offset)

    def swap_free(self, entry: SwapEntry) -> None:
        """Count one page-table entry less that holds ``entry``. [swap_free]"""
        self._info(entry).free(entry.offset)

    def put_swap_page(self, entry: SwapEntry) -> None:
        """Give back a slot that was given out, but not used. [put_swap_folio]"""
        self._info(entry).clear_cache(entry.offset)

    def swapcount(self, entry: SwapEntry) -> int:
        """Return how many page-table entries hold ``entry``. [swp_swapcount]"""
        return self._info(entry).swapcount(entry.offset)

    def _info(self, entry: SwapEntry) -> SwapInfo:
        info = self.info[entry.type] if 0 <= entry.type < len(self.info) else None
        if info is None:
            raise BadSwapEntry(*entry, "there is no such swap area")
        return info

    # ---- check

    def check_areas(self) -> None:
        """Raise ``BrokenInvariant`` if areas, lists and counts contradict each other."""
        used = [info for info in self.info if info is not None]
        for info in used:
            info.check()
        free = sum(info.pages - info.inuse_pages for info in used)
        total = sum(info.pages for info in used)
        if (self.nr_swap_pages, self.total_swap_pages) != (free, total):
            raise BrokenInvariant(f"Swap counts {self.nr_swap_pages} free of "
                                  f"{self.total_swap_pages} slots, not {free} of {total}")
        for infos, members in ((self._active, used),
                               (self._available, [info for info in used if not info.full])):
            ranks = [_rank(info) for info in infos]
            if ranks != sorted(ranks) or {*infos} != {*members} or len(infos) != len(members):
                raise BrokenInvariant(f"Swap areas {[info.type for info in infos]} are listed, "
                                      f"by rank {ranks}, not {[info.type for info in members]}")
        for entry in self.slots_cache.entries:
            if self._info(entry).swapcount(entry.offset) or not (
                    self._info(entry).has_cache(entry.offset)):
                raise BrokenInvariant(f"Slot {entry.offset:#x} of swap type {entry.type} is kept, "
                                      "but in use")


def _rank(info: SwapInfo) -> int:
    """The place of an area in lists; its disk is near to no NUMA node. [setup_swap_info]"""
    return -info.prio


def _tab(kbytes: int) -> str:
    return "\t" if kbytes < 10_000_000 else ""
