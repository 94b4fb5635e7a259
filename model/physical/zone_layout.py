"""Where each zone of each node begins, what it spans, and how much of that is memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ..x86 import PAGE_SHIFT
from .kernel_config import MAX_DMA32_PFN, MAX_DMA_PFN, ZoneType
from .memory_map import MemoryMap
from .page import MAX_ORDER
from .ranges import Range, intersect, subtract, total

__all__ = [
    "FIRST_MEGABYTE",
    "ZoneSpan",
    "highmem_kinds",
    "vm_total_pages",
    "zone_limits",
    "zone_movable_pfns",
    "zone_spans",
]

MAX_ORDER_PAGES = 1 << (MAX_ORDER - 1)

FIRST_MEGABYTE = (0, 1 << 20 >> PAGE_SHIFT)
"""Page frames that the kernel always reserves, as BIOSes are known to spoil them and processors
start there. [reserve_real_mode]"""


@dataclass(frozen=True, slots=True)
class ZoneSpan:
    """The place of one zone of one node, in page frames.

    ``spanned`` counts the holes, ``present`` does not; ``start_pfn`` of an empty zone is 0.
    """

    nid: int
    kind: ZoneType
    start_pfn: int = 0
    spanned: int = 0
    present: int = 0

    @property
    def end_pfn(self) -> int:
        """The page frame after the last one. [zone_end_pfn]"""
        return self.start_pfn + self.spanned


def zone_limits(machine: MemoryMap) -> dict[ZoneType, Range]:
    """Return the page frames that a zone of each type can have on this machine.

    ZONE_MOVABLE is not among them, as it begins elsewhere on each node. Each zone begins where
    the one below ends. [zone_sizes_init, free_area_init]
    """
    max_low_pfn, max_pfn = machine.lowmem_limit
    ends = {
        ZoneType.DMA: min(MAX_DMA_PFN, max_low_pfn),
        ZoneType.DMA32: min(MAX_DMA32_PFN, max_low_pfn),
        ZoneType.NORMAL: max_low_pfn,
        ZoneType.HIGHMEM: max_pfn,
        ZoneType.DEVICE: 0,
    }
    limits: dict[ZoneType, Range] = {}
    start = machine.memory[0][0]
    for kind in machine.config.zones:
        if kind is not ZoneType.MOVABLE:
            end = max(ends[kind], start)
            limits[kind] = start, end
            start = end
    return limits


def zone_spans(machine: MemoryMap) -> list[ZoneSpan]:
    """Return every zone of every node, empty ones too, by node and then by zone index.

    [free_area_init_node, calculate_node_totalpages]
    """
    limits, movable = zone_limits(machine), zone_movable_pfns(machine)
    return [
        _span(machine, limits, movable.get(nid, 0), nid, kind)
        for nid in machine.nids for kind in machine.config.zones
    ]


def _span(machine: MemoryMap, limits: dict[ZoneType, Range], movable_pfn: int, nid: int,
          kind: ZoneType) -> ZoneSpan:
    """Return one zone of one node. [zone_spanned_pages_in_node, zone_absent_pages_in_node]"""
    memory = _node_memory(machine, nid)
    if not memory:
        return ZoneSpan(nid, kind)
    low, high = memory[0][0], memory[-1][1]
    if kind is ZoneType.MOVABLE:
        if not movable_pfn:
            return ZoneSpan(nid, kind)
        start, end = movable_pfn, min(high, limits[movable_zone(limits)][1])
    else:
        start, end = (min(max(pfn, limits[kind][0]), limits[kind][1]) for pfn in (low, high))
        if movable_pfn:  # [adjust_zone_range_for_zone_movable]
            end = start if start >= movable_pfn else min(end, movable_pfn)
    if start >= end:
        return ZoneSpan(nid, kind)
    return ZoneSpan(nid, kind, start, end - start, total(intersect(memory, [(start, end)])))


def _node_memory(machine: MemoryMap, nid: int) -> list[Range]:
    return [(one.start_pfn, one.end_pfn) for one in machine.ranges if one.nid == nid]


def highmem_kinds(machine: MemoryMap) -> set[ZoneType]:
    """Return the zone types that the kernel's direct map leaves out. [is_highmem_idx]"""
    kinds = {ZoneType.HIGHMEM}
    return kinds | {ZoneType.MOVABLE} if movable_zone(zone_limits(machine)) in kinds else kinds


def movable_zone(limits: dict[ZoneType, Range]) -> ZoneType:
    """Return the zone type that ZONE_MOVABLE takes its pages from: the highest that has any.

    [find_usable_zone_for_movable]
    """
    return [kind for kind, (start, end) in limits.items() if end > start][-1]


