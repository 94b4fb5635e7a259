"""The invariants of a buddy allocator, verified in bulk."""

import numpy as np
from numpy.typing import NDArray

from .errors import BrokenInvariant
from .fallback import StealingArea
from .free_area import BUDDY
from .page import MAX_ORDER, MIGRATE_PCPTYPES, MIGRATE_TYPES

__all__ = ["check_free_area"]


def check_free_area(area: StealingArea) -> None:
    """Raise ``BrokenInvariant`` if the free lists of a zone contradict the pages or themselves.

    Every page of the map is in one block; the zone's free blocks are those on its lists, each
    once, linked both ways and counted; no two of them could be merged; pageblock types exist.
    """
    heads, orders = area.mem_map.blocks()
    free = (area.mem_map.state[heads] == BUDDY) & (area.mem_map.zone[heads] == area.zone)
    heads, orders = heads[free], orders[free]
    outside = (heads + area.mem_map.base < area.start_pfn) | (
        heads + area.mem_map.base + (1 << orders.astype(np.intp)) > area.end_pfn)
    if outside.any():
        raise BrokenInvariant(f"A free block is outside zone {area.name}")
    _check_lists(area, heads, orders)
    _check_merged(area, heads, orders)
    if (area.pageblock >= MIGRATE_TYPES).any():
        raise BrokenInvariant("A pageblock has no such migrate type")


def _check_lists(area: StealingArea, heads: NDArray[np.intp], orders: NDArray[np.uint8]) -> None:
    listed: list[NDArray[np.int64]] = []
    for order in range(MAX_ORDER):
        lists = [_walk(area, order, migratetype) for migratetype in range(MIGRATE_TYPES)]
        if sum(map(len, lists)) != area.nr_free[order]:
            raise BrokenInvariant(f"Zone {area.name} counts {area.nr_free[order]} free blocks of "
                                  f"order {order}, but {sum(map(len, lists))} are on its lists")
        blocks = np.sort(np.concatenate(lists))
        if not np.array_equal(blocks, heads[orders == order]):
            raise BrokenInvariant(f"The lists of order {order} of zone {area.name} do not hold "
                                  f"each free block once")
        listed.append(blocks)
    pages = sum(len(blocks) << order for order, blocks in enumerate(listed))
    if pages != area.free_pages:
        raise BrokenInvariant(f"Zone {area.name} counts {area.free_pages} free pages, "
                              f"but {pages} are on its lists")


def _walk(area: StealingArea, order: int, migratetype: int) -> NDArray[np.int64]:
    """Return the indices on a list, whose links must agree with each other and the pages."""
    indices = area.free_list(order, migratetype) - area.mem_map.base
    head = area.list_head(order, migratetype)
    around = np.concatenate([[head], indices, [head]])
    if (area.mem_map.prev[around[1:]] != around[:-1]).any():
        raise BrokenInvariant(f"The list of order {order} and type {migratetype} of zone "
                              f"{area.name} has links that disagree")
    if (area.mem_map.migratetype[indices] != migratetype).any():
        raise BrokenInvariant(f"The list of order {order} and type {migratetype} of zone "
                              f"{area.name} holds a block of another type")
    return indices


def _check_merged(area: StealingArea, heads: NDArray[np.intp], orders: NDArray[np.uint8]) -> None:
    """Raise ``BrokenInvariant`` if two free buddies lie side by side.

    Whole pageblocks may do so if one of them was ``HIGHATOMIC`` when the other was freed. It may
    have got another type since, but changing a type merges nothing.
    """
    limit = MAX_ORDER - 1
    if area.had_highatomic or (area.pageblock >= MIGRATE_PCPTYPES).any():
        limit = area.mem_map.pageblock_order
    for order in range(limit):
        blocks = heads[orders == order]
        lower = blocks[(blocks >> order) & 1 == 0]
        pairs = np.intersect1d(lower + (1 << order), blocks)
        if len(pairs):
            raise BrokenInvariant(f"Two free buddies of order {order} lie side by side at page "
                                  f"{int(pairs[0]) - (1 << order) + area.mem_map.base:#x}")
