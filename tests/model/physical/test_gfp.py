import re

import pytest

from pagewalk.model.physical.boot import build_nodes
from pagewalk.model.physical.freelist import FreelistAllocator
from pagewalk.model.physical.gfp import ZONE_MASK, Gfp, gfp_migratetype, gfp_name, gfp_zone
from pagewalk.model.physical.kernel_config import AMD64, I686
from pagewalk.model.physical.page import MigrateType

from .linux_boots import DATA, Boot

TRACED = sorted(path.parent.name for path in DATA.glob("*/allocations.txt"))

def flags_of(name: str) -> int:
    flags = 0
    for part in name.split("|"):
        plain = {"__GFP_ATOMIC": "ATOMIC_CONTEXT"}.get(part)
        flags |= getattr(Gfp, plain or re.sub(r"^_*GFP_", "", part))
    return flags


@pytest.mark.parametrize("name", TRACED)
def test_real_allocations_have_the_zone_and_the_migrate_type_of_their_flags(name):
    """Of three boots with memory to spare, all 38,031 of them; and flags print as they did."""
    boot = Boot(name)
    mem_map, nodes = build_nodes(boot.machine)
    memory = FreelistAllocator(boot.machine.config, mem_map, nodes)
    for line in boot.read("allocations").splitlines()[1:]:
        flags, migratetype, nid, zone, _ = line.split()
        assert gfp_name(flags_of(flags)) == flags
        assert gfp_migratetype(flags_of(flags)) == int(migratetype)
        first = memory.context(flags_of(flags), nid=0).zones[0]
        assert (first.nid, first.name) == (int(nid), zone)


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
