"""What a cache of objects refuses, and what its check finds."""

import re
from dataclasses import replace

import pytest

from pagewalk.model.physical.slab.errors import (
    CacheDestroyed,
    ForeignPointer,
    NotAnObject,
    SlabCorruption,
    SlabDoubleFree,
    SlabOutOfMemory,
)
from pagewalk.model.physical.slab.geometry import AMD64
from pagewalk.model.physical.slab.kmem_cache import KmemCache

from ..cache_tools import fill, first, make
from ..slab_pages import Pages


def assert_refused(cache, error, message, act):
    before = ([vars_of(slab) for slab in cache.store.slabs.values()],
              cache.backing.memory.frames.tolist())
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        act()
    cache.check()
    assert before == ([vars_of(slab) for slab in cache.store.slabs.values()],
                      cache.backing.memory.frames.tolist())


def vars_of(slab):
    return slab.pfn, slab.inuse, slab.frozen, slab.freelist, bytes(slab.live)


@pytest.mark.parametrize("cpu", [0, 1])
@pytest.mark.parametrize("between", [0, 3])
def test_a_double_free_is_refused(cpu, between):
    """Also where the kernel's naive check, that the object heads the list, would not see it."""
    cache = make(cpus=(0, 0))
    pointers = [cache.alloc() for _ in range(5)]
    for pointer in pointers[: between + 1]:
        cache.free(pointer)
    assert_refused(cache, SlabDoubleFree, f"Object {pointers[0]:#x} of test is free already",
                   lambda: cache.free(pointers[0], cpu=cpu))


def test_an_object_never_handed_out_cannot_be_freed():
    cache = make()
    pointer = cache.alloc() + 512
    assert_refused(cache, SlabDoubleFree, f"Object {pointer:#x} of test is free already",
                   lambda: cache.free(pointer))


@pytest.mark.parametrize("offset", [-8, 1, 8, 511, 4096 - 512 + 8])
def test_a_pointer_into_an_object_is_refused(offset):
    cache = make(504)  # 8 of them leave 64 bytes at the end
    pointer, *_ = [cache.alloc() for _ in range(8)]
    wrong = pointer + offset if offset > 0 else pointer + 4096 + offset
    assert_refused(cache, NotAnObject,
                   f"Pointer {wrong:#x} is not the start of an object of test",
                   lambda: cache.free(wrong))


@pytest.mark.parametrize("pointer", [0, 16, 0x1000, AMD64.page_offset, (1 << 64) - 8])
def test_a_pointer_to_no_slab_is_refused(pointer):
    cache = make()
    cache.alloc()
    assert_refused(cache, ForeignPointer, f"Pointer {pointer:#x} is not of test but of no cache",
                   lambda: cache.free(pointer))


def test_an_object_of_another_cache_is_refused():
    cache = make()
    other = KmemCache(cache.backing, "other", cache.geometry)
    pointer = other.alloc()
    assert_refused(cache, ForeignPointer, f"Pointer {pointer:#x} is not of test but of other",
                   lambda: cache.free(pointer))


def test_a_destroyed_cache_refuses_all_use():
    cache = make()
    cache.destroyed = True
    for act in (cache.alloc, lambda: cache.free(1), cache.shrink):
        assert_refused(cache, CacheDestroyed, "Cache test was destroyed", act)


def test_out_of_memory_leaves_the_cache_as_it_was():
    cache = make(pages=Pages(frames=3))
    taken = [cache.alloc() for _ in range(24)]
    with pytest.raises(SlabOutOfMemory):
        cache.alloc()
    cache.check()
    cache.free(taken[7])
    assert cache.alloc() == taken[7]
    cache.check()


def test_writing_to_a_free_object_is_found_at_the_next_allocation_and_by_check():
    cache = make(64)
    a, b = cache.alloc(), cache.alloc()
    cache.free(a)
    cache.backing.write(a, b"\x41" * 64)
    message = (f"Free pointer of object {a:#x} of test is 0x4141414141414141, which is not a free "
               "object of its slab")
    for act in (cache.alloc, cache.check, cache.shrink):
        with pytest.raises(SlabCorruption, match=f"^{message}$"):
            act()
    cache.free(b)
    assert cache.alloc() == b


