"""Names of areas: those of Linux's own layout, moved as KASLR moves them."""

from pathlib import Path

import pytest

from pagewalk.model.x86 import IA32, LA57, X86_64
from pagewalk.sim.mapping.kernel_regions import kernel_layout
from pagewalk.sim.mapping.page_list import pages_of
from pagewalk.sim.mapping.rights_range import RightsRange, merged
from pagewalk.sim.mapping.table_tree import TableTree
from pagewalk.sim.memory_file.open_memory import open_memory

DUMPS = Path(__file__).parents[2] / "data" / "dumps"
LARGE = 2 << 20


def names(mode, ranges, addresses):
    layout = kernel_layout(mode, ranges)
    return [layout.area_of(vaddr).kind.value for vaddr in addresses]


@pytest.mark.parametrize(("mode", "vaddr", "name"), [
    (X86_64, 0x40_0000, "user"), (X86_64, 0xFFFF_8880_0000_0000, "direct map"),
    (X86_64, 0xFFFF_C900_0000_0000, "vmalloc"), (X86_64, 0xFFFF_EA00_0000_0000, "vmemmap"),
    (X86_64, 0xFFFF_FFFF_8100_0000, "kernel text"), (X86_64, 0xFFFF_FFFF_C000_0000, "modules"),
    (X86_64, 0xFFFF_FF00_0000_0000, "espfix"), (X86_64, 0xFFFF_FFFF_FF60_0000, "vsyscall"),
    # Documentation/x86/x86_64/mm.rst, with five levels
    (LA57, 0x00FF_FFFF_FFFF_E000, "user"), (LA57, 0xFF10_0000_0000_0000, "LDT remap"),
    (LA57, 0xFF11_0000_0000_0000, "direct map"), (LA57, 0xFF90_FFFF_FFFF_F000, "direct map"),
    (LA57, 0xFFA0_0000_0000_0000, "vmalloc"), (LA57, 0xFFD1_FFFF_FFFF_F000, "vmalloc"),
    (LA57, 0xFFD4_0000_0000_0000, "vmemmap"), (LA57, 0xFFD5_FFFF_FFFF_F000, "vmemmap"),
    (LA57, 0xFFFF_FE00_0000_0000, "cpu entry area"),
])
def test_areas_that_did_not_move(mode, vaddr, name):
    assert names(mode, [], [vaddr]) == [name]


def test_areas_that_kaslr_moved():
    base, vmalloc, vmemmap = 0xFFFF_9A40_4000_0000, 0xFFFF_AE12_8000_0000, 0xFFFF_F3C0_C000_0000
    ranges = [RightsRange(base + 0x1000, base + 0x9000, 4096, 1, 0x1000),
              RightsRange(base + LARGE, base + 8 * LARGE, LARGE, 1, LARGE),
              RightsRange(vmalloc + 0x3000, vmalloc + 0x4000, 4096, 1, 0x77000),
              RightsRange(vmemmap, vmemmap + LARGE, LARGE, 1, 0x7000000)]
    assert names(X86_64, ranges, [one.start for one in ranges]) == [
        "direct map", "direct map", "vmalloc", "vmemmap"]


def test_32_bit_lowmem_ends_with_the_direct_map():
    base = 0xC000_0000
    ranges = [RightsRange(0x8048000, 0x8049000, 4096, 7, 0x5000),
              RightsRange(base, base + 0x100000, 4096, 5, 0),
              RightsRange(base + 0x100000, base + (80 << 20), 4096, 7, 0x100000),
              RightsRange(base + (88 << 20), base + (89 << 20), 4096, 5, 0x9000)]
    assert names(IA32, ranges, [0x8048000, base, base + (79 << 20), base + (84 << 20),
                                base + (88 << 20)]) == [
        "user", "direct map", "direct map", "hole", "vmalloc"]


@pytest.mark.slow
@pytest.mark.parametrize(("guest", "cpu", "expected"), [
    ("amd64", 0, {"user", "direct map", "vmalloc", "vmemmap", "cpu entry area", "espfix",
                  "kernel text", "modules", "fixmap"}),
    ("amd64-la57", 1, {"user", "direct map", "vmalloc", "vmemmap", "cpu entry area", "espfix",
                       "kernel text", "modules", "fixmap"}),
    ("i686", 0, {"user", "direct map", "vmalloc", "cpu entry area", "fixmap"}),
])
def test_all_that_a_guest_maps_has_a_name(guest, cpu, expected):
    file = open_memory(DUMPS / f"{guest}.kdump.xz")
    tree = TableTree(file, file.cpus[cpu])
    ranges = [*merged(pages_of(tree))]
    layout = kernel_layout(tree.mode, ranges)
    assert {layout.area_of(one.start).kind.value for one in ranges} == expected
    assert all(one.start - one.paddr == layout.page_offset for one in ranges
               if layout.area_of(one.start).kind.value == "direct map")
