"""How many pages a zone keeps back: watermarks and lowmem reserves, as numbers.

The kernel works them out from the pages it manages at that moment, and again only when a tunable
or the amount of memory changes. At boot that moment is ``init_per_zone_wmark_min``, and with
transparent huge pages ``set_recommended_min_free_kbytes``; the pages of the initramfs and of the
kernel's own init code are freed later, and so are managed but not counted in these numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

from .page import MIGRATE_PCPTYPES

__all__ = [
    "ALLOC_HIGHATOMIC",
    "ALLOC_MIN_RESERVE",
    "ALLOC_NON_BLOCK",
    "ALLOC_NO_WATERMARKS",
    "ALLOC_OOM",
    "ALLOC_RESERVES",
    "ALLOC_WMARK_HIGH",
    "ALLOC_WMARK_LOW",
    "ALLOC_WMARK_MASK",
    "ALLOC_WMARK_MIN",
    "Watermarks",
    "lowmem_reserves",
    "min_free_kbytes",
    "recommended_min_free_kbytes",
    "reserve",
    "stat_threshold",
    "zone_watermarks",
]

PAGE_KBYTES = 4
SWAP_CLUSTER_MAX = 32
MAX_HIGHMEM_MIN = 128

# What an allocation may do, as the 6.1 stable kernels have it. Their first release called
# ALLOC_MIN_RESERVE ALLOC_HIGH, and ALLOC_NON_BLOCK and ALLOC_HIGHATOMIC both ALLOC_HARDER.
# [mm/internal.h]
ALLOC_WMARK_MIN = 0
ALLOC_WMARK_LOW = 1
ALLOC_WMARK_HIGH = 2
ALLOC_WMARK_MASK = 3
ALLOC_NO_WATERMARKS = 0x004
ALLOC_OOM = 0x008          # the task is being killed
ALLOC_NON_BLOCK = 0x010    # the caller cannot wait
ALLOC_MIN_RESERVE = 0x020  # __GFP_HIGH
ALLOC_HIGHATOMIC = 0x200   # may use pageblocks reserved for high-order atomic allocations
ALLOC_RESERVES = ALLOC_NON_BLOCK | ALLOC_MIN_RESERVE | ALLOC_HIGHATOMIC | ALLOC_OOM


@dataclass(frozen=True, slots=True)
class Watermarks:
    """The watermarks of a zone, in pages. [enum zone_watermarks]"""

    min: int = 0
    low: int = 0
    high: int = 0
    promo: int = 0


def min_free_kbytes(buffer_pages: int) -> int:
    """Return ``vm.min_free_kbytes`` for so many pages of lowmem above the high watermarks.

    It grows with the square root of memory. [calculate_min_free_kbytes]
    """
    return min(max(isqrt(buffer_pages * PAGE_KBYTES * 16), 128), 262144)


def recommended_min_free_kbytes(pageblock_pages: int, zones: int, buffer_pages: int) -> int:
    """Return what khugepaged wants ``vm.min_free_kbytes`` to be, so that huge pages remain.

    That is eleven pageblocks in each of the populated ``zones`` that kernel memory may come
    from, but not more than 5 % of ``buffer_pages``. [set_recommended_min_free_kbytes]
    """
    wanted = pageblock_pages * zones * (2 + MIGRATE_PCPTYPES * MIGRATE_PCPTYPES)
    return min(wanted, buffer_pages // 20) * PAGE_KBYTES


def zone_watermarks(managed: int, lowmem: int, min_free_kbytes: int, *, scale_factor: int = 10,
                    highmem: bool = False) -> Watermarks:
    """Return the watermarks of a zone of ``managed`` pages. [__setup_per_zone_wmarks]

    ``lowmem`` is the number of managed pages of all zones but highmem ones, among which
    ``min_free_kbytes`` is shared out. ``scale_factor`` is ``vm.watermark_scale_factor``: the
    marks are at least so many ten-thousandths of the zone apart. A zone of ``highmem`` keeps
    only 32 to 128 pages, as reserves are for allocations that do not use it.
    """
    pages_min = min_free_kbytes // PAGE_KBYTES * managed // lowmem
    gap = max(pages_min // 4, managed * scale_factor // 10000)
    if highmem:
        pages_min = min(max(managed // 1024, SWAP_CLUSTER_MAX), MAX_HIGHMEM_MIN)
    return Watermarks(*(pages_min + step * gap for step in range(4)))


def lowmem_reserves(managed: Sequence[int], ratios: Sequence[int]) -> list[list[int]]:
    """Return, for each zone of a node, the pages it keeps from allocations that could go higher.

    Without that, allocations that any zone would suit could use up the low zones, and leave none to
    those that need them. ``managed`` are the pages of the node's zones, lowest first, and
    ``ratios`` those of ``vm.lowmem_reserve_ratio``. Row ``i``, column ``j``: the pages that zone
    ``i`` keeps free when an allocation may use zones up to ``j``. [setup_per_zone_lowmem_reserve]
    """
    count = len(managed)
    reserves = [[0] * count for _ in range(count)]
    for low in range(count - 1):
        if ratios[low] and managed[low]:
            for high in range(low + 1, count):
                reserves[low][high] = sum(managed[low + 1 : high + 1]) // ratios[low]
    return reserves


def stat_threshold(managed: int, cpus: int) -> int:
    """Return how many pages a processor may count for itself before it tells the zone.

    It is shown as "vm stats threshold"; the model counts exactly. [calculate_normal_threshold]
    """
    units = managed >> 15  # of 128 MiB
    return min(125, 2 * cpus.bit_length() * (1 + units.bit_length()))


def reserve(mark: int, alloc_flags: int) -> int:
    """Return how many of the ``mark`` pages an allocation with ``alloc_flags`` must leave free.

    With ALLOC_MIN_RESERVE it must leave half of the mark, and if it cannot wait either, three
    quarters of that half. A task that is being killed must leave half of what the others must.
    [__zone_watermark_ok]
    """
    if alloc_flags & ALLOC_MIN_RESERVE:
        mark -= mark // 2
        if alloc_flags & ALLOC_NON_BLOCK:
            mark -= mark // 4
    if alloc_flags & ALLOC_OOM:
        mark -= mark // 2
    return mark
