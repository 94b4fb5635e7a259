"""Where the areas of the linear address space lie: the kernel's layouts as data.

[arch/x86/include/asm/pgtable_32_areas.h, page_32_types.h; pgtable_64_types.h, page_64_types.h;
Documentation/x86/x86_64/mm.rst]
"""

import enum
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import pairwise

from ...physical.memory_map import MemoryMap
from ...x86 import IA32, LA57, PAGE_BYTES, PAGE_SHIFT, X86_64, PagingMode
from .fixmap import FIXMAP_AMD64, FIXMAP_I686, FixedAddresses

__all__ = ["CLASSIC", "LINUX_AMD64", "LINUX_I686", "LINUX_LA57", "Area", "AreaKind", "Build32",
           "Build64", "Layout", "LayoutError", "layout_of"]

VMALLOC_OFFSET = 8 << 20  # a hole that catches accesses past the end of the direct map
TB = 1 << 40


class LayoutError(ValueError):
    """An area that a layout lacks, areas that overlap, or a number that is no linear address."""


class AreaKind(enum.Enum):
    """What an area is for."""

    USER = "user"
    HOLE = "hole"
    NON_CANONICAL = "non-canonical hole"
    GUARD = "guard hole"
    LDT = "LDT remap"
    DIRECT_MAP = "direct map"
    VMALLOC = "vmalloc"
    VMEMMAP = "vmemmap"
    PKMAP = "pkmap"
    CPU_ENTRY = "cpu entry area"
    ESPFIX = "espfix"
    EFI = "EFI runtime"
    TEXT = "kernel text"
    MODULES = "modules"
    FIXMAP = "fixmap"
    VSYSCALL = "vsyscall"


@dataclass(frozen=True, slots=True)
class Area:
    """Linear addresses ``start`` up to ``end``, which is not in it, that serve one purpose."""

    kind: AreaKind
    start: int
    end: int

    def __contains__(self, vaddr: int) -> bool:
        return self.start <= vaddr < self.end


@dataclass(frozen=True)
class Layout:
    """The areas of an address space; what lies in none of them is a hole.

    Parameters
    ----------
    name
        The name of the kernel.
    mode
        The paging mode, which bounds the addresses.
    areas
        In ascending order. The direct map reaches as far as the kernel keeps addresses for it.
    high_memory
        The address where the memory that is mapped directly ends.
    fixed
        The slots of the fixmap.
    pkmap_slots
        LAST_PKMAP, 0 for a kernel without highmem.

    Raises
    ------
    LayoutError
        If areas overlap or are not in ascending order.
    """

    name: str
    mode: PagingMode
    areas: tuple[Area, ...]
    high_memory: int
    fixed: FixedAddresses
    pkmap_slots: int = 0

    def __post_init__(self) -> None:
        for below, above in pairwise(self.areas):
            if not below.start <= below.end <= above.start:
                raise LayoutError(f"{above.kind.value} at {above.start:#x} overlaps "
                                  f"{below.kind.value}, which ends at {below.end:#x}")

    def area(self, kind: AreaKind) -> Area:
        """Return the area of a kind; raise ``LayoutError`` if this layout has none."""
        for area in self.areas:
            if area.kind is kind:
                return area
        raise LayoutError(f"Layout {self.name} has no {kind.value}")

    def area_of(self, vaddr: int) -> Area:
        """Return the area that ``vaddr`` is in, holes included.

        Raise ``LayoutError`` for a number that is not a linear address.
        """
        top = 1 << self.mode.vaddr_bits
        if not 0 <= vaddr < top:
            raise LayoutError(f"Linear address must have {self.mode.vaddr_bits} bits, "
                              f"not be {vaddr:#x}")
        after = bisect_right(self.areas, vaddr, key=lambda area: area.start)
        below = self.areas[after - 1] if after else Area(AreaKind.HOLE, 0, 0)
        if vaddr in below:
            return below
        end = self.areas[after].start if after < len(self.areas) else top
        return Area(AreaKind.HOLE, below.end, end)

    @property
    def task_size(self) -> int:
        """TASK_SIZE_MAX: where a process's addresses end."""
        return self.area(AreaKind.USER).end

    @property
    def page_offset(self) -> int:
        """PAGE_OFFSET: where physical address 0 is mapped."""
        return self.area(AreaKind.DIRECT_MAP).start

    @property
    def vmalloc(self) -> Area:
        """VMALLOC_START to VMALLOC_END."""
        return self.area(AreaKind.VMALLOC)


