import re
from collections import Counter

import numpy as np
import pytest

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.caches import SlabCaches, slab_unmergeable, sysfs_name
from pagewalk.model.physical.slab.errors import (
    CacheDestroyed,
    CacheInUse,
    SlabCorruption,
    SlabOutOfMemory,
)
from pagewalk.model.physical.slab.geometry import AMD64, I686, SlabFlag
from pagewalk.model.physical.slab.slab import Backing

from ..booted import full_slub
from ..linux_slabs import BOOTS, events, sysfs_lines
from ..slab_pages import Pages


@pytest.fixture
def caches():
    return SlabCaches(Backing(PhysicalMemory(), Pages(), AMD64))


def ctor(pointer):
    pass


@pytest.mark.parametrize("boot", BOOTS)
def test_the_caches_of_a_real_kernel_do_not_merge_and_have_its_names_in_sysfs(boot):
    """None of them is an alias of another, or the kernel's slabinfo would not show it.

    Merging one too many loses a name here; forgetting a kind of memory or accounting changes one.
    """
    slub = full_slub(boot)
    assert {cache.refcount for cache in slub.caches.caches} <= {1, -1}
    assert (sorted(sysfs_name(cache) for cache in slub.caches.caches)
            == sorted(line.name for line in sysfs_lines(boot)))
    slub.check()


@pytest.mark.parametrize("boot", BOOTS)
def test_every_cache_of_a_real_kernel_has_its_layout(boot):
    made = {sysfs_name(cache): cache.geometry for cache in full_slub(boot).caches.caches}
    for line in sysfs_lines(boot):
        found = made[line.name]
        assert (line.name, found.object_size, found.size, found.align, found.oo) == (
            line.name, line.object_size, line.slab_size, line.align,
            (line.order, line.objs_per_slab))
        assert (found.min_partial, found.cpu_partial) == (line.min_partial, line.cpu_partial)


# Caches that the kernel's own calls of kmem_cache_create make one, and the functions that take
# objects from the second; sizes are those of the boot. [kernel/fork.c, mm/rmap.c, kernel/pid.c,
# security/security.c]
LINE = SlabFlag.HWCACHE_ALIGN | SlabFlag.PANIC | SlabFlag.ACCOUNT
KNOWN_ALIASES = [
    ("amd64-A", AMD64, ("anon_vma_chain", 64, 0, SlabFlag.PANIC | SlabFlag.ACCOUNT),
     ("fs_cache", 56, 0, LINE), "copy_fs_struct"),
    ("i686-A", I686, ("pid", 64, 4, LINE), ("fs_cache", 36, 0, LINE), "copy_fs_struct"),
    ("i686-A", I686, ("lsm_file_cache", 16, 0, SlabFlag.PANIC),
     ("lsm_inode_cache", 16, 0, SlabFlag.PANIC), "security_inode_alloc"),
]


@pytest.mark.parametrize(("boot", "config", "root", "alias", "user"), KNOWN_ALIASES)
def test_caches_merge_that_the_kernel_merged(boot, config, root, alias, user):
    """What ``user`` allocates for the alias is freed under the name of the other cache."""
    taken, names = set(), set()
    for event in events(boot):
        if event.call_site.startswith(f"{user}+"):
            taken.add(event.ptr)
        elif event.name and event.ptr in taken:
            taken.discard(event.ptr)
            names.add(event.name)
    assert names == {root[0]}
    caches = SlabCaches(Backing(PhysicalMemory(), Pages(), config))
    assert caches.kmem_cache_create(*root) is caches.kmem_cache_create(*alias)


def test_merged_caches_are_one_with_a_user_more(caches):
    first = caches.kmem_cache_create("first", 60, 0, SlabFlag.PANIC)
    assert caches.kmem_cache_create("second", 64) is first
    assert caches.kmem_cache_create("third", 57, 8, SlabFlag.HWCACHE_ALIGN) is first
    assert (first.name, first.refcount) == ("first", 3)
    # kzalloc must clear what the largest user sees. [__kmem_cache_alias]
    assert (first.geometry.object_size, first.geometry.inuse) == (64, 64)
    pointer = first.alloc()
    caches.backing.write(pointer, b"\xff" * 64)
    first.free(pointer)
    assert caches.backing.read(first.alloc(Gfp.ZERO), 64) == bytes(64)


