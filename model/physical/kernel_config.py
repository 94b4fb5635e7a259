"""What the configuration of the kernel decides about physical memory, for the two kernels modelled.

Figures are those of Linux 6.1 as Debian 12 builds it, ``linux-image-6.1.0-*-amd64`` and ``-686``.
"""

import enum
from dataclasses import dataclass

from ..x86 import PAGE_SHIFT

__all__ = ["AMD64", "CONFIGS", "I686", "MAX_DMA32_PFN", "MAX_DMA_PFN", "KernelConfig", "ZoneType"]

MAX_DMA_PFN = 16 << 20 >> PAGE_SHIFT
"""ZONE_DMA ends where an ISA device can no longer reach. [arch/x86/include/asm/dma.h]"""

MAX_DMA32_PFN = 4 << 30 >> PAGE_SHIFT
"""ZONE_DMA32 ends where a 32-bit device can no longer reach. [arch/x86/include/asm/dma.h]"""


class ZoneType(enum.Enum):
    """The kinds of zone, by the names the kernel prints. [enum zone_type, zone_names]"""

    DMA = "DMA"
    DMA32 = "DMA32"
    NORMAL = "Normal"
    HIGHMEM = "HighMem"
    MOVABLE = "Movable"
    DEVICE = "Device"


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """One kernel's fixed figures.

    Parameters
    ----------
    name
        The architecture in Debian's words.
    zones
        The zone types, lowest first: a position in it is the kernel's zone index.
    lowmem_reserve_ratio
        One ratio for each zone; the last is not used.
    numa
        Whether the kernel knows of nodes. [CONFIG_NUMA]
    pageblock_order
        log2 of the pages of a pageblock.
    page_bytes
        The size of a ``struct page``.
    section_pages
        PAGES_PER_SECTION with SPARSEMEM, 0 with FLATMEM.
    max_pfn
        The first page frame number that the kernel cannot use. [MAX_ARCH_PFN]
    maxmem
        Bytes of physical memory that the kernel can map at PAGE_OFFSET if vmalloc takes nothing; 0
        if it can map all. That is VMALLOC_END - PAGE_OFFSET, where VMALLOC_END lies two pages under
        PKMAP_BASE, and that under the LDT remap, the CPU entry areas of NR_CPUS (32) processors and
        the fixmap, each rounded down to a page directory entry.
        [arch/x86/include/asm/pgtable_32_areas.h]
    """

    name: str
    zones: tuple[ZoneType, ...]
    lowmem_reserve_ratio: tuple[int, ...]
    numa: bool
    pageblock_order: int
    page_bytes: int
    section_pages: int
    max_pfn: int
    maxmem: int = 0

    def zone_index(self, kind: ZoneType) -> int:
        """Return the kernel's number of a zone type; raise ``ValueError`` if it has none."""
        return self.zones.index(kind)


AMD64 = KernelConfig(
    name="amd64",
    zones=(ZoneType.DMA, ZoneType.DMA32, ZoneType.NORMAL, ZoneType.MOVABLE, ZoneType.DEVICE),
    lowmem_reserve_ratio=(256, 256, 32, 0, 0),
    numa=True,
    pageblock_order=9,
    page_bytes=64,
    section_pages=1 << 27 - PAGE_SHIFT,
    max_pfn=1 << 46 - PAGE_SHIFT,
)

I686 = KernelConfig(
    name="i686",
    zones=(ZoneType.DMA, ZoneType.NORMAL, ZoneType.HIGHMEM, ZoneType.MOVABLE),
    lowmem_reserve_ratio=(256, 32, 0, 0),
    numa=False,
    pageblock_order=10,
    page_bytes=40,
    section_pages=0,
    max_pfn=1 << 32 - PAGE_SHIFT,
    maxmem=0xFEBF_E000 - 0xC000_0000,
)

CONFIGS = {config.name: config for config in (AMD64, I686)}
"""The kernels by name."""
