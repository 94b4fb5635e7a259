"""A translation in Python: page tables by hand, a walk, its steps, and a page fault.

The golden walk needs no hardware. It sets accessed and dirty flags in the tables as it goes.
"""

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import X86_64, AccessKind, Entry

VADDR = 0x7FFF_FFFF_C2A8
ROOT, PAGE = 0x1000, 0x5000


def page_tables():
    """Return a memory in which one page, readable by users, is mapped at ``VADDR``."""
    memory = PhysicalMemory(frame_count=4)  # at most; frames 1 to 4 will hold the tables
    memory.add(range(1, 5))
    table = ROOT
    for level in X86_64.levels:
        index = VADDR >> level.shift & (1 << level.index_bits) - 1
        following = PAGE if level is X86_64.levels[-1] else table + 0x1000
        memory.write(table + 8 * index, 8, following | Entry.P | Entry.US)
        table = following
    return memory


def main():
    """Walk a read, which succeeds, and a write, which does not."""
    memory, control = page_tables(), Control(cr3=ROOT)
    read = walk(memory, X86_64, control, Access(VADDR, user=True))
    for step in read.steps:
        print(f"{step.level.name:5} at {step.paddr:#x}: {step.entry:#x}, now {step.updated:#x}")
    print(f"read:  physical address {read.paddr:#x}")
    write = walk(memory, X86_64, control, Access(VADDR, AccessKind.WRITE, user=True))
    print(f"write: #{write.fault.vector.name}, error code {write.fault.error_code:#x}")


if __name__ == "__main__":
    main()
