"""The free lists that boot leaves."""

import pytest

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.errors import (
    ForeignPage,
)
from pagewalk.model.physical.page import MemMap

from .buddies import (
    MOVABLE,
    RECLAIMABLE,
    UNMOVABLE,
    free_lists,
    zone_of,
)


def test_boot_fills_the_lists_with_the_largest_aligned_blocks_in_ascending_order():
    buddy = zone_of(3000, start=1000)
    assert free_lists(buddy) == {
        (3, UNMOVABLE): [1000],  # the zone does not have the first page of their pageblock
        (4, UNMOVABLE): [1008],
        (5, MOVABLE): [3968],
        (7, MOVABLE): [3840],
        (8, MOVABLE): [3584],
        (9, MOVABLE): [3072],
        (10, MOVABLE): [1024, 2048],
    }
    assert buddy.free_pages == buddy.managed_pages == 3000


def test_boot_merges_with_what_it_was_given_before():
    mem_map = MemMap(0, 64)
    mem_map.add_memory(0, 64, 0)
    buddy = Buddy(mem_map, 0, 0, 64)
    for start, end in [(0, 16), (32, 64), (16, 32)]:
        buddy.free_memory(start, end)
    assert free_lists(buddy) == {(6, MOVABLE): [0]}


def test_boot_keeps_pageblock_types_apart():
    mem_map = MemMap(0, 8192)
    mem_map.add_memory(0, 8192, 0)
    mem_map.pageblock[4:8] = RECLAIMABLE
    buddy = Buddy(mem_map, 0, 0, 8192)
    buddy.free_memory(0, 8192)
    assert free_lists(buddy) == {
        (10, MOVABLE): [0, 1024, 4096, 5120, 6144, 7168],
        (10, RECLAIMABLE): [2048, 3072],
    }


def test_boot_takes_reserved_pages_of_the_zone_only():
    mem_map = MemMap(0, 4096)
    mem_map.add_memory(0, 2048, 0)
    mem_map.add_memory(2048, 3000, 1)
    buddy = Buddy(mem_map, 0, 0, 2048)
    buddy.free_memory(0, 100)
    for start, end in [(99, 200), (2000, 2049), (2048, 2100), (1000, 5000)]:
        with pytest.raises(ForeignPage, match=r"^Page 0x[0-9a-f]+ is not to be freed here: "):
            buddy.free_memory(start, end)
    assert buddy.free_pages == 100
    buddy.check()