def zone_movable_pfns(machine: MemoryMap) -> dict[int, int]:
    """Return the page frame at which ZONE_MOVABLE begins on each node that has one.

    It is the upper part of a node's memory. With movable_node= it is all that can be unplugged,
    else what kernelcore= or movablecore= leaves. It begins at a multiple of 1024 pages, so that no
    block of the largest order lies in two zones. [find_zone_movable_pfns_for_nodes]
    """
    if machine.options.movable_node:
        starts: dict[int, int] = {}
        for one in machine.ranges:
            if one.hotplug:
                starts[one.nid] = min(starts.get(one.nid, one.start_pfn), one.start_pfn)
    else:
        starts = _spread_kernelcore(machine)
    aligned = {nid: -(-start // MAX_ORDER_PAGES) * MAX_ORDER_PAGES for nid, start in starts.items()}
    return {nid: start for nid, start in aligned.items()
            if start < _node_memory(machine, nid)[-1][1]}


def _spread_kernelcore(machine: MemoryMap) -> dict[int, int]:
    """Return the page frame at which the kernel's own share of each node ends.

    Each node is asked for an equal share. A small node has less, so what is still missing after a
    round is shared out once more, in shares of one node fewer, and each node goes on from where its
    share ended. Fewer missing pages than nodes are let go.
    """
    kernelcore = _required_kernelcore(machine)
    if not kernelcore:
        return {}
    limits = zone_limits(machine)
    usable = limits[movable_zone(limits)][0]
    nids = [nid for nid in machine.nids if _node_memory(machine, nid)]
    starts = dict.fromkeys(nids, 0)
    for node_count in range(len(nids), 0, -1):
        share = kernelcore // node_count
        for nid in nids:
            # A node can have given more than its share: pages that are too low to be movable.
            if kernelcore < share:
                share = kernelcore // node_count
            left = share
            for taken, end in _kernelcore_steps(machine, nid, starts[nid], usable, left):
                starts[nid] = end
                kernelcore -= min(taken, kernelcore)
        if kernelcore <= node_count - 1:
            break
    return starts


def _kernelcore_steps(machine: MemoryMap, nid: int, start_at: int, usable: int,
                      left: int) -> Iterator[Range]:
    """Yield how many pages a node gives to the kernel, and the page frame at which these end.

    The share goes on from ``start_at`` and has ``left`` pages. Pages below ``usable``, where the
    zone begins that ZONE_MOVABLE takes its pages from, cannot be movable: the kernel gets them even
    beyond its share.
    """
    for start, end in _node_memory(machine, nid):
        start = max(start, start_at)
        if start >= end:
            continue
        below = max(0, min(end, usable) - start)
        left -= min(below, left)
        if below:
            yield below, min(end, usable)
            start += below
        if start < end:
            taken = min(end - start, left)
            left -= taken
            yield taken, start + taken
            if not left:
                return


def _required_kernelcore(machine: MemoryMap) -> int:
    """Return how many pages must not be movable, 0 if there is to be no ZONE_MOVABLE."""
    options, pages = machine.options, total(machine.memory)
    kernelcore, movablecore = options.kernelcore.of(pages), options.movablecore.of(pages)
    if movablecore:
        movablecore = min(pages, -(-movablecore // MAX_ORDER_PAGES) * MAX_ORDER_PAGES)
        kernelcore = max(kernelcore, pages - movablecore)
    return kernelcore if kernelcore < pages else 0


def vm_total_pages(machine: MemoryMap, reserved: Iterable[Range] = ()) -> int:
    """Return the "Total pages" that boot prints, before it frees any.

    That is all memory without what ``struct page`` of the zones below highmem will take up, and
    on amd64 without the ``reserved`` pages of ZONE_DMA. If they are too few, the kernel does not
    keep migrate types apart.
    [free_area_init_core, calc_memmap_size, memblock_find_dma_reserve]
    """
    pages, highmem = 0, highmem_kinds(machine)
    for span in zone_spans(machine):
        left = span.present
        if span.kind not in highmem:
            memmap = _memmap_pages(machine, span)
            left -= memmap if memmap <= left else 0
        if span.kind is ZoneType.DMA and machine.config.numa:
            low = intersect(machine.memory, [(0, MAX_DMA_PFN)])
            dma_reserve = total(low) - total(subtract(low, [FIRST_MEGABYTE, *reserved]))
            left -= dma_reserve if dma_reserve < left else 0
        pages += left
    return pages


def _memmap_pages(machine: MemoryMap, span: ZoneSpan) -> int:
    """Return the pages that ``struct page`` of a zone takes up. [calc_memmap_size]"""
    config = machine.config
    holed = config.section_pages and span.spanned > span.present + (span.present >> 4)
    described = span.present if holed else span.spanned
    return -(-described * config.page_bytes >> PAGE_SHIFT)
