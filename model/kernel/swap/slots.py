"""The slots of one swap area: what refers to each, and which is given out next."""

from collections.abc import Callable

import numpy as np

from ...physical.errors import BrokenInvariant
from .clusters import SwapClusters
from .errors import BadSwapEntry
from .file import SwapFile
from .slot_search import SWAP_HAS_CACHE, scan_swap_map_slots

__all__ = ["SWAPFILE_CLUSTER", "SWAP_HAS_CACHE", "SWAP_MAP_BAD", "SWAP_MAP_MAX", "SWAP_MAP_SHMEM",
           "SwapInfo"]

SWAPFILE_CLUSTER = 256
"""Slots of a cluster, in kernels that do not swap huge pages as a whole."""
SWAP_MAP_MAX = 0x3E
SWAP_MAP_BAD = 0x3F
SWAP_MAP_SHMEM = 0xBF
COUNT_CONTINUED = 0x80
COUNT_MASK = 0x3F
TRUNK_SHIFT = 14  # SWAP_ADDRESS_SPACE_SHIFT

FREE = b"\0"


class SwapInfo:
    """A swap area in use. [struct swap_info_struct]

    A slot has a count of references from page tables and a flag for the swap cache. When both are
    gone nobody uses it, and it is free as soon as ``entry_free`` is called for it; until then it
    has that flag.

    Parameters
    ----------
    swap_type
        Its number among the swap areas: the type of its swap entries.
    device
        Where the pages go.
    maximum_pages
        How many pages a swap entry can tell apart; what is beyond is left unused.
        [swapfile_maximum_size]
    unused
        Called with each slot that nobody uses any more; ``entry_free`` if None.
    cluster
        Slots of a cluster.
    solid_state
        Whether the disk does not turn. [SWP_SOLIDSTATE]
    rng
        Draws where the search for slots of a solid-state disk begins if no cluster is free, so that
        they wear out evenly; None to begin with the first.

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
    cluster_next, cluster_nr, clusters
        Where the search for slots goes on, how many slots it still takes in a row, and the clusters
        of a solid-state disk.
    """

    def __init__(self, swap_type: int, device: SwapFile, maximum_pages: int, *,
                 unused: Callable[[int], None] | None = None, cluster: int = SWAPFILE_CLUSTER,
                 solid_state: bool = False, rng: np.random.Generator | None = None) -> None:
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
        self.lowest_bit = self.cluster_next = 1
        self.highest_bit = self.max - 1
        self.cluster, self.cluster_nr = cluster, 0
        self.clusters = SwapClusters(self.swap_map, cluster) if solid_state else None
        self._rng = rng
        if solid_state and rng is not None:
            self.cluster_next += int(rng.integers(self.highest_bit))
        self._unused = unused if unused is not None else self.entry_free
        # The kernel chains further bytes for each page of the map; the sum is the same.
        self._continued: dict[int, int] = {}

    @property
    def full(self) -> bool:
        """Whether no slot is free."""
        return self.inuse_pages == self.pages

    def scan_swap_map_slots(self, count: int = 1, swap_full: Callable[[], bool] = lambda: False,
                            reclaim: Callable[[int], bool] = lambda _offset: False) -> list[int]:
        """Give out up to ``count`` free slots; see ``slot_search.scan_swap_map_slots``."""
        return scan_swap_map_slots(self, count, swap_full, reclaim)

    def take(self, offset: int) -> None:
        """Give a free slot to the swap cache. [inc_cluster_info_page, swap_range_alloc]"""
        self.swap_map[offset] = SWAP_HAS_CACHE
        if self.clusters is not None:
            self.clusters.take(offset)
        self.lowest_bit += offset == self.lowest_bit
        self.highest_bit -= offset == self.highest_bit
        self.inuse_pages += 1
        if self.full:
            self.lowest_bit, self.highest_bit = self.max, 0

    def set_cluster_next(self, offset: int) -> None:
        """Note where the next search begins.

        That of a solid-state disk goes on in a trunk that is drawn, where it would come into
        another. [set_cluster_next]
        """
        if self.clusters is not None and self._rng is not None and (
                offset >> TRUNK_SHIFT != self.cluster_next >> TRUNK_SHIFT):
            if self.highest_bit <= self.lowest_bit:
                return
            places = self.highest_bit - self.lowest_bit + 1
            drawn = self.lowest_bit + int(self._rng.integers(places))
            offset = max(drawn >> TRUNK_SHIFT << TRUNK_SHIFT, self.lowest_bit)
        self.cluster_next = offset

    def entry_free(self, offset: int) -> None:
        """Let a slot be free that nobody uses. [swap_entry_free, swap_range_free]"""
        if self.swap_map[offset] != SWAP_HAS_CACHE:
            raise BrokenInvariant(f"Slot {offset:#x} of swap type {self.type} is freed, but in use")
        self.swap_map[offset] = 0
        if self.clusters is not None:
            self.clusters.give_back(offset)
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
        """Count one reference less; return whether nobody uses the slot now. [__swap_entry_free]

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
        """Take the slot from the swap cache; return whether nobody uses it now. [put_swap_folio]

        Raise ``BadSwapEntry`` if the swap cache does not hold it.
        """
        if not self.has_cache(offset):
            raise BadSwapEntry(self.type, offset, "the slot is not in the swap cache")
        self.swap_map[offset] -= SWAP_HAS_CACHE
        return self._free_if_unused(offset)

    def _free_if_unused(self, offset: int) -> bool:
        unused = not self.swap_map[offset]
        if unused:
            self.swap_map[offset] = SWAP_HAS_CACHE
            self._unused(offset)
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
        if self.clusters is not None and not self.clusters.check():
            raise BrokenInvariant(f"Swap type {self.type}: clusters contradict the slots")
        continued = {at for at, value in enumerate(self.swap_map) if value & COUNT_CONTINUED}
        continued -= {*self.shmem_slots()}
        if continued != {at for at, more in self._continued.items() if more > 0}:
            raise BrokenInvariant(f"Swap type {self.type}: slots {sorted(continued)} should have "
                                  f"more references, {sorted(self._continued)} do")
