"""Workloads are what they say, and come again from the same seed."""

from functools import partial

import numpy as np
import pytest

from pagewalk.sim.workloads.memory_only import ORDERS, paged, sharing, stack, thrash
from pagewalk.sim.workloads.workload import DATA_ACCESS

MAKERS = {
    **{order: partial(paged, order, pages=50, visits=400) for order in ORDERS},
    "thrash": partial(thrash, 20, visits=300),
    "stack": partial(stack, pages=6, calls=2000),
    "sharing": partial(sharing, pages=10, slices=20),
}


def pages_of(workload):
    return workload.accesses["vaddr"] >> 12


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MAKERS)
def test_accesses_are_aligned_and_within_the_regions(name, seed):
    made = MAKERS[name](seed=seed)
    accesses = made.accesses
    assert accesses.dtype == DATA_ACCESS
    assert made.name == name
    size, vaddr = accesses["size"].astype(np.uint64), accesses["vaddr"]
    assert set(size.tolist()) <= {1, 2, 4, 8}
    assert not (vaddr % size).any()
    inside = [(vaddr >= region.start) & (vaddr + size <= region.end) for region in made.regions]
    assert (np.sum(inside, axis=0) == 1).all()
    assert accesses["process"].max() + 1 == made.processes
    fits = (accesses["value"] >> (8 * size - np.uint64(1))) <= 1
    assert fits.all()
    assert not accesses["value"][~accesses["store"]].any()
    assert 0.3 < accesses["store"].mean() < 0.7


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_says_all(name):
    one, other = MAKERS[name](seed=7), MAKERS[name](seed=7)
    assert (one.accesses == other.accesses).all()
    assert (one.accesses != MAKERS[name](seed=8).accesses).any()
    assert f"seed {one.seed}" in str(one)
    assert str(len(one.accesses)) in str(one)


def test_sequential_visits_pages_in_turn():
    made = paged("sequential", pages=3, visits=7, burst=2)
    first = made.regions[0].start >> 12
    assert (pages_of(made) - first).tolist() == [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2, 0, 0]


def test_random_visits_all_pages_alike():
    counts = np.unique_counts(pages_of(paged("random", pages=20, visits=20_000, burst=1))).counts
    assert len(counts) == 20
    assert counts.min() > 850
    assert counts.max() < 1150


def test_zipf_visits_the_second_half_as_often_as_the_first():
    counts = np.unique_counts(pages_of(paged("zipf", pages=50, visits=50_000, burst=1))).counts
    ranked = np.sort(counts)[::-1]
    assert len(ranked) == 50
    for rank in (2, 4, 8):
        assert ranked[rank - 1] == pytest.approx(ranked[0] / rank, rel=0.15)


def test_a_hot_set_is_a_tenth_of_the_pages():
    counts = np.unique_counts(pages_of(paged("hot", pages=100, visits=50_000, burst=1))).counts
    assert np.sort(counts)[-10:].sum() == pytest.approx(0.91 * 50_000, rel=0.02)


def test_thrash_touches_four_times_the_memory():
    made = thrash(30, visits=3000, burst=1)
    assert made.regions[0].pages == 120
    counts = np.unique_counts(pages_of(made)).counts
    assert len(counts) == 120
    assert np.sort(counts)[-2:].sum() == pytest.approx(3000 / 4, abs=60)


def test_a_span_keeps_to_the_beginning_of_pages():
    offsets = paged("random", pages=3, visits=300, span=24).accesses["vaddr"] & 0xFFF
    assert set((offsets >> 3).tolist()) == {0, 1, 2}
    assert paged("random", pages=3, visits=3000).accesses["vaddr"].max() & 0xFF0 == 0xFF0


@pytest.mark.parametrize("seed", range(3))
def test_a_stack_grows_down_page_by_page_and_is_left_as_it_was_found(seed):
    made = stack(pages=9, calls=3000, seed=seed)
    region, = made.regions
    assert region.grows_down
    pages = pages_of(made)
    assert set(pages.tolist()) == set(range(region.start >> 12, region.end >> 12))
    lowest = np.minimum.accumulate(pages)
    assert (np.diff(lowest.astype(np.int64)) >= -1).all()
    # Every return loads what its call stored, the latest call first.
    calls = []
    for step in made.accesses.reshape(-1, 8):
        if step["store"].all():
            calls.append(step)
        else:
            assert not step["store"].any()
            assert (step["vaddr"] == calls.pop()["vaddr"]).all()


def test_sharing_takes_turns():
    made = sharing(pages=4, slices=10, slice_visits=3, burst=2)
    turns = made.accesses["process"].reshape(20, 6)
    assert (turns == np.arange(20)[:, None] % 2).all()
    assert [region.shared for region in made.regions] == [False, True]
    assert made.regions[0].end == made.regions[1].start
