"""Swap: a page goes out to a disk and comes back."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from ...model.address_space.uapi import Madvise, MapFlag, Prot
from ...model.kernel.proc.vmstat import vmstat
from ...model.kernel.swap.file import SwapFile
from ...model.x86 import PAGE_BYTES
from .process_tour import ProcessTour
from .tour_step import Act, Block, chosen_lines

__all__ = ["SwapTour"]

PAGES, SWAP_PAGES, LARGE_PAGES = 8, 1024, 4096


class SwapTour(ProcessTour):
    """A process whose pages go to a swap file: on request, and because memory runs out.

    Members
    -------
    process
        The process.
    swap
        The swap file.
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="pagewalk-")
        path = Path(self._folder.name) / "swap"
        SwapFile.create(path, SWAP_PAGES, uuid=UUID(int=1)).close()
        self.swap = SwapFile(path, name="/swapfile")
        self.process = self.kernel.spawn("tour")

    def close(self) -> None:
        """Close the swap file and remove it."""
        self.swap.close()
        self._folder.cleanup()

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("swapon", self._swapon), ("Pages to begin with", self._write),
                ("MADV_PAGEOUT", self._out), ("A load", self._load), ("A store", self._store),
                ("More memory than there is", self._thrash), ("The process ends", self._end))

    def blocks(self) -> tuple[Block, ...]:
        """Return the swap area, the process, and what was written and read."""
        process = self.process
        own = (self.smaps(process, "Rss", "Swap"),) if process.pid in self.kernel.processes else ()
        return (Block("/proc/swaps", self.kernel.state.swap.proc_swaps()), *own,
                self.meminfo("MemFree", "SwapCached", "SwapTotal", "SwapFree", "AnonPages"),
                Block("/proc/vmstat", chosen_lines(vmstat(self.kernel), "pswp", "pgmajfault",
                                                   "pgscan_kswapd", "pgscan_direct")))

    def _swapon(self) -> str:
        self.kernel.swapon(self.swap)
        free = self.kernel.state.swap.free_slots
        return (f"The file has {SWAP_PAGES} pages. The first is its header: {free} can be used.")

    def _write(self) -> str:
        self.start = self.call(self.process, "mmap", 0, PAGES * PAGE_BYTES, Prot.READ | Prot.WRITE,
                               MapFlag.PRIVATE | MapFlag.ANONYMOUS, -1, 0)
        for number in range(PAGES):
            self.store(self.process, self.start + number * PAGE_BYTES, number + 1)
        return f"{self.process.space.rss} pages, each with a number in it."

    def _out(self) -> str:
        before = self.swap.counters.pages_out
        self.call(self.process, "madvise", self.start, PAGES * PAGE_BYTES, Madvise.PAGEOUT)
        swap = self.kernel.state.swap
        return (f"{self.swap.counters.pages_out - before} pages were written to the file, and "
                "their frames are free. The entries have the numbers of their slots; the process "
                f"has {self.process.space.swapped} pages there, and {self.process.space.rss} in "
                f"memory. {len(swap.slots_cache)} slots more are the processor's, for what comes: "
                "/proc/swaps calls them used.")

    def _load(self) -> str:
        before, majors = self.swap.counters.pages_in, self.process.maj_flt
        value = self.load(self.process, self.start)
        return (f"The load found {value}. {self.swap.counters.pages_in - before} page was read, "
                f"with {self.process.maj_flt - majors} major fault. It is in the swap cache, in "
                "memory and in its slot: if nobody changes it, it need not be written again.")

    def _store(self) -> str:
        before, cached = self.swap.counters.pages_in, len(self.kernel.state.swap.cached())
        self.store(self.process, self.start + PAGE_BYTES, 0xFF)
        new = len(self.kernel.state.swap.cached()) - cached
        return (f"{self.swap.counters.pages_in - before} page was read, and {new} stay in the "
                "swap cache: the page is about to differ from its slot, which is given up.")

    def _thrash(self) -> str:
        counters = self.swap.counters
        out, back, faults = counters.pages_out, counters.pages_in, self.process.maj_flt
        at = self.call(self.process, "mmap", 0, LARGE_PAGES * PAGE_BYTES, Prot.READ | Prot.WRITE,
                       MapFlag.PRIVATE | MapFlag.ANONYMOUS, -1, 0)
        for number in range(LARGE_PAGES):
            self.store(self.process, at + number * PAGE_BYTES, number & 0xFF)
        wrong = sum(self.load(self.process, at + number * PAGE_BYTES) != number & 0xFF
                    for number in range(0, LARGE_PAGES, 8))
        del self.events[1:]  # the call is kept, thousands of faults are not
        return (f"{LARGE_PAGES} pages were written, and every eighth read again, on a machine of "
                f"{self.kernel.state.allocator.totalram_pages}. {counters.pages_out - out} pages "
                f"went out and {counters.pages_in - back} came back, with "
                f"{self.process.maj_flt - faults} major faults; {wrong} of the bytes that were "
                "read were wrong.")

    def _end(self) -> str:
        slots = self.process.space.swapped
        self.kernel.exit(self.process)
        return (f"{slots} slots were the process's; {self.kernel.state.swap.free_slots} are free "
                "now.")
