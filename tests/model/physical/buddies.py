"""Zones to allocate from, and what is free in them."""

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.page import MAX_ORDER, MemMap, MigrateType

UNMOVABLE, MOVABLE, RECLAIMABLE, HIGHATOMIC, ISOLATE = range(5)


def zone_of(pages, start=0, **options):
    """Return a zone of ``pages`` pages from ``start`` on, all of them free."""
    mem_map = MemMap(start, start + pages, **options)
    mem_map.add_memory(start, start + pages, 0)
    buddy = Buddy(mem_map, 0, start, start + pages)
    buddy.free_memory(start, start + pages)
    return buddy


def free_lists(buddy):
    """Return all free lists that are not empty, by order and migrate type."""
    lists = {(order, int(kind)): buddy.free_list(order, kind).tolist()
             for order in range(MAX_ORDER) for kind in MigrateType}
    return {key: pages for key, pages in lists.items() if pages}


def blocks_by_order(buddy):
    """Return the free blocks of each order, of whatever type and in whatever list order."""
    blocks = {order: set() for order in range(MAX_ORDER)}
    for (order, _), pages in free_lists(buddy).items():
        blocks[order] |= set(pages)
    return blocks
