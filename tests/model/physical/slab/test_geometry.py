from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.physical.slab.geometry import (
    AMD64,
    I686,
    OrderObjects,
    SlabFlag,
    align_up,
    calc_slab_order,
    calculate_alignment,
    calculate_order,
    calculate_sizes,
    get_order,
    oo_make,
    order_objects,
)

from ..linux_slabs import BOOTS, slabinfo_lines, sysfs_lines

COUNTS = {"amd64-A": 146, "amd64-B": 146, "i686-A": 141, "i686-B": 136}
CONFIGS = st.sampled_from([config for config, _ in BOOTS.values()])


@pytest.mark.parametrize("boot", BOOTS)
def test_slabs_of_every_cache_follow_from_the_size_of_its_objects(boot):
    lines = slabinfo_lines(boot)
    assert len(lines) == COUNTS[boot]
    for line in lines:
        order = calculate_order(BOOTS[boot][0], line.objsize)
        assert (order_objects(order, line.objsize), 1 << order, line.name) == (
            line.objperslab, line.pagesperslab, line.name)


@pytest.mark.parametrize("boot", BOOTS)
def test_layout_of_every_cache_follows_from_its_size_alignment_and_constructor(boot):
    lines = sysfs_lines(boot)
    assert len(lines) == COUNTS[boot]
    for line in lines:
        found = calculate_sizes(BOOTS[boot][0], line.object_size, line.align,
                                ctor=line.pointer_behind)
        assert (line.name, found.size, found.align, found.oo) == (
            line.name, line.slab_size, line.align, (line.order, line.objs_per_slab))
        assert (found.min_partial, found.cpu_partial) == (line.min_partial, line.cpu_partial)


@pytest.mark.parametrize("boot", BOOTS)
def test_the_boots_have_caches_of_both_kinds_of_pointer(boot):
    behind = {line.name for line in sysfs_lines(boot) if line.pointer_behind}
    assert len(behind) >= 15
    # Merged caches never have a constructor, nor readers under RCU.
    assert not any(name.startswith(":") for name in behind)


def test_more_cpus_make_larger_slabs():
    orders = {cpus: calculate_order(replace(AMD64, nr_cpus=cpus), 256) for cpus in (1, 4, 16, 64)}
    # fls + 1 is 2, 4, 6, 8, and so at least 8, 16, 24, 32 objects.
    assert orders == {1: 0, 4: 0, 16: 1, 64: 1}


@pytest.mark.parametrize(
    ("config", "size", "order"),
    [
        (AMD64, 8, 0),
        (AMD64, 4096, 3),             # eight of them: the largest order usual
        (AMD64, 8448, 3),             # three of them, for more would waste more than a quarter
        (AMD64, 20000, 3),            # one, and a third wasted
        (AMD64, 32768, 3),
        (AMD64, 32769, 4),            # above slub_max_order
        (AMD64, 1 << 22, 10),
        (replace(AMD64, min_order=2), 8, 2),
        (replace(AMD64, min_order=9), 8, 5),  # a slab has at most 32767 objects
        (replace(AMD64, max_order=1), 4096, 1),
        (replace(AMD64, min_objects=64), 64, 0),
        (replace(AMD64, min_objects=65), 64, 1),
    ],
)
def test_order(config, size, order):
    assert calculate_order(config, size) == order


def test_an_object_larger_than_the_largest_block_is_refused():
    with pytest.raises(ValueError, match=r"^Object size must be at most 4194304 bytes, not 419430"):
        calculate_order(AMD64, (1 << 22) + 1)


