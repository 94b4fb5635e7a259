"""Memory by the byte: ``kmalloc``, its size classes, and what becomes of large requests.

Linux 6.1, ``mm/slab_common.c`` and ``include/linux/slab.h``, configured with ``ZONE_DMA`` and
``MEMCG_KMEM``.
"""

import enum

from ...x86 import PAGE_BYTES, PAGE_SHIFT
from ..gfp import Gfp
from .caches import SlabCaches
from .errors import ForeignPointer, NotAnObject
from .geometry import SlabFlag, get_order
from .kmem_cache import KmemCache
from .slab import NUMA_NO_NODE

__all__ = [
    "KMALLOC_MAX_CACHE_SIZE",
    "ZERO_SIZE_PTR",
    "Kmalloc",
    "KmallocType",
    "kmalloc_index",
    "kmalloc_size",
    "kmalloc_size_roundup",
    "kmalloc_type",
]

KMALLOC_SHIFT_LOW = 3
KMALLOC_SHIFT_HIGH = PAGE_SHIFT + 1

KMALLOC_MAX_CACHE_SIZE = 1 << KMALLOC_SHIFT_HIGH
"""The largest size that has a cache; the page allocator serves larger ones."""

ZERO_SIZE_PTR = 16
"""The pointer that ``kmalloc`` returns for 0 bytes."""

NOT_NORMAL = Gfp.RECLAIMABLE | Gfp.DMA | Gfp.ACCOUNT


class KmallocType(enum.IntEnum):
    """The sets of kmalloc caches: one cache of each size class. [enum kmalloc_cache_type]"""

    NORMAL = 0
    CGROUP = 1
    RECLAIM = 2
    DMA = 3


KINDS = {
    KmallocType.NORMAL: ("kmalloc-", 0),
    KmallocType.CGROUP: ("kmalloc-cg-", SlabFlag.ACCOUNT),
    KmallocType.RECLAIM: ("kmalloc-rcl-", SlabFlag.RECLAIM_ACCOUNT),
    KmallocType.DMA: ("dma-kmalloc-", SlabFlag.CACHE_DMA),
}
"""How the names of the caches begin, and their flags. [new_kmalloc_cache]"""

BETWEEN = {1: 96, 2: 192}
"""The sizes between the powers of two, by their index. [kmalloc_info]"""


def kmalloc_index(size: int) -> int:
    """Return which size class serves ``size`` bytes, 0 for none. [kmalloc_index]

    1 is 96 bytes, 2 is 192, n is 2**n.
    """
    if 64 < size <= 96:
        return 1
    if 128 < size <= 192:
        return 2
    return max(KMALLOC_SHIFT_LOW, (size - 1).bit_length()) if size else 0


def kmalloc_size(index: int) -> int:
    """Return the bytes of the objects of a size class. [kmalloc_info]"""
    return BETWEEN.get(index, 1 << index)


def kmalloc_type(gfp: int) -> KmallocType:
    """Return which set of caches serves a request. [kmalloc_type]"""
    if gfp & Gfp.DMA:
        return KmallocType.DMA
    if gfp & Gfp.RECLAIMABLE:
        return KmallocType.RECLAIM
    return KmallocType.CGROUP if gfp & Gfp.ACCOUNT else KmallocType.NORMAL


def kmalloc_size_roundup(size: int) -> int:
    """Return how many bytes a request for ``size`` really gets. [kmalloc_size_roundup]"""
    if size > KMALLOC_MAX_CACHE_SIZE:
        return PAGE_BYTES << get_order(size)
    return kmalloc_size(kmalloc_index(size)) if size else 0


