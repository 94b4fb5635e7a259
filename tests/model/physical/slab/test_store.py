import numpy as np
import pytest

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.errors import SlabCorruption, SlabOutOfMemory
from pagewalk.model.physical.slab.geometry import AMD64, I686, SlabFlag, calculate_sizes
from pagewalk.model.physical.slab.kmem_cache import KmemCache
from pagewalk.model.physical.slab.slab import NUMA_NO_NODE, Backing

from ..slab_pages import Pages

CONFIGS = pytest.mark.parametrize("config", [AMD64, I686], ids=["amd64", "i686"])


def cache(size=200, config=AMD64, pages=None, flags=0, ctor=None, rng=None):
    """A cache of its own, with pages that nothing else uses."""
    backing = Backing(PhysicalMemory(), pages or Pages(), config, rng=rng)
    geometry = calculate_sizes(config, size, 0, flags, ctor is not None)
    return KmemCache(backing, "test", geometry, flags, ctor)


def word_at(cache, pointer):
    """The word in memory where the free pointer of an object lies, read past the cache."""
    paddr = pointer + cache.geometry.offset - cache.backing.config.page_offset
    return cache.backing.memory.read(paddr, cache.backing.config.word_bytes)


def new_slab(cache, gfp=Gfp.KERNEL):
    return cache.store.new_slab(gfp, 0, NUMA_NO_NODE)


@CONFIGS
@pytest.mark.parametrize("ctor", [None, lambda _pointer: None], ids=["middle", "behind"])
def test_a_new_slab_links_its_objects_in_memory_in_ascending_order(config, ctor):
    one = cache(200, config, ctor=ctor)
    slab = new_slab(one)
    assert slab.freelist == slab.objects[0] == one.backing.address(slab.pfn)
    following = [word_at(one, pointer) for pointer in slab.objects]
    assert following == [*slab.objects[1:], 0]
    assert list(one.store.free_objects(slab, slab.freelist)) == list(slab.objects)


def test_a_new_slab_keeps_the_bytes_that_its_frames_held():
    one = cache(64)
    one.backing.memory.add([0x1000])
    one.backing.memory.frames[0] = 0xA5A5_A5A5_A5A5_A5A5
    slab = new_slab(one)
    for pointer in slab.objects:
        data = one.backing.read(pointer, 64)
        assert data[:32] + data[40:] == b"\xa5" * 56  # all but the free pointer


def test_the_constructor_sees_each_object_once_and_its_work_lasts():
    seen = []

    def ctor(pointer):
        seen.append(pointer)
        one.backing.write(pointer, b"made")

    one = cache(24, ctor=ctor)
    slab = new_slab(one)
    assert seen == list(slab.objects)
    assert {one.backing.read(pointer, 4) for pointer in slab.objects} == {b"made"}


def test_frames_and_counters_of_a_slab_come_and_go():
    one = cache(1000)
    slab = new_slab(one)
    assert one.geometry.oo == (slab.order, len(slab.objects)) == (1, 8)
    assert one.backing.slabs == dict.fromkeys(slab.frames, slab)
    assert (one.nodes[0].nr_slabs, one.nodes[0].total_objects) == (1, 8)
    one.store.discard_slab(slab, 0)
    assert one.backing.slabs == one.store.slabs == one.backing.pages.blocks == {}
    assert (one.nodes[0].nr_slabs, one.nodes[0].total_objects) == (0, 0)


@pytest.mark.parametrize(
    ("flags", "zone"),
    [(0, 0), (SlabFlag.CACHE_DMA, Gfp.DMA), (SlabFlag.CACHE_DMA32, Gfp.DMA32),
     (SlabFlag.RECLAIM_ACCOUNT, Gfp.RECLAIMABLE)],
)
def test_the_page_allocator_is_asked_as_the_cache_needs_it(flags, zone):
    """[calculate_sizes, allocate_slab] Of the caller's flags only those about reclaim get there."""
    pages = Pages()
    new_slab(cache(1000, pages=pages, flags=flags), Gfp.KERNEL_ACCOUNT | Gfp.ZERO | Gfp.HIGHMEM)
    gfp, order, nid, cpu = pages.asked[-1]
    assert (order, nid, cpu) == (1, 0, 0)
    # The larger order is only tried, with no reclaim; see also the fallback below.
    assert gfp == Gfp.IO | Gfp.FS | Gfp.NOWARN | Gfp.NORETRY | Gfp.NOMEMALLOC | Gfp.COMP | zone