@given(CONFIGS, st.integers(1, 1 << 22))
def test_the_order_is_the_least_that_wastes_as_little_with_as_many_objects(config, size):
    """The rule of calculate_order, said the other way round: over all orders at once."""
    def acceptable(least, fraction):
        fits = [order for order in range(4) if (4096 << order) // size >= least
                and (4096 << order) % size * fraction <= 4096 << order]
        return min(fits, default=None)

    wishes = [(least, fraction) for least in range(min(8, 32768 // size), 1, -1)
              for fraction in (16, 8, 4)]
    found = [acceptable(*wish) for wish in [*wishes, (1, 1)]]
    expected = next((order for order in found if order is not None), None)
    size_order = next(order for order in range(11) if 4096 << order >= size)
    assert calculate_order(config, size) == (size_order if expected is None else expected)


@given(CONFIGS, st.integers(1, 1 << 22), st.sampled_from([0, 8, 16, 64, 256, 4096]),
       st.booleans(), st.booleans(), st.booleans())
def test_objects_and_their_free_pointers_never_overlap(config, size, align, line, rcu, ctor):
    flags = SlabFlag.HWCACHE_ALIGN * line | SlabFlag.TYPESAFE_BY_RCU * rcu
    try:
        found = calculate_sizes(config, size, align, flags, ctor)
    except ValueError:
        assert size + 4096 > 1 << 22
        return
    word = config.word_bytes
    assert found.size % found.align == 0
    assert found.align % max(align, 8) == 0
    assert found.offset % word == 0
    assert found.offset + word <= found.size
    assert found.inuse == align_up(size, word)
    assert (found.offset >= found.inuse) == (rcu or ctor)
    for order, objects in (found.oo, found.min):
        assert objects == (4096 << order) // found.size > 0
    assert found.min.order <= found.oo.order
    assert (4096 << found.min.order) // 2 < found.size or not found.min.order


@pytest.mark.parametrize(
    ("word", "size", "outside", "offset"),
    [(8, 8, False, 0), (8, 16, False, 8), (8, 24, False, 8), (8, 64, False, 32), (8, 1, False, 0),
     (8, 100, False, 48), (4, 100, False, 48), (4, 20, False, 8), (4, 4, False, 0),
     (8, 96, True, 96), (8, 100, True, 104), (4, 52, True, 52), (4, 53, True, 56)],
)
@pytest.mark.parametrize("way", ["ctor", "rcu"])
def test_the_free_pointer_is_in_the_middle_or_behind(word, size, outside, offset, way):
    config = AMD64 if word == 8 else I686
    rcu, ctor = outside and way == "rcu", outside and way == "ctor"
    found = calculate_sizes(config, size, 0, SlabFlag.TYPESAFE_BY_RCU * rcu, ctor)
    assert found.offset == offset


@pytest.mark.parametrize(
    ("line", "size", "align", "flags", "expected"),
    [
        (64, 100, 0, 0, 8),
        (64, 100, 16, 0, 16),
        (64, 100, 0, SlabFlag.HWCACHE_ALIGN, 64),
        (32, 100, 0, SlabFlag.HWCACHE_ALIGN, 32),
        (64, 33, 0, SlabFlag.HWCACHE_ALIGN, 64),
        (64, 32, 0, SlabFlag.HWCACHE_ALIGN, 32),
        (64, 16, 0, SlabFlag.HWCACHE_ALIGN, 16),
        (64, 9, 0, SlabFlag.HWCACHE_ALIGN, 16),
        (64, 1, 0, SlabFlag.HWCACHE_ALIGN, 8),
        (64, 100, 256, SlabFlag.HWCACHE_ALIGN, 256),
        (64, 16, 32, SlabFlag.HWCACHE_ALIGN, 32),
        (64, 100, 2, SlabFlag.PANIC, 8),
    ],
)
def test_alignment(line, size, align, flags, expected):
    config = replace(AMD64, cache_line_bytes=line)
    assert calculate_alignment(config, flags, align, size) == expected


@pytest.mark.parametrize(("config", "aligned"), [
    (AMD64, {1: 8, 8: 8, 9: 16, 32: 32, 33: 64, 64: 64, 65: 64}),
    (I686, {1: 8, 16: 16, 17: 32, 32: 32, 33: 32})])
def test_alignment_to_the_cache_lines_of_the_machines(config, aligned):
    assert {size: calculate_alignment(config, SlabFlag.HWCACHE_ALIGN, 0, size)
            for size in aligned} == aligned


def test_cpu_partial_slabs_are_twice_the_objects():
    """Slabs on a CPU's partial list are taken to be half full, and the division rounds up."""
    for size, (objects, slabs) in {8: (512, 1), 192: (21, 12), 256: (16, 7), 1024: (8, 6),
                                   4096: (8, 2), 8448: (3, 4)}.items():
        found = calculate_sizes(AMD64, size, 8)
        assert (found.oo.objects, found.cpu_partial_slabs) == (objects, slabs)


def test_min_partial_is_half_the_logarithm_within_bounds():
    sizes = {8: 5, 2048: 5, 4096: 6, 16376: 6, 16384: 7, 1 << 20: 10, 1 << 22: 10}
    assert {size: calculate_sizes(AMD64, size).min_partial for size in sizes} == sizes


def test_get_order_is_the_smallest_that_holds_the_bytes():
    for size, order in product([1, 2, 4095, 4096, 4097, 8192, 8193, 1 << 22], range(12)):
        assert (get_order(size) <= order) == (4096 << order >= size)


def test_oo_make():
    assert oo_make(2, 1000) == OrderObjects(order=2, objects=16)


def test_calc_slab_order_says_that_there_is_none():
    assert calc_slab_order(AMD64, 3000, 1, 3, 2) == 0
    assert calc_slab_order(AMD64, 3000, 1, 3, 8) == 2
    assert calc_slab_order(AMD64, 3000, 1, 3, 16) == 4


@pytest.mark.parametrize(
    ("size", "align", "message"),
    [(0, 0, "Object size must be positive, not 0"),
     (-8, 0, "Object size must be positive, not -8"),
     (8, 3, "Alignment must be 0 or a power of two, not 3"),
     (8, -8, "Alignment must be 0 or a power of two, not -8")],
)
def test_sizes_and_alignments_that_make_no_sense_are_refused(size, align, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        calculate_sizes(AMD64, size, align)
