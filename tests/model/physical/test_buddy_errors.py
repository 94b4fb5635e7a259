"""What the buddy allocator refuses, and what it says of it."""

import pytest

from pagewalk.model.physical.buddy import Buddy
from pagewalk.model.physical.errors import (
    AllocationFailure,
    BadMigrateType,
    BadOrder,
    DoubleFree,
    ForeignPage,
    MisalignedBlock,
    OrderMismatch,
)
from pagewalk.model.physical.page import MemMap

from .buddies import (
    MOVABLE,
    free_lists,
    zone_of,
)


def test_a_fragmented_zone_says_that_it_has_pages_but_no_block():
    buddy = zone_of(4096)
    for pfn in [buddy.alloc(9, MOVABLE) for _ in range(8)][::2]:
        buddy.free(pfn, 9)
    assert buddy.free_pages == 2048
    with pytest.raises(AllocationFailure, match=(
        r"^No free block of order 10 in zone Normal: zone   Normal "
        r"(     0 ){9}     4      0 $"
    )) as error:
        buddy.alloc(10, MOVABLE)
    assert (error.value.order, error.value.zone) == (10, "Normal")
    assert buddy.alloc(9, MOVABLE) == 3072


def test_an_exhausted_zone_has_nothing():
    buddy = zone_of(8)
    buddy.alloc(3, MOVABLE)
    assert [buddy.rmqueue(0, kind) for kind in range(4)] == [None] * 4
    assert buddy.buddyinfo().split()[2:] == ["0"] * 11


@pytest.mark.parametrize("order", [-1, 11, 64])
def test_an_order_that_no_block_has_is_refused(order):
    buddy = zone_of(1024)
    for call in (lambda: buddy.rmqueue(order, MOVABLE), lambda: buddy.take(0, order),
                 lambda: buddy.free(0, order), lambda: buddy.free_list(order, MOVABLE)):
        with pytest.raises(BadOrder, match=rf"^Order must be 0 to 10, not {order}$"):
            call()


@pytest.mark.parametrize("kind", [-1, 4, 5])
def test_a_type_that_is_never_allocated_is_refused(kind):
    with pytest.raises(BadMigrateType, match=rf"^Migrate type must be .*, not {kind}$"):
        zone_of(1024).rmqueue(0, kind)


@pytest.fixture
def mixed():
    """A zone from 1024 on, with a block allocated at 1024 and one freed, and a foreign zone."""
    mem_map = MemMap(1024, 8192)
    mem_map.add_memory(1024, 4096, 0)
    mem_map.add_memory(4096, 8000, 1)
    buddy = Buddy(mem_map, 0, 1024, 4096)
    other = Buddy(mem_map, 1, 4096, 8000)
    buddy.free_memory(1024, 3072)
    other.free_memory(4096, 8000)
    assert (buddy.alloc(2, MOVABLE), other.alloc(0, MOVABLE)) == (1024, 7936)
    return buddy


@pytest.mark.parametrize(("pfn", "order", "error", "message"), [
    (1028, 0, DoubleFree, "Page 0x404 is free already"),
    (1029, 0, DoubleFree, "Page 0x405 is free already"),
    (2048, 10, DoubleFree, "Page 0x800 is free already"),
    (1024, 1, OrderMismatch, "Page 0x400 is freed with order 1, but allocated with order 2"),
    (1025, 0, OrderMismatch,
     "Page 0x401 is freed with order 0, but is inside the block of order 2 at 0x400"),
    (1026, 2, MisalignedBlock, "No block of order 2 begins at page 0x402"),
    (3072, 0, ForeignPage, "Page 0xc00 is not to be freed here: it is reserved"),
    (8000, 0, ForeignPage, "Page 0x1f40 is not to be freed here: it is a hole"),
    (0, 0, ForeignPage, "Page 0x0 is not to be freed here: it is a hole"),
    (1 << 40, 0, ForeignPage, "Page 0x10000000000 is not to be freed here: it is a hole"),
    (7936, 0, ForeignPage, "Page 0x1f00 is not to be freed here: it is not of zone Normal"),
])
def test_what_is_not_an_allocated_block_is_not_freed(mixed, pfn, order, error, message):
    before = free_lists(mixed)
    with pytest.raises(error) as raised:
        mixed.free(pfn, order)
    assert str(raised.value) == message
    assert raised.value.pfn == pfn
    assert free_lists(mixed) == before
    mixed.check()
