"""The pool of walkers against the golden walk: results, memory, time, turns."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .pool_bench import PoolBench, pool_config
from .tables import PERMISSIVE, Tables, random_tables
from .walker_bench import VADDR, assert_result, expected_result, random_memory, random_requests

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
READ, WRITE, FETCH = AccessKind
CLEAN = Entry.P | Entry.RW


def without_dirty(config, golden, control):
    """Return the expected result, but for ``dirty`` where it hangs on the order of the walks."""
    expected = expected_result(config, golden, control)
    del expected["port"]
    if not golden.fault:
        del expected["translation"]["dirty"]
    return expected


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("walkers", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
def test_random_walks_at_once_equal_the_golden_walks(mode, walkers, busy):
    """Whatever walks are under way beside each; all flags are set in memory in the end."""
    rng = default_rng(walkers)
    tables = random_tables(rng, mode)
    config = pool_config(mode, walkers)
    golden_memory = tables.memory.copy()
    requests = [(access, control)
                for _, access, control in random_requests(rng, mode, tables.cr3, 150)]
    bench = PoolBench(config, tables.memory, **random_memory(rng, busy))
    results = bench.walk(requests)
    for result, (access, control) in zip(results, requests, strict=True):
        golden = walk(golden_memory, mode, control, access)
        expected = without_dirty(config, golden, control)
        if not golden.fault:
            dirty = result["translation"].pop("dirty")
            assert dirty or access.kind is not WRITE
        assert_result(result, expected, (access, control))
    assert (tables.memory.frames == golden_memory.frames).all()
    assert bench.trace.total("event_start") == bench.trace.total("event_end") == len(requests)
    assert max(bench.memory.owed) == min(walkers, max(bench.memory.owed))


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("walkers", [1, 4])
@pytest.mark.parametrize("latency", [1, 2, 5])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_a_walk_alone_takes_its_latencies_and_4_cycles(mode, walkers, latency, clean):
    """One more if the walk cache is hit, and 3 for each entry that has to be updated."""
    tables = Tables(mode)
    flags = CLEAN if clean else PERMISSIVE
    path = tables.map(VADDR, 0x7000, flags, upper=flags)
    tables.map(VADDR + 0x1000, 0x8000, flags, upper=flags)
    gaps = iter([0, 100])
    bench = PoolBench(pool_config(mode, walkers), tables.memory, pause=lambda: next(gaps),
                      latency=lambda: latency)
    bench.walk([(Access(vaddr, WRITE), Control(tables.cr3)) for vaddr in (VADDR, VADDR + 0x1000)])
    each = 2 * latency + 3 if clean else latency
    assert bench.durations == [len(path) * each + 4, each + 5]