@dataclass(frozen=True, slots=True)
class Build32:
    """The figures of a 32-bit kernel that its layout follows from, in bytes unless said.

    From the top of the address space down lie the fixmap, the processors' entry areas, the remapped
    LDTs, pkmap and vmalloc, each rounded down to what one page-directory entry maps.

    Parameters
    ----------
    name, page_offset, fixed
        The name, PAGE_OFFSET, and the fixmap.
    cpu_entry_pages
        Pages of all entry areas and of the IDT; 0 for a kernel without entry areas and LDT remap.
    pkmap_slots
        LAST_PKMAP.
    vmalloc_reserve
        What vmalloc has at least.
    reserves_from_top
        Whether the kernel counts that from 4 Gbytes down, whatever else lies there, and not from
        VMALLOC_END.
    """

    name: str
    page_offset: int = 0xC000_0000
    fixed: FixedAddresses = FIXMAP_I686
    cpu_entry_pages: int = 0
    pkmap_slots: int = 1024
    vmalloc_reserve: int = 128 << 20
    reserves_from_top: bool = False

    def _down(self, vaddr: int, pages: int) -> int:
        return (vaddr - (pages << PAGE_SHIFT)) & -IA32.levels[0].page_bytes

    @property
    def cpu_entry_base(self) -> int:
        """CPU_ENTRY_AREA_BASE."""
        return self._down(self.fixed.total_start, self.cpu_entry_pages)

    @property
    def ldt_base(self) -> int:
        """LDT_BASE_ADDR, which is one page-directory entry wide."""
        return self._down(self.cpu_entry_base, 1)

    @property
    def pkmap_base(self) -> int:
        """PKMAP_BASE, under the LDTs, or under the fixmap in a kernel without entry areas."""
        if self.cpu_entry_pages:
            return self._down(self.ldt_base, 1)
        return self._down(self.fixed.total_start, self.pkmap_slots + 1)

    @property
    def vmalloc_end(self) -> int:
        """VMALLOC_END: two pages under pkmap."""
        return self.pkmap_base - 2 * PAGE_BYTES

    @property
    def maxmem(self) -> int:
        """MAXMEM: as much memory as can be mapped directly."""
        end = 1 << 32 if self.reserves_from_top else self.vmalloc_end
        return end - self.page_offset - self.vmalloc_reserve

    def layout(self, max_pfn: int) -> Layout:
        """Return the layout on a machine whose memory ends at page frame ``max_pfn``.

        What is above MAXMEM is highmem and has no address in the direct map.
        """
        high_memory = self.page_offset + min(self.maxmem, max_pfn << PAGE_SHIFT)
        areas = [
            Area(AreaKind.USER, 0, self.page_offset),
            Area(AreaKind.DIRECT_MAP, self.page_offset, high_memory),
            Area(AreaKind.VMALLOC, high_memory + VMALLOC_OFFSET, self.vmalloc_end),
            Area(AreaKind.PKMAP, self.pkmap_base,
                 self.pkmap_base + (self.pkmap_slots << PAGE_SHIFT)),
        ]
        if self.cpu_entry_pages:
            entry_end = self.cpu_entry_base + (self.cpu_entry_pages << PAGE_SHIFT)
            areas += [Area(AreaKind.LDT, self.ldt_base,
                           self.ldt_base + IA32.levels[0].page_bytes),
                      Area(AreaKind.CPU_ENTRY, self.cpu_entry_base, entry_end)]
        areas.append(Area(AreaKind.FIXMAP, self.fixed.total_start, self.fixed.top))
        return Layout(self.name, IA32, tuple(areas), high_memory, self.fixed, self.pkmap_slots)


# struct cpu_entry_area: GDT, guard, entry stack, guard, double-fault stack, the TSS with its I/O
# bitmaps (5), debug store (1), its two buffers (16 each): for each of NR_CPUS (32) processors.
LINUX_I686 = Build32("linux-6.1 i686", cpu_entry_pages=1 + 32 * (5 + 5 + 1 + 2 * 16))
"""Debian's Linux 6.1 for i686: 875 MiB of direct map at most."""

CLASSIC = Build32("classic", reserves_from_top=True)
"""The layout of textbooks: 896 MiB of direct map, up to 0xF8000000; Linux 2.6 had it.

[MAXMEM of 2.6: -PAGE_OFFSET - VMALLOC_RESERVE]
"""


