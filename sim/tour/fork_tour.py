"""fork and copy on write: two processes, one set of pages."""

from collections.abc import Sequence

from ...model.address_space.uapi import MapFlag, Prot
from ...model.kernel.process import Process
from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["ForkTour"]

PAGES = 4


class ForkTour(ProcessTour):
    """A parent with a few pages, and its child.

    Members
    -------
    parent, child
        The processes; until the fork, and after its end, the child is None.
    start
        Where the pages are.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parent = self.kernel.spawn("parent")
        self.child: Process | None = None
        with self.kernel.acting(self.parent):
            self.start = self.parent.mm.mmap(0, PAGES * PAGE_BYTES, Prot.READ | Prot.WRITE,
                                             MapFlag.PRIVATE | MapFlag.ANONYMOUS)

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("The parent writes", self._write), ("fork", self._fork),
                ("Both read", self._read), ("The child writes", self._child_writes),
                ("The parent writes to the same page", self._reuse), ("The child ends", self._end),
                ("The parent writes again", self._alone))

    def blocks(self) -> tuple[Block, ...]:
        """Return what each process has, and what the machine has left."""
        living = [one for one in (self.parent, self.child) if one is not None]
        names = "Rss", "Pss", "Shared_Dirty", "Private_Dirty"
        return (*(self.smaps(one, *names) for one in living), self.meminfo("MemFree", "AnonPages"))

    def frame(self, process: Process, vaddr: int) -> int:
        """Return the frame that a process has at an address."""
        leaf = process.space.tables.lookup(vaddr)
        assert leaf is not None
        return self.kernel.state.format.pfn(leaf.entry) + (vaddr - leaf.vaddr >> PAGE_SHIFT)

    @property
    def _child(self) -> Process:
        assert self.child is not None
        return self.child

    def _write(self) -> str:
        for number in range(PAGES):
            self.store(self.parent, self.start + number * PAGE_BYTES, number + 1)
        return (f"{PAGES} pages with {PAGES} faults. The first is frame "
                f"{self.frame(self.parent, self.start):#x}.")

    def _fork(self) -> str:
        free = self.kernel.state.allocator.populated[-1].free_pages
        self.kernel.switch(self.parent)
        self.child = self.kernel.fork(self.parent)
        used = free - self.kernel.state.allocator.populated[-1].free_pages
        tables = self.child.space.tables.pgtables_bytes >> PAGE_SHIFT
        return (f"The child is process {self.child.pid}. It has the same {self.child.space.rss} "
                f"pages, and {tables} page tables of its own beside the root; {used} frames were "
                "taken for that. None of the pages was copied: in both processes the entries are "
                "read-only from now on.")

    def _read(self) -> str:
        values = [self.load(one, self.start) for one in (self.parent, self._child)]
        return (f"Parent and child load {values[0]} and {values[1]}, both from frame "
                f"{self.frame(self._child, self.start):#x}. {len(self.events)} faults.")

    def _child_writes(self) -> str:
        old = self.frame(self._child, self.start)
        self.store(self._child, self.start, 0xC)
        return (f"The child may write, says its mapping, but frame {old:#x} has two owners: it got "
                f"a copy, frame {self.frame(self._child, self.start):#x}. The parent still loads "
                f"{self.load(self.parent, self.start)}.")

    def _reuse(self) -> str:
        self.store(self.parent, self.start, 0xA)
        return (f"A fault again, but frame {self.frame(self.parent, self.start):#x} has no other "
                "owner any more: its entry became writable, and nothing was copied.")

    def _end(self) -> str:
        pid, pages = self._child.pid, self._child.space.rss
        self.kernel.switch(self.parent)
        self.kernel.exit(self._child)
        self.child = None
        return (f"Process {pid} had {pages} pages: one of its own, which is free now, and "
                f"{pages - 1} that it shared.")

    def _alone(self) -> str:
        before = self.parent.min_flt
        frames = [self.frame(self.parent, self.start + number * PAGE_BYTES)
                  for number in range(1, PAGES)]
        for number in range(1, PAGES):
            self.store(self.parent, self.start + number * PAGE_BYTES, 0xB)
        kept = sum(frame == self.frame(self.parent, self.start + number * PAGE_BYTES)
                   for number, frame in enumerate(frames, 1))
        return (f"{self.parent.min_flt - before} faults, one for each page that was shared; {kept} "
                "of them kept their frames, as the parent is their last owner.")
