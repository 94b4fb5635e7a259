
import pytest

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.slab.geometry import AMD64, I686, SlabFlag

from ..cache_tools import fill, make
from ..slab_pages import Pages


def slab_of(cache, pointer):
    return cache.backing.slabs[cache.backing.pfn(pointer)]


def partial(cache, nid=0):
    """The first objects of the slabs on a partial list, in list order."""
    return [slab.objects[0] for slab in cache.nodes[nid].partial.values()]


def cpu_partial(cache, cpu=0):
    return [slab.objects[0] for slab in cache.cpu_slab[cpu].partial]


# The fast path.


def test_the_object_freed_last_is_the_next():
    cache = make()
    a, b, c = (cache.alloc() for _ in range(3))
    for pointer in (b, a, c):
        cache.free(pointer)
    assert [cache.alloc() for _ in range(3)] == [c, a, b]
    cache.check()


@pytest.mark.parametrize("config", [AMD64, I686], ids=["amd64", "i686"])
def test_free_objects_are_linked_in_memory_and_unlinked(config):
    """Read past the cache: the bytes of the objects themselves."""
    cache = make(100, config)
    width, offset = config.word_bytes, cache.geometry.offset
    assert offset == 48
    a, b, c = (cache.alloc() for _ in range(3))
    for pointer in (a, b):
        cache.backing.write(pointer, b"\xa5" * 100)
        cache.free(pointer)

    def word(pointer):
        return int.from_bytes(cache.backing.read(pointer + offset, width), "little")

    assert (word(b), word(a)) == (a, c + cache.geometry.size)
    cache.check()


def test_memory_is_cleared_neither_when_freed_nor_when_allocated():
    cache = make(64)
    pointer = cache.alloc()
    data = bytes(range(100, 164))
    cache.backing.write(pointer, data)
    cache.free(pointer)
    following = (pointer + 64).to_bytes(8, "little")
    stale = data[:32] + following + data[40:]
    assert cache.backing.read(pointer, 64) == stale
    assert cache.alloc() == pointer
    assert cache.backing.read(pointer, 64) == stale


def test_a_free_pointer_behind_the_object_leaves_the_object_as_it_was():
    made = []
    for cache in (make(64, flags=SlabFlag.TYPESAFE_BY_RCU), make(64, ctor=made.append)):
        pointer = cache.alloc()
        cache.backing.write(pointer, b"\x5a" * 64)
        cache.free(pointer)
        assert cache.backing.read(pointer, 64) == b"\x5a" * 64
    assert len(made) == cache.geometry.oo.objects  # once a slab, not once an allocation


@pytest.mark.parametrize("size", [1, 8, 20, 100, 5000])
def test_zero_clears_the_object_and_not_its_neighbours(size):
    cache = make(size)
    a, b, c = (cache.alloc() for _ in range(3))
    room = cache.geometry.size
    cache.backing.write(a, b"\xff" * 3 * room)
    cache.free(b)
    assert cache.alloc(Gfp.KERNEL | Gfp.ZERO) == b
    assert cache.backing.read(b, size) == bytes(size)
    assert cache.backing.read(a, room) == cache.backing.read(c, room) == b"\xff" * room


def test_objects_lie_in_frames_that_follow_each_other_only_in_memory():
    """An object across two frames, which the pool of physical memory may hold anywhere."""
    pages = Pages()
    cache = make(3000, pages=pages)
    cache.backing.memory.add([0x1001, 0x1003, 0x1000])
    pointers = [cache.alloc() for _ in range(cache.geometry.oo.objects)]
    for index, pointer in enumerate(pointers):
        cache.backing.write(pointer, bytes([index]) * 3000)
    for index, pointer in enumerate(pointers):
        assert cache.backing.read(pointer, 3000) == bytes([index]) * 3000


# The slow paths. A slab of 512-byte objects has 8 of them in 1 page; min_partial is 5, and a CPU
# keeps 13 slabs.


def test_objects_freed_by_another_cpu_wait_in_the_slab_until_the_cpu_s_own_are_used_up():
    """[__slab_free on a frozen slab, get_freelist]"""
    cache = make(cpus=(0, 0))
    first = [cache.alloc(cpu=0) for _ in range(6)]
    slab = slab_of(cache, first[0])
    assert (slab.frozen, slab.inuse, slab.freelist) == (True, 8, 0)
    for pointer in first[1:4]:
        cache.free(pointer, cpu=1)
    assert (slab.frozen, slab.inuse, slab.freelist) == (True, 5, first[3])
    cache.check()
    rest = [cache.alloc(cpu=0) for _ in range(5)]
    assert rest == [*slab.objects[6:], first[3], first[2], first[1]]
    assert (slab.frozen, slab.inuse, slab.freelist) == (True, 8, 0)
    cache.check()


