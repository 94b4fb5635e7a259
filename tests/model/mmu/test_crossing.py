"""Accesses of several bytes: which pages are walked, which faults, and what flags are set."""

import pytest

from pagewalk.model.mmu.crossing import second_vaddr, walk_pages
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, LA57, X86_64, AccessKind, Cr0, Entry, Vector

WRITE = AccessKind.WRITE
CLEAN = Entry.P | Entry.RW | Entry.US
CONTROL = Control(1 << 12)
MODES = pytest.mark.parametrize("mode", [X86_64, IA32, LA57], ids=lambda mode: mode.name)


def mapped(mode, pages):
    """Return memory that maps each address to a frame, by flags, and the leaves' addresses."""
    memory, leaves, size = PhysicalMemory(), {}, mode.entry_bytes
    memory.add([1])
    for vaddr, entry in pages.items():
        table = 1 << 12
        for level in mode.levels:
            address = table + (vaddr >> level.shift & (1 << level.index_bits) - 1) * size
            if level is mode.levels[-1]:
                memory.write(address, size, entry)
                leaves[vaddr] = address
            elif not memory.read(address, size):
                memory.add([len(memory) + 1])
                memory.write(address, size, len(memory) << 12 | CLEAN)
            table = memory.read(address, size) & 0xFFFF_F000
    return memory, leaves


@pytest.mark.parametrize(("vaddr", "size", "second"), [
    (0x5000, 4096, None), (0x5001, 4096, 0x6000), (0x5FFF, 1, None), (0x5FFF, 2, 0x6000),
    (0x5FF8, 8, None), (0x5FF8, 10, 0x6000), (0x5FFA, 6, None), (0x5FFB, 6, 0x6000)])
def test_what_ends_behind_its_page_crosses(vaddr, size, second):
    assert second_vaddr(X86_64, CONTROL, Access(vaddr, size=size)) == second


@pytest.mark.parametrize(("mode", "vaddr", "cr0", "second"), [
    (IA32, 0xFFFF_FFFF, Cr0.PG, 0), (X86_64, (1 << 64) - 1, Cr0.PG, 0),
    (X86_64, 0xFFFF_FFFF, Cr0.PG, 1 << 32), (X86_64, 0xFFFF_FFFF, 0, 0)],
    ids=lambda value: getattr(value, "name", value))
def test_behind_the_last_address_comes_the_first(mode, vaddr, cr0, second):
    assert second_vaddr(mode, Control(0, cr0=cr0), Access(vaddr, size=2)) == second


@MODES
def test_both_pages_get_the_flags_of_the_access(mode):
    memory, leaves = mapped(mode, {0x5000: 0x7000 | CLEAN, 0x6000: 0x3000 | CLEAN})
    found = walk_pages(memory, mode, CONTROL, Access(0x5FFC, WRITE, size=8))
    assert found.fault is None
    assert (found.first.paddr, found.second.paddr) == (0x7FFC, 0x3000)
    flags = [memory.read(leaf, mode.entry_bytes) & (Entry.A | Entry.D) for leaf in leaves.values()]
    assert flags == [Entry.A | Entry.D] * 2


@MODES
@pytest.mark.parametrize(("first", "second", "cr2", "flags"), [
    (CLEAN & ~Entry.RW, 0, 0x5FFC, [0, 0]),
    (CLEAN & ~Entry.RW, CLEAN, 0x5FFC, [0, 0]),
    (CLEAN, CLEAN & ~Entry.RW, 0x6000, [Entry.A | Entry.D, 0]),
    (CLEAN, 0, 0x6000, [Entry.A | Entry.D, 0])])
def test_the_first_page_is_judged_first_and_the_flags_it_got_stay(mode, first, second, cr2, flags):
    memory, leaves = mapped(mode, {0x5000: 0x7000 | first, 0x6000: second and 0x3000 | second})
    found = walk_pages(memory, mode, CONTROL, Access(0x5FFC, WRITE, user=True, size=8))
    assert (found.fault.vector, found.fault.vaddr) == (Vector.PF, cr2)
    assert (found.second is None) == (cr2 == 0x5FFC)
    assert [memory.read(leaf, mode.entry_bytes) & (Entry.A | Entry.D)
            for leaf in leaves.values()] == flags


@pytest.mark.parametrize(("mode", "last"), [
    (X86_64, 0x7FFF_FFFF_FFFF), (LA57, 0xFF_FFFF_FFFF_FFFF)], ids=["x86_64", "la57"])
@pytest.mark.parametrize("stack", [False, True])
def test_an_end_that_is_not_canonical_comes_before_any_page_fault(mode, last, stack):
    memory, _ = mapped(mode, {})
    found = walk_pages(memory, mode, CONTROL, Access(last, stack=stack, size=2))
    assert found.first is None
    assert found.fault.vector is (Vector.SS if stack else Vector.GP)
    assert found.fault.vaddr == last + 1
    alone = walk_pages(memory, mode, CONTROL, Access(last, stack=stack))
    assert alone.fault.vector is Vector.PF


@pytest.mark.parametrize("size", [0, -1, 4097])
def test_a_size_is_from_1_to_a_page(size):
    with pytest.raises(ValueError, match=f"^Access size must be from 1 to 4096 bytes, not {size}$"):
        Access(0, size=size)


def test_a_size_is_an_integer():
    with pytest.raises(TypeError, match=r"^Access size must be an integer, not '4'$"):
        Access(0, size="4")
