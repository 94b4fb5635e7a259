"""When and how the walkers set flags: each rule against the golden walk, and what it costs."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .pool_bench import PoolBench, pool_config
from .tables import PERMISSIVE, Tables, random_tables
from .walker_bench import (
    VADDR,
    WalkerBench,
    expected_result,
    random_memory,
    random_requests,
)

A, D, WRITE = Entry.A, Entry.D, AccessKind.WRITE
CLEAN = Entry.P | Entry.RW | Entry.US
MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
SUCCESS, NO_BUS = {"accessed": "success"}, {"ad": "fault"}
RULES = [SUCCESS, NO_BUS, {"ad": "write"}, {"accessed": "success", "ad": "write"}]
KINDS = ["walker", 1, 4]
COMBINATIONS = [(kind, rules) for kind in KINDS for rules in RULES
                if kind != 4 or rules.get("ad") != "write"]


def bench_of(mode, kind, memory, *, rules, **behaviour):
    """Return the bench of a ``Walker``, or of a pool of ``kind`` walkers."""
    behaviour["plain_writes"] = rules.get("ad") == "write"
    if kind == "walker":
        return WalkerBench(Config(mode=mode, walk_cache=2, **rules), memory, **behaviour)
    return PoolBench(pool_config(mode, kind, walk_stages=2, walk_cache=2, **rules), memory,
                     **behaviour)


def walk_all(bench, requests):
    if isinstance(bench, WalkerBench):
        return bench.walk([(0, *request) for request in requests])
    return bench.walk(requests)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(("kind", "rules"), COMBINATIONS, ids=str)
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
def test_random_walks_equal_the_golden_walks(mode, kind, rules, busy):
    rng = default_rng([len(str(rules)), busy])
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    requests = [(access, control)
                for _, access, control in random_requests(rng, mode, tables.cr3, 120)]
    bench = bench_of(mode, kind, tables.memory, rules=rules, **random_memory(rng, busy))
    results = walk_all(bench, requests)
    faults = 0
    for result, (access, control) in zip(results, requests, strict=True):
        golden = walk(golden_memory, mode, control, access, flags=FlagRules(**rules))
        expected = expected_result(bench.config, golden, control)
        faults += golden.fault is not None
        del expected["port"]
        if not golden.fault and kind == 4:  # D hangs on the order of the walks
            del expected["translation"]["dirty"]
            dirty = result["translation"].pop("dirty")
            assert dirty or access.kind is not WRITE
        assert {name: result[name] for name in expected} == expected, (access, control)
    assert 10 < faults < 115
    assert (tables.memory.frames == golden_memory.frames).all()
    # Walks beside each other take exchanges from each other.
    assert kind == 4 or bench.trace.total("event_restart") == 0


def mapped(mode, leaf, upper):
    tables = Tables(mode)
    return tables, tables.map(VADDR, 0x7000, leaf, upper=upper)


def exchanges(bench):
    return [access[1] for access in bench.memory.log if access[0] == "exchange"]


@MODES
@pytest.mark.parametrize("kind", KINDS)
def test_a_walk_that_faults_changes_nothing_and_is_found_nowhere_by_success(mode, kind):
    """Nor does the walk cache hold its tables, so that the walk that succeeds sets their flags."""
    tables, path = mapped(mode, 0, CLEAN)
    tables.map(VADDR + 0x1000, 0x8000, CLEAN)
    bench = bench_of(mode, kind, tables.memory, rules=SUCCESS)
    control = Control(tables.cr3)
    if kind != "walker":
        gaps = iter([0, 100])
        bench.pause = lambda: next(gaps)
    faulted, found = walk_all(bench, [(Access(VADDR), control), (Access(VADDR + 0x1000), control)])
    assert (faulted["fault"], found["fault"]) == (1, 0)
    assert [tables.read(paddr) & (A | D) for paddr in path] == [A] * (len(path) - 1) + [0]
    assert exchanges(bench) == [*path[:-1], path[-1] + mode.entry_bytes]
    reads = [access[1] for access in bench.memory.log if access[0] == "read"]
    below = [*path[:-1], path[-1] + mode.entry_bytes]
    assert reads == [*path, *below, *below]


@MODES
@pytest.mark.parametrize("kind", KINDS)
def test_success_reads_twice_only_where_an_upper_entry_lacks_a(mode, kind):
    tables, path = mapped(mode, CLEAN, PERMISSIVE)
    bench = bench_of(mode, kind, tables.memory, rules=SUCCESS)
    walk_all(bench, [(Access(VADDR, WRITE), Control(tables.cr3))])
    assert [access[1] for access in bench.memory.log] == [*path, path[-1]]


@MODES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", [SUCCESS, {"accessed": "use"}], ids=str)
def test_another_writer_at_the_end_has_the_walk_begin_again(mode, kind, rules):
    """It took the page away: no flag is set, on success, but what was set by then."""
    tables, path = mapped(mode, CLEAN, CLEAN)
    first = tables.read(path[0])

    def before(access):
        if access[0] == "exchange" and tables.read(path[0]) == first:
            tables.write(path[0], first | Entry.PWT)
            tables.write(path[-1], 0)

    bench = bench_of(mode, kind, tables.memory, rules=rules, before=before)
    result, = walk_all(bench, [(Access(VADDR, WRITE), Control(tables.cr3))])
    assert (result["fault"], result["error_code"]) == (1, 2)
    flags = 0 if rules is SUCCESS else A
    assert [tables.read(paddr) & (A | D) for paddr in path[:-1]] == [flags] * (len(path) - 1)
    assert bench.trace.total("event_restart") == 1


@MODES
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lacks", [0, -1, None], ids=["root", "leaf", "nothing"])
def test_what_lacks_a_flag_faults_where_nothing_can_set_it(mode, kind, lacks):
    tables, path = mapped(mode, PERMISSIVE, PERMISSIVE)
    if lacks is not None:
        tables.write(path[lacks], tables.read(path[lacks]) & ~A)
    bench = bench_of(mode, kind, tables.memory, rules=NO_BUS)
    result, = walk_all(bench, [(Access(VADDR, WRITE), Control(tables.cr3))])
    assert (result["fault"], result["error_code"] * result["fault"]) == (
        (0, 0) if lacks is None else (1, 3))
    assert [access[0] for access in bench.memory.log] == ["read"] * len(path)


@pytest.mark.parametrize("latency", [1, 4])
def test_the_second_walk_of_success_costs_its_reads_again(latency):
    tables, path = mapped(X86_64, CLEAN, CLEAN)
    bench = bench_of(X86_64, "walker", tables.memory, rules=SUCCESS, latency=lambda: latency)
    walk_all(bench, [(Access(VADDR), Control(tables.cr3))])
    assert bench.trace.cycles("answer")[0] == 3 * len(path) * latency + 1 + bench.trace.cycles(
        "event_start")[0]


@MODES
@pytest.mark.parametrize("kind", KINDS)
def test_the_walk_cache_holds_no_table_below_an_entry_that_lacks_a(mode, kind):
    """Whatever the entries below have."""
    tables, path = mapped(mode, PERMISSIVE, PERMISSIVE)
    tables.write(path[0], tables.read(path[0]) & ~A)
    bench = bench_of(mode, kind, tables.memory, rules=NO_BUS)
    gaps = iter([0, 100])
    if kind != "walker":
        bench.pause = lambda: next(gaps)
    results = walk_all(bench, [(Access(VADDR), Control(tables.cr3))] * 2)
    assert [result["fault"] for result in results] == [1, 1]
