"""Each workload can be made by name, of about the size that is asked for."""

import numpy as np
import pytest

from pagewalk.sim.workloads.catalog import WORKLOADS, make_workload
from pagewalk.sim.workloads.workload import Kmap

every_name = pytest.mark.parametrize("name", WORKLOADS)


@every_name
def test_it_is_as_large_as_asked_for(name):
    made = make_workload(name, pages=240, accesses=3000, seed=3)
    by_kernel = sum(len(event.accesses) for _, event in made.events if isinstance(event, Kmap))
    assert 3000 <= len(made.accesses) + by_kernel < 3600
    assert 240 <= sum(region.pages for region in made.regions) <= 270 or name in ("sharing", "huge")
    assert made.name == name
    assert made.seed == 3


@pytest.mark.parametrize(("pages", "blocks"), [(1, 1), (240, 1), (3071, 1), (3072, 2), (9000, 7)])
def test_huge_pages_come_in_blocks_of_4_mbytes(pages, blocks):
    private, shared, small = make_workload("huge", pages=pages, accesses=100).regions
    assert (private.pages, shared.pages, small.pages) == (1024 * blocks, 1024, 16)
    assert (private.huge, shared.huge, small.huge) == (True, True, False)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("accesses", [1, 500, 4000])
def test_a_workload_on_huge_pages_makes_its_accesses_whatever_is_mapped(accesses, seed):
    made = make_workload("huge", pages=1, accesses=accesses, seed=seed)
    assert accesses <= len(made.accesses) <= accesses + 48


@every_name
def test_the_seed_is_all_that_is_random(name):
    first, same, other = (make_workload(name, pages=30, accesses=400, seed=seed)
                          for seed in (7, 7, 8))
    assert np.array_equal(first.accesses, same.accesses)
    assert not np.array_equal(first.accesses, other.accesses)


@pytest.mark.parametrize(("name", "processes"), [("thrash", 1), ("sharing", 2), ("fork", 5)])
def test_the_footprint_counts_every_process(name, processes):
    made = make_workload(name, pages=60, accesses=8000)
    private = sum(region.pages for region in made.regions if not region.shared)
    shared = sum(region.pages for region in made.regions if region.shared)
    assert made.footprint == processes * private + shared
