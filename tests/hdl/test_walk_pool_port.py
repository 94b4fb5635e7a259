"""The pool at its memory port: how busy it keeps it, turns, resets, drops, other writers."""

import pytest
from amaranth import Signal
from amaranth.hdl import ResetInserter
from numpy.random import default_rng

from pagewalk.hdl.walk_pool import WalkPool
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, Vector

from .bench import PageTableMemory, plain, simulate
from .golden import access_fields, control_fields
from .pool_bench import MISSES, PoolBench, pool_config
from .tables import PERMISSIVE, Tables
from .walker_bench import VADDR, assert_result, control_of, expected_result, reads

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
WRITE = AccessKind.WRITE
CLEAN = Entry.P | Entry.RW | Entry.US


def spread(mode, count, flags=PERMISSIVE):
    """Return tables that map ``count`` pages, far from each other, and their addresses."""
    tables, top = Tables(mode), mode.levels[0]
    vaddrs = [(number + 1 << top.shift) + (number << 12) for number in range(count)]
    for number, vaddr in enumerate(vaddrs):
        tables.map(vaddr, 0x10_0000 + 0x1000 * number, flags, upper=flags)
    return tables, vaddrs


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("walkers", [2, 4, 8])
def test_as_many_accesses_as_walkers_are_under_way_for_most_of_the_time(mode, walkers):
    """At a latency of 20, of walks from the root; from the first answer to the last request.

    Of the 4 cycles of a walk that are no latency, one with two accesses has twice as many.
    """
    tables, vaddrs = spread(mode, 8 * walkers)
    bench = PoolBench(pool_config(mode, walkers, walk_cache=0), tables.memory,
                      latency=lambda: 20)
    bench.walk([(Access(vaddr), Control(tables.cr3)) for vaddr in vaddrs])
    begin, end = min(bench.answered.values()), bench.asked[-1]
    owed = bench.memory.owed[begin:end]
    assert max(owed) == walkers
    assert sum(owed) / len(owed) / walkers > (0.9 if mode is X86_64 else 0.8)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("latency", [1, 2, 3])
def test_no_walk_waits_for_long_however_many_come(mode, latency):
    """Each answer comes while at most so many requests are answered as all walkers have begun."""
    tables, vaddrs = spread(mode, 60)
    bench = PoolBench(pool_config(mode, 8, walk_cache=0), tables.memory, latency=lambda: latency)
    bench.walk([(Access(vaddr), Control(tables.cr3)) for vaddr in vaddrs])
    order = sorted(bench.answered, key=bench.answered.get)
    assert all(abs(place - number) < 16 for place, number in enumerate(order))


@MODES
def test_a_walk_overtakes_another_whose_response_is_late(mode):
    tables, vaddrs = spread(mode, 2)
    latencies = iter([50])  # of the first access, that of the first walk
    bench = PoolBench(pool_config(mode, 2), tables.memory, latency=lambda: next(latencies, 2))
    bench.walk([(Access(vaddr), Control(tables.cr3)) for vaddr in vaddrs])
    assert len(reads(bench)) == 2 * len(mode.levels)
    assert bench.durations == [50 + 2 * (len(mode.levels) - 1) + 4, 2 * len(mode.levels) + 4]


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("kind", ["read", "exchange"])
def test_a_bus_error_is_a_machine_check_for_its_walk_alone(mode, kind):
    tables, vaddrs = spread(mode, 6, CLEAN)
    golden = tables.memory.copy()
    broken = []

    def refuse_once(access):
        if access[0] == kind and len(bench.memory.log) > 7 and not broken:
            broken.append(access[1])
            raise BusError(access[1])

    bench = PoolBench(pool_config(mode, 4), tables.memory, before=refuse_once)
    requests = [(Access(vaddr, WRITE), Control(tables.cr3)) for vaddr in vaddrs]
    results = bench.walk(requests)
    checks = [one for one in results if one["fault"]]
    assert [(one["vector"], one["error_code"]) for one in checks] == [(Vector.MC, 0)]
    for result, (access, control) in zip(results, requests, strict=True):
        if not result["fault"]:
            expected = expected_result(bench.config, walk(golden, mode, control, access), control)
            assert_result(result, {"translation": expected["translation"]}, access)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("seed", range(2))
def test_walks_of_the_pool_and_other_writers_may_take_exchanges_from_each_other(mode, seed):
    """All walks share their upper entries, whose accessed flag each of them finds clear."""
    rng = default_rng(seed)
    tables = Tables(mode)
    vaddrs = [VADDR + 0x1000 * number for number in range(8)]
    paths = [tables.map(vaddr, 0x10_0000 + 0x1000 * number, CLEAN, upper=CLEAN)
             for number, vaddr in enumerate(vaddrs)]
    left = [10]

    def another_agent(access):
        if access[0] == "exchange" and left[0] and rng.random() < 0.4:
            left[0] -= 1
            tables.write(access[1], tables.read(access[1]) ^ 1 << 9)

    bench = PoolBench(pool_config(mode, 8), tables.memory, before=another_agent,
                      latency=lambda: int(rng.integers(1, 9)))
    results = bench.walk([(Access(vaddr, WRITE), Control(tables.cr3)) for vaddr in vaddrs])
    assert [one["translation"]["frame"] for one in results] == [*range(0x100, 0x108)]
    assert all(tables.read(path[-1]) & Entry.D for path in paths)
    assert bench.trace.total("event_restart") > 0


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("walkers", [1, 4])
@pytest.mark.parametrize("seed", range(3))
def test_late_responses_after_resets_change_nothing(mode, walkers, seed):
    """Resets at any time, with long latencies: each answer is right, no two tags are the same."""
    rng = default_rng(seed)
    tables, vaddrs = spread(mode, 20, CLEAN)
    golden = tables.memory.copy()
    config = pool_config(mode, walkers)
    dut, reset = WalkPool(config), Signal()
    memory = PageTableMemory(dut.memory, tables.memory, mode.entry_bytes,
                             latency=lambda: int(rng.integers(1, 12)),
                             ready=lambda: rng.random() < 0.8)
    control, counts = control_of(tables), {"resets": 0, "answers": 0}

    async def testbench(ctx):
        under_way, number = {}, 0
        while number < 300:
            is_reset = rng.random() < 0.02
            ctx.set(reset, is_reset)
            who = number % 2, number // 2 % MISSES
            vaddr = vaddrs[number % 20]
            ctx.set(dut.walk.req.valid, who not in under_way)
            ctx.set(dut.walk.req.payload, {
                "port": who[0], "miss": who[1], "access": access_fields(Access(vaddr, WRITE)),
                "control": control_fields(config, control)})
            _, _, asked, answered, answer = await ctx.tick().sample(
                dut.walk.req.valid & dut.walk.req.ready, dut.walk.rsp.valid, dut.walk.rsp.payload)
            if answered:
                access = Access(under_way.pop((answer.port, answer.miss)), WRITE)
                expected = expected_result(config, walk(golden, mode, control, access), control,
                                           answer.port)
                assert_result(plain(answer), expected, access)
                counts["answers"] += 1
            if asked:
                under_way[who] = vaddr
                number += 1
            if is_reset:
                under_way.clear()
                counts["resets"] += 1

    simulate(ResetInserter(reset)(dut), testbench, background=[memory.serve])
    assert counts["resets"] > 10
    assert counts["answers"] > 50
