"""All caches together: making, merging and destroying them. [mm/slab_common.c, Linux 6.1]"""

from collections.abc import Callable
from dataclasses import replace

from ..gfp import Gfp
from .errors import CacheDestroyed, CacheInUse, SlabCorruption, SlabOutOfMemory
from .geometry import SlabFlag, align_up, calculate_alignment, calculate_sizes
from .kmem_cache import KmemCache
from .slab import Backing

__all__ = ["SlabCaches", "slab_unmergeable", "sysfs_name"]

PERMITTED = (
    SlabFlag.HWCACHE_ALIGN | SlabFlag.CACHE_DMA | SlabFlag.CACHE_DMA32 | SlabFlag.PANIC
    | SlabFlag.TYPESAFE_BY_RCU | SlabFlag.MEM_SPREAD | SlabFlag.NOLEAKTRACE
    | SlabFlag.RECLAIM_ACCOUNT | SlabFlag.ACCOUNT
)
"""Flags that a new cache may have; debugging is not modelled. [SLAB_FLAGS_PERMITTED]"""

NEVER_MERGE = SlabFlag.TYPESAFE_BY_RCU | SlabFlag.NOLEAKTRACE
MERGE_SAME = (
    SlabFlag.RECLAIM_ACCOUNT | SlabFlag.CACHE_DMA | SlabFlag.CACHE_DMA32 | SlabFlag.ACCOUNT
)
SYSFS_FLAGS = (
    (SlabFlag.CACHE_DMA, "d"),
    (SlabFlag.CACHE_DMA32, "D"),
    (SlabFlag.RECLAIM_ACCOUNT, "a"),
    (SlabFlag.ACCOUNT, "A"),
)


