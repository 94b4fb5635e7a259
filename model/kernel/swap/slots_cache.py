"""Slots of swap that the processor keeps, to take many at once and to give many back.

It does so while plenty of slots are free. Slots that it keeps count as in use. [mm/swap_slots.c]
"""

from typing import Protocol

from .cache import SwapEntry

__all__ = ["SWAP_SLOTS_CACHE_SIZE", "SwapSlotsCache"]

SWAP_SLOTS_CACHE_SIZE = 64  # SWAP_BATCH
ACTIVATE = 5 * SWAP_SLOTS_CACHE_SIZE
DEACTIVATE = 2 * SWAP_SLOTS_CACHE_SIZE


class AllSlots(Protocol):
    """The slots of all swap areas."""

    nr_swap_pages: int

    def get_swap_pages(self, count: int) -> list[SwapEntry]:
        """Give out free slots of one area, up to ``count``."""
        ...

    def swapcache_free_entries(self, entries: list[SwapEntry]) -> None:
        """Let slots be free that nobody uses."""
        ...


class SwapSlotsCache:
    """The slots that one processor keeps: none at first, nor is it enabled.

    Parameters
    ----------
    areas
        Where the slots come from.

    Members
    -------
    enabled, active
        Whether there is a swap area, and whether so many slots are free that slots are kept.
    """

    def __init__(self, areas: AllSlots) -> None:
        self.enabled = self.active = False
        self._areas = areas
        self._slots: list[SwapEntry] = []
        self._returned: list[SwapEntry] = []

    def __len__(self) -> int:
        """Return how many slots are kept."""
        return len(self._slots) + len(self._returned)

    def alloc(self) -> SwapEntry | None:
        """Give out a slot for the swap cache; return None if swap is full. [folio_alloc_swap]"""
        if self._check_active():
            if not self._slots:
                self._slots = self._areas.get_swap_pages(SWAP_SLOTS_CACHE_SIZE)
            if self._slots:
                return self._slots.pop(0)
        return next(iter(self._areas.get_swap_pages(1)), None)

    def free(self, entry: SwapEntry) -> None:
        """Take back a slot that nobody uses. [free_swap_slot]"""
        if not (self.enabled and self.active):
            self._areas.swapcache_free_entries([entry])
            return
        if len(self._returned) >= SWAP_SLOTS_CACHE_SIZE:
            self._give_back()
        self._returned.append(entry)

    def _check_active(self) -> bool:
        """Begin or end to keep slots by how many are free; return whether some are kept now.

        [check_cache_active]
        """
        if self.enabled and not self.active:
            self.active = self._areas.nr_swap_pages > ACTIVATE
        elif self.enabled and self._areas.nr_swap_pages < DEACTIVATE:
            self.active = False
            self.drain()
        return self.enabled and self.active

    def disable(self) -> None:
        """Keep no slots until further notice. [disable_swap_slots_cache_lock]"""
        self.enabled = False
        self.drain()

    def drain(self) -> None:
        """Let all slots be free that are kept. [drain_slots_cache_cpu]"""
        slots, self._slots = self._slots, []
        self._areas.swapcache_free_entries(slots)
        self._give_back()

    def _give_back(self) -> None:
        returned, self._returned = self._returned, []
        self._areas.swapcache_free_entries(returned)

    @property
    def entries(self) -> list[SwapEntry]:
        """The slots that are kept."""
        return self._slots + self._returned
