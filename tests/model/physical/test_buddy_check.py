"""Each invariant is broken once, by hand, and must be found."""

import numpy as np
import pytest

from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.physical.page import PageState

from .buddies import HIGHATOMIC, MOVABLE, RECLAIMABLE, zone_of


@pytest.fixture
def buddy():
    """A zone with pages 0, 1, 2 allocated, and 3 the only free block of order 0."""
    buddy = zone_of(4096)
    assert [buddy.alloc(0, MOVABLE) for _ in range(3)] == [0, 1, 2]
    buddy.check()
    return buddy


def lose_a_block(buddy):
    """Page 3 is taken off its list, and still says that it is free."""
    head = buddy.list_head(0, MOVABLE)
    buddy.mem_map.next[head] = buddy.mem_map.prev[head] = head
    buddy.nr_free[0] -= 1
    buddy.free_pages -= 1


def split_a_block(buddy):
    """The free block of order 2 is on the list of order 1 as two blocks."""
    head = buddy.list_head(2, MOVABLE)
    buddy.mem_map.next[head] = buddy.mem_map.prev[head] = head
    buddy.nr_free[2] -= 1
    buddy.free_pages -= 4
    buddy.mem_map.state[4:8] = PageState.RESERVED
    buddy.load(1, MOVABLE, np.array([4, 6]))


BREAKS = {
    "a count": (lambda buddy: buddy.nr_free.__setitem__(0, 2),
                "counts 2 free blocks of order 0, but 1 are on its lists"),
    "the count of pages": (lambda buddy: setattr(buddy, "free_pages", 1),
                           "counts 1 free pages, but 4093 are on its lists"),
    "a link": (lambda buddy: buddy.mem_map.scalars.prev.__setitem__(2048, 3),
               "has links that disagree"),
    "a lost block": (lose_a_block, "do not hold each free block once"),
    "an allocated page on a list": (
        lambda buddy: buddy.mem_map.scalars.state.__setitem__(3, PageState.ALLOCATED),
        "do not hold each free block once"),
    "an order": (lambda buddy: buddy.mem_map.scalars.order.__setitem__(4, 1),
                 "does not end where the next begins"),
    "a page of another zone": (lambda buddy: buddy.mem_map.scalars.zone.__setitem__(3, 1),
                               "do not hold each free block once"),
    "a block's type": (
        lambda buddy: buddy.mem_map.scalars.migratetype.__setitem__(3, RECLAIMABLE),
        "holds a block of another type"),
    "buddies side by side": (split_a_block, "Two free buddies of order 1 lie side by side"),
    "a pageblock's type": (lambda buddy: buddy.pageblock.__setitem__(0, 5),
                           "A pageblock has no such migrate type"),
    "the zone's end": (lambda buddy: setattr(buddy, "end_pfn", 4095),
                       "A free block is outside zone Normal"),
}


@pytest.mark.parametrize(("broken", "message"), BREAKS.values(), ids=BREAKS)
def test_what_is_broken_is_found(buddy, broken, message):
    broken(buddy)
    with pytest.raises(BrokenInvariant, match=message):
        buddy.check()


def test_whole_pageblocks_lie_side_by_side_only_where_one_was_reserved(buddy):
    blocks = [buddy.alloc(9, MOVABLE) for _ in range(7)]
    buddy.nr_reserved_highatomic = 512
    buddy.set_pageblock_type(1024, HIGHATOMIC)
    for pfn in blocks:
        buddy.free(pfn, 9)
    buddy.check()
    buddy.set_pageblock_type(1024, MOVABLE)
    with pytest.raises(BrokenInvariant, match=r"of order 9 lie side by side at page 0x400$"):
        buddy.check()
    buddy.had_highatomic = True
    buddy.check()
