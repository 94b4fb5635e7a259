"""The kernel half: every address space sees what any of them mapped."""

import pytest

from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import IA32, X86_64, Entry

from ..tables.world import DATA_PFN, World

MODES = [IA32, X86_64]
KERNEL = Entry.P | Entry.RW | Entry.A | Entry.D
PAGE = 4096


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_every_space_sees_kernel_pages_mapped_later(mode):
    world = World(mode, spaces=3)
    start = world.kernel.kernel_start
    if mode is X86_64:
        world.kernel.preallocate(start, start + (4 << 39))
    for number in (0, 1, 1024, 5000):
        world.kernel.map(start + number * PAGE, DATA_PFN + number, KERNEL)
    for tables in [world.kernel, *world.spaces]:
        for number in (0, 1, 1024, 5000):
            vaddr = start + number * PAGE
            assert world.walk(tables, vaddr).paddr == DATA_PFN + number << 12
            fault = world.walk(tables, vaddr, user=True).fault
            assert fault.error_code == 5
    world.check()
    with pytest.raises(ValueError, match="is not the kernel's"):
        world.kernel.map(0, DATA_PFN, KERNEL)


def test_ia32_writes_new_root_entries_to_every_root():
    world = World(IA32, spaces=2)
    world.kernel.map(0xF000_0000, DATA_PFN, KERNEL)
    root = world.spaces[1].root
    world.memory.write((root << 12) + 0x3C0 * 4, 4, 0)  # a root that was passed over
    with pytest.raises(BrokenInvariant, match="another kernel half"):
        world.kernel.check()
