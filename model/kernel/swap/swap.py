"""Swap: all swap areas, their priorities, and the pages that go out and come back.

As in Linux 6.1, but writing is done when it is asked for: there is no writeback to wait for.
"""

from bisect import insort
from collections.abc import Callable

from ...physical.errors import BrokenInvariant
from .cache import SwapCache, SwapEntry
from .errors import BadSwapEntry, SwapDeviceBusy, TooManySwapDevices
from .file import SwapFile
from .slots import SwapInfo

__all__ = ["MAX_SWAPFILES", "Swap", "SwapEntry"]

MAX_SWAPFILES = 22  # 32 types, less 10 that Debian's amd64 kernels use for other entries
UINT_MAX = 0xFFFF_FFFF


class Swap:
    """The swap areas of a machine, and its swap cache.

    Parameters
    ----------
    start_pfn, end_pfn
        The page frames that may be swapped out.
    maximum_pages
        How many pages of an area a swap entry can tell apart. [swapfile_maximum_size]

    Members
    -------
    cache
        The swap cache.
    info
        The swap areas by type; None where there is none any more. [swap_info]
    nr_swap_pages, total_swap_pages
        How many slots are free, and how many there are.
    pages_in, pages_out
        How many pages were to be read and written, of areas that are gone, too. [PSWPIN, PSWPOUT]
    """

    def __init__(self, start_pfn: int, end_pfn: int, *, maximum_pages: int = UINT_MAX) -> None:
        self.cache = SwapCache(start_pfn, end_pfn)
        self.info: list[SwapInfo | None] = []
        self.nr_swap_pages = self.total_swap_pages = 0
        self.pages_in = self.pages_out = 0
        self.maximum_pages = maximum_pages
        self._active: list[SwapInfo] = []  # by priority, the highest first
        self._available: list[SwapInfo] = []  # those that are not full
        self._least_priority = -1

    def swapon(self, device: SwapFile, priority: int | None = None) -> SwapInfo:
        """Use a swap area; one without a ``priority`` comes after all that are there. [swapon(2)]

        Raise ``ValueError`` for a priority that is not 0 to 32767, ``SwapDeviceBusy`` for an area
        that is in use already, ``TooManySwapDevices``.
        """
        if priority is not None and not 0 <= priority <= 0x7FFF:
            raise ValueError(f"Swap priority must be between 0 and 32767, not {priority}")
        if any(info is not None and info.device is device for info in self.info):
            raise SwapDeviceBusy(device.path, "the swap area is in use already")
        swap_type = next((at for at, info in enumerate(self.info) if info is None), len(self.info))
        if swap_type >= MAX_SWAPFILES:
            raise TooManySwapDevices(device.path, MAX_SWAPFILES)
        info = SwapInfo(swap_type, device, self.maximum_pages)
        self.info[swap_type:swap_type + 1] = [info]
        self.cache.attach(swap_type, info.max)
        self._enable(info, -1 if priority is None else priority)
        return info

    def swapoff(self, swap_type: int, unuse: Callable[[int], None]) -> None:
        """Empty a swap area and use it no more; its device stays open. [swapoff(2)]

        ``unuse(swap_type)`` must put pages in place of all entries of that type. Raise
        ``SwapDeviceBusy`` as ``_try_to_unuse``, or what ``unuse`` raises; then the area stays in
        use. Raise ``BadSwapEntry`` if there is no such area.
        """
        info = self._info(SwapEntry(swap_type, 0))
        self._disable(info)
        try:
            self._try_to_unuse(info, unuse)
        except BaseException:
            self._enable(info, info.prio)
            raise
        self.cache.detach(swap_type)
        self.info[swap_type] = None

    def _try_to_unuse(self, info: SwapInfo, unuse: Callable[[int], None]) -> None:
        """Empty a swap area, going round as long as that helps. [try_to_unuse]

        While pages come back, reclaim may swap out others, which still have slots of this area:
        hence several rounds. Raise ``SwapDeviceBusy`` after a round that frees no slot, when Linux
        would go on until a signal comes.
        """
        while info.inuse_pages:
            before = info.inuse_pages
            unuse(info.type)
            self._drop_cached(info)
            if info.inuse_pages == before:
                raise SwapDeviceBusy(info.device.path, f"{before} slots are in use")

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

    def _drop_cached(self, info: SwapInfo) -> None:
        """Take from the swap cache what only it holds of ``info``. [try_to_unuse]"""
        for offset in range(1, info.max):
            pfn = self.cache.page(SwapEntry(info.type, offset))
            if pfn is not None:
                self.free_swap(pfn)

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

    @property
    def swap_full(self) -> bool:
        """Whether less than half of all slots are free. [vm_swap_full]"""
        return self.nr_swap_pages * 2 < self.total_swap_pages

    def get_swap_page(self) -> SwapEntry | None:
        """Give out a free slot for the swap cache; return None if swap is full.

        The area is the first of the highest priority that is not full. It then goes behind the
        others of its priority, so that they take turns and their disks share the work. A page
        that came back keeps its slot in case it leaves clean; once swap is half full that is a
        luxury, and slots that only the swap cache holds are given out again. [folio_alloc_swap,
        get_swap_pages]
        """
        if self.nr_swap_pages <= 0:
            return None
        for info in tuple(self._available):
            self._available.remove(info)
            insort(self._available, info, key=_rank)  # behind its equals [plist_requeue]
            offset = info.scan_swap_map(self._reclaimer(info) if self.swap_full else None)
            if offset is not None:
                self.nr_swap_pages -= 1
                if info.full:
                    self._available.remove(info)
                return SwapEntry(info.type, offset)
        return None

    def _reclaimer(self, info: SwapInfo) -> Callable[[int], bool]:
        """Return what frees a slot that only the swap cache holds. [__try_to_reclaim_swap]"""
        def reclaim(offset: int) -> bool:
            pfn = self.cache.page(SwapEntry(info.type, offset))
            return pfn is not None and self.free_swap(pfn)
        return reclaim

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
        self._freed(entry, self._info(entry).free(entry.offset))

    def put_swap_page(self, entry: SwapEntry) -> None:
        """Give back a slot that was given out, but not used. [put_swap_folio]"""
        self._freed(entry, self._info(entry).clear_cache(entry.offset))

    def swapcount(self, entry: SwapEntry) -> int:
        """Return how many page-table entries hold ``entry``. [swp_swapcount]"""
        return self._info(entry).swapcount(entry.offset)

    def _info(self, entry: SwapEntry) -> SwapInfo:
        info = self.info[entry.type] if 0 <= entry.type < len(self.info) else None
        if info is None:
            raise BadSwapEntry(*entry, "there is no such swap area")
        return info

    def _freed(self, entry: SwapEntry, freed: bool) -> None:
        """Count a slot that is free again. [swap_range_free]"""
        if freed:
            info = self._info(entry)
            self.nr_swap_pages += 1
            if info.write_ok and info not in self._available:
                insort(self._available, info, key=_rank)
            self.cache.clear_shadow(entry)

    def add_to_swap(self, pfn: int) -> SwapEntry | None:
        """Give a page a slot and put it into the swap cache, dirty. [add_to_swap]

        Return None if swap is full.
        """
        entry = self.get_swap_page()
        if entry is not None:
            self.cache.add(pfn, entry)
            self.cache.set_dirty(pfn)
        return entry

    def swap_writepage(self, pfn: int, data: bytes | bytearray | memoryview) -> bool:
        """Write a page of the swap cache to its slot, unless it is clean; return whether it was.

        If the device fails, with ``SwapIoError``, the page stays dirty. [pageout, swap_writepage]
        """
        entry = self._entry(pfn)
        if not self.cache.is_dirty(pfn):
            return False
        self.pages_out += 1
        self._info(entry).device.write(entry.offset, data, pfn)
        self.cache.set_dirty(pfn, False)
        return True

    def swap_readpage(self, entry: SwapEntry, pfn: int) -> tuple[bytes, int | None]:
        """Put a new page into the swap cache; return what it holds, and the shadow of the old.

        If the device fails, with ``SwapIoError``, all is as before: the slot is kept. Raise
        ``BadSwapEntry`` if a page has the slot already. [__read_swap_cache_async, swap_readpage]
        """
        info = self._info(entry)
        info.set_cache(entry.offset)
        shadow = None
        try:
            shadow = self.cache.add(pfn, entry)
            self.pages_in += 1
            data = info.device.read(entry.offset, pfn)
        except BaseException:
            if self.cache.page(entry) == pfn:
                self.cache.delete(pfn, shadow)
            info.clear_cache(entry.offset)
            raise
        return data, shadow

    def delete_from_swap_cache(self, pfn: int, shadow: int | None = None) -> None:
        """Take a page from the swap cache; a slot with no other user is free. [__remove_mapping]

        ``shadow`` is left in the slot. Raise ``KeyError`` if the page is not in the swap cache.
        """
        self.put_swap_page(self.cache.delete(pfn, shadow))

    def free_swap(self, pfn: int) -> bool:
        """Free the slot of a page if only the swap cache uses it; return whether it did.

        The page then has no copy and must be taken for dirty. [folio_free_swap]
        """
        entry = self.cache.entry(pfn)
        if entry is None or self.swapcount(entry):
            return False
        self.delete_from_swap_cache(pfn)
        return True

    def _entry(self, pfn: int) -> SwapEntry:
        entry = self.cache.entry(pfn)
        if entry is None:
            raise KeyError(f"Page {pfn:#x} is not in the swap cache")
        return entry

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if areas, lists, counts and cache contradict each other."""
        used = [info for info in self.info if info is not None]
        for info in used:
            info.check()
        self.cache.check()
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


def _rank(info: SwapInfo) -> int:
    return -info.prio


def _tab(kbytes: int) -> str:
    return "\t" if kbytes < 10_000_000 else ""
