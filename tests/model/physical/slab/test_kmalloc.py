import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.errors import (
    ForeignPointer,
    NotAnObject,
    SlabDoubleFree,
    SlabOutOfMemory,
)
from pagewalk.model.physical.slab.geometry import AMD64, I686, SlabFlag
from pagewalk.model.physical.slab.kmalloc import (
    KMALLOC_MAX_CACHE_SIZE,
    ZERO_SIZE_PTR,
    KmallocType,
    kmalloc_index,
    kmalloc_size,
    kmalloc_size_roundup,
    kmalloc_type,
)
from pagewalk.model.physical.slab.slub import Slub

from ..booted import boot_slub
from ..linux_slabs import BOOTS, events, slabinfo_lines
from ..slab_pages import NoPages, Pages

SIZES = [8, 16, 32, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192]


@pytest.fixture(params=[AMD64, I686], ids=["amd64", "i686"])
def slub(request):
    return Slub(PhysicalMemory(), Pages(), request.param)


def cache_of(slub, pointer):
    return slub.backing.slabs[slub.backing.pfn(pointer)].cache


# Size classes.


@given(st.integers(0, KMALLOC_MAX_CACHE_SIZE))
def test_a_size_class_is_the_smallest_that_fits(size):
    index = kmalloc_index(size)
    if size == 0:
        assert (index, kmalloc_size_roundup(0)) == (0, 0)
        return
    assert kmalloc_size(index) == min(each for each in SIZES if each >= size)
    assert kmalloc_size_roundup(size) == kmalloc_size(index)


@pytest.mark.parametrize(
    ("size", "rounded"),
    [(8193, 16384), (16384, 16384), (16385, 32768), (100_000, 131072), (1 << 22, 1 << 22)],
)
def test_large_sizes_are_whole_blocks(size, rounded):
    assert kmalloc_size_roundup(size) == rounded


@pytest.mark.parametrize("boot", ["amd64-A", "i686-A"])
def test_every_kmalloc_of_a_real_kernel_got_the_bytes_of_its_size_class(boot):
    traced = [event for event in events(boot) if event.kind == "kmalloc"]
    assert len(traced) == 38
    assert {event.bytes_req for event in traced} > {11, 17}
    for event in traced:
        assert (event.bytes_req, kmalloc_size_roundup(event.bytes_req)) == (
            event.bytes_req, event.bytes_alloc)


@pytest.mark.parametrize("boot", BOOTS)
def test_the_kmalloc_caches_are_those_of_a_real_kernel_in_its_order(boot):
    """All of them, with kmem_cache and kmem_cache_node, are the end of slabinfo."""
    made = [cache.name for cache in boot_slub(boot).caches.caches]
    assert len(made) == 4 * len(SIZES) + 2
    assert made == [line.name for line in reversed(slabinfo_lines(boot))][: len(made)]


@pytest.mark.parametrize(
    ("gfp", "kind", "prefix"),
    [
        (Gfp.KERNEL, KmallocType.NORMAL, "kmalloc-"),
        (Gfp.ATOMIC | Gfp.ZERO | Gfp.HIGHMEM, KmallocType.NORMAL, "kmalloc-"),
        (Gfp.KERNEL_ACCOUNT, KmallocType.CGROUP, "kmalloc-cg-"),
        (Gfp.KERNEL | Gfp.RECLAIMABLE, KmallocType.RECLAIM, "kmalloc-rcl-"),
        (Gfp.KERNEL_ACCOUNT | Gfp.RECLAIMABLE, KmallocType.RECLAIM, "kmalloc-rcl-"),
        (Gfp.KERNEL | Gfp.DMA, KmallocType.DMA, "dma-kmalloc-"),
        (Gfp.KERNEL_ACCOUNT | Gfp.RECLAIMABLE | Gfp.DMA, KmallocType.DMA, "dma-kmalloc-"),
    ],
)
def test_flags_choose_the_set_of_caches(slub, gfp, kind, prefix):
    assert kmalloc_type(gfp) is kind
    for size in range(1, 8193, 7):
        cache = slub.heap.cache(size, gfp)
        rounded = kmalloc_size_roundup(size)
        assert cache.name == prefix + (f"{rounded // 1024}k" if rounded > 1000 else str(rounded))
        assert cache.geometry.object_size == cache.geometry.size == rounded


