from dataclasses import replace

import pytest

from pagewalk.model.address_space.kernel_half.fixmap import FIXMAP_I686
from pagewalk.model.address_space.kernel_half.layout import (
    CLASSIC,
    LINUX_AMD64,
    LINUX_I686,
    Area,
    AreaKind,
    Layout,
    LayoutError,
    layout_of,
)
from pagewalk.model.physical.kernel_config import I686
from pagewalk.model.x86 import IA32

from ..linux_kernels import BOOTS, machine, page_tables, text

GIB = 1 << 30

# Each address: the boot, the file that says it, the words there, and the address.
ADDRESSES_I686 = [
    ("high_memory", "dmesg.txt", "mapped low ram: 0 - 36bfe000", 0xC000_0000 + 0x36BF_E000),
    ("high_memory", "dmesg.txt", "875MB LOWMEM available", 0xF6BF_E000),
    ("high_memory", "kernel-page-tables.txt", "direct 0x36800000 0x36bfe000", 0xF6BF_E000),
    ("IDT", "descriptor-tables.txt", "IDT=     ff400000", 0xFF40_0000),
    ("GDT", "descriptor-tables.txt", "GDT=     ff401000", 0xFF40_1000),
    ("TSS", "descriptor-tables.txt", "TR =0080 ff406000", 0xFF40_6000),
    ("FIX_APIC_BASE", "kernel-page-tables.txt", "page 0xffffc000 0xfee00000", 0xFFFF_C000),
    ("FIX_IO_APIC_BASE", "kernel-page-tables.txt", "page 0xffffb000 0xfec00000", 0xFFFF_B000),
]
# The first area of vmalloc is the first that the kernel asked for. The last is the per-processor
# area, which is taken from the top: 0xfebfe000 is VMALLOC_END, two pages under PKMAP_BASE.
ADDRESSES_I686_A = [
    ("VMALLOC_START", "vmallocinfo.txt", "0xf73fe000-0xf7400000    8192 acpi", 0xF73F_E000),
    ("VMALLOC_END", "vmallocinfo.txt", "0xfebdd000-0xfebfe000  135168 pcpu", 0xFEBF_E000),
]
ADDRESSES_AMD64 = [
    ("IDT", "descriptor-tables.txt", "IDT=     fffffe0000000000", 0xFFFF_FE00_0000_0000),
    ("GDT", "descriptor-tables.txt", "GDT=     fffffe0000001000", 0xFFFF_FE00_0000_1000),
    ("direct map", "kernel-page-tables.txt", "direct 0x0 0x200000", 0xFFFF_8880_0000_0000),
    ("vmemmap", "kernel-page-tables.txt", "page 0xffffea0000000000", 0xFFFF_EA00_0000_0000),
    ("kernel text", "kallsyms-mm.txt", "ffffffff81000000 T _text", 0xFFFF_FFFF_8100_0000),
    ("FIX_APIC_BASE", "kernel-page-tables.txt", "page 0xffffffffff5fd000 0xfee00000",
     0xFFFF_FFFF_FF5F_D000),
    ("FIX_IO_APIC_BASE", "kernel-page-tables.txt", "page 0xffffffffff5fc000 0xfec00000",
     0xFFFF_FFFF_FF5F_C000),
]
ADDRESSES_AMD64_A = [
    ("VMALLOC_START", "vmallocinfo.txt", "0xffffc90000000000-", 0xFFFF_C900_0000_0000),
    ("modules", "vmallocinfo.txt", "0xffffffffc0000000-", 0xFFFF_FFFF_C000_0000),
]
ADDRESSES = [
    *(("i686-A", *row) for row in ADDRESSES_I686 + ADDRESSES_I686_A),
    *(("i686-B", *row) for row in ADDRESSES_I686),
    *(("amd64-A", *row) for row in ADDRESSES_AMD64 + ADDRESSES_AMD64_A),
    *(("amd64-B", *row) for row in ADDRESSES_AMD64),
]


