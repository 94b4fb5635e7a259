"""Caches of objects for tests, and filling them."""

from dataclasses import replace

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.geometry import AMD64, calculate_sizes
from pagewalk.model.physical.slab.kmem_cache import KmemCache
from pagewalk.model.physical.slab.slab import Backing

from .slab_pages import Pages


def make(size=512, config=AMD64, cpus=(0,), nodes=1, pages=None, flags=0, ctor=None, **geometry):
    """A cache with its own pages; ``geometry`` overrides what follows from the size."""
    order = {nid: (nid, *(other for other in range(nodes) if other != nid)) for nid in range(nodes)}
    pages = pages or Pages(frames=1024, nodes=nodes)
    backing = Backing(PhysicalMemory(), pages, config, cpus, order)
    found = replace(calculate_sizes(config, size, 0, flags, ctor is not None), **geometry)
    return KmemCache(backing, "test", found, flags, ctor)


def fill(cache, slabs, cpu=0, node=-1):
    """Take all objects of so many new slabs; return the slabs' objects, a list for each."""
    count = cache.geometry.oo.objects
    taken = [[cache.alloc(cpu=cpu, node=node) for _ in range(count)] for _ in range(slabs)]
    for objects in taken:
        assert objects == sorted(objects)
        assert len({cache.backing.slabs[cache.backing.pfn(p)].pfn for p in objects}) == 1
    return taken


def first(cache, nid=0):
    return next(iter(cache.nodes[nid].partial.values()))
