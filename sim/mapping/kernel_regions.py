"""Which areas of Linux an address space has: the layout of Linux 6.1, moved where KASLR put it.

[Documentation/x86/x86_64/mm.rst; arch/x86/mm/kaslr.c: kernel_randomize_memory]
"""

from collections.abc import Sequence
from dataclasses import replace

from ...model.address_space.kernel_half.layout import (
    LINUX_AMD64,
    LINUX_I686,
    LINUX_LA57,
    Area,
    AreaKind,
    Layout,
)
from ...model.x86 import IA32, LA57, PAGE_SHIFT, PagingMode
from .rights_range import RightsRange

__all__ = ["kernel_layout"]

PUD_BYTES = 1 << 30  # what KASLR moves areas by
LARGE = 2 << 20  # pages of the vmemmap


def kernel_layout(mode: PagingMode, ranges: Sequence[RightsRange]) -> Layout:
    """Return the layout of the kernel that made these mappings, ``ranges`` in ascending order.

    With 32 bits the direct map reaches as far as addresses follow physical ones. With 64 bits
    direct map, vmalloc and vmemmap are found by what is mapped there, as KASLR moves them.
    """
    if mode is IA32:
        return LINUX_I686.layout((_end_of_lowmem(ranges) - LINUX_I686.page_offset) >> PAGE_SHIFT)
    layout = (LINUX_LA57 if mode is LA57 else LINUX_AMD64).layout(0)
    found = _bases(layout, ranges)
    return replace(layout, areas=tuple(found.get(area.kind, area) for area in layout.areas))


def _end_of_lowmem(ranges: Sequence[RightsRange]) -> int:
    """Return where the direct map of a 32-bit kernel ends."""
    end = LINUX_I686.page_offset
    for one in ranges:
        if one.start == end and one.start - one.paddr == LINUX_I686.page_offset:
            end = one.end
    return end


def _bases(layout: Layout, ranges: Sequence[RightsRange]) -> dict[AreaKind, Area]:
    """Return direct map, vmalloc and vmemmap if KASLR has moved them; nothing if it has not.

    They are in this order, below the processors' entry areas. The direct map is what is mapped
    first, and its base is a multiple of 1 Gbyte; the vmemmap is last and begins with a large page
    at such a multiple.
    """
    first, end = layout.area(AreaKind.DIRECT_MAP), layout.area(AreaKind.CPU_ENTRY).start
    inside = [one for one in ranges if first.start <= one.start < end]
    if not inside:
        return {}
    base = inside[0].start - inside[0].paddr
    if base == first.start or base % PUD_BYTES or base < first.start:
        return {}
    others = [one for one in inside if one.start - one.paddr != base]
    starts = [one.start for one in others if not one.start % PUD_BYTES and one.page_bytes == LARGE]
    vmemmap = starts[-1] if starts else end
    vmalloc = min([*(one.start & -PUD_BYTES for one in others), vmemmap])
    return {
        AreaKind.DIRECT_MAP: Area(AreaKind.DIRECT_MAP, base, vmalloc),
        AreaKind.VMALLOC: Area(AreaKind.VMALLOC, vmalloc, vmemmap),
        AreaKind.VMEMMAP: Area(AreaKind.VMEMMAP, vmemmap, end),
    }