def address(layout: Layout, what: str) -> int:
    entry = layout.area(AreaKind.CPU_ENTRY).start
    by_name = {
        "high_memory": layout.high_memory,
        "VMALLOC_START": layout.vmalloc.start,
        "VMALLOC_END": layout.vmalloc.end,
        "IDT": entry,
        "GDT": entry + 0x1000,
        "TSS": entry + 0x6000,
        "direct map": layout.page_offset,
    }
    if what.startswith("FIX_"):
        return layout.fixed.address(what)
    if what == "kernel text":
        return layout.area(AreaKind.TEXT).start + (16 << 20)  # CONFIG_PHYSICAL_START
    if what in ("vmemmap", "modules"):
        return layout.area(AreaKind(what)).start
    return by_name[what]


@pytest.mark.parametrize(("boot", "what", "name", "words", "expected"), ADDRESSES)
def test_addresses_are_those_of_a_real_boot(boot, what, name, words, expected):
    assert words in text(boot, name)
    assert address(layout_of(machine(boot)), what) == expected


@pytest.mark.parametrize("boot", BOOTS)
def test_every_page_of_the_real_kernel_lies_in_its_area(boot):
    layout = layout_of(machine(boot))
    pages = page_tables(boot, "page")
    assert len(pages) >= 8
    for vaddr, _, size, kind in pages:
        area = layout.area_of(vaddr)
        assert area.kind.value.replace(" ", "-") == kind
        assert vaddr + size <= area.end


@pytest.mark.parametrize("boot", ["i686-A", "amd64-A"])
def test_every_area_of_vmallocinfo_lies_in_vmalloc_or_modules(boot):
    layout = layout_of(machine(boot))
    lines = text(boot, "vmallocinfo.txt").splitlines()
    for line in lines:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        area = layout.area_of(start)
        assert area.kind in (AreaKind.VMALLOC, AreaKind.MODULES)
        assert end <= area.end
    assert len(lines) > 25


def test_the_cpu_entry_area_of_i686_has_the_pages_that_the_kernel_mapped():
    # One page of IDT and 43 of the one processor, the last 32 of them buffers that are not there.
    kernel = layout_of(machine("i686-A"))
    area = kernel.area(AreaKind.CPU_ENTRY)
    assert (area.end - area.start) >> 12 == 1 + 32 * 43
    pages = [vaddr for vaddr, _, _, kind in page_tables("i686-A", "page")
             if kind == "cpu-entry-area"]
    assert pages[0] == area.start
    assert pages[-1] == area.start + 11 * 0x1000  # the debug store, before the buffers


def test_linux_computes_what_it_can_map_directly_from_the_areas_above():
    assert LINUX_I686.maxmem == 0x36BF_E000 == I686.maxmem - (128 << 20)
    assert LINUX_I686.maxmem >> 20 == 875
    assert LINUX_I686.pkmap_base == 0xFEC0_0000
    assert LINUX_I686.ldt_base == 0xFF00_0000
    assert LINUX_I686.cpu_entry_base == 0xFF40_0000


def test_the_classic_layout_is_that_of_the_textbooks():
    layout = CLASSIC.layout(2 * GIB >> 12)
    assert CLASSIC.maxmem == 896 << 20
    assert layout.high_memory == 0xF800_0000
    assert layout.vmalloc.start == 0xF880_0000
    assert layout.task_size == layout.page_offset == 0xC000_0000
    assert layout.pkmap_slots == 1024
    kinds = [area.kind for area in layout.areas]
    assert kinds == [AreaKind.USER, AreaKind.DIRECT_MAP, AreaKind.VMALLOC, AreaKind.PKMAP,
                     AreaKind.FIXMAP]


def test_a_small_machine_has_no_highmem_and_a_larger_vmalloc():
    layout = LINUX_I686.layout((256 << 20) >> 12)
    assert layout.high_memory == 0xD000_0000
    assert layout.vmalloc.start == 0xD080_0000
    assert layout.vmalloc.end == LINUX_I686.vmalloc_end


def test_a_larger_reserve_for_vmalloc_takes_from_the_direct_map():
    larger = replace(LINUX_I686, vmalloc_reserve=256 << 20)
    assert larger.maxmem == LINUX_I686.maxmem - (128 << 20)


def test_fewer_processors_need_a_smaller_entry_area_and_leave_more_to_map():
    fixed = replace(FIXMAP_I686, permanent=tuple(
        (name, 16 if name == "FIX_KMAP" else count) for name, count in FIXMAP_I686.permanent))
    small = replace(LINUX_I686, fixed=fixed, cpu_entry_pages=1 + 43)
    # 87 permanent slots, and 600 in all: the boot-time ones then fit in the same page table.
    assert fixed.total_start == 0xFFFF_F000 - 600 * 4096
    assert small.cpu_entry_base == 0xFFC0_0000
    assert small.maxmem == LINUX_I686.maxmem + (8 << 20)


