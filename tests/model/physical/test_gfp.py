import re

import pytest

from pagewalk.model.physical.gfp import ZONE_MASK, Gfp, gfp_migratetype, gfp_name, gfp_zone
from pagewalk.model.physical.kernel_config import AMD64, I686
from pagewalk.model.physical.page import MigrateType

# All that the events mm_page_alloc of the shared buddy traces show: the flags as the kernel
# printed them, and the migrate type of the page.
EVENTS = [
    ("GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO", 1),
    ("GFP_HIGHUSER_MOVABLE|__GFP_COMP", 1),
    ("GFP_HIGHUSER|__GFP_ACCOUNT", 0),
    ("GFP_KERNEL_ACCOUNT|__GFP_HIGHMEM|__GFP_ZERO", 0),
    ("GFP_KERNEL_ACCOUNT|__GFP_ZERO", 0),
    ("GFP_KERNEL_ACCOUNT", 0),
    ("GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY", 0),
    ("GFP_KERNEL|__GFP_NOWARN|__GFP_NORETRY|__GFP_RECLAIMABLE", 2),
    ("GFP_NOFS|__GFP_NOWARN|__GFP_NORETRY", 0),
    ("GFP_NOWAIT|__GFP_IO|__GFP_FS|__GFP_NOWARN|__GFP_COMP|__GFP_ACCOUNT", 0),
    ("GFP_NOWAIT|__GFP_NOWARN", 0),
    ("GFP_NOWAIT|__GFP_NOWARN|__GFP_NORETRY", 0),
    ("GFP_NOWAIT|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP|__GFP_RECLAIMABLE", 2),
    ("GFP_TRANSHUGE_LIGHT|__GFP_NORETRY|__GFP_THISNODE", 1),
    ("GFP_USER", 0),
    ("__GFP_IO|__GFP_FS|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP|__GFP_NOMEMALLOC", 0),
    (("__GFP_IO|__GFP_FS|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP|__GFP_NOMEMALLOC"
      "|__GFP_RECLAIMABLE"), 2),
]


def flags_of(name: str) -> int:
    flags = 0
    for part in name.split("|"):
        plain = {"__GFP_ATOMIC": "ATOMIC_CONTEXT"}.get(part)
        flags |= getattr(Gfp, plain or re.sub(r"^_*GFP_", "", part))
    return flags


@pytest.mark.parametrize(("name", "migratetype"), EVENTS)
def test_flags_print_as_the_kernel_prints_them(name, migratetype):
    assert gfp_name(flags_of(name)) == name
    assert gfp_migratetype(flags_of(name)) == migratetype


def test_every_single_flag_has_a_name_that_reads_back():
    for shift in range(24):
        assert flags_of(gfp_name(1 << shift)) == 1 << shift
    assert gfp_name(0) == "none"
    assert gfp_name(1 << 30 | Gfp.KERNEL) == "GFP_KERNEL|0x40000000"


@pytest.mark.parametrize(
    ("flags", "amd64", "i686"),
    [
        (Gfp.KERNEL, "Normal", "Normal"),
        (Gfp.KERNEL | Gfp.DMA, "DMA", "DMA"),
        (Gfp.KERNEL | Gfp.DMA32, "DMA32", "Normal"),
        (Gfp.HIGHUSER, "Normal", "HighMem"),
        (Gfp.HIGHUSER_MOVABLE, "Movable", "Movable"),
        (Gfp.KERNEL | Gfp.MOVABLE, "Normal", "Normal"),
        (Gfp.KERNEL | Gfp.MOVABLE | Gfp.DMA, "DMA", "DMA"),
        (Gfp.KERNEL | Gfp.MOVABLE | Gfp.DMA32, "DMA32", "Normal"),
    ],
)
def test_flags_name_the_highest_zone(flags, amd64, i686):
    assert AMD64.zones[gfp_zone(flags, AMD64)].value == amd64
    assert I686.zones[gfp_zone(flags, I686)].value == i686


def test_flags_that_name_two_zones_are_refused():
    zones = Gfp.DMA, Gfp.DMA32, Gfp.HIGHMEM
    for flags in range(ZONE_MASK + 1):
        if sum(bool(flags & zone) for zone in zones) > 1:
            with pytest.raises(ValueError, match=r"^GFP flags must name one zone, not "):
                gfp_zone(flags | Gfp.KERNEL, AMD64)
        else:
            gfp_zone(flags | Gfp.KERNEL, AMD64)


def test_migrate_types_follow_from_the_flags():
    assert gfp_migratetype(Gfp.KERNEL) == MigrateType.UNMOVABLE
    assert gfp_migratetype(Gfp.HIGHUSER_MOVABLE) == MigrateType.MOVABLE
    assert gfp_migratetype(Gfp.KERNEL | Gfp.RECLAIMABLE) == MigrateType.RECLAIMABLE
    with pytest.raises(ValueError, match=r"^GFP flags must not say both movable and reclaimable"):
        gfp_migratetype(Gfp.MOVABLE | Gfp.RECLAIMABLE)