def test_a_full_slab_is_nowhere_until_an_object_is_freed_and_then_the_cpu_s():
    """[get_freelist unfreezes; __slab_free freezes again, put_cpu_partial]"""
    cache = make(cpus=(0, 0))
    (full,) = fill(cache, 1)
    other = cache.alloc()
    slab = slab_of(cache, full[0])
    assert (slab.frozen, cpu_partial(cache), partial(cache)) == (False, [], [])
    cache.free(full[3], cpu=1)
    assert (slab.frozen, slab.inuse, slab.freelist) == (True, 7, full[3])
    assert (cpu_partial(cache, 0), cpu_partial(cache, 1)) == ([], [full[0]])
    assert cache.alloc(cpu=1) == full[3]
    assert slab_of(cache, other) is cache.cpu_slab[0].slab
    cache.check()


def test_the_slab_put_on_a_cpu_s_partial_list_last_is_the_next():
    cache = make()
    full = fill(cache, 3)
    cache.alloc()
    for objects in full:
        cache.free(objects[5])
    left = [cache.alloc() for _ in range(7)]  # what the CPU's slab has
    assert slab_of(cache, left[0]) not in [slab_of(cache, objects[0]) for objects in full]
    assert [cache.alloc() for _ in range(3)] == [objects[5] for objects in reversed(full)]
    cache.check()


def test_a_full_partial_list_of_a_cpu_goes_to_the_node_the_last_one_first():
    """[put_cpu_partial, __unfreeze_partials] Slabs that emptied meanwhile go back to the pages."""
    cache = make()
    limit = cache.geometry.cpu_partial_slabs
    assert limit == 13
    full = fill(cache, limit + 1)
    cache.alloc()
    for objects in full[:-1]:
        cache.free(objects[0])
    assert cpu_partial(cache) == [objects[0] for objects in full[:-1]]
    for objects in full[:4] + full[11:13]:  # frozen, so they stay although they are empty
        for pointer in objects[1:]:
            cache.free(pointer)
    assert len(cpu_partial(cache)) == limit
    cache.free(full[-1][0])
    # From the 13th down: 12 and 11 are empty and may stay, as the list is short; 3 to 0 not.
    assert partial(cache) == [full[i][0] for i in range(12, 3, -1)]
    assert cpu_partial(cache) == [full[-1][0]]
    assert cache.nodes[0].nr_slabs == limit + 2 - 4
    cache.check()


def test_an_empty_slab_stays_on_a_partial_list_only_if_that_is_short():
    """[__slab_free, slab_empty]"""
    cache = make(cpu_partial_slabs=1)
    full = fill(cache, 8)
    cache.alloc()
    for objects in full:
        cache.free(objects[0])  # each of them drains the one before it to the node
    assert partial(cache) == [objects[0] for objects in full[:-1]]
    assert cpu_partial(cache) == [full[-1][0]]
    for objects in full[:3]:
        for pointer in objects[1:]:
            cache.free(pointer)
    # 7 on the list: the first two go, as there are 5 or more; so does the third.
    assert partial(cache) == [objects[0] for objects in full[3:-1]]
    for pointer in full[3][1:]:
        cache.free(pointer)
    assert partial(cache) == [objects[0] for objects in full[3:-1]]  # 4 are fewer than 5
    cache.check()


def test_a_cpu_takes_slabs_for_later_from_the_head_of_a_partial_list():
    """[get_partial_node]"""
    cache = make(cpus=(0, 0), cpu_partial_slabs=4)
    full = fill(cache, 11, cpu=0)
    cache.alloc(cpu=0)
    for objects in full:
        cache.free(objects[1], cpu=0)
    # Every fifth drains the four before it, the last one first; 8, 9 and 10 are still the CPU's.
    expected = [full[i][0] for i in (3, 2, 1, 0, 7, 6, 5, 4)]
    assert partial(cache) == expected
    assert cache.alloc(cpu=1) == full[3][1]
    assert cpu_partial(cache, 1) == expected[1:4]  # 4 // 2 + 1 more
    assert partial(cache) == expected[4:]
    cache.check()


def test_a_slab_that_does_not_match_the_node_is_deactivated_to_the_head():
    cache = make(cpus=(0,), nodes=2)
    a = [cache.alloc(node=0) for _ in range(2)]
    b = [cache.alloc(node=1) for _ in range(3)]
    assert [slab_of(cache, pointer).nid for pointer in a + b] == [0, 0, 1, 1, 1]
    slab = slab_of(cache, a[0])
    assert (slab.frozen, slab.inuse, slab.freelist) == (False, 2, slab.objects[2])
    assert (partial(cache, 0), partial(cache, 1)) == ([a[0]], [])
    cache.check()
    assert cache.alloc(node=0) == slab.objects[2]
    assert partial(cache, 1) == [b[0]]
    cache.check()