def test_the_pages_of_a_set_are_of_its_kind(slub):
    for gfp, flag in [(Gfp.DMA, Gfp.DMA), (Gfp.RECLAIMABLE, Gfp.RECLAIMABLE), (0, 0)]:
        slub.kmalloc(100, Gfp.KERNEL | gfp)
        assert slub.backing.pages.asked[-1][0] & (Gfp.DMA | Gfp.RECLAIMABLE) == flag


def test_powers_of_two_are_aligned_to_their_size(slub):
    for size in SIZES:
        pointers = [slub.kmalloc(size) for _ in range(20)]
        align = size if size & (size - 1) == 0 else 8
        assert not any(pointer % align for pointer in pointers)


def test_kmalloc_caches_never_serve_others(slub):
    """Users may copy all of their objects, and so they are not merged with."""
    cache = slub.kmem_cache_create("mine", 64, 0, SlabFlag.HWCACHE_ALIGN)
    assert cache.name == "mine"
    assert slub.kmem_cache_create("yours", 64) is cache


def test_a_kmalloc_cache_of_unaccounted_objects_cannot_be_destroyed(slub):
    """[new_kmalloc_cache] Its reference count is -1, and so never comes down to 0."""
    cache = slub.heap.cache(64)
    for _ in range(3):
        slub.kmem_cache_destroy(cache)
    slub.kfree(slub.kmalloc(64))
    assert slub.heap.cache(64, Gfp.ACCOUNT).refcount == 1


# Memory.


@pytest.mark.parametrize("size", [1, 8, 13, 96, 100, 192, 1000, 8192, 8193, 20000])
def test_kzalloc_clears_all_that_may_be_used_and_kmalloc_nothing(slub, size):
    pointer = slub.kmalloc(size)
    room = slub.ksize(pointer)
    assert room == kmalloc_size_roundup(size)
    slub.backing.write(pointer, b"\xee" * room)
    slub.kfree(pointer)
    again = slub.kmalloc(size)
    assert again == pointer
    assert slub.backing.read(pointer, room).count(0xEE) >= room - slub.backing.config.word_bytes
    slub.kfree(pointer)
    assert slub.kzalloc(size) == pointer
    assert slub.backing.read(pointer, room) == bytes(room)


