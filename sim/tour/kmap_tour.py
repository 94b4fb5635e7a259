"""kmap: how a 32-bit kernel reaches memory that its address space has no room for."""

from collections.abc import Sequence

from ...model.address_space.uapi import MapFlag, Prot
from ...model.kernel.tlb_flush import Invalidation
from ...model.x86 import IA32, PAGE_BYTES, PAGE_SHIFT
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["KmapTour"]

MEMORY_BYTES, PAGES = 1 << 30, 2


class KmapTour(ProcessTour):
    """A machine with highmem, and pages there that the kernel wants to see.

    Members
    -------
    pfns
        The frames of the process, in highmem.
    """

    def __init__(self) -> None:
        super().__init__(IA32, MEMORY_BYTES)
        self.map = self.kernel.map
        assert self.map.pkmap is not None
        self.pkmap = self.map.pkmap
        self.process = self.kernel.spawn("tour")
        self.pfns: list[int] = []
        self.local: list[int] = []

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("Two pages of a process", self._take), ("kmap", self._kmap),
                ("kmap of the other", self._other), ("kunmap", self._kunmap),
                ("kmap once more", self._again), ("kmap_local_page", self._local),
                ("A second one within", self._nested), ("Both are given back", self._unlocal),
                ("The window is flushed", self._flush))

    def blocks(self) -> tuple[Block, ...]:
        """Return the shares of highmem, and what the window of kmap maps."""
        used = [(slot, count) for slot, count in enumerate(self.pkmap.counts) if count]
        lines = "".join(
            f"slot {slot}: {self.pkmap.base + (slot << PAGE_SHIFT):#010x}, count {count}\n"
            for slot, count in used)
        local = "".join(f"{vaddr:#010x}\n" for vaddr in self.local)
        return (self.meminfo("MemTotal", "HighTotal", "HighFree", "LowTotal", "LowFree"),
                Block("pkmap_count", lines), Block("kmap_local", local))

    def _take(self) -> str:
        start = self.call(self.process, "mmap", 0, PAGES * PAGE_BYTES, Prot.READ | Prot.WRITE,
                          MapFlag.PRIVATE | MapFlag.ANONYMOUS, -1, 0)
        for vaddr in range(start, start + PAGES * PAGE_BYTES, PAGE_BYTES):
            self.store(self.process, vaddr, 1)
            leaf = self.process.space.tables.lookup(vaddr)
            assert leaf is not None
            self.pfns.append(self.kernel.state.format.pfn(leaf.entry))
        with self.kernel.invalidations() as owed:
            owed.clear()  # of the switch to the process: what follows is about kmap alone
        low = self.map.direct.max_low_pfn
        return (f"Frames {self.pfns[0]:#x} and {self.pfns[1]:#x}, of highmem. The direct map ends "
                f"with frame {low - 1:#x}, {low >> 20 - PAGE_SHIFT} Mbytes: the kernel has no "
                "address for what is above.")

    def _kmap(self) -> str:
        address = self.map.kmap(self.pfns[0])
        return (f"Frame {self.pfns[0]:#x} is at {address:#x} now, in a window of "
                f"{len(self.pkmap.counts)} pages from {self.pkmap.base:#x} on. A slot's count is "
                "one more than its users.")

    def _other(self) -> str:
        address = self.map.kmap(self.pfns[1])
        return f"Frame {self.pfns[1]:#x} is at {address:#x}: slots are used in turn."

    def _kunmap(self) -> str:
        with self.kernel.invalidations() as owed:
            self.map.kunmap(self.pfns[0])
        return (f"Nobody uses frame {self.pfns[0]:#x}, yet it stays mapped, with a count of 1, and "
                f"{len(owed)} invalidations are needed: the TLB is flushed for many slots at once, "
                "later.")

    def _again(self) -> str:
        before = self.map.page_address(self.pfns[0])
        address = self.map.kmap(self.pfns[0])
        assert before == address
        return f"It is still there, at {address:#x}: no entry was written."

    def _enter(self, pfn: int) -> int:
        vaddr = self.map.kmap_local(pfn)
        self.local.append(vaddr)
        return vaddr

    def _local(self) -> str:
        vaddr = self._enter(self.pfns[0])
        return (f"For a short use a processor has slots of its own, in the fixmap: frame "
                f"{self.pfns[0]:#x} is at {vaddr:#x}, too.")

    def _nested(self) -> str:
        vaddr = self._enter(self.pfns[1])
        return (f"They are a stack, which grows down: {vaddr:#x}, {self.local[0] - vaddr} bytes "
                "below.")

    def _unlocal(self) -> str:
        with self.kernel.invalidations() as owed:
            while self.local:
                self.map.kunmap_local(self.local.pop())
        return f"The last first. Each is flushed at once: {_words(owed)}."

    def _flush(self) -> str:
        for pfn in self.pfns:
            self.map.kunmap(pfn)
        with self.kernel.invalidations() as owed:
            self.pkmap.flush_unused()
        mapped = sum(map(bool, self.pkmap.counts))
        return (f"This is done when the last slot was handed out. {mapped} slots are mapped now. "
                f"The window is more than a few pages, so the whole TLB goes: {_words(owed)}.")


def _words(owed: Sequence[Invalidation]) -> str:
    return ", ".join(f"INVLPG {one.vaddr:#x}" if one.op.name == "INVLPG" else
                     f"MOV to {one.op.name[4:]} of {one.new:#x}" for one in owed)
