"""How many pages of a machine are what: the counters that files of ``/proc`` show.

What Linux counts as pages come and go is added up here when it is asked for. [zone_stat_item,
node_stat_item]
"""

from collections.abc import Iterator
from functools import cached_property

from ...address_space.tables.software_entry import EntryKind
from ...x86 import PAGE_BYTES
from ..kernel import Kernel
from ..process import Process
from ..reclaim.lru import LruList

__all__ = ["MemoryCounts", "resident_pages"]


class MemoryCounts:
    """Counts of pages, as they are when each is first asked for.

    Parameters
    ----------
    kernel
        The kernel.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._state = kernel.state

    @property
    def free(self) -> int:
        """Those in the buddy allocator, without the lists of processors. [NR_FREE_PAGES]"""
        return sum(zone.free_pages for zone in self._state.allocator.populated)

    @property
    def total(self) -> int:
        """All that the allocator was given. [totalram_pages]"""
        return self._state.allocator.totalram_pages

    @property
    def high(self) -> tuple[int, int]:
        """Those without an address in the direct map: all, and the free ones. [totalhigh_pages]"""
        zones = [zone for zone in self._state.allocator.populated if zone.is_highmem]
        return sum(zone.managed_pages for zone in zones), sum(zone.free_pages for zone in zones)

    @property
    def available(self) -> int:
        """An estimate of what programs could have without swapping. [si_mem_available]

        Slab memory is no part of it.
        """
        zones = self._state.allocator.reserves.zones
        low = sum(zone.watermarks.low + zone.watermark_boost for zone in zones)
        cache = self.lru(LruList.ACTIVE_FILE) + self.lru(LruList.INACTIVE_FILE)
        return max(0, self.free - self._reserve + cache - min(cache // 2, low))

    @property
    def _reserve(self) -> int:
        """What zones keep back. [calculate_totalreserve_pages]"""
        return sum(
            min(max(zone.lowmem_reserve[zone.index:], default=0)
                + zone.watermarks.high + zone.watermark_boost, zone.managed_pages)
            for zone in self._state.allocator.reserves.zones)

    def lru(self, lru: LruList) -> int:
        """Those on a list."""
        return self._state.lruvec.size(lru)

    @property
    def file(self) -> int:
        """Those of files and shared memory in the page cache; not the swap cache."""
        return len(self._state.page_cache)

    @cached_property
    def swap_cached(self) -> int:
        """Those in the swap cache. [NR_SWAPCACHE]"""
        return len(self._state.swap.cached())

    @property
    def shmem(self) -> int:
        """Those of shared memory in the page cache. [NR_SHMEM]"""
        return sum(len(space.pages) for space in self._state.page_cache.shmem_spaces())

    @cached_property
    def dirty(self) -> int:
        """Those that differ from their file on a disk, as far as is known. [NR_FILE_DIRTY]"""
        cache = self._state.page_cache
        return sum(cache.is_dirty(pfn) and not cache.is_shmem(pfn) for pfn in cache.frames_used())

    @cached_property
    def mapped(self) -> tuple[int, int]:
        """Those that processes map: anonymous, and of files. [NR_ANON_MAPPED, NR_FILE_MAPPED]"""
        anon = [self._state.is_anon(pfn) for pfn in self._state.frames.rmap.mapped()]
        return sum(anon), len(anon) - sum(anon)

    @cached_property
    def huge(self) -> int:
        """How many transparent huge pages are mapped, whoever else maps them. [NR_ANON_THPS]"""
        found = set()
        for process in self._kernel.processes.values():
            space = process.space
            if space.tables.deposits:
                found |= {space.thp.pfn(leaf.entry)
                          for leaf in space.tables.entries(0, space.mm.space.task_size)
                          if leaf.level.page_bytes > PAGE_BYTES and not space.huge.owns(leaf)}
        return len(found - {self._state.thp.zero_pfn})

    @property
    def page_tables(self) -> int:
        """Those that are the two lowest tables of processes. [NR_PAGETABLE]"""
        spaces = {process.space for process in self._kernel.processes.values()}
        return sum(sum(space.tables.tables[1:][-2:]) + len(space.tables.deposits)
                   for space in spaces)

    @property
    def vmalloc(self) -> int:
        """Those that vmalloc has. [vmalloc_nr_pages]"""
        return sum(len(area.pfns) for area in self._kernel.map.vmalloc.areas)

    @property
    def swap(self) -> tuple[int, int]:
        """The slots of swap, and those that are free. [si_swapinfo]

        Of an area that is being emptied those in use count as both.
        """
        swap = self._state.swap
        leaving = sum(info.inuse_pages for info in swap.info
                      if info is not None and not info.write_ok)
        return swap.total_swap_pages + leaving, swap.nr_swap_pages + leaving


def resident_pages(process: Process) -> tuple[int, int, int]:
    """Return how many entries of a process map pages: anonymous, of files, of shared memory.

    [MM_ANONPAGES, MM_FILEPAGES, MM_SHMEMPAGES]
    """
    state, counts = process.space.state, [0, 0, 0]
    for pfn in _mapped(process):
        shmem = state.page_cache.is_shmem(pfn)
        counts[2 if shmem else 0 if state.is_anon(pfn) else 1] += 1
    return counts[0], counts[1], counts[2]


def _mapped(process: Process) -> Iterator[int]:
    """Yield the frames that a process maps, once for each entry, but those of zeros."""
    space, state = process.space, process.space.state
    zeros = {state.zero_pfn, *state.thp.own_frames}
    for leaf in space.tables.entries(0, space.mm.space.task_size):
        if leaf.level.page_bytes > PAGE_BYTES and space.huge.owns(leaf):
            continue
        if leaf.level.page_bytes > PAGE_BYTES or space.kind(leaf.entry) < EntryKind.SWAP:
            yield from (pfn for pfn in space.thp.frames(leaf) if pfn not in zeros)
