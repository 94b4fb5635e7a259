"""``/proc/buddyinfo``, ``/proc/zoneinfo`` and ``/proc/pagetypeinfo``, in Linux's own formats.

Every line is as the kernel prints it. zoneinfo lacks the lines of counters that are not modelled:
per-node statistics, LRU lists and what is mapped, dirty or locked.
"""

import numpy as np

from .freelist import FreelistAllocator
from .node import Node
from .page import MAX_ORDER, MIGRATE_TYPES, MigrateType, PageState
from .zone import Zone

__all__ = ["buddyinfo", "pagetypeinfo", "zoneinfo"]

MIGRATE_TYPE_NAMES = {
    MigrateType.UNMOVABLE: "Unmovable",
    MigrateType.MOVABLE: "Movable",
    MigrateType.RECLAIMABLE: "Reclaimable",
    MigrateType.HIGHATOMIC: "HighAtomic",
    MigrateType.ISOLATE: "Isolate",
}
MAX_LISTED = 100_000


def buddyinfo(memory: FreelistAllocator) -> str:
    """Return the free blocks of each order of each populated zone. [frag_show_print]"""
    return "".join(
        f"Node {node.nid}, {zone.buddy.buddyinfo()}\n"
        for node in memory.nodes.values() for zone in node.zones if zone.populated
    )


def zoneinfo(memory: FreelistAllocator) -> str:
    """Return the figures of each zone, empty ones too. [zoneinfo_show_print]"""
    return "".join(
        line + "\n" for node in memory.nodes.values() for zone in node.zones
        for line in _zone_lines(memory, node, zone)
    )


def _zone_lines(memory: FreelistAllocator, node: Node, zone: Zone) -> list[str]:
    marks = zone.watermarks
    boost = zone.watermark_boost
    lines = [
        f"Node {node.nid}, zone {zone.name:>8}",
        f"  pages free     {zone.free_pages}",
        f"        boost    {boost}",
        f"        min      {marks.min + boost}",
        f"        low      {marks.low + boost}",
        f"        high     {marks.high + boost}",
        f"        spanned  {zone.span.spanned}",
        f"        present  {zone.span.present}",
        f"        managed  {zone.managed_pages}",
        "        cma      0",
        f"        protection: ({', '.join(map(str, zone.lowmem_reserve))})",
    ]
    if not zone.populated:
        return lines
    lines.append(f"      {'nr_free_pages':<12} {zone.free_pages}")
    if memory.config.numa:
        counters = zone.numa
        lines += [f"      {f'numa_{name}':<12} {getattr(counters, name)}"
                  for name in counters.__slots__]
    lines.append("  pagesets")
    for cpu, pcp in enumerate(zone.pcp):
        lines += [
            f"    cpu: {cpu}",
            f"              count: {pcp.count}",
            f"              high:  {pcp.high}",
            f"              batch: {pcp.batch}",
            f"  vm stats threshold: {zone.stat_threshold}",
        ]
    # The model never gives up a node on which kswapd fails. [pgdat->kswapd_failures]
    return [*lines, "  node_unreclaimable:  0", f"  start_pfn:           {zone.span.start_pfn}"]


def pagetypeinfo(memory: FreelistAllocator) -> str:
    """Return the free blocks and the pageblocks of each migrate type. [pagetypeinfo_show]"""
    pages = memory.mem_map.pageblock_pages
    text = ""
    for node in memory.nodes.values():
        if not node.has_memory:
            continue
        zones = node.own_zonelist[::-1]
        text += f"Page block order: {memory.mem_map.pageblock_order}\n"
        text += f"Pages per block:  {pages}\n\n"
        text += f"{'Free pages count per migrate type at order':<43} "
        text += "".join(f"{order:6} " for order in range(MAX_ORDER)) + "\n"
        text += "".join(_free_lines(node, zone) for zone in zones)
        text += f"\n{'Number of blocks type ':<23}"
        text += "".join(f"{name:>12} " for name in MIGRATE_TYPE_NAMES.values()) + "\n"
        text += "".join(_block_line(node, zone) for zone in zones)
    return text


def _free_lines(node: Node, zone: Zone) -> str:
    """Return a zone's free blocks by migrate type and order. [pagetypeinfo_showfree_print]"""
    mem_map, pages = zone.buddy.mem_map, _pages(zone)
    free = (mem_map.state[pages] == PageState.BUDDY) & (mem_map.zone[pages] == zone.buddy.zone)
    places = mem_map.migratetype[pages][free].astype(np.intp) * MAX_ORDER
    places += mem_map.order[pages][free]
    counts = np.bincount(places, minlength=MIGRATE_TYPES * MAX_ORDER).reshape(-1, MAX_ORDER)
    return "".join(
        f"Node {node.nid:4}, zone {zone.name:>8}, type {name:>12} "
        + "".join(_capped(count) for count in counts[kind].tolist()) + "\n"
        for kind, name in MIGRATE_TYPE_NAMES.items()
    )


def _capped(count: int) -> str:
    """Return a count of blocks; the kernel stops counting at a hundred thousand."""
    return f">{MAX_LISTED:6} " if count >= MAX_LISTED else f"{count:6} "


def _block_line(node: Node, zone: Zone) -> str:
    """Return how many pageblocks there are of each type. [pagetypeinfo_showblockcount_print]

    The kernel looks at one page of each pageblock. If that is in a hole, it belongs to the zone of
    the memory above it, provided the pageblock has any memory. [init_unavailable_range]
    """
    counts = [0] * MIGRATE_TYPES
    for pfn in range(zone.span.start_pfn, zone.span.end_pfn, zone.buddy.mem_map.pageblock_pages):
        if _counts_as(zone, pfn):
            counts[zone.buddy.pageblock_type(pfn)] += 1
    line = f"Node {node.nid}, zone {zone.name:>8} "
    return line + "".join(f"{count:12} " for count in counts) + "\n"


def _counts_as(zone: Zone, pfn: int) -> bool:
    """Return whether ``page_zone`` of a page that the zone spans is this zone."""
    mem_map = zone.buddy.mem_map
    index = pfn - mem_map.base
    if mem_map.scalars.state[index] != PageState.HOLE:
        return mem_map.scalars.zone[index] == zone.buddy.zone
    block = index & -mem_map.pageblock_pages
    states = mem_map.state[block : block + mem_map.pageblock_pages]
    if mem_map.sparse and (states == PageState.HOLE).all():
        return False
    memory = mem_map.state != PageState.HOLE
    above = np.flatnonzero(memory[index:])
    at = index + above[0] if len(above) else np.flatnonzero(memory)[-1]
    return bool(mem_map.zone[at] == zone.buddy.zone)


def _pages(zone: Zone) -> slice:
    base = zone.buddy.mem_map.base
    return slice(zone.span.start_pfn - base, zone.span.end_pfn - base)
