"""How SLUB lays objects out in slabs: pure functions of an object's size and wishes.

Names and rules are those of Linux 6.1, ``mm/slub.c`` and ``mm/slab_common.c``; the kernel function
is cited at each. Debugging flags (red zones, poisoning, user tracking) are not modelled.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ...x86 import PAGE_BYTES, PAGE_SHIFT

__all__ = [
    "AMD64",
    "I686",
    "Geometry",
    "OrderObjects",
    "SlabFlag",
    "SlubConfig",
    "align_up",
    "calc_slab_order",
    "calculate_alignment",
    "calculate_order",
    "calculate_sizes",
    "get_order",
    "oo_make",
    "order_objects",
]

MAX_ORDER = 11
"""Orders of the buddy allocator: 0 to 10. [include/linux/mmzone.h]"""

MAX_OBJS_PER_PAGE = 32767
"""``struct slab`` counts its objects in 15 bits. [mm/slub.c]"""

MIN_PARTIAL, MAX_PARTIAL = 5, 10
"""The bounds of ``min_partial``. [mm/slub.c]"""

ARCH_SLAB_MINALIGN = 8
"""The alignment of ``unsigned long long``, for i686 too. [include/linux/slab.h]"""

CPU_PARTIAL = ((PAGE_BYTES, 6), (1024, 24), (256, 52), (0, 120))
"""How many objects a CPU's partial list may hold, for objects of so many bytes or more, the largest
first. [set_cpu_partial]"""


class SlabFlag:
    """Flags of a cache, ``SLAB_*``, as plain ints. [include/linux/slab.h]"""

    KMALLOC = 0x0000_1000
    HWCACHE_ALIGN = 0x0000_2000
    CACHE_DMA = 0x0000_4000
    CACHE_DMA32 = 0x0000_8000
    RECLAIM_ACCOUNT = 0x0002_0000
    PANIC = 0x0004_0000
    TYPESAFE_BY_RCU = 0x0008_0000
    MEM_SPREAD = 0x0010_0000
    NOLEAKTRACE = 0x0080_0000
    ACCOUNT = 0x0400_0000


@dataclass(frozen=True, slots=True)
class SlubConfig:
    """What the machine and the kernel's configuration fix for all caches.

    Parameters
    ----------
    word_bytes
        The size of a pointer.
    page_offset
        The linear address of physical address 0 in the direct map.
    cache_line_bytes
        What ``cache_line_size()`` returns.
    kmem_cache_bytes, kmem_cache_node_bytes
        Sizes of ``struct kmem_cache`` up to its array of nodes, and of ``struct kmem_cache_node``.
    nr_cpus
        The number of present CPUs.
    min_order, max_order, min_objects
        The boot parameters ``slub_min_order``, ``slub_max_order`` and ``slub_min_objects``; 0
        objects mean that the number follows from ``nr_cpus``.
    """

    word_bytes: int
    page_offset: int
    cache_line_bytes: int
    kmem_cache_bytes: int
    kmem_cache_node_bytes: int
    nr_cpus: int = 1
    min_order: int = 0
    max_order: int = 3
    min_objects: int = 0


AMD64 = SlubConfig(
    word_bytes=8,
    page_offset=0xFFFF_8880_0000_0000,
    cache_line_bytes=64,
    kmem_cache_bytes=216,
    kmem_cache_node_bytes=64,
)
"""x86-64 without KASLR, structures as in Debian's 6.1 kernel for amd64."""

I686 = SlubConfig(
    word_bytes=4,
    page_offset=0xC000_0000,
    cache_line_bytes=32,
    kmem_cache_bytes=136,
    kmem_cache_node_bytes=32,
)
"""i686 with a Pentium III's cache lines, structures as in Debian's 6.1 kernel for 686."""


class OrderObjects(NamedTuple):
    """A slab of 2**``order`` pages and the ``objects`` in it. [struct kmem_cache_order_objects]"""

    order: int
    objects: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """The layout of one cache, as in ``struct kmem_cache``; sizes and offsets in bytes.

    Members
    -------
    object_size, inuse, size
        What the user asked for, that in whole words, and the distance from one object to the next.
    align
        The alignment of objects.
    offset
        Where in a free object the pointer to the next one lies.
    oo, min
        The slab normally taken, and the smallest that holds an object, for fragmented memory.
    min_partial
        How many slabs a node's partial list keeps even if they are empty.
    cpu_partial, cpu_partial_slabs
        How many free objects a CPU's partial list is meant to hold, and how many slabs it holds
        for that.
    """

    object_size: int
    align: int
    inuse: int
    offset: int
    size: int
    oo: OrderObjects
    min: OrderObjects
    min_partial: int
    cpu_partial: int
    cpu_partial_slabs: int