def test_a_deactivated_slab_joins_its_free_lists_and_goes_to_the_tail_if_others_freed_to_it():
    """[deactivate_slab]"""
    cache = make(cpus=(0, 0), nodes=2)
    own = [cache.alloc(cpu=0, node=0) for _ in range(3)]
    other = cache.alloc(cpu=1, node=0)
    cache.alloc(cpu=1, node=1)
    assert partial(cache) == [other]
    cache.free(own[1], cpu=1)
    cache.alloc(cpu=0, node=1)
    assert partial(cache) == [other, own[0]]
    slab = slab_of(cache, own[0])
    free = list(cache.store.free_objects(slab, slab.freelist))
    assert free == [*slab.objects[3:], own[1]]
    assert (slab.frozen, slab.inuse) == (False, 2)
    cache.check()


def test_an_empty_slab_that_is_deactivated_stays_only_if_the_list_is_short():
    for kept in (4, 5):
        cache = make(nodes=2, cpu_partial_slabs=1)
        full = fill(cache, kept + 1)
        pointer = cache.alloc()
        for objects in full:
            cache.free(objects[0])
        cache.free(pointer)
        slabs = cache.nodes[0].nr_slabs
        assert cache.nodes[0].nr_partial == kept
        cache.alloc(node=1)
        assert cache.nodes[0].nr_slabs == slabs - (kept == 5)
        assert partial(cache)[0] == (full[0][0] if kept == 5 else pointer)
        cache.check()


def test_a_node_that_is_full_is_helped_out_by_another():
    pages = Pages(frames=4, nodes=2)
    cache = make(cpus=(0,), nodes=2, pages=pages)
    taken = [cache.alloc() for _ in range(5 * 8)]
    assert [slab_of(cache, pointer).nid for pointer in taken[::8]] == [0, 0, 0, 0, 1]
    assert (cache.nodes[0].nr_slabs, cache.nodes[1].nr_slabs) == (4, 1)
    cache.check()


def test_a_node_that_does_not_exist_is_no_wish():
    cache = make()
    assert slab_of(cache, cache.alloc(node=7)).nid == 0


def test_another_node_s_partial_slabs_are_taken_if_it_has_more_than_it_keeps():
    """[get_any_partial]"""
    cache = make(cpus=(0, 1), nodes=2, cpu_partial_slabs=1)
    full = fill(cache, 7, cpu=1)
    cache.alloc(cpu=1)
    for objects in full:
        cache.free(objects[0], cpu=1)
    assert (len(partial(cache, 1)), cache.geometry.min_partial) == (6, 5)
    pointer = cache.alloc(cpu=0)
    assert pointer == full[0][0]  # of node 1
    # It took one more for later, so that node 1 has 4 left, and keeps those.
    assert len(partial(cache, 1)) == 4
    assert cache.alloc(cpu=0) == full[1][0]
    assert slab_of(cache, cache.alloc(cpu=0)).nid == 0
    cache.check()


def test_another_node_keeps_as_many_partial_slabs_as_min_partial():
    cache = make(cpus=(0, 1), nodes=2, cpu_partial_slabs=1)
    full = fill(cache, 6, cpu=1)
    cache.alloc(cpu=1)
    for objects in full:
        cache.free(objects[0], cpu=1)
    assert len(partial(cache, 1)) == cache.geometry.min_partial == 5
    assert slab_of(cache, cache.alloc(cpu=0)).nid == 0
    assert len(partial(cache, 1)) == 5


def test_a_slab_of_one_object_goes_through_the_same_lists():
    cache = make(20000)
    assert cache.geometry.oo.objects == 1
    pointers = [cache.alloc() for _ in range(20)]
    for pointer in pointers:
        cache.free(pointer)
        cache.check()
    cache.shrink()
    assert cache.backing.pages.blocks == {}


# Giving back.


def test_shrink_gives_back_empty_slabs_and_puts_the_fullest_first():
    """[__kmem_cache_do_shrink]"""
    cache = make(64, cpu_partial_slabs=1)
    full = fill(cache, 7)
    cache.alloc()
    for objects, freed in zip(full, (40, 3, 64, 3, 1, 33, 32), strict=True):
        for pointer in objects[:freed]:
            cache.free(pointer)
    assert cache.shrink()
    # With 1, 3, 3 free, the later of equal ones first; 32; and 40, 33, 63 in the order they had.
    assert [len(slab.objects) - slab.inuse for slab in cache.nodes[0].partial.values()] == [
        1, 3, 3, 32, 63, 40, 33]
    assert partial(cache)[1:3] == [full[3][0], full[1][0]]
    assert cache.nodes[0].nr_slabs == 7
    cache.check()


def test_shrink_gives_back_every_page_once_all_is_free():
    cache = make(cpus=(0, 0, 0))
    taken = [cache.alloc(cpu=i % 3) for i in range(500)]
    for i, pointer in enumerate(taken):
        cache.free(pointer, cpu=i // 7 % 3)
    assert cache.nodes[0].nr_slabs
    assert not cache.shrink()
    assert (cache.backing.pages.blocks, cache.backing.slabs) == ({}, {})
    cache.check()