@pytest.mark.parametrize(
    ("first", "second", "merges"),
    [
        ({"size": 64}, {"size": 64}, True),
        ({"size": 64}, {"size": 57}, True),
        ({"size": 64}, {"size": 56}, False),      # a whole word would be wasted
        ({"size": 64}, {"size": 65}, False),
        ({"size": 64}, {"size": 40, "flags": SlabFlag.HWCACHE_ALIGN}, True),
        ({"size": 72}, {"size": 72, "align": 16}, False),
        ({"size": 80}, {"size": 72, "align": 16}, True),
        ({"size": 80, "align": 16}, {"size": 80}, True),
        ({"size": 192, "flags": SlabFlag.HWCACHE_ALIGN}, {"size": 185, "align": 64}, True),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.ACCOUNT}, False),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.RECLAIM_ACCOUNT}, False),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.CACHE_DMA}, False),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.CACHE_DMA32}, False),
        ({"size": 64, "flags": SlabFlag.CACHE_DMA}, {"size": 64, "flags": SlabFlag.CACHE_DMA},
         True),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.PANIC | SlabFlag.MEM_SPREAD}, True),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.NOLEAKTRACE}, False),
        ({"size": 64}, {"size": 64, "flags": SlabFlag.TYPESAFE_BY_RCU}, False),
        ({"size": 56, "flags": SlabFlag.TYPESAFE_BY_RCU}, {"size": 64}, False),
        ({"size": 64}, {"size": 64, "ctor": ctor}, False),
        ({"size": 56, "ctor": ctor}, {"size": 64}, False),
        ({"size": 64}, {"size": 64, "usersize": 8}, False),
        ({"size": 64, "usersize": 8}, {"size": 64}, False),
    ],
)
def test_what_merges(caches, first, second, merges):
    a = caches.kmem_cache_create("first", **first)
    assert (caches.kmem_cache_create("second", **second) is a) is merges


def test_words_decide_how_much_larger_an_object_may_be():
    caches = SlabCaches(Backing(PhysicalMemory(), Pages(), I686))
    first = caches.kmem_cache_create("first", 64)
    assert caches.kmem_cache_create("second", 60) is first   # 64, as objects are aligned to 8
    assert caches.kmem_cache_create("third", 56) is not first


def test_the_oldest_of_several_is_taken(caches):
    """A kmalloc cache becomes mergeable no more, so two of one kind can only come from a change."""
    a = caches.kmem_cache_create("a", 64)
    a.refcount = -1
    b = caches.kmem_cache_create("b", 64)
    a.refcount = 1
    assert b is not a
    assert caches.kmem_cache_create("c", 64) is a


def test_the_first_two_caches_hold_what_every_cache_needs():
    """One struct kmem_cache, one struct kmem_cache_node a node: also their own."""
    backing = Backing(PhysicalMemory(), Pages(nodes=2), AMD64, (0,), {0: (0, 1), 1: (1, 0)})
    caches = SlabCaches(backing)
    kmem_cache, nodes = caches.caches
    assert (kmem_cache.name, nodes.name) == ("kmem_cache", "kmem_cache_node")
    assert (kmem_cache.geometry.object_size, nodes.geometry.object_size) == (232, 64)

    def live():
        slabs = Counter({cache.name: 0 for cache in caches.caches})
        for cache in (kmem_cache, nodes):
            slabs[cache.name] += sum(s.live.count(1) for s in cache.store.slabs.values())
        return slabs["kmem_cache"], slabs["kmem_cache_node"]

    assert live() == (2, 4)
    assert {slab.nid for slab in nodes.store.slabs.values()} == {0, 1}
    new = caches.kmem_cache_create("new", 100)
    assert live() == (3, 6)
    caches.check()
    caches.kmem_cache_destroy(new)
    assert live() == (2, 4)
    caches.check()


def test_the_last_user_destroys_a_cache(caches):
    cache = caches.kmem_cache_create("a", 64)
    caches.kmem_cache_create("b", 64)
    pointer = cache.alloc()
    caches.kmem_cache_destroy(cache)
    cache.free(pointer)
    caches.kmem_cache_destroy(cache)
    assert cache not in caches.caches
    assert not any(slab.cache is cache for slab in caches.backing.slabs.values())
    for act in (cache.alloc, lambda: cache.free(pointer), lambda: caches.kmem_cache_destroy(cache)):
        with pytest.raises(CacheDestroyed, match=r"^Cache a was destroyed$"):
            act()
    caches.check()


