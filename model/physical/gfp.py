"""GFP flags: what a caller asks of an allocation, and the zone and migrate type that follow.

Values are those of Linux 6.1 (include/linux/gfp_types.h) without CONFIG_LOCKDEP and
CONFIG_KASAN_HW_TAGS. Plain ints, as the allocator tests them for every page.
"""

from .kernel_config import KernelConfig, ZoneType
from .page import MigrateType

__all__ = ["Gfp", "gfp_migratetype", "gfp_name", "gfp_zone"]


class Gfp:
    """The single flags, and the combinations that callers use. [``__GFP_*``, ``GFP_*``]

    Names lack the kernel's prefix: ``Gfp.IO`` is the flag __GFP_IO, ``Gfp.KERNEL`` the combination
    GFP_KERNEL. Of ATOMIC there are both: ``Gfp.ATOMIC`` is GFP_ATOMIC, ``Gfp.ATOMIC_CONTEXT`` the
    flag __GFP_ATOMIC. GFP_DMA and GFP_DMA32 are the flags themselves.
    """

    DMA = 0x01
    HIGHMEM = 0x02
    DMA32 = 0x04
    MOVABLE = 0x08
    RECLAIMABLE = 0x10
    HIGH = 0x20
    IO = 0x40
    FS = 0x80
    ZERO = 0x100
    ATOMIC_CONTEXT = 0x200
    DIRECT_RECLAIM = 0x400
    KSWAPD_RECLAIM = 0x800
    WRITE = 0x1000
    NOWARN = 0x2000
    RETRY_MAYFAIL = 0x4000
    NOFAIL = 0x8000
    NORETRY = 0x10000
    MEMALLOC = 0x20000
    COMP = 0x40000
    NOMEMALLOC = 0x80000
    HARDWALL = 0x100000
    THISNODE = 0x200000
    ACCOUNT = 0x400000
    ZEROTAGS = 0x800000

    RECLAIM = DIRECT_RECLAIM | KSWAPD_RECLAIM
    ATOMIC = HIGH | ATOMIC_CONTEXT | KSWAPD_RECLAIM
    KERNEL = RECLAIM | IO | FS
    KERNEL_ACCOUNT = KERNEL | ACCOUNT
    NOWAIT = KSWAPD_RECLAIM
    NOIO = RECLAIM
    NOFS = RECLAIM | IO
    USER = KERNEL | HARDWALL
    HIGHUSER = USER | HIGHMEM
    HIGHUSER_MOVABLE = HIGHUSER | MOVABLE
    TRANSHUGE_LIGHT = (HIGHUSER_MOVABLE | COMP | NOMEMALLOC | NOWARN) & ~RECLAIM
    TRANSHUGE = TRANSHUGE_LIGHT | DIRECT_RECLAIM


ZONE_MASK = Gfp.DMA | Gfp.HIGHMEM | Gfp.DMA32 | Gfp.MOVABLE

# Which zone each of the valid combinations of the four lowest flags asks for. [GFP_ZONE_TABLE]
ZONE_TABLE = {
    0: ZoneType.NORMAL,
    Gfp.DMA: ZoneType.DMA,
    Gfp.HIGHMEM: ZoneType.HIGHMEM,
    Gfp.DMA32: ZoneType.DMA32,
    Gfp.MOVABLE: ZoneType.NORMAL,
    Gfp.MOVABLE | Gfp.DMA: ZoneType.DMA,
    Gfp.MOVABLE | Gfp.HIGHMEM: ZoneType.MOVABLE,
    Gfp.MOVABLE | Gfp.DMA32: ZoneType.DMA32,
}

