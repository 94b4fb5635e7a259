"""The smallest page tables: one page at linear address 0."""

from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import Entry


def one_page(mode, flags=0):
    """Return a memory and registers that map address 0 to 0x7000, and the last entry's address."""
    memory = PhysicalMemory()
    memory.add(range(1, 1 + len(mode.levels)))
    for number in range(len(mode.levels)):
        last = number == len(mode.levels) - 1
        target = 0x7000 | flags if last else (number + 2) << 12 | Entry.A
        memory.write((number + 1) << 12, mode.entry_bytes, target | Entry.P | Entry.RW | Entry.US)
    return memory, Control(0x1000), len(mode.levels) << 12
