"""The slots of one swap area: what refers to each, and which is given out next.

As in Linux 6.1 for rotating disks: slots are given out one after the other in runs of 256, each
run beginning at the first 256 free slots in a row, so that pages swapped out together lie
together. The solid-state way (per-CPU clusters) and the per-CPU caches of slots are left out.
"""

from collections.abc import Callable

from ...physical.errors import BrokenInvariant
from .errors import BadSwapEntry
from .file import SwapFile

__all__ = ["SWAPFILE_CLUSTER", "SWAP_HAS_CACHE", "SWAP_MAP_BAD", "SWAP_MAP_MAX", "SWAP_MAP_SHMEM",
           "SwapInfo"]

SWAPFILE_CLUSTER = 256
SWAP_HAS_CACHE = 0x40
SWAP_MAP_MAX = 0x3E
SWAP_MAP_BAD = 0x3F
SWAP_MAP_SHMEM = 0xBF
COUNT_CONTINUED = 0x80
COUNT_MASK = 0x3F

FREE = b"\0"
CACHE_ONLY = bytes([SWAP_HAS_CACHE])


class SwapInfo:
    """A swap area in use. [struct swap_info_struct]

    A slot has a count of references from page tables and a flag for the swap cache; it is free
    when both are gone.

    Parameters
    ----------
    swap_type
        Its number among the swap areas: the type of its swap entries.
    device
        Where the pages go.
    maximum_pages
        How many pages a swap entry can tell apart; what is beyond is left unused.
        [swapfile_maximum_size]

    Members
    -------
    prio
        Its priority; negative ones are given out by the kernel.
    write_ok
        Whether slots may be given out. [SWP_WRITEOK]
    swap_map
        One byte for each page of the area: count, ``SWAP_HAS_CACHE``, and ``COUNT_CONTINUED`` if
        there are more references than ``SWAP_MAP_MAX``; ``SWAP_MAP_BAD`` for header and bad pages;
        in place of a count ``SWAP_MAP_SHMEM`` for the one reference of a file of shared memory.
    pages, inuse_pages
        How many slots there are, and how many are not free.
    lowest_bit, highest_bit
        No slot outside these is free; past the end and 0 when none is.
    """

    def __init__(self, swap_type: int, device: SwapFile, maximum_pages: int) -> None:
        self.type = swap_type
        self.device = device
        self.prio = 0
        self.write_ok = False
        self.max = min(len(device), maximum_pages)
        self.swap_map = bytearray(self.max)
        bad = [0, *(page for page in device.header.badpages if page < self.max)]
        for page in bad:
            self.swap_map[page] = SWAP_MAP_BAD
        self.pages = self.swap_map.count(FREE)
        self.inuse_pages = 0
        self.lowest_bit = self._cluster_next = 1
        self.highest_bit = self.max - 1
        self._cluster_nr = 0
        # The kernel chains further bytes for each page of the map; the sum is the same.
        self._continued: dict[int, int] = {}

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return self.inuse_pages == self.pages

    def scan_swap_map(self, reclaim: Callable[[int], bool] | None) -> int | None:
        """Give out a free slot for the swap cache, or return None if there is none.

        ``reclaim``, if given, may free slots that only the swap cache holds: it is asked about
        each on the way, and says whether it did. [scan_swap_map_slots, for one slot]
        """
        start = self._start()
        if start > self.highest_bit:
            start = self.lowest_bit
        offset = self._next_slot(start, self.highest_bit + 1, reclaim)
        if offset is None:
            offset = self._next_slot(self.lowest_bit, start, reclaim)
        if offset is None:
            return None
        self.swap_map[offset] = SWAP_HAS_CACHE
        self._cluster_next = offset + 1
        self._range_alloc(offset)
        return offset

    def _start(self) -> int:
        """Return where to look: behind the last slot, or where 256 free ones begin."""
        if self._cluster_nr:
            self._cluster_nr -= 1
            return self._cluster_next
        self._cluster_nr = SWAPFILE_CLUSTER - 1
        if self.pages - self.inuse_pages < SWAPFILE_CLUSTER:
            return self._cluster_next
        start = self.swap_map.find(FREE * SWAPFILE_CLUSTER, self.lowest_bit, self.highest_bit + 1)
        return self.lowest_bit if start < 0 else start

    def _next_slot(self, start: int, end: int, reclaim: Callable[[int], bool] | None) -> int | None:
        """Return the first slot from ``start`` that is free, or that ``reclaim`` frees."""
        free = self.swap_map.find(FREE, start, end)
        if reclaim is not None:
            cached = self.swap_map.find(CACHE_ONLY, start, end if free < 0 else free)
            while cached >= 0:
                if reclaim(cached):
                    return cached
                cached = self.swap_map.find(CACHE_ONLY, cached + 1, end if free < 0 else free)
        return None if free < 0 else free

    def _range_alloc(self, offset: int) -> None:
        """Count a slot that is no longer free. [swap_range_alloc]"""
        self.lowest_bit += offset == self.lowest_bit
        self.highest_bit -= offset == self.highest_bit
        self.inuse_pages += 1
        if self.full:
            self.lowest_bit, self.highest_bit = self.max, 0

    def _range_free(self, offset: int) -> None:
        """Count a slot that is free again. [swap_range_free]"""
        self.lowest_bit = min(self.lowest_bit, offset)
        self.highest_bit = max(self.highest_bit, offset)
        self.inuse_pages -= 1

    def swapcount(self, offset: int) -> int:
        """Return how many references there are, the swap cache's not counted. [swp_swapcount]"""
        if self.is_shmem(offset):
            return 1
        return (self._used(offset) & COUNT_MASK) + self._continued.get(offset, 0)

    def is_shmem(self, offset: int) -> bool:
        """Return whether the slot is one of shared memory."""
        return self._used(offset) & ~SWAP_HAS_CACHE == SWAP_MAP_SHMEM

    def shmem_slots(self) -> list[int]:
        """Return the slots of shared memory."""
        return [at for at, value in enumerate(self.swap_map)
                if value & ~SWAP_HAS_CACHE == SWAP_MAP_SHMEM]

    def has_cache(self, offset: int) -> bool:
        """Return whether the swap cache holds the slot."""
        return bool(self._used(offset) & SWAP_HAS_CACHE)

    def duplicate(self, offset: int) -> None:
        """Count one more reference. [swap_duplicate]

        Raise ``BadSwapEntry`` if the slot is free, or one of shared memory.
        """
        if self.is_shmem(offset):
            raise BadSwapEntry(self.type, offset, "the slot is one of shared memory")
        if self._used(offset) & COUNT_MASK < SWAP_MAP_MAX:
            self.swap_map[offset] += 1
        else:
            self.swap_map[offset] |= COUNT_CONTINUED
            self._continued[offset] = self._continued.get(offset, 0) + 1

    def shmem_alloc(self, offset: int) -> None:
        """Give a slot that only the swap cache holds to shared memory. [swap_shmem_alloc]

        Raise ``BadSwapEntry`` if it has another reference, or is free.
        """
        if self.swapcount(offset):
            raise BadSwapEntry(self.type, offset, "the slot has a reference already")
        self.swap_map[offset] |= SWAP_MAP_SHMEM

    def free(self, offset: int) -> bool:
        """Count one reference less; return whether the slot is free now. [__swap_entry_free]

        Raise ``BadSwapEntry`` if there is no reference.
        """
        value = self._used(offset)
        if not value & COUNT_MASK:
            raise BadSwapEntry(self.type, offset, "the slot has no reference")
        if self.is_shmem(offset):
            self.swap_map[offset] -= SWAP_MAP_SHMEM
        elif value & COUNT_CONTINUED:
            self._continued[offset] -= 1
            if not self._continued[offset]:
                del self._continued[offset]
                self.swap_map[offset] -= COUNT_CONTINUED
        else:
            self.swap_map[offset] -= 1
        return self._free_if_unused(offset)

    def set_cache(self, offset: int) -> None:
        """Let the swap cache hold a slot that has references. [swapcache_prepare]

        Raise ``BadSwapEntry`` if it does already, or if the slot is free.
        """
        if self.has_cache(offset):
            raise BadSwapEntry(self.type, offset, "the slot is in the swap cache already")
        self.swap_map[offset] |= SWAP_HAS_CACHE

    def clear_cache(self, offset: int) -> bool:
        """Take the slot from the swap cache; return whether it is free now. [put_swap_folio]

        Raise ``BadSwapEntry`` if the swap cache does not hold it.
        """
        if not self.has_cache(offset):
            raise BadSwapEntry(self.type, offset, "the slot is not in the swap cache")
        self.swap_map[offset] -= SWAP_HAS_CACHE
        return self._free_if_unused(offset)

    def _free_if_unused(self, offset: int) -> bool:
        unused = not self.swap_map[offset]
        if unused:
            self._range_free(offset)
        return unused

    def _used(self, offset: int) -> int:
        """Return the byte of a slot that is in use. [_swap_info_get]"""
        if not 0 < offset < self.max:
            raise BadSwapEntry(self.type, offset, f"the device ends at {self.max:#x}")
        value = self.swap_map[offset]
        if not value:
            raise BadSwapEntry(self.type, offset, "the slot is free")
        if value == SWAP_MAP_BAD:
            raise BadSwapEntry(self.type, offset, "the slot is bad")
        return value

    def check(self) -> None:
        """Raise ``BrokenInvariant`` if counts, hints and map contradict each other."""
        free = self.swap_map.count(FREE)
        bad = self.swap_map.count(SWAP_MAP_BAD)
        if (self.pages, self.inuse_pages) != (self.max - bad, self.pages - free):
            raise BrokenInvariant(f"Swap type {self.type} has {self.pages} slots, "
                                  f"{self.inuse_pages} in use, but {free} free and {bad} bad")
        first, last = self.swap_map.find(FREE), self.swap_map.rfind(FREE)
        if free and not (self.lowest_bit <= first and last <= self.highest_bit):
            raise BrokenInvariant(f"Swap type {self.type}: slots {first} and {last} are free, but "
                                  f"not within {self.lowest_bit} to {self.highest_bit}")
        if not free and (self.lowest_bit, self.highest_bit) != (self.max, 0):
            raise BrokenInvariant(f"Swap type {self.type} is full, but seems free from "
                                  f"{self.lowest_bit} to {self.highest_bit}")
        continued = {at for at, value in enumerate(self.swap_map) if value & COUNT_CONTINUED}
        continued -= {*self.shmem_slots()}
        if continued != {at for at, more in self._continued.items() if more > 0}:
            raise BrokenInvariant(f"Swap type {self.type}: slots {sorted(continued)} should have "
                                  f"more references, {sorted(self._continued)} do")
