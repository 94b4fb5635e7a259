"""Page tables for one linear address, so that a test of the walk reads like its rule."""

from dataclasses import replace

import pytest

from pagewalk.model.mmu.walk import Access, Control, Walk, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, LA57, X86_64, AccessKind, Cr0, Cr4, Efer, Entry, Vector

ROOT = 0x10_0000  # the tables follow each other from here, one frame each
TABLE_BYTES = 0x1000

# By shape: the mode, a linear address whose index and offset differ at every level, a page that
# is aligned for every page size, and the registers that software in this mode would have set.
MODES = {
    "ia32": (IA32, 0xC1B3_D4E8, 0x8140_0000, Cr4.PSE, 0),
    "x86_64": (X86_64, 0x7F5A_C1B3_D4E8, 0x12_C000_0000, Cr4.PAE, Efer.LME | Efer.LMA | Efer.NXE),
    "la57": (LA57, 0x5A_7F5A_C1B3_D4E8, 0x12_C000_0000, Cr4.PAE | Cr4.LA57,
             Efer.LME | Efer.LMA | Efer.NXE),
}
LEAVES = {"4K": "PTE", "4M": "PDE", "2M": "PDE", "1G": "PDPTE"}


class Tables:
    """Page tables that map ``vaddr`` to ``page``, with every right, and the registers beside them.

    ``tables["PDE"]`` is the entry of that level as it lies in memory. The levels that the walk
    passes are ``levels``, the root first and the ``leaf`` last.
    """

    def __init__(self, shape: str) -> None:
        mode, size = shape.split("-")
        self.mode, self.vaddr, self.page, self.cr4, self.efer = MODES[mode]
        self.cr0, self.pkru, self.cr3, self.paddr_bits = Cr0.PG | Cr0.WP, 0, ROOT, 40
        self.leaf = LEAVES[size]
        names = [level.name for level in self.mode.levels]
        self.levels = names[: names.index(self.leaf) + 1]
        self.memory = PhysicalMemory()
        for depth, name in enumerate(self.levels):
            self.memory.add([(ROOT >> 12) + depth])
            self[name] = (ROOT + (depth + 1) * TABLE_BYTES) | Entry.P | Entry.RW | Entry.US
        large = Entry.PS if self.leaf != "PTE" else 0
        self[self.leaf] = self.page | large | Entry.P | Entry.RW | Entry.US

    def __getitem__(self, name: str) -> int:
        return self.memory.read(self.entry_paddr(name), self.mode.entry_bytes)

    def __setitem__(self, name: str, entry: int) -> None:
        self.memory.write(self.entry_paddr(name), self.mode.entry_bytes, entry)

    def entry_paddr(self, name: str) -> int:
        depth = [level.name for level in self.mode.levels].index(name)
        level = self.mode.levels[depth]
        index = self.vaddr >> level.shift & ((1 << level.index_bits) - 1)
        return ROOT + depth * TABLE_BYTES + index * self.mode.entry_bytes

    def move_to(self, vaddr: int) -> None:
        """Map ``vaddr`` by the same entries."""
        entries, self.vaddr = self.entries, vaddr
        for name, entry in zip(self.levels, entries, strict=True):
            self[name] = entry

    @property
    def entries(self) -> list[int]:
        """The entries that the walk reads, the root's first."""
        return [self[name] for name in self.levels]

    @property
    def offset(self) -> int:
        """Where in its page ``vaddr`` lies."""
        return self.vaddr & (self.mode.levels[len(self.levels) - 1].page_bytes - 1)

    def access(self, kind: AccessKind, **how: bool) -> Walk:
        control = Control(self.cr3, self.cr0, self.cr4, self.efer, self.pkru)
        access = replace(Access(self.vaddr, kind), **how)
        return walk(self.memory, self.mode, control, access, self.paddr_bits)

    def error(self, kind: AccessKind, **how: bool) -> int | None:
        """Access ``vaddr``; return the error code of the page fault, or None without a fault."""
        fault = self.access(kind, **how).fault
        assert fault is None or fault.vector is Vector.PF
        return None if fault is None else fault.error_code

    def read(self, **how: bool) -> int | None:
        return self.error(AccessKind.READ, **how)

    def write(self, **how: bool) -> int | None:
        return self.error(AccessKind.WRITE, **how)

    def fetch(self, **how: bool) -> int | None:
        return self.error(AccessKind.FETCH, **how)


@pytest.fixture(params=["ia32-4K", "ia32-4M", "x86_64-4K", "x86_64-2M", "x86_64-1G",
                        "la57-4K", "la57-1G"])
def tables(request: pytest.FixtureRequest) -> Tables:
    """Fresh tables of every shape; a test that parametrizes ``tables`` indirectly has fewer."""
    return Tables(request.param)