class SlabCaches:
    """The list of all caches. [slab_caches]

    Two caches are there from the start, and hold what the kernel needs for every cache: one
    ``struct kmem_cache``, and a ``struct kmem_cache_node`` for each node.

    Members
    -------
    caches
        All caches, the oldest first.
    """

    def __init__(self, backing: Backing) -> None:
        self.backing = backing
        self.caches: list[KmemCache] = []
        self._up = False
        self._structs: dict[KmemCache, tuple[int, list[int]]] = {}
        self._boot()

    def _boot(self) -> None:
        """Make the two caches that making a cache needs, for themselves too. [kmem_cache_init]

        The cache of node structures needs one for each node before it can hand any out, so these
        are the first objects of slabs made by hand.
        """
        config, nodes = self.backing.config, self.backing.node_order
        node_cache = self._boot_cache("kmem_cache_node", config.kmem_cache_node_bytes)
        node_structs = [self._early_node_alloc(node_cache, nid) for nid in nodes]
        size = config.kmem_cache_bytes + (max(nodes) + 1) * config.word_bytes
        cache = self._boot_cache("kmem_cache", size)
        self._kmem_cache, self._kmem_cache_node = cache, node_cache
        own_structs = [node_cache.alloc(Gfp.KERNEL, 0, nid) for nid in nodes]
        for booted, of_nodes in ((cache, own_structs), (node_cache, node_structs)):
            self._structs[booted] = cache.alloc(Gfp.NOWAIT | Gfp.ZERO), of_nodes  # [bootstrap]
            booted.flush_all()
            self.caches.append(booted)

    def _boot_cache(
        self, name: str, size: int, flags: int = SlabFlag.HWCACHE_ALIGN, usersize: int = 0
    ) -> KmemCache:
        """Return a cache whose objects, of a power of two bytes, are aligned to their size.

        It is exempt from merging for now. [create_boot_cache]
        """
        align = size if size & (size - 1) == 0 else 0
        geometry = calculate_sizes(self.backing.config, size, align, flags)
        cache = KmemCache(self.backing, name, geometry, flags, usersize=usersize)
        cache.refcount = -1
        return cache

    def _early_node_alloc(self, cache: KmemCache, nid: int) -> int:
        """Return the first object of a new slab on a node. [early_kmem_cache_node_alloc]"""
        slab = cache.store.new_slab(Gfp.NOWAIT, 0, nid)
        pointer = slab.freelist
        slab.freelist = cache.store.next_free(slab, pointer)
        slab.inuse = 1
        slab.live[slab.objects.index(pointer)] = 1
        cache.nodes[slab.nid].add_partial(slab, tail=False)
        return pointer

    def _alloc_structs(self, cache: KmemCache, gfp: int, cpu: int) -> None:
        """Give a cache its ``struct kmem_cache``, and a ``struct kmem_cache_node`` for each node.

        Raise ``SlabOutOfMemory``, with nothing changed, if memory does not suffice for all.
        [create_cache, init_kmem_cache_nodes]
        """
        struct = self._kmem_cache.alloc(gfp | Gfp.ZERO, cpu)
        self._structs[cache] = struct, []
        try:
            for nid in self.backing.node_order:
                of_node = self._kmem_cache_node.alloc(Gfp.KERNEL, cpu, nid)
                self._structs[cache][1].append(of_node)
        except SlabOutOfMemory:
            self._free_structs(cache, cpu)
            raise

    def _free_structs(self, cache: KmemCache, cpu: int) -> None:
        """Free what ``_alloc_structs`` gave. [__kmem_cache_release]"""
        struct, of_nodes = self._structs.pop(cache)
        for pointer in of_nodes:
            self._kmem_cache_node.free(pointer, cpu)
        self._kmem_cache.free(struct, cpu)

    def create_kmalloc_cache(self, name: str, size: int, flags: int) -> KmemCache:
        """Return a new cache that ``kmalloc`` may use. [create_kmalloc_cache]"""
        cache = self._boot_cache(name, size, flags | SlabFlag.KMALLOC, usersize=size)
        self._alloc_structs(cache, Gfp.NOWAIT, 0)
        self.caches.append(cache)
        cache.refcount = 1
        return cache

    def init_freelist_randomization(self) -> None:
        """Use the objects of new slabs in random order from now on, if so configured.

        [init_freelist_randomization]
        """
        self._up = True
        for cache in self.caches:
            cache.store.init_random_seq()

    def kmem_cache_create(
        self,
        name: str,
        size: int,
        align: int = 0,
        flags: int = 0,
        ctor: Callable[[int], None] | None = None,
        usersize: int = 0,
        cpu: int = 0,
    ) -> KmemCache:
        """Return a cache of objects of ``size`` bytes, an existing one if its objects will do.

        ``usersize`` bytes of an object may be copied to and from user space: such a cache is not
        merged with another. Raise ``ValueError`` for flags, sizes and alignments that no cache can
        have, and ``SlabOutOfMemory``; then nothing has changed. [kmem_cache_create_usercopy]
        """
        if flags & ~PERMITTED:
            raise ValueError(f"Cache flags must be among {PERMITTED:#x}, not {flags:#x}")
        if not 0 <= usersize <= size:
            raise ValueError(f"User size must be within the object's {size} bytes, not {usersize}")
        geometry = calculate_sizes(self.backing.config, size, align, flags, ctor is not None)
        merged = None if usersize else self.find_mergeable(size, align, flags, ctor)
        if merged:
            self._alias(merged, size)
            return merged
        cache = KmemCache(self.backing, name, geometry, flags, ctor, usersize)
        if self._up:
            cache.store.init_random_seq()
        self._alloc_structs(cache, Gfp.KERNEL, cpu)
        self.caches.append(cache)
        return cache

    def find_mergeable(
        self, size: int, align: int, flags: int, ctor: Callable[[int], None] | None
    ) -> KmemCache | None:
        """Return the oldest cache whose objects can serve as those wanted. [find_mergeable]

        They are less than a word larger, as much aligned, of the same kind of memory, and accounted
        in the same way.
        """
        if ctor or flags & NEVER_MERGE:
            return None
        word = self.backing.config.word_bytes
        size = align_up(size, word)
        align = calculate_alignment(self.backing.config, flags, align, size)
        size = align_up(size, align)
        for cache in self.caches:
            room = cache.geometry.size - size
            if (not slab_unmergeable(cache) and flags & MERGE_SAME == cache.flags & MERGE_SAME
                    and cache.geometry.size % align == 0 and 0 <= room < word):
                return cache
        return None

    def _alias(self, cache: KmemCache, size: int) -> None:
        """Give a cache one more user. [__kmem_cache_alias]"""
        cache.refcount += 1
        geometry = cache.geometry
        cache.geometry = replace(
            geometry,
            object_size=max(geometry.object_size, size),
            inuse=max(geometry.inuse, align_up(size, self.backing.config.word_bytes)),
        )

    def kmem_cache_destroy(self, cache: KmemCache, cpu: int = 0) -> None:
        """Take one user from a cache, and with the last one destroy it. [kmem_cache_destroy]

        Raise ``CacheInUse`` if the last user leaves objects behind, with nothing changed, and
        ``CacheDestroyed`` if there is no user any more.
        """
        if cache.destroyed:
            raise CacheDestroyed(cache.name)
        if cache.refcount != 1:
            cache.refcount -= 1
            return
        live = sum(slab.live.count(1) for slab in cache.store.slabs.values())
        if live:
            raise CacheInUse(cache.name, live)
        cache.shrink(cpu)
        cache.destroyed = True
        self.caches.remove(cache)
        self._free_structs(cache, cpu)

    def check(self) -> None:
        """Raise ``SlabCorruption`` if an invariant of any cache is broken."""
        frames = 0
        for cache in self.caches:
            cache.check()
            frames += sum(len(slab.frames) for slab in cache.store.slabs.values())
        if frames != len(self.backing.slabs):
            raise SlabCorruption(f"Caches have {frames} frames, not {len(self.backing.slabs)}")


def slab_unmergeable(cache: KmemCache) -> bool:
    """Return whether a cache must keep to itself. [slab_unmergeable]"""
    return bool(cache.flags & NEVER_MERGE or cache.ctor or cache.usersize or cache.refcount < 0)


def sysfs_name(cache: KmemCache) -> str:
    """Return the name of a cache's folder in ``/sys/kernel/slab``.

    That of a cache that may be merged is made up from what all its users have in common.
    [sysfs_slab_add, create_unique_id]
    """
    if slab_unmergeable(cache):
        return cache.name
    letters = "".join(letter for flag, letter in SYSFS_FLAGS if cache.flags & flag)
    return f":{letters}-{cache.geometry.size:07}" if letters else f":{cache.geometry.size:07}"
