"""mmap, mprotect, munmap and brk: how mappings merge and are cut."""

from collections.abc import Sequence

from ...model.address_space.exec_layout import Program, ProgramHeader
from ...model.address_space.uapi import MapFlag, Prot
from ...model.address_space.vma import File
from ...model.x86 import PAGE_BYTES
from .process_tour import ProcessTour
from .tour_step import Act, Block

__all__ = ["MmapTour"]

RW = Prot.READ | Prot.WRITE
PRIVATE = MapFlag.PRIVATE | MapFlag.ANONYMOUS
PAGES = 4
TEXT = 0x40_0000


class MmapTour(ProcessTour):
    """A program that maps memory: only its mappings change, there is no page yet.

    Members
    -------
    process
        The program.
    """

    def __init__(self) -> None:
        super().__init__()
        program = Program(File("/bin/tour"), [
            ProgramHeader(0, TEXT, PAGE_BYTES, PAGE_BYTES, Prot.READ | Prot.EXEC),
            ProgramHeader(0, TEXT + PAGE_BYTES, PAGE_BYTES, PAGE_BYTES, RW)])
        self.process = self.kernel.spawn("tour", program)
        self.heap = self.process.mm.brk_end

    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""
        return (("mmap", self._map), ("A second one below", self._merge),
                ("mprotect cuts", self._protect), ("mprotect joins", self._join),
                ("munmap makes a hole", self._unmap), ("brk", self._brk),
                ("brk goes back", self._shrink))

    def blocks(self) -> tuple[Block, ...]:
        """Return the mappings."""
        return (self.maps(self.process),)

    def _call(self, name: str, *arguments: int) -> int:
        return self.call(self.process, name, *arguments)

    def _count(self) -> int:
        return self.process.mm.map_count

    def _map(self) -> str:
        self.start = self._call("mmap", 0, PAGES * PAGE_BYTES, RW, PRIVATE, -1, 0)
        return (f"The kernel chose the place: {PAGES} pages at {self.start:#x}, as high as "
                f"possible below the stack. The process has {self._count()} mappings.")

    def _merge(self) -> str:
        below = self._call("mmap", 0, PAGES * PAGE_BYTES, RW, PRIVATE, -1, 0)
        vma = self.process.mm.find_vma(below)
        assert vma is not None
        pages = (vma.end - vma.start) // PAGE_BYTES
        text = (f"The next {PAGES} pages are at {below:#x}, right below, with the same rights: the "
                f"two are one mapping, of {pages} pages.")
        self.start = below
        return text

    def _protect(self) -> str:
        before = self._count()
        self.cut = self.start + 2 * PAGE_BYTES
        self._call("mprotect", self.cut, PAGE_BYTES, Prot.READ)
        return (f"A page in the middle, {self.cut:#x}, is read-only now. A mapping has one set of "
                f"rights, so it was cut: {self._count()} mappings in place of {before}.")

    def _join(self) -> str:
        before = self._count()
        self._call("mprotect", self.cut, PAGE_BYTES, RW)
        return (f"With the old rights back the parts are one again: {before} mappings became "
                f"{self._count()}.")

    def _unmap(self) -> str:
        self._call("munmap", self.cut, PAGE_BYTES)
        vma = self.process.mm.find_vma(self.start)
        after = self.process.mm.find_vma(self.cut)
        assert vma is not None
        assert after is not None
        return (f"The mapping ends at {vma.end:#x} now, and another begins at {after.start:#x}: "
                f"{after.start - vma.end} bytes between them are nobody's.")

    def _brk(self) -> str:
        end = self._call("brk", self.heap + 3 * PAGE_BYTES)
        return (f"The heap begins at {self.heap:#x}, behind the program's data. Its end was moved "
                f"to {end:#x}: {(end - self.heap) // PAGE_BYTES} pages.")

    def _shrink(self) -> str:
        before = self.process.mm.brk_end
        end = self._call("brk", self.heap)
        return f"{(before - end) // PAGE_BYTES} pages went; the mapping of the heap is gone."