def test_reclaim_is_allowed_where_no_smaller_order_would_do():
    pages = Pages()
    new_slab(cache(64, pages=pages), Gfp.KERNEL | Gfp.NOFAIL)
    assert pages.asked == [(Gfp.KERNEL | Gfp.NOWARN | Gfp.NORETRY, 0, 0, 0)]


def test_a_slab_of_the_smallest_order_will_do():
    pages = Pages()
    pages.max_order = 0
    one = cache(1000, pages=pages)
    slab = new_slab(one)
    assert (slab.order, len(slab.objects)) == one.geometry.min == (0, 4)
    assert list(one.store.free_objects(slab, slab.freelist)) == list(slab.objects)
    assert [order for _, order, _, _ in pages.asked] == [1, 0]
    assert pages.asked[1][0] == Gfp.KERNEL | Gfp.COMP


def test_no_slab_of_any_order_is_out_of_memory_and_changes_nothing():
    one = cache(5000, pages=Pages(frames=1))
    with pytest.raises(
        SlabOutOfMemory,
        match=r"^Unable to allocate memory on node -1: cache test, object size 5000, "
        r"buffer size 5000, default order 3, min order 1$",
    ):
        new_slab(one)
    assert one.backing.slabs == one.store.slabs == {}
    assert one.nodes[0].nr_slabs == 0


@CONFIGS
def test_hidden_free_pointers_are_xored_with_a_key_and_their_swapped_address(config):
    one = cache(200, config, rng=np.random.default_rng(1))
    slab = new_slab(one)
    width = config.word_bytes
    keys = set()
    for pointer, following in zip(slab.objects, [*slab.objects[1:], 0], strict=True):
        swapped = int.from_bytes((pointer + one.geometry.offset).to_bytes(width, "little"), "big")
        keys.add(word_at(one, pointer) ^ swapped ^ following)
    assert len(keys) == 1
    assert keys != {0}
    assert list(one.store.free_objects(slab, slab.freelist)) == list(slab.objects)


def test_random_free_lists_turn_the_cache_s_own_sequence():
    one = cache(200, rng=np.random.default_rng(2))
    one.store.init_random_seq()
    lists = []
    for _ in range(30):
        slab = new_slab(one)
        order = [slab.objects.index(p) for p in one.store.free_objects(slab, slab.freelist)]
        assert sorted(order) == list(range(20))
        lists.append(order)
    turned = {tuple(lists[0][i:] + lists[0][:i]) for i in range(20)}
    assert {tuple(order) for order in lists} <= turned
    assert len({tuple(order) for order in lists}) > 5
    assert lists[0] != sorted(lists[0])


def test_a_smaller_slab_is_used_in_the_same_random_order():
    pages = Pages()
    one = cache(1000, pages=pages, rng=np.random.default_rng(3))
    one.store.init_random_seq()
    pages.max_order = 0
    slab = new_slab(one)
    assert sorted(one.store.free_objects(slab, slab.freelist)) == list(slab.objects)
    assert len(slab.objects) == 4


def test_a_seed_gives_the_same_lists_again():
    def lists(seed):
        one = cache(200, rng=np.random.default_rng(seed))
        one.store.init_random_seq()
        return [list(one.store.free_objects(slab, slab.freelist))
                for slab in (new_slab(one) for _ in range(5))]

    assert lists(7) == lists(7) != lists(8)


@pytest.mark.parametrize("wrong", ["foreign", "inside", "in use", "loop"])
def test_an_overwritten_free_pointer_is_found(wrong):
    one = cache(200)
    slab = new_slab(one)
    value = {"foreign": 0x41414141, "inside": slab.objects[5] + 8, "in use": slab.objects[3],
             "loop": slab.objects[0]}[wrong]
    slab.live[3] = 1
    one.backing.write(slab.objects[1] + one.geometry.offset, value.to_bytes(8, "little"))
    with pytest.raises(SlabCorruption, match=r"^Free (pointer of object|list of test has a loop)"):
        list(one.store.free_objects(slab, slab.freelist))