def align_up(value: int, align: int) -> int:
    """Return ``value`` rounded up to a multiple of ``align``, a power of two. [ALIGN]"""
    return (value + align - 1) & -align


def get_order(size: int) -> int:
    """Return the smallest order whose block holds ``size`` bytes. [get_order]"""
    return max(0, (size - 1).bit_length() - PAGE_SHIFT)


def order_objects(order: int, size: int) -> int:
    """Return how many objects of ``size`` bytes 2**``order`` pages hold. [order_objects]"""
    return (PAGE_BYTES << order) // size


def oo_make(order: int, size: int) -> OrderObjects:
    """Return the slab of that order for objects of ``size`` bytes. [oo_make]"""
    return OrderObjects(order, order_objects(order, size))


def calculate_alignment(config: SlubConfig, flags: int, align: int, size: int) -> int:
    """Return the alignment of objects of ``size`` bytes. [calculate_alignment]

    ``HWCACHE_ALIGN`` asks for a cache line, or for the smallest half, quarter, ... of one that
    holds the object. It never lowers the ``align`` asked for.
    """
    if flags & SlabFlag.HWCACHE_ALIGN:
        line = config.cache_line_bytes
        while size <= line // 2:
            line //= 2
        align = max(align, line)
    return align_up(max(align, ARCH_SLAB_MINALIGN), config.word_bytes)


def calc_slab_order(
    config: SlubConfig, size: int, min_objects: int, max_order: int, fraction: int
) -> int:
    """Return the smallest order that wastes at most 1/``fraction`` of the slab. [calc_slab_order]

    Return ``max_order`` + 1 if there is none that holds ``min_objects``.
    """
    if order_objects(config.min_order, size) > MAX_OBJS_PER_PAGE:
        return get_order(size * MAX_OBJS_PER_PAGE) - 1
    for order in range(max(config.min_order, get_order(min_objects * size)), max_order + 1):
        slab_bytes = PAGE_BYTES << order
        if slab_bytes % size <= slab_bytes // fraction:
            return order
    return max_order + 1


def calculate_order(config: SlubConfig, size: int) -> int:
    """Return the order of slabs for objects ``size`` bytes apart. [calculate_order]

    Many objects a slab are tried first, with at most 1/16, 1/8, 1/4 of it wasted; then fewer.
    Raise ``ValueError`` if not even one object fits the largest block of the buddy allocator.
    """
    # fls(nr_cpus) is the bit length.
    wanted = config.min_objects or 4 * (config.nr_cpus.bit_length() + 1)
    for min_objects in range(min(wanted, order_objects(config.max_order, size)), 1, -1):
        for fraction in (16, 8, 4):
            order = calc_slab_order(config, size, min_objects, config.max_order, fraction)
            if order <= config.max_order:
                return order
    for max_order in (config.max_order, MAX_ORDER):
        order = calc_slab_order(config, size, 1, max_order, 1)
        if order <= max_order and order < MAX_ORDER:
            return order
    raise ValueError(f"Object size must be at most {PAGE_BYTES << MAX_ORDER - 1} bytes, not {size}")


def calculate_sizes(
    config: SlubConfig,
    object_size: int,
    align: int = 0,
    flags: int = 0,
    ctor: bool = False,
) -> Geometry:
    """Return the layout of a cache. [calculate_sizes, kmem_cache_open]

    The free pointer lies in the middle of a free object, where writes past the end of a neighbour
    seldom reach; but behind the object if a constructor, or readers under RCU, need a free object
    left as it is. ``align`` is a power of two, or 0 for no wish. Raise ``ValueError`` for another
    alignment, and for sizes that no slab can have.
    """
    if object_size <= 0:
        raise ValueError(f"Object size must be positive, not {object_size}")
    if align < 0 or align & (align - 1):
        raise ValueError(f"Alignment must be 0 or a power of two, not {align}")
    word = config.word_bytes
    align = calculate_alignment(config, flags, align, object_size)
    inuse = align_up(object_size, word)
    outside = ctor or bool(flags & SlabFlag.TYPESAFE_BY_RCU)
    offset = inuse if outside else object_size // 2 & -word
    size = align_up(inuse + word if outside else inuse, align)
    oo = oo_make(calculate_order(config, size), size)
    # ilog2(size) is the bit length less one.
    min_partial = max(MIN_PARTIAL, min(MAX_PARTIAL, (size.bit_length() - 1) // 2))
    cpu_partial = next(count for least, count in CPU_PARTIAL if size >= least)
    return Geometry(
        object_size=object_size,
        align=align,
        inuse=inuse,
        offset=offset,
        size=size,
        oo=oo,
        min=oo_make(get_order(size), size),
        min_partial=min_partial,
        cpu_partial=cpu_partial,
        # Slabs on the list are taken to be half full. [slub_set_cpu_partial]
        cpu_partial_slabs=-(-2 * cpu_partial // oo.objects),
    )
