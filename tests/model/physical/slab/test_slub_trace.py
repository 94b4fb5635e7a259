"""Slab events of real kernels, with true pointers: what the model says of each address.

The traces do not tell what was in the slabs before. What they decide is checked: where objects may
lie, and that an object freed to the CPU's slab is the next to be allocated from it.
"""

from collections import defaultdict

import pytest

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.kmalloc import kmalloc_size_roundup
from pagewalk.model.physical.slab.kmem_cache import KmemCache
from pagewalk.model.physical.slab.slab import Backing

from ..booted import full_slub
from ..linux_slabs import events, slabinfo_lines

TRACED = ["amd64-A", "i686-A"]

# The kernel also takes maple nodes by kmem_cache_alloc_bulk, of which there is no event.
PARTLY_TRACED = {"maple_node"}


class OneSlab:
    """A page allocator that has one block, where a real slab was."""

    def __init__(self, pfn):
        self.pfn = pfn

    def alloc_pages(self, *_):
        return self.pfn

    def free_pages(self, *_):
        raise AssertionError("The slab is in use")

    def page_to_nid(self, _pfn):
        return 0


def slab_start(cache, pointer):
    """The address of the slab that a pointer would be in, as slabs are aligned to their size."""
    return pointer & -(4096 << cache.geometry.oo.order)


def kmalloc_cache(slub, event):
    """The cache of a kmalloc event, from the size and the flags in it."""
    return slub.heap.cache(event.bytes_req, Gfp.ACCOUNT if "ACCOUNT" in event.gfp_flags else 0)


def attributed(boot):
    """The events with the cache of each, in order; and how many could not be told.

    The kernel names the cache only when an object of it is freed: all slabs seen then, or in a
    kmalloc, tell the cache of what else is in them.
    """
    slub = full_slub(boot)
    by_name = {cache.name: cache for cache in slub.caches.caches}
    owners = {}
    traced = [event for event in events(boot) if event.ptr]
    for event in traced:
        cache = by_name.get(event.name)
        if event.kind == "kmalloc":
            cache = kmalloc_cache(slub, event)
        if cache:
            owners[slab_start(cache, event.ptr)] = cache
    found, unknown = [], 0
    for event in traced:
        starts = {event.ptr & -(4096 << order) for order in range(4)}
        caches = {owners[start] for start in starts if start in owners
                  and slab_start(owners[start], event.ptr) == start}
        if len(caches) == 1:
            found.append((event, caches.pop()))
        else:
            unknown += 1
    return found, unknown


def runs(found):
    """Per cache, stretches in which one slab is the CPU's: its start, and the events in it.

    They begin with the first kmem_cache_free, of all events the one that was switched on last.
    """
    current, stretches = {}, defaultdict(list)
    first = [event.kind for event, _ in found].index("kmem_cache_free")
    for event, cache in found[first:]:
        if cache.name in PARTLY_TRACED:
            continue
        start = slab_start(cache, event.ptr)
        allocated = "alloc" in event.kind
        if allocated and current.get(cache) != start:
            current[cache] = start
            stretches[cache].append((start, []))
        if current.get(cache) == start:
            stretches[cache][-1][1].append((allocated, event.ptr))
    return [(cache, *stretch) for cache, of_cache in stretches.items() for stretch in of_cache]


def replay(cache, start, stretch):
    """Put a slab at ``start`` into the state the stretch began in, and replay it.

    Return how many allocated objects had been freed in it, and so were to be foretold.
    """
    freed, first_use = set(), []
    foretold = 0
    for allocated, pointer in stretch:
        if not allocated:
            freed.add(pointer)
        elif pointer in freed:
            foretold += 1
        else:
            first_use.append(pointer)
    backing = Backing(PhysicalMemory(), OneSlab(start - cache.backing.config.page_offset >> 12),
                      cache.backing.config)
    model = KmemCache(backing, cache.name, cache.geometry, cache.flags)
    for _ in range(cache.geometry.oo.objects):
        model.alloc()
    for pointer in reversed(first_use):
        model.free(pointer)
    for allocated, pointer in stretch:
        if allocated:
            assert (cache.name, hex(model.alloc())) == (cache.name, hex(pointer))
        else:
            model.free(pointer)
    model.check()
    return foretold


@pytest.mark.parametrize("boot", TRACED)
def test_every_object_begins_where_the_layout_of_its_cache_has_one(boot):
    found, unknown = attributed(boot)
    assert (len(found) > 1000, unknown) == (True, 2 if boot == "amd64-A" else 0)
    sizes = {line.name: line.objsize for line in slabinfo_lines(boot)}
    for event, cache in found:
        start = slab_start(cache, event.ptr)
        oo, size = cache.geometry.oo, cache.geometry.size
        assert size == sizes[cache.name]
        assert event.ptr in range(start, start + oo.objects * size, size), event
        if event.bytes_alloc:
            assert (event, size) == (event, event.bytes_alloc)
        if event.kind == "kmalloc":
            assert event.bytes_alloc == kmalloc_size_roundup(event.bytes_req)


@pytest.mark.parametrize("boot", TRACED)
def test_an_object_freed_to_the_cpu_s_slab_is_the_next_one_allocated(boot):
    """Each such address is the kernel's."""
    stretches = runs(attributed(boot)[0])
    foretold = sum(replay(*stretch) for stretch in stretches)
    assert foretold > 250
