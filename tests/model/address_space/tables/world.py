"""Page tables in a memory with a counting source of frames."""

from pagewalk.model.address_space.kernel_half.kernel_page_tables import KernelPageTables
from pagewalk.model.address_space.tables.page_tables import PageTables
from pagewalk.model.mmu.control import Access, Control
from pagewalk.model.mmu.walk import walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Efer

KERNEL_START = {IA32: 0xC000_0000, X86_64: 0xFFFF_8000_0000_0000}
DATA_PFN = 0x1000  # frames from here on hold no tables


class CountingFrames:
    """Hands out frames below DATA_PFN, each wiped, and knows which are out."""

    def __init__(self, memory: PhysicalMemory) -> None:
        self.memory = memory
        self.free = list(range(DATA_PFN - 1, 0, -1))
        self.used: set[int] = set()

    def alloc_table(self) -> int:
        pfn = self.free.pop()
        self.memory.add([pfn])
        self.memory.write_bytes(pfn << 12, bytes(4096))
        self.used.add(pfn)
        return pfn

    def free_table(self, pfn: int) -> None:
        self.used.remove(pfn)
        self.free.append(pfn)


class World:
    """The kernel's tables and those of some address spaces."""

    def __init__(self, mode, spaces: int = 1) -> None:
        self.mode = mode
        self.memory = PhysicalMemory()
        self.frames = CountingFrames(self.memory)
        start = KERNEL_START[mode]
        self.kernel = KernelPageTables(mode, self.memory, self.frames, start)
        self.spaces = [PageTables(mode, self.memory, self.frames, start, self.kernel)
                       for _ in range(spaces)]

    def walk(self, tables, vaddr, kind=AccessKind.READ, *, user=False):
        long = self.mode is X86_64
        control = Control(tables.root << 12, cr4=Cr4.PAE if long else Cr4.PSE,
                          efer=Efer.NXE if long else 0)
        return walk(self.memory, self.mode, control, Access(vaddr, kind, user=user))

    def check(self) -> None:
        self.kernel.check()
        for tables in self.spaces:
            tables.check()
        counted = sum(sum(tables.tables) for tables in [self.kernel, *self.spaces])
        assert counted == len(self.frames.used)
