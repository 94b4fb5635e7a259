"""Workloads with calls: each access is one that the calls before it permit, or must be refused."""

from collections import Counter
from functools import partial

import numpy as np
import pytest

from pagewalk.sim.workloads.calling import churn, forking, kmapping
from pagewalk.sim.workloads.workload import (
    Discard,
    Exit,
    Fork,
    Kmap,
    Map,
    Move,
    Protect,
    Refused,
    Unmap,
    Window,
)

MAKERS = {
    "fork": partial(forking, pages=40, rounds=300),
    "churn": partial(churn, pages=40, rounds=400),
    "kmap": partial(kmapping, pages=30, visits=200),
}
every_seed = pytest.mark.parametrize("seed", range(3))


def in_order(made):
    """Yield what happens: an access, or an event."""
    done = 0
    for position, event in made.events:
        assert position >= done
        yield from made.accesses[done:position]
        yield event
        done = position
    yield from made.accesses[done:]


def pages(region):
    return range(region.start >> 12, region.end >> 12)


@pytest.mark.parametrize("name", MAKERS)
def test_a_seed_says_all(name):
    one, other = MAKERS[name](seed=7), MAKERS[name](seed=7)
    assert one.name == name
    assert (one.accesses == other.accesses).all()
    assert str(one.events) == str(other.events)
    assert str(MAKERS[name](seed=8).events) != str(one.events)
    assert f"{len(one.events)} events" in str(one)
    assert "seed 7" in str(one)


@every_seed
def test_only_processes_that_live_make_accesses(seed):
    made = forking(pages=40, rounds=300, processes=4, seed=seed)
    living, born, most, kinds = {0}, 1, 1, Counter()
    for one in in_order(made):
        kinds[type(one)] += 1
        match one:
            case Fork(process):
                assert process in living
                living.add(born)
                born += 1
                most = max(most, len(living))
            case Exit(process):
                living.remove(process)
            case _:
                assert int(one["process"]) in living
    assert most == 4
    assert kinds[Fork] > 10
    assert kinds[Exit] > 5
    assert {*made.accesses["process"].tolist()} == set(range(born))


@every_seed
def test_a_churning_process_keeps_to_what_it_has_mapped(seed):
    made = churn(pages=40, rounds=400, seed=seed)
    writable = dict.fromkeys(pages(made.regions[0]), True)
    kinds = Counter()
    for one in in_order(made):
        kinds[type(one)] += 1
        match one:
            case Map(_, region):
                writable.update(dict.fromkeys(pages(region), True))
            case Unmap(_, region):
                for page in pages(region):
                    writable.pop(page, None)
            case Protect(_, region, may_write):
                assert writable.keys() >= {*pages(region)}
                writable.update(dict.fromkeys(pages(region), may_write))
            case Discard(_, region):
                assert writable.keys() >= {*pages(region)}
            case Move(_, start, to):
                assert to >> 12 not in writable
                writable[to >> 12] = writable.pop(start >> 12)
            case Refused(access):
                may_write = writable.get(int(access["vaddr"][0]) >> 12)
                assert may_write is None or (access["store"][0] and not may_write)
            case _:
                assert writable[int(one["vaddr"]) >> 12] or not one["store"]
    assert {*kinds} >= {Map, Unmap, Protect, Discard, Move, Refused}
    assert min(kinds.values()) > 10


@every_seed
def test_the_kernel_accesses_one_page_at_a_time_both_ways(seed):
    made = kmapping(pages=30, visits=200, burst=4, seed=seed)
    kmaps = [event for _, event in made.events]
    assert all(isinstance(event, Kmap) for event in kmaps)
    assert len(kmaps) == 200
    assert {event.window for event in kmaps} == {*Window}
    visited = [{*(event.accesses["vaddr"] >> 12).tolist()} for event in kmaps]
    assert all(len(one) == 1 for one in visited)
    assert set.union(*visited) == {*pages(made.regions[0])}
    assert np.concatenate([event.accesses["store"] for event in kmaps]).mean() == pytest.approx(
        0.5, abs=0.1)