# The kernel prints the first of these that is in the flags, then of what is left of them, and so
# on. [__def_gfpflag_names]
NAMES = (
    ("GFP_TRANSHUGE", Gfp.TRANSHUGE), ("GFP_TRANSHUGE_LIGHT", Gfp.TRANSHUGE_LIGHT),
    ("GFP_HIGHUSER_MOVABLE", Gfp.HIGHUSER_MOVABLE), ("GFP_HIGHUSER", Gfp.HIGHUSER),
    ("GFP_USER", Gfp.USER), ("GFP_KERNEL_ACCOUNT", Gfp.KERNEL_ACCOUNT),
    ("GFP_KERNEL", Gfp.KERNEL), ("GFP_NOFS", Gfp.NOFS), ("GFP_ATOMIC", Gfp.ATOMIC),
    ("GFP_NOIO", Gfp.NOIO), ("GFP_NOWAIT", Gfp.NOWAIT), ("GFP_DMA", Gfp.DMA),
    ("__GFP_HIGHMEM", Gfp.HIGHMEM), ("GFP_DMA32", Gfp.DMA32), ("__GFP_HIGH", Gfp.HIGH),
    ("__GFP_ATOMIC", Gfp.ATOMIC_CONTEXT), ("__GFP_IO", Gfp.IO), ("__GFP_FS", Gfp.FS),
    ("__GFP_NOWARN", Gfp.NOWARN), ("__GFP_RETRY_MAYFAIL", Gfp.RETRY_MAYFAIL),
    ("__GFP_NOFAIL", Gfp.NOFAIL), ("__GFP_NORETRY", Gfp.NORETRY), ("__GFP_COMP", Gfp.COMP),
    ("__GFP_ZERO", Gfp.ZERO), ("__GFP_NOMEMALLOC", Gfp.NOMEMALLOC),
    ("__GFP_MEMALLOC", Gfp.MEMALLOC), ("__GFP_HARDWALL", Gfp.HARDWALL),
    ("__GFP_THISNODE", Gfp.THISNODE), ("__GFP_RECLAIMABLE", Gfp.RECLAIMABLE),
    ("__GFP_MOVABLE", Gfp.MOVABLE), ("__GFP_ACCOUNT", Gfp.ACCOUNT), ("__GFP_WRITE", Gfp.WRITE),
    ("__GFP_RECLAIM", Gfp.RECLAIM), ("__GFP_DIRECT_RECLAIM", Gfp.DIRECT_RECLAIM),
    ("__GFP_KSWAPD_RECLAIM", Gfp.KSWAPD_RECLAIM), ("__GFP_ZEROTAGS", Gfp.ZEROTAGS),
)


def gfp_zone(gfp: int, config: KernelConfig) -> int:
    """Return the index of the highest zone that ``gfp`` allows; the lower ones are allowed too.

    In place of a zone that the kernel does not have it is that of ZONE_NORMAL. Raise ``ValueError``
    for flags that name two zones. [gfp_zone]
    """
    kind = ZONE_TABLE.get(gfp & ZONE_MASK)
    if kind is None:
        raise ValueError(f"GFP flags must name one zone, not {gfp_name(gfp & ZONE_MASK)}")
    return config.zone_index(kind if kind in config.zones else ZoneType.NORMAL)


def gfp_migratetype(gfp: int) -> int:
    """Return the migrate type of pages allocated with ``gfp``.

    Raise ``ValueError`` for flags that say both movable and reclaimable. [gfp_migratetype]
    """
    match gfp & (Gfp.MOVABLE | Gfp.RECLAIMABLE):
        case 0:
            return MigrateType.UNMOVABLE
        case Gfp.MOVABLE:
            return MigrateType.MOVABLE
        case Gfp.RECLAIMABLE:
            return MigrateType.RECLAIMABLE
    raise ValueError(f"GFP flags must not say both movable and reclaimable: {gfp_name(gfp)}")


def gfp_name(gfp: int) -> str:
    """Return ``gfp`` as the kernel prints it, such as ``GFP_KERNEL|__GFP_ZERO``. [%pGg]"""
    names = []
    for name, mask in NAMES:
        if gfp & mask == mask:
            names.append(name)
            gfp &= ~mask
    if gfp:
        names.append(f"{gfp:#x}")
    return "|".join(names) or "none"
