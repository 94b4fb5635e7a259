"""The buddy allocator: splits, merges, lists of a processor, pageblocks that change their type."""

from collections.abc import Sequence

from ...model.physical.gfp import Gfp
from ...model.physical.memory_map import MemoryMap, pc_memory
from ...model.physical.page import MigrateType
from ...model.physical.page_alloc import PageAllocator
from ...model.physical.procfs import buddyinfo, pagetypeinfo
from .tour_step import Act, Block, Tour, chosen_lines

__all__ = ["BuddyTour"]

MEMORY_BYTES = 256 << 20
ORDER = 4


class BuddyTour(Tour):
    """Allocations of a fresh machine, and what they do to its free lists.

    Members
    -------
    pages
        The page allocator.
    blocks_taken
        The first pages of the blocks of ``ORDER`` that were taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pages = PageAllocator.boot(MemoryMap(pc_memory(MEMORY_BYTES)))
        self.blocks_taken: list[int] = []

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("A block is split", self._split), ("Its buddy is taken", self._take_buddy),
                ("The first is freed", self._free_first), ("The second is freed", self._merge),
                ("A single page", self._single), ("The processor's list is emptied", self._drain),
                ("An unmovable page", self._steal))

    def blocks(self) -> tuple[Block, ...]:
        """Return the free lists, also by migrate type, and what the processor's lists have."""
        types = chosen_lines(pagetypeinfo(self.pages), "Node")
        lists = "".join(f"Node {zone.nid}, zone {zone.name:>8} count: {zone.pcp[0].count}\n"
                        for zone in self.pages.populated)
        return (Block("/proc/buddyinfo", buddyinfo(self.pages)),
                Block("/proc/pagetypeinfo", types), Block("pagesets of /proc/zoneinfo", lists))

    def _take(self) -> int:
        pfn = self.pages.alloc_pages(Gfp.HIGHUSER_MOVABLE, ORDER)
        self.blocks_taken.append(pfn)
        return pfn

    def _split(self) -> str:
        zone = self.pages.nodes[0].own_zonelist[0]
        free = zone.buddy.nr_free
        found = next(order for order in range(ORDER, len(free)) if free[order])
        pfn = self._take()
        return (f"No block of order {ORDER} was free in zone {zone.name}: one of order {found} was "
                f"halved {found - ORDER} times, and the upper halves went to the lists of the "
                f"orders {ORDER} to {found - 1}. The {1 << ORDER} pages from frame {pfn:#x} are "
                "taken." if found > ORDER else
                f"A block of order {ORDER} was free: it is taken, from frame {pfn:#x}.")

    def _take_buddy(self) -> str:
        pfn = self._take()
        first = self.blocks_taken[0]
        return (f"The block at {pfn:#x} was the head of the list. Its number and {first:#x} differ "
                f"in the bit {pfn ^ first:#x} alone: the two are buddies.")

    def _free_first(self) -> str:
        pfn = self.blocks_taken[0]
        self.pages.free_pages(pfn, ORDER)
        return (f"The block at {pfn:#x} stays one of order {ORDER}, as its buddy at "
                f"{pfn ^ 1 << ORDER:#x} is in use.")

    def _merge(self) -> str:
        pfn = self.blocks_taken[1]
        self.pages.free_pages(pfn, ORDER)
        head, _, order = self.pages.mem_map.block_of(pfn)
        return ("Now both are free, and so are the buddies of what they make together: the block "
                f"at {pfn:#x} was merged {order - ORDER} times, and is part of one of order "
                f"{order} at {head:#x}.")

    def _single(self) -> str:
        zone = self.pages.nodes[0].own_zonelist[0]
        self.single = self.pages.alloc_pages(Gfp.HIGHUSER_MOVABLE)
        count = zone.pcp[0].count
        return (f"Single pages come from a list of the processor, which was empty: {count + 1} "
                f"pages were moved there at once, frame {self.single:#x} was taken, and {count} "
                "are left. buddyinfo does not count them.")

    def _drain(self) -> str:
        self.pages.free_pages(self.single)
        zone = self.pages.zone_of(self.single)
        count = zone.pcp[0].count
        self.pages.drain_all_pages()
        return (f"Freed, the page went to that list, which had {count} then. Now they are back, "
                f"and {zone.free_pages} pages of zone {zone.name} are free, as after boot.")

    def _steal(self) -> str:
        before = self._unmovable()
        self.unmovable = self.pages.alloc_pages(Gfp.KERNEL)
        return ("Pages of the kernel itself must not be mixed with pages that can be moved. No "
                "unmovable block was free in the zone, so the largest movable one was taken "
                f"whole, with frame {self.unmovable:#x} in it, and {self._unmovable() - before} "
                "pageblocks are unmovable now that were movable before.")

    def _unmovable(self) -> int:
        """Return how many pageblocks of the highest zone are for pages that cannot be moved."""
        zone = self.pages.nodes[0].own_zonelist[0]
        pages = range(zone.span.start_pfn, zone.span.end_pfn, self.pages.mem_map.pageblock_pages)
        return [zone.buddy.pageblock_type(pfn) for pfn in pages].count(MigrateType.UNMOVABLE)
