"""Clusters of a solid-state disk."""

import pytest
from numpy.random import default_rng

from pagewalk.model.kernel.swap.clusters import SwapClusters
from pagewalk.model.physical.errors import BrokenInvariant

from ..disks import one, swap_info

SIZE = 64


def area(pages, **options):
    return swap_info(pages, cluster=SIZE, solid_state=True, **options)


def test_clusters_are_taken_one_after_the_other_the_header_s_last():
    info = area(5 * SIZE + 10)
    slots = [one(info) for _ in range(info.pages)]
    assert slots[: 4 * SIZE] == [*range(SIZE, 5 * SIZE)]
    # Neither the first cluster nor the last, which is not whole, was ever free.
    assert sorted(slots[4 * SIZE :]) == [*range(1, SIZE), *range(5 * SIZE, 5 * SIZE + 10)]
    assert one(info) is None
    info.check()


def test_neighbours_in_the_list_are_in_different_parts_of_the_swap_cache():
    """[SWAP_CLUSTER_COLS]"""
    clusters = SwapClusters(bytearray(600 * SIZE), SIZE)
    taken = []
    for _ in range(4):
        slot = clusters.next_slot()
        for offset in range(SIZE):
            clusters.take(slot + offset)
        clusters._map[slot : slot + SIZE] = bytes([1]) * SIZE
        taken.append(slot // SIZE)
    assert taken == [0, 256, 512, 1]


def test_a_cluster_that_is_free_again_is_taken_last():
    info = area(6 * SIZE)
    slots = [one(info) for _ in range(2 * SIZE)]
    for slot in slots[:SIZE]:
        info.clear_cache(slot)
    assert [one(info) for _ in range(3 * SIZE + 1)][:: SIZE] == [
        3 * SIZE, 4 * SIZE, 5 * SIZE, SIZE]


def test_a_cluster_goes_on_where_it_was_and_not_where_slots_were_freed():
    info = area(4 * SIZE)
    slots = [one(info) for _ in range(10)]
    info.clear_cache(slots[3])
    assert one(info) == slots[-1] + 1


def test_the_search_begins_anywhere_if_that_is_drawn():
    rng = default_rng(3)
    nexts = {area(4000, rng=rng).cluster_next for _ in range(50)}
    assert len(nexts) > 40
    assert min(nexts) >= 1
    assert max(nexts) < 4000
    assert area(4000).cluster_next == 1


def test_the_search_goes_on_in_a_trunk_that_is_drawn():
    info = area(5 << 14, rng=default_rng(4))
    info.cluster_next = 100
    info.set_cluster_next(200)
    assert info.cluster_next == 200
    drawn = set()
    for _ in range(40):
        info.cluster_next = 100
        info.set_cluster_next(1 << 14)
        drawn.add(info.cluster_next)
    assert drawn == {1, *(trunk << 14 for trunk in range(1, 5))}


def test_check_finds_a_cluster_that_is_miscounted():
    info = area(4 * SIZE)
    info.clusters.take(SIZE)
    with pytest.raises(BrokenInvariant, match=r"clusters contradict the slots$"):
        info.check()
