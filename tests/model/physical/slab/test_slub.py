from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pagewalk.model.physical.gfp import Gfp
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.physical.slab.errors import (
    CacheDestroyed,
    CacheInUse,
    ForeignPointer,
    NotAnObject,
    SlabDoubleFree,
    SlabError,
)
from pagewalk.model.physical.slab.geometry import AMD64, I686, SlabFlag
from pagewalk.model.physical.slab.kmalloc import ZERO_SIZE_PTR, kmalloc_size_roundup
from pagewalk.model.physical.slab.slub import Slub

from ..slab_pages import Pages
from ..slab_runs import random_run

# Sizes that share caches and that do not, slabs of one page and of eight, of 512 objects and of 4.
SIZES = st.sampled_from([8, 24, 60, 64, 100, 500, 512, 1000, 4096, 8192])
FLAGS = st.sampled_from([0, SlabFlag.HWCACHE_ALIGN, SlabFlag.ACCOUNT, SlabFlag.TYPESAFE_BY_RCU,
                         SlabFlag.RECLAIM_ACCOUNT])
CPUS = st.integers(0, 2)
NODES = st.sampled_from([-1, -1, -1, 0, 1, 5])
WHICH = st.integers(0, 1 << 16)


class SlubMachine(RuleBasedStateMachine):
    """Three CPUs on two nodes with little memory. Every object is filled with its own number.

    ``live`` has the pointer, the room and the number of each; ``gone`` are pointers freed and not
    handed out since.
    """

    @initialize(config=st.sampled_from([AMD64, I686]), seed=st.none() | st.integers(0, 99),
                frames=st.sampled_from([20, 64, 200]))
    def start(self, config, seed, frames):
        self.pages = Pages(frames=frames, nodes=2)
        rng = None if seed is None else np.random.default_rng(seed)
        self.slub = Slub(PhysicalMemory(), self.pages, replace(config, nr_cpus=3), (0, 1, 1),
                         {0: (0, 1), 1: (1, 0)}, rng)
        self.caches, self.live, self.gone = [], {}, {}
        self.numbers = count(1)
        self.slub.shrink()
        self.at_boot = self.pages.used_frames

    def fill(self, pointer, room, cache=None, zeroed=False):
        assert pointer not in self.live
        if zeroed:
            assert self.slub.backing.read(pointer, room) == bytes(room)
        self.gone.pop(pointer, None)
        number = next(self.numbers)
        self.slub.backing.write(pointer, self.content(number, room))
        self.live[pointer] = room, number, cache

    def content(self, number, room):
        return (number.to_bytes(4, "little") * (room // 4 + 1))[:room]

    def take(self, which):
        """Remove one of the live objects, which must be as it was filled."""
        pointer = sorted(self.live)[which % len(self.live)]
        room, number, cache = self.live.pop(pointer)
        assert self.slub.backing.read(pointer, room) == self.content(number, room)
        return pointer, cache

    @rule(size=SIZES, flags=FLAGS, align=st.sampled_from([0, 0, 64]), behind=st.booleans())
    def create(self, size, flags, align, behind):
        ctor = (lambda _pointer: None) if behind else None
        try:
            cache = self.slub.kmem_cache_create(f"cache-{len(self.caches)}", size, align, flags,
                                                ctor)
        except MemoryError:
            return
        self.caches.append(cache)  # a merged one is there several times

    @precondition(lambda self: self.caches)
    @rule(which=WHICH, cpu=CPUS, node=NODES, zero=st.booleans(), times=st.integers(1, 40))
    def alloc(self, which, cpu, node, zero, times):
        cache = self.caches[which % len(self.caches)]
        for _ in range(times):
            try:
                pointer = cache.alloc(Gfp.KERNEL | Gfp.ZERO * zero, cpu, node)
            except MemoryError:
                return
            self.fill(pointer, cache.geometry.object_size, cache, zero)

    @rule(size=st.integers(1, 9000) | SIZES, cpu=CPUS, node=NODES, zero=st.booleans(),
          kind=st.sampled_from([0, Gfp.ACCOUNT, Gfp.DMA, Gfp.RECLAIMABLE]))
    def kmalloc(self, size, cpu, node, zero, kind):
        try:
            pointer = self.slub.kmalloc(size, Gfp.KERNEL | kind | Gfp.ZERO * zero, cpu, node)
        except MemoryError:
            return
        room = self.slub.ksize(pointer)
        assert room == kmalloc_size_roundup(size)
        self.fill(pointer, room, None, zero)

    @precondition(lambda self: self.live)
    @rule(which=WHICH, cpu=CPUS, times=st.integers(1, 40), by_kfree=st.booleans())
    def free(self, which, cpu, times, by_kfree):
        for step in range(min(times, len(self.live))):
            pointer, cache = self.take(which + step)
            if by_kfree or cache is None:
                self.slub.kfree(pointer, cpu)
            else:
                cache.free(pointer, cpu)
            self.gone[pointer] = cache

    @precondition(lambda self: self.live)
    @rule(which=WHICH, size=st.integers(1, 9000), cpu=CPUS)
    def krealloc(self, which, size, cpu):
        pointer, cache = self.take(which)
        room = self.slub.ksize(pointer)
        before = self.slub.backing.read(pointer, room)
        try:
            moved = self.slub.krealloc(pointer, size, cpu=cpu)
        except MemoryError:
            self.fill(pointer, room, cache)
            return
        kept = min(room, size)
        assert self.slub.backing.read(moved, kept) == before[:kept]
        if moved != pointer:
            self.gone[pointer] = cache
        self.fill(moved, self.slub.ksize(moved), cache if moved == pointer else None)

    @precondition(lambda self: self.gone)
    @rule(which=WHICH, cpu=CPUS)
    def double_free(self, which, cpu):
        """An error of some type, even if the slab went back to the pages, or to another cache."""
        pointer = sorted(self.gone)[which % len(self.gone)]
        if not any(start <= pointer < start + room for start, (room, _, _) in self.live.items()):
            with pytest.raises((SlabDoubleFree, ForeignPointer, NotAnObject)):
                self.slub.kfree(pointer, cpu)

    @precondition(lambda self: self.live)
    @rule(which=WHICH, offset=st.integers(1, 4095), cpu=CPUS)
    def free_inside(self, which, offset, cpu):
        start = sorted(self.live)[which % len(self.live)]
        if offset < self.live[start][0]:
            with pytest.raises((NotAnObject, ForeignPointer)):
                self.slub.kfree(start + offset, cpu)

    @precondition(lambda self: self.live and self.caches)
    @rule(which=WHICH, other=WHICH, cpu=CPUS)
    def free_to_another_cache(self, which, other, cpu):
        pointer = sorted(self.live)[which % len(self.live)]
        cache = self.caches[other % len(self.caches)]
        if cache is not self.live[pointer][2]:
            with pytest.raises(ForeignPointer):
                cache.free(pointer, cpu)

    @precondition(lambda self: self.caches)
    @rule(which=WHICH)
    def destroy(self, which):
        cache = self.caches[which % len(self.caches)]
        users = sum(other is cache for other in self.caches)
        objects = sum(owner is cache for _, _, owner in self.live.values())
        assert cache.refcount == users
        if users == 1 and objects:
            with pytest.raises(CacheInUse, match=rf"still has {objects} objects$"):
                self.slub.kmem_cache_destroy(cache)
            return
        self.slub.kmem_cache_destroy(cache)
        self.caches.remove(cache)
        if users == 1:
            with pytest.raises(CacheDestroyed):
                cache.alloc()

    @rule()
    def shrink(self):
        self.slub.shrink()

    @rule(max_order=st.sampled_from([0, 1, 3, 10]))
    def fragment(self, max_order):
        """From now on the page allocator has no blocks above an order."""
        self.pages.max_order = max_order

    @invariant()
    def check(self):
        if hasattr(self, "slub"):
            self.slub.check()

    @invariant()
    def pages_are_those_of_slabs_and_large_blocks(self):
        if hasattr(self, "slub"):
            large = sum(room // 4096 for room, _, cache in self.live.values()
                        if cache is None and room > 8192)
            assert len(self.pages.used_frames) == len(self.slub.backing.slabs) + large

    def teardown(self):
        """Live objects are intact; when all is freed all pages are back."""
        if not hasattr(self, "slub"):
            return
        while self.live:
            pointer, _ = self.take(0)
            self.slub.kfree(pointer)
        for cache in self.caches:
            self.slub.kmem_cache_destroy(cache)
        self.slub.shrink()
        self.slub.check()
        assert self.pages.used_frames == self.at_boot


TestSlub = pytest.mark.slow(SlubMachine.TestCase)
TestSlub.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(
    ("seed", "steps"),
    [pytest.param(1, 50_000), pytest.param(2, 1_000_000, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "hidden"])
def test_after_a_long_random_run_every_page_is_back(seed, steps, hidden):
    rng = np.random.default_rng(seed) if hidden else None
    pages = Pages(frames=4096, nodes=2)
    slub = Slub(PhysicalMemory(), pages, AMD64, (0, 0, 1, 1), {0: (0, 1), 1: (1, 0)}, rng)
    slub.shrink()
    before = pages.used_frames
    random_run(slub, seed, steps, cpus=4)
    assert len(pages.used_frames) > len(before)  # what CPUs and partial lists keep
    slub.shrink()
    slub.check()
    assert pages.used_frames == before


def test_a_machine_of_one_cpu_is_ready_at_once():
    slub = Slub(PhysicalMemory(), Pages())
    cache = slub.kmem_cache_create("widget", 40)
    pointers = [cache.alloc(), slub.kmalloc(40), slub.kzalloc(0)]
    assert pointers[2] == ZERO_SIZE_PTR
    assert slub.slabinfo().splitlines()[2].split()[:4] == ["widget", "102", "102", "40"]
    for pointer in pointers:
        slub.kfree(pointer)
    slub.kmem_cache_destroy(cache)
    slub.check()


def test_all_errors_have_one_base():
    slub = Slub(PhysicalMemory(), Pages())
    with pytest.raises(SlabError):
        slub.kfree(12345)