def test_a_cache_with_objects_is_not_destroyed(caches):
    cache = caches.kmem_cache_create("a", 64)
    pointers = [cache.alloc() for _ in range(200)]
    for pointer in pointers[3:]:
        cache.free(pointer)
    with pytest.raises(CacheInUse, match=r"^Cache a still has 3 objects$") as error:
        caches.kmem_cache_destroy(cache)
    assert error.value.live == 3
    caches.check()
    for pointer in pointers[:3]:
        cache.free(pointer)
    caches.kmem_cache_destroy(cache)
    caches.check()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 8, "flags": 0x800}, "Cache flags must be among 0x49ee000, not 0x800"),
        ({"size": 8, "flags": SlabFlag.KMALLOC}, "Cache flags must be among 0x49ee000, not 0x1000"),
        ({"size": 8, "usersize": 9}, "User size must be within the object's 8 bytes, not 9"),
        ({"size": 8, "usersize": -1}, "User size must be within the object's 8 bytes, not -1"),
        ({"size": 0}, "Object size must be positive, not 0"),
        ({"size": 8, "align": 24}, "Alignment must be 0 or a power of two, not 24"),
        ({"size": 1 << 23}, "Object size must be at most 4194304 bytes, not 8388608"),
    ],
)
def test_what_no_cache_can_have_is_refused_and_changes_nothing(caches, arguments, message):
    blocks = dict(caches.backing.pages.blocks)
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        caches.kmem_cache_create("bad", **arguments)
    assert (len(caches.caches), caches.backing.pages.blocks) == (2, blocks)
    caches.check()


@pytest.mark.parametrize("frames", range(2, 9))
def test_a_cache_that_memory_does_not_suffice_for_leaves_nothing_behind(frames):
    """[create_cache, free_kmem_cache_nodes] Whichever of the allocations fails."""
    pages = Pages(frames=frames, nodes=2)
    caches = SlabCaches(Backing(PhysicalMemory(), pages, AMD64, (0,), {0: (0, 1), 1: (1, 0)}))
    numbers = iter(range(1000))
    with pytest.raises(SlabOutOfMemory):
        any(not caches.kmem_cache_create(f"cache-{number}", 64, usersize=8) for number in numbers)
    assert next(numbers)
    caches.check()
    kmem_cache, nodes = caches.caches[:2]
    for cache, each in ((kmem_cache, 1), (nodes, 2)):
        live = sum(slab.live.count(1) for slab in cache.store.slabs.values())
        assert live == len(caches.caches) * each


@pytest.mark.parametrize(
    ("flags", "name"),
    [(0, ":0000064"), (SlabFlag.ACCOUNT, ":A-0000064"), (SlabFlag.CACHE_DMA, ":d-0000064"),
     (SlabFlag.CACHE_DMA32, ":D-0000064"),
     (SlabFlag.RECLAIM_ACCOUNT | SlabFlag.ACCOUNT, ":aA-0000064"),
     (SlabFlag.NOLEAKTRACE, "name")],
)
def test_names_in_sysfs(caches, flags, name):
    cache = caches.kmem_cache_create("name", 64, 0, flags)
    assert sysfs_name(cache) == name
    assert slab_unmergeable(cache) == (name == "name")


def test_free_lists_are_random_once_the_kernel_is_up():
    rng = np.random.default_rng(4)
    caches = SlabCaches(Backing(PhysicalMemory(), Pages(), AMD64, rng=rng))
    early = caches.kmem_cache_create("early", 200)
    taken = [early.alloc() for _ in range(early.geometry.oo.objects)]
    assert taken == sorted(taken)
    caches.init_freelist_randomization()
    late = caches.kmem_cache_create("late", 216)
    for cache in (early, late):
        taken = [cache.alloc() for _ in range(cache.geometry.oo.objects)]
        assert taken != sorted(taken)
    caches.check()


def test_check_finds_frames_of_no_cache(caches):
    cache = caches.kmem_cache_create("a", 64)
    cache.alloc()
    caches.caches.remove(cache)
    with pytest.raises(SlabCorruption, match=r"^Caches have 2 frames, not 3$"):
        caches.check()


def test_check_looks_into_every_cache(caches):
    cache = caches.kmem_cache_create("a", 64)
    cache.alloc()
    cache.cpu_slab[0].slab.inuse = 3
    with pytest.raises(SlabCorruption, match=r"^Cache a: inuse of slab "):
        caches.check()
