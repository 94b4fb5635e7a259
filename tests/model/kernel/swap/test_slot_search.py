"""The search for slots, range by range, agrees with the kernel's, which goes slot by slot."""

import pytest
from numpy.random import default_rng

from pagewalk.model.kernel.swap.slots import SWAP_HAS_CACHE

from ..disks import swap_info
from .slot_by_slot import SlotBySlot

both = pytest.mark.parametrize("solid_state", [False, True], ids=["turning", "solid"])


def pair(pages, bad, cluster, *, solid_state):
    info = swap_info(pages, bad, cluster=cluster, solid_state=solid_state)
    return info, SlotBySlot(info.swap_map, cluster, solid_state=solid_state)


@both
@pytest.mark.parametrize("cluster", [256, 512])
@pytest.mark.parametrize("pages", [40, 700, 1900])
@pytest.mark.parametrize("seed", range(4))
def test_many_slots_at_once_are_those_of_the_kernel(pages, cluster, seed, solid_state):
    rng = default_rng([pages, cluster, seed])
    bad = sorted({*rng.integers(1, pages, 4).tolist()})
    info, naive = pair(pages, bad, cluster, solid_state=solid_state)
    used, short = [], 0
    for step in range(100):
        filling = step < 30  # until there are holes everywhere
        if (filling or rng.random() < 0.6) and not info.full:
            goal = 64 if filling else int(rng.choice([1, 7, 64]))
            found = info.scan_swap_map_slots(goal)
            assert found == naive.alloc(goal)
            short += len(found) < goal and not info.full
            used += found
        elif used:
            count, at = int(rng.integers(1, 300)), int(rng.integers(len(used)))
            gone = used[at : at + count] if rng.random() < 0.5 else [
                used[int(one)] for one in {*rng.integers(len(used), size=count).tolist()}]
            used = [slot for slot in used if slot not in {*gone}]
            for slot in gone:
                info.clear_cache(slot)
                naive.free(slot)
        info.check()
        assert list(info.swap_map) == naive.map
        assert (info.cluster_next, info.lowest_bit, info.highest_bit) == (
            naive.next, naive.low, naive.high)
    assert short or pages == 40  # a search was given up though there was more


@both
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pages", [40, 700, 1300])
def test_slots_one_by_one_are_those_of_the_kernel(pages, seed, solid_state):
    rng = default_rng([pages, seed])
    bad = sorted({*rng.integers(1, pages, 5).tolist()})
    info, naive = pair(pages, bad, 256, solid_state=solid_state)
    used = []
    for _ in range(4):
        for _ in range(int(rng.integers(info.pages - info.inuse_pages + 1))):
            found = info.scan_swap_map_slots(1)
            assert found == naive.alloc(1)
            used += found
        for _ in range(int(rng.integers(len(used) + 1))):
            slot = used.pop(int(rng.integers(len(used))))
            info.clear_cache(slot)
            naive.free(slot)
        info.check()
        assert list(info.swap_map) == naive.map


@both
@pytest.mark.parametrize("seed", range(6))
def test_slots_that_only_the_cache_holds_are_taken_on_the_way(seed, solid_state):
    rng = default_rng(seed)
    info, naive = pair(300, [9], 64, solid_state=solid_state)
    taken = 0
    for _ in range(500):
        kept = {*rng.integers(1, 300, 100).tolist()}
        cached = {at for at in range(1, 300) if naive.map[at] == SWAP_HAS_CACHE}

        def reclaim(slot, kept=kept):
            return slot not in kept and info.clear_cache(slot)

        def naive_reclaim(slot, kept=kept):
            if slot in kept:
                return False
            naive.free(slot)
            return True

        at = int(rng.integers(1, 300))
        if rng.integers(2) and not info.full:
            goal = int(rng.integers(1, 30))
            found = info.scan_swap_map_slots(goal, lambda: True, reclaim)
            assert found == naive.alloc(goal, naive_reclaim)
            taken += len(cached.intersection(found))
            for slot in found:
                if rng.integers(3) == 0:
                    info.duplicate(slot)
                    naive.map[slot] += 1
        elif naive.map[at] == SWAP_HAS_CACHE:
            info.clear_cache(at)
            naive.free(at)
        elif naive.map[at] > SWAP_HAS_CACHE:
            info.free(at)
            naive.map[at] -= 1
        assert list(info.swap_map) == naive.map
        info.check()
    assert taken > 50


def test_the_search_for_a_cluster_leaves_little_time_for_many_slots():
    """So that the first search in an empty area gives few, as on a machine that has booted."""
    for cluster, first in ((256, 2), (512, 3)):
        info = swap_info(5000, cluster=cluster)
        assert [len(info.scan_swap_map_slots(64)) for _ in range(4)] == [first, 64, 64, 64]


def test_a_full_area_and_one_slot():
    info = swap_info(40)
    assert info.scan_swap_map_slots(64) == [*range(1, 40)]
    assert info.scan_swap_map_slots(64) == []
    info.clear_cache(20)
    assert info.scan_swap_map_slots(64) == [20]