# Every invariant of check(), broken on purpose.


def busy_cache():
    """A cache with slabs in every place: two CPUs', on partial lists, full, of both nodes."""
    cache = make(cpus=(0, 1), nodes=2, cpu_partial_slabs=3)
    taken = [[*fill(cache, 9, cpu=cpu), [cache.alloc(cpu=cpu)]] for cpu in (0, 1)]
    for cpu, full in enumerate(taken):
        for objects in full[:-3]:
            cache.free(objects[2], cpu=cpu)
            cache.free(objects[4], cpu=cpu)
        cache.free(full[3][7], cpu=1 - cpu)
    cache.check()
    assert all(c.slab and c.partial for c in cache.cpu_slab)
    assert all(node.nr_partial for node in cache.nodes.values())
    return cache


def breakages():
    def of(name, message):
        return lambda act: found.append(pytest.param(act, message, id=name))

    found = []
    of("in two places", "a slab is in two places")(
        lambda c: c.cpu_slab[0].partial.append(first(c)))
    of("given back", "a slab that was given back is in use")(
        lambda c: c.store.slabs.pop(first(c).pfn))
    of("thawed", "slab .* is frozen and no CPU's, or the other way round")(
        lambda c: setattr(c.cpu_slab[1].slab, "frozen", False))
    of("frozen", "slab .* is frozen and no CPU's, or the other way round")(
        lambda c: setattr(first(c), "frozen", True))
    of("lost", "slab .* has free objects and is lost")(
        lambda c: c.nodes[0].remove_partial(first(c)))
    of("wrong node", "slab .* is on the wrong list of node 0")(
        lambda c: (c.nodes[1].remove_partial(slab := first(c, 1)), c.nodes[0].add_partial(slab, 1)))
    of("inuse", "inuse of slab .* is wrong")(
        lambda c: setattr(first(c), "inuse", first(c).inuse + 1))
    of("freelist cut", "an object of slab .* is neither free nor handed out")(
        lambda c: setattr(first(c), "freelist", 0))
    of("live and free", "Free pointer of object .* is not a free object of its slab")(
        lambda c: first(c).live.__setitem__(2, 1))
    of("neither", "an object of slab .* is neither free nor handed out")(
        lambda c: first(c).live.__setitem__(0, 0))
    of("free twice", "an object of slab .* is free twice")(
        lambda c: setattr(c.cpu_slab[0].slab, "freelist", c.cpu_slab[0].freelist))
    of("frame", "a frame of slab .* is not known to be")(
        lambda c: c.backing.slabs.pop(first(c).pfn))
    of("nr_slabs", "nr_slabs of node 1 is wrong")(
        lambda c: setattr(c.nodes[1], "nr_slabs", 3))
    of("total_objects", "total_objects of node 0 is wrong")(
        lambda c: setattr(c.nodes[0], "total_objects", 3))
    of("cpu list lost", "an object of slab .* is neither free nor handed out")(
        lambda c: setattr(c.cpu_slab[0], "freelist", 0))
    of("cpu list without slab", "free list of CPU 2 is lost")(
        lambda c: c.cpu_slab.append(replace(c.cpu_slab[0], slab=None, partial=[])))
    of("cpu keeps too many", "CPU 0 keeps too many slabs")(
        lambda c: setattr(c, "geometry", replace(c.geometry, cpu_partial_slabs=0)))
    return found


@pytest.mark.parametrize(("act", "message"), breakages())
def test_check_finds_what_is_broken(act, message):
    cache = busy_cache()
    act(cache)
    with pytest.raises(SlabCorruption, match=message):
        cache.check()


def test_check_finds_empty_slabs_that_should_have_gone():
    cache = make(cpu_partial_slabs=1)
    full = fill(cache, 4)
    cache.alloc()
    for objects in full:
        for pointer in objects:
            cache.free(pointer)
    cache.check()
    cache.geometry = replace(cache.geometry, min_partial=1)
    with pytest.raises(SlabCorruption, match=r"^Cache test: node 0 keeps too many slabs$"):
        cache.check()
