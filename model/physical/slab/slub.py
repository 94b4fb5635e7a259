"""SLUB, the allocator of kernel objects, as the rest of a kernel sees it."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..memory import PhysicalMemory
from .caches import SlabCaches
from .geometry import AMD64, SlubConfig
from .kmalloc import Kmalloc
from .slab import Backing, PageSource
from .slabinfo import slabinfo

__all__ = ["Slub"]


class Slub:
    """The slab allocator of a machine, booted: caches of objects, and ``kmalloc``.

    ``kmem_cache_create`` and ``kmem_cache_destroy`` are those of ``SlabCaches``; ``kmalloc``,
    ``kzalloc``, ``kfree``, ``ksize`` and ``krealloc`` those of ``Kmalloc``. Pointers are linear
    addresses in the direct map. Nothing is cleared unasked, as with ``init_on_alloc=0``.

    Parameters
    ----------
    memory, pages
        Where objects lie, and where their pages come from.
    config
        ``AMD64``, ``I686``, or one of your own.
    cpu_to_node, node_order, rng
        As in ``Backing``: the CPUs, the nodes, and a seed for random free lists.
    """

    def __init__(
        self,
        memory: PhysicalMemory,
        pages: PageSource,
        config: SlubConfig = AMD64,
        cpu_to_node: Sequence[int] = (0,),
        node_order: Mapping[int, Sequence[int]] | None = None,
        rng: np.random.Generator | None = None,
    ) -> None:
        node_order = node_order or {0: (0,)}
        self.backing = Backing(memory, pages, config, cpu_to_node, node_order, rng)
        self.caches = SlabCaches(self.backing)
        self.heap = Kmalloc(self.caches)
        self.kmem_cache_create = self.caches.kmem_cache_create
        self.kmem_cache_destroy = self.caches.kmem_cache_destroy
        self.kmalloc = self.heap.kmalloc
        self.kzalloc = self.heap.kzalloc
        self.kfree = self.heap.kfree
        self.ksize = self.heap.ksize
        self.krealloc = self.heap.krealloc

    def shrink(self) -> None:
        """Give back the empty slabs of all caches. [kmem_cache_shrink]"""
        for cache in self.caches.caches:
            cache.shrink()

    def slabinfo(self) -> str:
        """Return the text of ``/proc/slabinfo``."""
        return slabinfo(self.caches)

    def check(self) -> None:
        """Raise ``SlabCorruption`` if an invariant of any cache is broken."""
        self.caches.check()
