"""The request port that goes on behind a miss: each request is answered once, as by the walk."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import IA32, X86_64

from .golden import response_fields
from .miss_bench import MissBench
from .tables import bits, random_access, random_control, random_tables, random_vaddr


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "shape"), [
    (X86_64, {"misses": 4, "cancel": False}),
    (X86_64, {"misses": 3, "cancel": True, "entries": 8, "ways": 2, "large_entries": 2}),
    (X86_64, {"misses": 1, "cancel": True}),
    (IA32, {"misses": 8, "cancel": True})], ids=["4", "3-sets-cancel", "1-cancel", "8-cancel"])
@pytest.mark.parametrize("hit_latency", [0, 1, 2])
@pytest.mark.parametrize("order", ["tag", "request"])
def test_random_accesses_are_each_answered_once_as_by_the_golden_walk(
        order, hit_latency, mode, shape):
    seed = 11
    rng = default_rng(seed)
    tables = random_tables(rng, mode)
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(10)]
    requests = [(random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))] ^ bits(rng, 12)),
                 random_control(rng, mode, tables.cr3, lasting=lasting)) for _ in range(150)]
    golden_memory = tables.memory.copy()
    bench = MissBench(
        tables, order=order, hit_latency=hit_latency,
        delay=lambda: int(rng.integers(1, 10 * shape["misses"] + 1)),
        pick=lambda count: int(rng.integers(count)), ready=lambda: int(rng.integers(2)), **shape)

    async def cancel_some(ctx):
        while shape["cancel"] and len(bench.accepted) < len(requests):
            chance = int(rng.integers(40))
            alive = [number for number in bench.accepted if number not in bench.responses] or [0]
            ctx.set(bench.dut.requests.cancel, {
                "valid": chance < 3, "all": chance == 0,
                "tag": int(rng.choice(alive))})
            await ctx.tick()

    results = bench.ask(
        requests, gap=lambda: int(rng.integers(8)) // 5, ready=lambda: int(rng.integers(4)) > 0,
        noise=lambda count: bits(rng, count), also=[cancel_some])
    for number, (result, (access, control)) in enumerate(zip(results, requests, strict=True)):
        walked = walk(golden_memory, mode, control, access)
        if result is not None:
            assert result == response_fields(bench.config, walked, number), (seed, number)
    assert bool(bench.cancelled) == shape["cancel"]
    if order == "request":
        assert bench.order == sorted(bench.order)
    elif shape["misses"] > 1:
        assert bench.order != sorted(bench.order)
    assert min(6, shape["misses"]) <= bench.walker.most <= shape["misses"]
    events = bench.events
    hits = sum(events.total(name) for name in events.names if name.startswith("hit_"))
    assert events.total("lookup") == hits + events.total("miss")
    assert hits
    assert events.total("miss")
