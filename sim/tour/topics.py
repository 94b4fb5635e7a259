"""The tours by their topics, and what each is about."""

from collections.abc import Callable
from dataclasses import dataclass

from .buddy_tour import BuddyTour
from .copies_tour import CopiesTour
from .demand_tour import DemandTour
from .fork_tour import ForkTour
from .kmap_tour import KmapTour
from .mmap_tour import MmapTour
from .slab_tour import SlabTour
from .swap_tour import SwapTour
from .thp_tour import ThpTour
from .tlb_tour import TlbTour
from .tour_step import Tour

__all__ = ["TOURS", "Topic"]


@dataclass(frozen=True, slots=True)
class Topic:
    """What a tour is about, and what makes it."""

    about: str
    make: Callable[[], Tour]


TOURS = {
    "buddy": Topic("the buddy allocator splits and merges blocks of pages", BuddyTour),
    "slab": Topic("SLUB cuts pages into objects of one size", SlabTour),
    "mmap": Topic("mmap, mprotect, munmap and brk make, cut and join mappings", MmapTour),
    "demand": Topic("demand paging: pages come with page faults", DemandTour),
    "fork": Topic("fork and copy on write: two processes share pages until one writes", ForkTour),
    "swap": Topic("pages go out to swap and come back", SwapTour),
    "thp": Topic("transparent huge pages come, are taken apart and put together", ThpTour),
    "kmap": Topic("kmap: a 32-bit kernel reaches memory that it has no addresses for", KmapTour),
    "tlb": Topic("the TLB and what must be invalidated, PCIDs", TlbTour),
    "copies": Topic("system calls that copy from and to memory of a program", CopiesTour),
}
"""Every tour, by the word that the command line knows it by."""
