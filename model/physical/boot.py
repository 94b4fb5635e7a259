"""Boot: from a memory map to nodes and zones whose free lists are those of a fresh kernel."""

from collections.abc import Iterable

from .buddy import Buddy
from .errors import ForeignPage
from .memory_map import MemoryMap
from .node import Node, fallback_orders
from .page import MAX_ORDER, MemMap, PageState
from .ranges import Range, intersect, subtract
from .zone import Zone
from .zone_layout import FIRST_MEGABYTE, ZoneSpan, highmem_kinds, zone_spans

__all__ = ["build_nodes", "memblock_free_all"]


def build_nodes(machine: MemoryMap) -> tuple[MemMap, list[Node]]:
    """Return the page frames of ``machine``, all reserved, and its nodes with their zonelists.

    [free_area_init, build_all_zonelists]
    """
    spans = zone_spans(machine)
    populated = [span for span in spans if span.present]
    mem_map = MemMap(min(span.start_pfn for span in populated),
                     max(span.end_pfn for span in populated),
                     pageblock_order=machine.config.pageblock_order,
                     sparse=bool(machine.config.section_pages))
    highmem = highmem_kinds(machine)
    zones: dict[int, list[Zone]] = {nid: [] for nid in machine.nids}
    for span in spans:
        buddy = None
        if span.present:
            buddy = _buddy(machine, mem_map, populated.index(span), span)
        zones[span.nid].append(Zone(
            span, len(zones[span.nid]), buddy, zone_count=len(machine.config.zones),
            cpus=len(machine.cpu_nodes), is_highmem=span.kind in highmem))
    nodes = [
        Node(nid, zones[nid], [cpu for cpu, node in enumerate(machine.cpu_nodes) if node == nid])
        for nid in machine.nids
    ]
    by_nid = {node.nid: node for node in nodes}
    for nid, order in fallback_orders(nodes, machine.distance).items():
        by_nid[nid].build_zonelist([by_nid[other] for other in order])
    return mem_map, nodes


def _buddy(machine: MemoryMap, mem_map: MemMap, number: int, span: ZoneSpan) -> Buddy:
    for start, end in _memory(machine, span):
        mem_map.add_memory(start, end, number, span.nid)
    return Buddy(mem_map, number, span.start_pfn, span.end_pfn, name=span.kind.value)


def _memory(machine: MemoryMap, span: ZoneSpan) -> list[Range]:
    """Return the page frames of a zone that are memory, by the ranges of the memory map."""
    window = [(span.start_pfn, span.end_pfn)]
    return [part for one in machine.ranges if one.nid == span.nid
            for part in intersect([(one.start_pfn, one.end_pfn)], window)]


def memblock_free_all(machine: MemoryMap, nodes: list[Node], reserved: Iterable[Range]) -> None:
    """Give all pages but the ``reserved`` ones to the allocators. [memblock_free_all]

    Pages of lowmem are freed in blocks as large as their alignment allows, to the tails of the
    lists; those of highmem page by page, which leaves the highest block at the head of a list. The
    first MiB stays reserved.
    """
    kept = [FIRST_MEGABYTE, *reserved]
    for node in nodes:
        for zone in reversed(node.own_zonelist):
            for memory in _memory(machine, zone.span):
                for start, end in subtract([memory], kept):
                    if zone.is_highmem:
                        _free_highmem(zone.buddy, start, end)
                    else:
                        zone.buddy.free_memory(start, end)


def _free_highmem(buddy: Buddy, start_pfn: int, end_pfn: int) -> None:
    """Free pages as if one by one, in ascending order. [add_highpages_with_active_regions]

    Blocks as large as their alignment allows are freed instead, which is faster: the pages of such
    a block would merge to it before the next block begins, and leave the same lists. Raise
    ``ForeignPage`` if a page is not reserved.
    """
    pages = slice(start_pfn - buddy.mem_map.base, end_pfn - buddy.mem_map.base)
    if (buddy.mem_map.state[pages] != PageState.RESERVED).any():
        raise ForeignPage(start_pfn, f"not all pages up to {end_pfn:#x} are reserved")
    buddy.mem_map.state[pages] = PageState.TAIL
    buddy.managed_pages += end_pfn - start_pfn
    pfn = start_pfn
    while pfn < end_pfn:
        order = min(MAX_ORDER - 1, (end_pfn - pfn).bit_length() - 1,
                    (pfn & -pfn).bit_length() - 1)
        buddy.free_one_page(pfn, order, buddy.pageblock_type(pfn))
        pfn += 1 << order
