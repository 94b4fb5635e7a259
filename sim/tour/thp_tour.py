"""Transparent huge pages: one fault for 2 Mbytes, and what takes a huge page apart."""

from collections.abc import Sequence

from ...model.address_space.uapi import Madvise, MapFlag, Prot
from ...model.kernel.thp import ThpEnabled
from ...model.physical.procfs import buddyinfo
from ...model.x86 import PAGE_BYTES
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["ThpTour"]

MEMORY_BYTES = 32 << 20
RW = Prot.READ | Prot.WRITE


class ThpTour(ProcessTour):
    """A process on a machine where THP is set to ``always``.

    Members
    -------
    process
        The process.
    start
        Where its memory is, aligned to a huge page.
    """

    def __init__(self) -> None:
        super().__init__(memory_bytes=MEMORY_BYTES)
        self.kernel.state.thp.enabled = ThpEnabled.ALWAYS
        self.process = self.kernel.spawn("tour")
        self.huge_bytes = self.kernel.state.thp.page_bytes

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("mmap", self._map), ("The first store", self._store),
                ("The last byte of the huge page", self._last),
                ("A page in the middle becomes read-only", self._protect),
                ("It may be written again", self._permit), ("MADV_COLLAPSE", self._collapse),
                ("MADV_DONTNEED of one page", self._discard))

    def blocks(self) -> tuple[Block, ...]:
        """Return what the process has, and the free blocks of the machine."""
        return (self.smaps(self.process, "Size", "Rss", "AnonHugePages", "THPeligible"),
                self.meminfo("MemFree", "AnonPages", "PageTables", "AnonHugePages"),
                Block("/proc/buddyinfo", buddyinfo(self.kernel.state.allocator)))

    def page_bytes(self, vaddr: int) -> int:
        """Return the size of the page at an address, 0 if there is none."""
        leaf = self.process.space.tables.lookup(vaddr)
        return 0 if leaf is None else leaf.level.page_bytes

    def _map(self) -> str:
        self.start = self.call(self.process, "mmap", 0, 2 * self.huge_bytes, RW,
                               MapFlag.PRIVATE | MapFlag.ANONYMOUS, -1, 0)
        aligned = -(-self.start // self.huge_bytes) * self.huge_bytes
        skipped, self.start = aligned - self.start, aligned
        return (f"{2 * self.huge_bytes >> 20} Mbytes. A huge page must be aligned to "
                f"{self.huge_bytes >> 20} Mbytes: the first that can be is at {self.start:#x}, "
                f"{skipped >> 10} kB behind the beginning.")

    def _store(self) -> str:
        self.store(self.process, self.start, 1)
        return (f"One fault, and {self.process.space.rss} small pages are there at once: an entry "
                f"of the page directory maps {self.page_bytes(self.start) >> 20} Mbytes, all "
                "zeroed before.")

    def _last(self) -> str:
        value = self.load(self.process, self.start + self.huge_bytes - 1)
        return f"The load found {value}, with {len(self.events)} faults."

    def _protect(self) -> str:
        self.middle = self.start + self.huge_bytes // 2
        self.call(self.process, "mprotect", self.middle, PAGE_BYTES, Prot.READ)
        return ("One entry has one set of rights, so the huge page was taken apart: "
                f"{self.middle:#x} is in a page of {self.page_bytes(self.middle) >> 10} kB, and so "
                f"are the others. Rss stays {self.process.space.rss} pages; none was copied. The "
                "page table that is needed now had been set aside when the huge page was mapped.")

    def _permit(self) -> str:
        self.call(self.process, "mprotect", self.middle, PAGE_BYTES, RW)
        return (f"The mapping is whole again: {self.process.mm.map_count} in all. The pages are "
                f"not: {self.page_bytes(self.middle) >> 10} kB each.")

    def _collapse(self) -> str:
        before = self.process.space.tables.lookup(self.start)
        assert before is not None
        old = self.kernel.state.format.pfn(before.entry)
        self.call(self.process, "madvise", self.start, self.huge_bytes, Madvise.COLLAPSE)
        after = self.process.space.tables.lookup(self.start)
        assert after is not None
        return (f"The small pages were copied to a new huge one: frame {old:#x} became "
                f"{self.kernel.state.format.pfn(after.entry):#x}. The first byte is still "
                f"{self.load(self.process, self.start)}. {self._on_lists()} pages that were freed "
                "are on lists of the processor, and in none of the files below.")

    def _on_lists(self) -> int:
        """Return how many pages the lists of the processor have."""
        return sum(zone.pcp[0].count for zone in self.kernel.state.allocator.populated)

    def _discard(self) -> str:
        before = self.process.space.rss
        self.call(self.process, "madvise", self.start, PAGE_BYTES, Madvise.DONTNEED)
        return (f"{before - self.process.space.rss} page is given up. What is left is mapped in "
                f"pages of {self.page_bytes(self.middle) >> 10} kB, {self.process.space.rss} of "
                "them.")
