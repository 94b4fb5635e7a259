"""GFP flags: what a caller of an allocator wants and allows. [include/linux/gfp_types.h, 6.1]

Plain ints under a class as name, not ``enum.IntFlag``, as they are tested on every allocation.
"""

__all__ = ["Gfp"]


class Gfp:
    """``__GFP_*`` bits, and the combinations that callers use, ``GFP_*``."""

    DMA = 0x01
    HIGHMEM = 0x02
    DMA32 = 0x04
    MOVABLE = 0x08
    RECLAIMABLE = 0x10
    HIGH = 0x20
    IO = 0x40
    FS = 0x80
    ZERO = 0x100
    ATOMIC_CONTEXT = 0x200  # __GFP_ATOMIC; GFP_ATOMIC is below
    DIRECT_RECLAIM = 0x400
    KSWAPD_RECLAIM = 0x800
    WRITE = 0x1000
    NOWARN = 0x2000
    RETRY_MAYFAIL = 0x4000
    NOFAIL = 0x8000
    NORETRY = 0x1_0000
    MEMALLOC = 0x2_0000
    COMP = 0x4_0000
    NOMEMALLOC = 0x8_0000
    HARDWALL = 0x10_0000
    THISNODE = 0x20_0000
    ACCOUNT = 0x40_0000

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