class Kmalloc:
    """The kmalloc caches, and the blocks of pages for requests that are too large for them.

    Making it ends the boot of ``caches``, so it must be made before any other cache.

    Parameters
    ----------
    caches
        Where the kmalloc caches are made.
    """

    def __init__(self, caches: SlabCaches) -> None:
        self.backing = caches.backing
        self._slabs = caches.backing.slabs
        self._page_offset = caches.backing.config.page_offset
        self._large: dict[int, int] = {}  # the order of each large block, by its first frame
        self._create_kmalloc_caches(caches)
        caches.init_freelist_randomization()

    def _create_kmalloc_caches(self, caches: SlabCaches) -> None:
        """Make the caches of all types and sizes. [create_kmalloc_caches]"""
        indices = [3, 4, 5, 6, 1, 7, 2, *range(8, KMALLOC_SHIFT_HIGH + 1)]
        self._by_index: dict[KmallocType, dict[int, KmemCache]] = {}
        for kind, (prefix, flags) in KINDS.items():
            self._by_index[kind] = {}
            for index in indices:
                size = kmalloc_size(index)
                short = f"{size >> 10}k" if size >= 1024 else str(size)
                cache = caches.create_kmalloc_cache(prefix + short, size, flags)
                if kind is KmallocType.NORMAL:
                    cache.refcount = -1  # unaccounted objects only, so never merged
                self._by_index[kind][index] = cache
        # The cache of each size up to the last index, one for every 8 bytes. [size_index]
        self._by_size = {
            kind: [of_kind[kmalloc_index(8 * step)] for step in
                   range(1, KMALLOC_MAX_CACHE_SIZE // 8 + 1)]
            for kind, of_kind in self._by_index.items()
        }
        self._normal = self._by_size[KmallocType.NORMAL]

    def cache(self, size: int, gfp: int = Gfp.KERNEL) -> KmemCache:
        """Return the cache that serves ``size`` bytes, 1 to 8192. [kmalloc_slab]"""
        step = size - 1 >> 3
        return self._by_size[kmalloc_type(gfp)][step] if gfp & NOT_NORMAL else self._normal[step]

    def kmalloc(
        self, size: int, gfp: int = Gfp.KERNEL, cpu: int = 0, node: int = NUMA_NO_NODE
    ) -> int:
        """Return a pointer to at least ``size`` bytes. [__kmalloc_node]

        They are not cleared, unless ``gfp`` has ``Gfp.ZERO``. For 0 bytes the pointer is
        ``ZERO_SIZE_PTR``. Raise ``SlabOutOfMemory``; for more than ``KMALLOC_MAX_CACHE_SIZE`` what
        the page allocator raises; ``ValueError`` for a negative size.
        """
        if 0 < size <= KMALLOC_MAX_CACHE_SIZE:
            return self.cache(size, gfp).alloc(gfp, cpu, node)
        if size < 0:
            raise ValueError(f"Size must not be negative, not {size}")
        return self._large_alloc(size, gfp, cpu, node) if size else ZERO_SIZE_PTR

    def kzalloc(
        self, size: int, gfp: int = Gfp.KERNEL, cpu: int = 0, node: int = NUMA_NO_NODE
    ) -> int:
        """Return a pointer to at least ``size`` bytes, all of them 0. [kzalloc]"""
        return self.kmalloc(size, gfp | Gfp.ZERO, cpu, node)

    def kfree(self, pointer: int, cpu: int = 0) -> None:
        """Free what ``kmalloc`` or a cache returned; pass over 0 and ``ZERO_SIZE_PTR``. [kfree]

        Raise ``SlabDoubleFree``, ``NotAnObject`` or ``ForeignPointer``; then nothing has changed.
        """
        slab = self._slabs.get(pointer - self._page_offset >> PAGE_SHIFT)
        if slab:
            slab.cache.slab_free(slab, pointer, cpu)
        elif pointer not in (0, ZERO_SIZE_PTR):
            order = self._large_order(pointer)
            pfn = self.backing.pfn(pointer)
            del self._large[pfn]
            self.backing.pages.free_pages(pfn, order, cpu)

    def ksize(self, pointer: int) -> int:
        """Return how many bytes at ``pointer`` may be used. [ksize]

        Raise as ``kfree`` does.
        """
        if pointer in (0, ZERO_SIZE_PTR):
            return 0
        slab = self._slabs.get(self.backing.pfn(pointer))
        if not slab:
            return PAGE_BYTES << self._large_order(pointer)
        slab.cache.live_index(slab, pointer)
        return slab.cache.ksize()

    def krealloc(self, pointer: int, size: int, gfp: int = Gfp.KERNEL, cpu: int = 0) -> int:
        """Return a pointer to ``size`` bytes that begin as those at ``pointer`` do. [krealloc]

        It is the same pointer if there is room already. Raise as ``kmalloc`` and ``kfree`` do; then
        ``pointer`` is still valid.
        """
        if not size:
            self.kfree(pointer, cpu)
            return ZERO_SIZE_PTR
        room = self.ksize(pointer)
        if size <= room:
            if gfp & Gfp.ZERO:
                self.backing.write(pointer + size, bytes(room - size))
            return pointer
        moved = self.kmalloc(size, gfp, cpu)
        self.backing.write(moved, self.backing.read(pointer, room))
        self.kfree(pointer, cpu)
        return moved

    def _large_alloc(self, size: int, gfp: int, cpu: int, node: int) -> int:
        """Take a block of pages. [__kmalloc_large_node]"""
        order = get_order(size)
        pfn = self.backing.alloc_block(gfp & ~(Gfp.DMA32 | Gfp.HIGHMEM) | Gfp.COMP, order, node,
                                       cpu)
        self._large[pfn] = order
        pointer = self.backing.address(pfn)
        if gfp & Gfp.ZERO:
            self.backing.write(pointer, bytes(PAGE_BYTES << order))
        return pointer

    def _large_order(self, pointer: int) -> int:
        """Return the order of the large block at ``pointer``, or raise what is wrong with it."""
        order = self._large.get(self.backing.pfn(pointer))
        if order is None:
            raise ForeignPointer(pointer, "kmalloc", "no cache")
        if self.backing.address(self.backing.pfn(pointer)) != pointer:
            raise NotAnObject(pointer, "kmalloc")
        return order
