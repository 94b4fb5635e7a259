"""Demand paging: a mapping is a promise, and page faults keep it."""

from collections.abc import Sequence

from ...model.address_space.uapi import Madvise, MapFlag, Prot
from ...model.address_space.vma import File
from ...model.x86 import PAGE_BYTES
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["DemandTour"]

PAGES, FILE_PAGES = 8, 32
RW = Prot.READ | Prot.WRITE


class DemandTour(ProcessTour):
    """A process that touches its memory, and a file, for the first time.

    Members
    -------
    process
        The process.
    """

    def __init__(self) -> None:
        super().__init__()
        self.process = self.kernel.spawn("tour")
        self.file = File("/usr/share/dict/words")
        self.kernel.register_file(self.file, bytes(FILE_PAGES * PAGE_BYTES))

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("mmap", self._map), ("The first load", self._load),
                ("A store to the same page", self._store), ("A store to the next page", self._next),
                ("Again", self._again), ("MADV_DONTNEED", self._discard),
                ("A load from a file", self._file), ("A store where nothing is mapped", self._wild))

    def blocks(self) -> tuple[Block, ...]:
        """Return what the process has, and what the machine has left."""
        return (self.smaps(self.process, "Size", "Rss", "Private_Clean", "Private_Dirty",
                           "Anonymous"),
                self.meminfo("MemFree", "Cached", "AnonPages", "Mapped", "PageTables"))

    @property
    def _rss(self) -> int:
        return self.process.space.rss

    def _map(self) -> str:
        self.start = self.call(self.process, "mmap", 0, PAGES * PAGE_BYTES, RW,
                               MapFlag.PRIVATE | MapFlag.ANONYMOUS, -1, 0)
        return (f"{PAGES * PAGE_BYTES} bytes are promised from {self.start:#x} on. There are "
                f"{self._rss} pages in memory for it, and the page tables are as they were.")

    def _load(self) -> str:
        tables = self.process.space.tables.pgtables_bytes
        value = self.load(self.process, self.start)
        tables = self.process.space.tables.pgtables_bytes - tables
        return (f"The load found {value}: what was never written reads as zero. All that there is "
                f"of the page is an entry that points to frame {self.kernel.state.zero_pfn:#x}, "
                f"the page of zeros, which all share and nobody may write to. {tables >> 10} kB of "
                "page tables were needed for that, of which meminfo counts the two lowest levels. "
                f"Rss is {self._rss}, as the page of zeros is nobody's.")

    def _store(self) -> str:
        self.store(self.process, self.start, 1)
        return ("The entry was there but read-only, so the error code has P and WR. The process "
                f"has got a page of its own; Rss is {self._rss}.")

    def _next(self) -> str:
        self.store(self.process, self.start + PAGE_BYTES, 2)
        return (f"Nothing was there yet, so the page came with one fault and not two. "
                f"{self.process.min_flt} faults so far, {self.process.maj_flt} of a disk.")

    def _again(self) -> str:
        before = self.process.min_flt
        value = self.load(self.process, self.start + PAGE_BYTES)
        return (f"The load found {value}, with {self.process.min_flt - before} faults: from now on "
                "the kernel knows nothing of accesses to this page.")

    def _discard(self) -> str:
        before = self._rss
        self.call(self.process, "madvise", self.start, PAGES * PAGE_BYTES, Madvise.DONTNEED)
        return (f"{before - self._rss} pages are free again. The mapping stays, so that the next "
                "access begins with a page of zeros.")

    def _file(self) -> str:
        with self.kernel.acting(self.process):
            self.text = self.process.mm.mmap(0, FILE_PAGES * PAGE_BYTES, Prot.READ,
                                             MapFlag.PRIVATE, self.file)
        before, majors = self._rss, self.process.maj_flt
        self.load(self.process, self.text)
        return (f"{self.file.name} was mapped at {self.text:#x}. The page was not in memory, and "
                f"its fault had to wait for the disk: {self.process.maj_flt - majors} major fault. "
                f"The fault mapped {self._rss - before} of {FILE_PAGES} pages.")

    def _wild(self) -> str:
        self.store(self.process, self.start + PAGES * PAGE_BYTES, 3)
        return ("No mapping has promised anything there, so there is no page: the process gets a "
                f"signal. Rss stays {self._rss}.")