def test_objects_do_not_overlap(slub):
    taken = {}
    for index in range(2000):
        size = (index * 37) % 700 + 1
        pointer = slub.kmalloc(size)
        slub.backing.write(pointer, index.to_bytes(2, "little") * (slub.ksize(pointer) // 2))
        taken[pointer] = index
    for pointer, index in taken.items():
        room = slub.ksize(pointer)
        assert slub.backing.read(pointer, room) == index.to_bytes(2, "little") * (room // 2)
    slub.check()


def test_large_requests_are_blocks_of_pages(slub):
    before = dict(slub.backing.pages.blocks)
    pointer = slub.kmalloc(8193, Gfp.KERNEL | Gfp.DMA32)
    pfn = slub.backing.pfn(pointer)
    assert slub.backing.pages.blocks == before | {pfn: 2}
    assert slub.backing.pages.asked[-1] == (Gfp.KERNEL | Gfp.COMP, 2, 0, 0)
    assert (pointer, slub.ksize(pointer)) == (slub.backing.address(pfn), 16384)
    slub.backing.write(pointer, b"\x77" * 16384)
    slub.kfree(pointer)
    assert slub.backing.pages.blocks == before


def test_no_bytes_have_a_pointer_of_their_own(slub):
    blocks = dict(slub.backing.pages.blocks)
    assert slub.kmalloc(0) == slub.kzalloc(0) == ZERO_SIZE_PTR == 16
    assert slub.ksize(ZERO_SIZE_PTR) == slub.ksize(0) == 0
    slub.kfree(ZERO_SIZE_PTR)
    slub.kfree(0)
    assert slub.backing.pages.blocks == blocks


def test_kfree_takes_objects_of_any_cache(slub):
    cache = slub.kmem_cache_create("mine", 100)
    pointer = cache.alloc()
    assert slub.ksize(pointer) == 104
    slub.kfree(pointer)
    assert cache.alloc() == pointer
    rcu = slub.kmem_cache_create("rcu", 100, 0, SlabFlag.TYPESAFE_BY_RCU)
    assert slub.ksize(rcu.alloc()) == rcu.geometry.inuse < rcu.geometry.size


def test_the_node_and_the_cpu_are_passed_on():
    slub = Slub(PhysicalMemory(), Pages(nodes=2), AMD64, (0, 1), {0: (0, 1), 1: (1, 0)})
    for size in (100, 10000):
        for cpu, node, nid in [(0, -1, 0), (1, -1, 1), (0, 1, 1), (1, 0, 0)]:
            pointer = slub.kmalloc(size, cpu=cpu, node=node)
            assert slub.backing.pages.page_to_nid(slub.backing.pfn(pointer)) == nid
            pointer = slub.kzalloc(size, cpu=cpu, node=node)
            assert slub.backing.pages.page_to_nid(slub.backing.pfn(pointer)) == nid


# krealloc.


@pytest.mark.parametrize(("old", "new"), [(10, 16), (100, 90), (100, 128), (9000, 16384), (64, 1)])
def test_krealloc_stays_where_there_is_room(slub, old, new):
    pointer = slub.kmalloc(old)
    slub.backing.write(pointer, b"x" * old)
    assert slub.krealloc(pointer, new) == pointer
    assert slub.backing.read(pointer, min(old, new)) == b"x" * min(old, new)


@pytest.mark.parametrize(("old", "new"), [(10, 17), (64, 100), (8000, 8193), (9000, 40000)])
def test_krealloc_moves_to_more_room(slub, old, new):
    pointer = slub.kmalloc(old)
    data = bytes(range(256)) * (old // 256 + 1)
    slub.backing.write(pointer, data[:old])
    moved = slub.krealloc(pointer, new)
    assert moved != pointer
    assert slub.ksize(moved) >= new
    assert slub.backing.read(moved, old) == data[:old]
    with pytest.raises((SlabDoubleFree, ForeignPointer)):
        slub.kfree(pointer)
    slub.check()


def test_krealloc_of_nothing_allocates_and_to_nothing_frees(slub):
    pointer = slub.krealloc(0, 50)
    assert cache_of(slub, pointer).name == "kmalloc-64"
    assert slub.krealloc(pointer, 0) == ZERO_SIZE_PTR
    assert slub.krealloc(ZERO_SIZE_PTR, 50) == pointer


def test_krealloc_with_zero_clears_the_room_it_leaves(slub):
    pointer = slub.kmalloc(64)
    slub.backing.write(pointer, b"x" * 64)
    assert slub.krealloc(pointer, 40, Gfp.KERNEL | Gfp.ZERO) == pointer
    assert slub.backing.read(pointer, 64) == b"x" * 40 + bytes(24)


# Errors.


@pytest.mark.parametrize("size", [40, 9000])
def test_errors_of_kfree_and_ksize_change_nothing(slub, size):
    pointer = slub.kmalloc(size)
    name = "kmalloc-64" if size == 40 else "kmalloc"
    for act in (slub.kfree, slub.ksize, lambda p: slub.krealloc(p, 5)):
        message = f"Pointer {pointer + 8:#x} is not the start of an object of {name}"
        with pytest.raises(NotAnObject, match=f"^{re.escape(message)}$"):
            act(pointer + 8)
        for wrong in (1, 17, 1 << 20, pointer + (1 << 24)):
            message = f"Pointer {wrong:#x} is not of kmalloc but of no cache"
            with pytest.raises(ForeignPointer, match=f"^{re.escape(message)}$"):
                act(wrong)
    slub.check()
    slub.kfree(pointer)
    for act in (slub.kfree, slub.ksize):
        with pytest.raises(SlabDoubleFree if size == 40 else ForeignPointer):
            act(pointer)
    slub.check()


def test_a_pointer_into_the_later_pages_of_a_large_block_is_refused(slub):
    pointer = slub.kmalloc(9000)
    with pytest.raises((NotAnObject, ForeignPointer)):
        slub.kfree(pointer + 4096)
    slub.kfree(pointer)


def test_a_negative_size_is_refused(slub):
    with pytest.raises(ValueError, match=r"^Size must not be negative, not -1$"):
        slub.kmalloc(-1)


def test_out_of_memory():
    slub = Slub(PhysicalMemory(), Pages(frames=16), AMD64)
    with pytest.raises(NoPages):
        slub.kmalloc(1 << 17)
    with pytest.raises(SlabOutOfMemory, match=r"cache kmalloc-8k, object size 8192, "):
        any(not slub.kmalloc(8192) for _ in range(100))
    slub.check()
