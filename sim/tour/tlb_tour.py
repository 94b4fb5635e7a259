"""The TLB and what the kernel owes it: fills, hits, stale entries, PCIDs."""

from collections.abc import Sequence

from ...model.address_space.uapi import MapFlag, Prot
from ...model.kernel.process import Process
from ...model.kernel.tlb_flush import Invalidation
from ...model.x86 import PAGE_BYTES, Cr3, InvalidateOp
from ..explain.set_tlb import SetTlb
from ..explain.tlb_contents import cached_rights
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["TlbTour"]

ENTRIES, PAGES = 8, 3
RW = Prot.READ | Prot.WRITE


class TlbTour(ProcessTour):
    """Two processes, and a TLB of eight entries that only forgets what it is told to forget.

    Members
    -------
    first, second
        The processes.
    tlb
        The TLB.
    owed
        What the kernel owes it and was not carried out yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (self.kernel.spawn(name) for name in ("first", "second"))
        self.tlb = SetTlb(self.kernel.state.memory, self.kernel.mode, 1, ENTRIES)
        self.owed: list[Invalidation] = []
        self.start = 0
        for process in (self.first, self.second):
            with self.kernel.acting(process):
                self.start = process.mm.mmap(0, PAGES * PAGE_BYTES, RW,
                                             MapFlag.PRIVATE | MapFlag.ANONYMOUS)
            for number in range(PAGES):
                self.store(process, self.start + number * PAGE_BYTES, number + 1)
        self._run(self.first)
        self._carry_out()

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("Three misses", self._misses), ("Three hits", self._hits),
                ("mprotect", self._protect), ("INVLPG", self._carry),
                ("munmap of two pages", self._unmap),
                ("Another process", self._switch), ("And back", self._back),
                ("A change while it did not run", self._behind))

    def blocks(self) -> tuple[Block, ...]:
        """Return what the TLB holds, the last used first, and what is owed to it."""
        entries = "".join(
            f"PCID {entry.pcid}: {entry.vaddr:#x} -> {entry.paddr:#x} "
            f"{cached_rights(entry.rights)}\n" for entry in self.tlb.sets[0])
        owed = "".join(f"{_text(one)}\n" for one in self.owed)
        return (Block("TLB", entries), Block("owed", owed),
                self.maps(self.kernel.current or self.first))

    def _run(self, process: Process) -> None:
        with self.kernel.invalidations() as owed:
            self.kernel.switch(process)
        self.owed += owed

    def _carry_out(self) -> None:
        """Have the TLB do what is owed to it."""
        for one in self.owed:
            if one.op is InvalidateOp.INVLPG:
                self.tlb.invlpg(self.kernel.control, one.vaddr)
            elif not one.new & Cr3.NO_FLUSH:
                self.tlb.mov_cr3(one.new & Cr3.PCID)
        self.owed.clear()

    def _reads(self) -> int:
        """Have the process that runs read all its pages; return how many entries walks read."""
        walks = [self.tlb.access(self.kernel.control, self.start + number * PAGE_BYTES)
                 for number in range(PAGES)]
        return sum(len(done.steps) for done in walks if done is not None)

    def _misses(self) -> str:
        reads = self._reads()
        return (f"{PAGES} loads, and each needs a walk: {reads} entries of page tables were read. "
                f"The TLB keeps the translations, under PCID {self.kernel.control.cr3 & Cr3.PCID}.")

    def _hits(self) -> str:
        reads = self._reads()
        return f"The same {PAGES} loads read {reads} entries."

    def _protect(self) -> str:
        with self.kernel.invalidations() as self.owed:
            self.call(self.first, "mprotect", self.start, PAGE_BYTES, Prot.READ)
        entry = self.tlb.lookup(self.kernel.control, self.start)
        assert entry is not None
        return ("The entry in memory is read-only now. The TLB does not look there: for "
                f"{self.start:#x} it still has {cached_rights(entry.rights)}. So the kernel owes "
                "it an invalidation, and must not go back to the program before.")

    def _carry(self) -> str:
        before = len(self.tlb.sets[0])
        text = _text(self.owed[0])
        self._carry_out()
        return (f"{text} drops the one entry, and with it all that the paging-structure caches "
                f"have. {len(self.tlb.sets[0])} of {before} entries are left.")

    def _unmap(self) -> str:
        with self.kernel.invalidations() as self.owed:
            self.call(self.first, "munmap", self.start + PAGE_BYTES, 2 * PAGE_BYTES)
        count = len(self.owed)
        self._carry_out()
        return (f"{count} invalidations, before the frames are freed: else the TLB could lead to "
                f"pages that are somebody else's by then. {len(self.tlb.sets[0])} entries are "
                "left.")

    def _switch(self) -> str:
        self.tlb.access(self.kernel.control, self.start)
        self._run(self.second)
        written = self.owed[-1].new
        self._carry_out()
        reads = self._reads()
        return (f"CR3 was written with {written:#x}, PCID {written & Cr3.PCID}. Loads at the same "
                f"addresses read {reads} entries. The other process's translation of "
                f"{self.start:#x} stays in the TLB, but is not used: its PCID is another.")

    def _back(self) -> str:
        self._run(self.first)
        written = self.owed[-1].new
        self._carry_out()
        done = self.tlb.access(self.kernel.control, self.start)
        reads = len(done.steps) if done is not None else 0
        return (f"CR3 was written with {written:#x}. Bit {Cr3.NO_FLUSH.bit_length() - 1} says that "
                f"nothing is to be dropped: the load at {self.start:#x} read {reads} entries.")

    def _behind(self) -> str:
        self._run(self.second)
        self._carry_out()
        with self.kernel.invalidations() as owed, self.kernel.acting(self.first):
            self.first.mm.munmap(self.start, PAGE_BYTES)
        none = len(owed)
        self._run(self.first)
        written = self.owed[-1].new
        self._carry_out()
        left = sum(one.pcid == written & Cr3.PCID for one in self.tlb.sets[0])
        return (f"The first process lost a page while the second ran: {none} invalidations, as the "
                f"change was only counted. When it ran again, CR3 was written with {written:#x}, "
                f"without that bit: {left} entries of PCID {written & Cr3.PCID} are left.")


def _text(one: Invalidation) -> str:
    """Return an invalidation as the instruction that makes it."""
    return (f"INVLPG {one.vaddr:#x}" if one.op is InvalidateOp.INVLPG
            else f"MOV {one.new:#x} to CR3")