# Documentation/x86/x86_64/mm.rst: the bases of the areas, and their last bytes.
MM_RST = [
    (AreaKind.GUARD, 0xFFFF_8000_0000_0000, 0xFFFF_87FF_FFFF_FFFF),
    (AreaKind.LDT, 0xFFFF_8800_0000_0000, 0xFFFF_887F_FFFF_FFFF),
    (AreaKind.DIRECT_MAP, 0xFFFF_8880_0000_0000, 0xFFFF_C87F_FFFF_FFFF),
    (AreaKind.VMALLOC, 0xFFFF_C900_0000_0000, 0xFFFF_E8FF_FFFF_FFFF),
    (AreaKind.VMEMMAP, 0xFFFF_EA00_0000_0000, 0xFFFF_EAFF_FFFF_FFFF),
    (AreaKind.CPU_ENTRY, 0xFFFF_FE00_0000_0000, 0xFFFF_FE7F_FFFF_FFFF),
    (AreaKind.ESPFIX, 0xFFFF_FF00_0000_0000, 0xFFFF_FF7F_FFFF_FFFF),
    (AreaKind.EFI, 0xFFFF_FFEF_0000_0000, 0xFFFF_FFFE_FFFF_FFFF),
    (AreaKind.TEXT, 0xFFFF_FFFF_8000_0000, 0xFFFF_FFFF_9FFF_FFFF),
    (AreaKind.MODULES, 0xFFFF_FFFF_A000_0000, 0xFFFF_FFFF_FEFF_FFFF),
    (AreaKind.VSYSCALL, 0xFFFF_FFFF_FF60_0000, 0xFFFF_FFFF_FF60_0FFF),
]


@pytest.mark.parametrize(("kind", "first", "last"), MM_RST)
def test_the_areas_of_amd64_are_at_the_documented_bases(kind, first, last):
    without_kaslr = replace(LINUX_AMD64, image_bytes=512 << 20)  # as the document has it
    assert without_kaslr.layout(GIB >> 12).area(kind) == Area(kind, first, last + 1)


def test_a_process_of_amd64_has_128_tbytes_less_a_guard_page():
    layout = LINUX_AMD64.layout(GIB >> 12)
    assert layout.task_size == (1 << 47) - 4096
    assert layout.area_of(layout.task_size) == Area(AreaKind.HOLE, layout.task_size, 1 << 47)


@pytest.mark.parametrize("layout", [
    CLASSIC.layout(1 << 18), LINUX_I686.layout(1 << 18), LINUX_I686.layout(1 << 14),
    LINUX_AMD64.layout(1 << 18),
], ids=["classic", "i686", "i686-64M", "amd64"])
def test_areas_and_holes_cover_all_addresses_without_overlap(layout):
    vaddr, kinds = 0, []
    while vaddr < 1 << layout.mode.vaddr_bits:
        area = layout.area_of(vaddr)
        assert area.start == vaddr
        assert area.end > vaddr
        assert layout.area_of(area.end - 1) == area
        kinds.append(area.kind)
        vaddr = area.end
    assert kinds[0] is AreaKind.USER
    assert kinds[-1] is AreaKind.HOLE


def test_a_number_that_is_no_linear_address_is_refused():
    layout = LINUX_I686.layout(1 << 18)
    with pytest.raises(LayoutError, match=r"^Linear address must have 32 bits, not be 0x100000000"):
        layout.area_of(1 << 32)
    with pytest.raises(LayoutError, match=r"^Layout linux-6.1 i686 has no vmemmap$"):
        layout.area(AreaKind.VMEMMAP)


def test_areas_that_overlap_are_refused():
    areas = (Area(AreaKind.USER, 0, 0x2000), Area(AreaKind.VMALLOC, 0x1000, 0x3000))
    with pytest.raises(LayoutError, match=r"^vmalloc at 0x1000 overlaps user, which ends"):
        Layout("bad", IA32, areas, 0, FIXMAP_I686)