@dataclass(frozen=True, slots=True)
class Build64:
    """The figures of a 64-bit kernel with four or five levels that runs without KASLR.

    ``image_bytes`` is KERNEL_IMAGE_SIZE, where modules begin: 1 Gbyte in a kernel built with KASLR,
    even if booted with nokaslr, and 512 Mbytes, the figure of mm.rst, in one built without.
    """

    name: str
    fixed: FixedAddresses = FIXMAP_AMD64
    image_bytes: int = 1 << 30
    mode: PagingMode = X86_64

    def layout(self, max_pfn: int) -> Layout:
        """Return the layout on a machine whose memory ends at page frame ``max_pfn``."""
        text = 0xFFFF_FFFF_8000_0000
        modules = text + self.image_bytes
        vsyscall = self.fixed.address("VSYSCALL_PAGE")
        half = 1 << self.mode.translated_bits - 1
        guard = (1 << 64) - half
        areas = (
            Area(AreaKind.USER, 0, half - PAGE_BYTES),  # TASK_SIZE_MAX leaves a guard page
            Area(AreaKind.NON_CANONICAL, half, guard),
            *(_FIVE_LEVELS if self.mode is LA57 else _FOUR_LEVELS),
            _sized(AreaKind.CPU_ENTRY, 0xFFFF_FE00_0000_0000, TB // 2),
            _sized(AreaKind.ESPFIX, 0xFFFF_FF00_0000_0000, TB // 2),
            _sized(AreaKind.EFI, 0xFFFF_FFEF_0000_0000, 64 << 30),
            Area(AreaKind.TEXT, text, modules),
            Area(AreaKind.MODULES, modules, 0xFFFF_FFFF_FF00_0000),
            Area(AreaKind.FIXMAP, self.fixed.total_start, vsyscall),
            _sized(AreaKind.VSYSCALL, vsyscall, PAGE_BYTES),
        )
        direct_map = next(area for area in areas if area.kind is AreaKind.DIRECT_MAP)
        high_memory = direct_map.start + (max_pfn << PAGE_SHIFT)
        return Layout(self.name, self.mode, areas, high_memory, self.fixed)


def _sized(kind: AreaKind, start: int, byte_count: int) -> Area:
    return Area(kind, start, start + byte_count)


# What of the layout depends on the number of levels, from the guard hole of a hypervisor on.
_FOUR_LEVELS = (
    _sized(AreaKind.GUARD, 0xFFFF_8000_0000_0000, 8 * TB),
    _sized(AreaKind.LDT, 0xFFFF_8800_0000_0000, TB // 2),
    _sized(AreaKind.DIRECT_MAP, 0xFFFF_8880_0000_0000, 64 * TB),
    _sized(AreaKind.VMALLOC, 0xFFFF_C900_0000_0000, 32 * TB),
    _sized(AreaKind.VMEMMAP, 0xFFFF_EA00_0000_0000, TB),
)
_FIVE_LEVELS = (
    _sized(AreaKind.GUARD, 0xFF00_0000_0000_0000, 4096 * TB),
    _sized(AreaKind.LDT, 0xFF10_0000_0000_0000, 256 * TB),
    _sized(AreaKind.DIRECT_MAP, 0xFF11_0000_0000_0000, 32768 * TB),
    _sized(AreaKind.VMALLOC, 0xFFA0_0000_0000_0000, 12800 * TB),
    _sized(AreaKind.VMEMMAP, 0xFFD4_0000_0000_0000, 512 * TB),
)

LINUX_AMD64 = Build64("linux-6.1 amd64")
"""Debian's Linux 6.1 for amd64, booted with nokaslr."""

LINUX_LA57 = Build64("linux-6.1 amd64, 5 levels", mode=LA57)
"""The same kernel on a processor with five levels, where its figures are known; it boots no machine
of the model."""


def layout_of(machine: MemoryMap) -> Layout:
    """Return the layout of ``machine`` under the kernel that it is to run.

    [find_low_pfn_range, initmem_init]
    """
    max_low_pfn, _ = machine.lowmem_limit
    if not machine.config.maxmem:
        return LINUX_AMD64.layout(max_low_pfn)
    build = replace(LINUX_I686, vmalloc_reserve=machine.options.vmalloc_bytes)
    return build.layout(max_low_pfn)
