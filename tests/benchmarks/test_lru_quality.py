from itertools import product

import numpy as np
import pytest
from numpy.random import default_rng

from .lru_quality import (
    FRAMES,
    SEED,
    WORKLOADS,
    AnonymousMemory,
    fifo_faults,
    hot_set_loop,
    measure,
    next_use,
    optimum_faults,
    second_chance_faults,
)


def fewest_faults(pages, frames):
    """Return the fewest faults, having tried every page to give up at every fault."""
    states = {frozenset(): 0}
    for page in pages:
        after = {}
        for inside, faults in states.items():
            if page in inside:
                choices = [(inside, faults)]
            elif len(inside) < frames:
                choices = [(inside | {page}, faults + 1)]
            else:
                choices = [(inside - {victim} | {page}, faults + 1) for victim in inside]
            for state, count in choices:
                after[state] = min(count, after.get(state, count))
        states = after
    return min(states.values())


def test_optimum_is_the_fewest_faults_of_all_choices():
    for pages in product(range(4), repeat=7):
        assert optimum_faults(np.array(pages), 2) == fewest_faults(pages, 2)


@pytest.mark.parametrize("seed", range(6))
def test_optimum_is_the_fewest_faults_of_longer_workloads(seed):
    pages = default_rng(seed).integers(0, 8, 60)
    for frames in (1, 3, 5):
        assert optimum_faults(pages, frames) == fewest_faults(pages.tolist(), frames)


def test_next_use_is_the_next_access_to_the_page():
    assert next_use(np.array([5, 3, 5, 5, 3])).tolist() == [2, 4, 3, 5, 5]


def test_fifo_has_its_anomaly():
    pages = np.array([1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5])  # Belady, Nelson and Shedler 1969
    assert (fifo_faults(pages, 3), fifo_faults(pages, 4)) == (9, 10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("frames", [100, 300])
def test_second_chance_is_between_optimum_and_fifo_on_a_loop_with_a_hot_set(frames, seed):
    faults = measure(hot_set_loop(default_rng(seed), 20_000, frames), frames)
    assert faults["optimum"] <= faults["second chance"] <= faults["FIFO"]
    assert faults["FIFO"] - faults["second chance"] > faults["FIFO"] / 20


def test_figures_can_be_had_again():
    workload = hot_set_loop(default_rng(SEED), 50_000)
    assert measure(workload) == {"optimum": 10000, "second chance": 15754, "FIFO": 20668}


@pytest.mark.slow
@pytest.mark.parametrize("make", WORKLOADS, ids=lambda make: make.__name__)
def test_no_policy_beats_the_optimum(make):
    faults = measure(make(default_rng(SEED), 100_000))
    assert faults["optimum"] <= min(faults["second chance"], faults["FIFO"])
    assert faults["second chance"] <= faults["FIFO"]


def test_all_that_fits_faults_once():
    pages = default_rng(1).integers(0, FRAMES, 30_000)
    assert len(np.unique(pages)) == FRAMES
    assert second_chance_faults(pages, FRAMES) == FRAMES


def test_accessed_bits_are_what_makes_the_difference():
    class Blind(AnonymousMemory):
        def accessed(self, _pfn):
            return False

    pages = hot_set_loop(default_rng(SEED), 20_000, 200).pages
    blind = Blind(int(pages.max()) + 1, 200).run(pages.tolist())
    assert second_chance_faults(pages, 200) < 0.95 * blind
