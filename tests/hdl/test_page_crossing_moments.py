"""What may come between the lookups of two pages: invalidations, cancels, page faults, resets."""

import pytest

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import X86_64, InvalidateOp

from .bench import put
from .golden import access_fields
from .mmu_bench import ChangingPages, MmuBench
from .tables import PERMISSIVE, Tables

ALL = InvalidateOp.INVPCID_ALL
PAGE = 0x1234_5000
OTHER = 0x7000_3000
GEOMETRIES = {"plain": {}, "no latency": {"hit_latency": 0}, "misses": {"misses": 2},
              "sets": {"ways": 2, "entries": 8, "hit_latency": 2},
              "pulse": {"invalidation": "pulse", "misses": 3, "order": "tag", "walkers": 2}}


def bench_of(tables, latency, **parameters):
    return MmuBench(tables, parameters={"access_bytes": 16, **parameters},
                    latency=lambda: latency)


def collector(bench, responses):
    """Return a background testbench that takes each answer of the data port at once."""
    port = bench.ports[1]

    async def collect(ctx):
        ctx.set(port.rsp.ready, 1)
        async for _, _, valid, payload in ctx.tick().sample(port.rsp.valid, port.rsp.payload):
            if valid:
                responses.append((payload.tag, payload.fault, payload.paddr, payload.second.paddr))

    return collect


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_an_invalidation_at_any_moment_waits_for_both_pages(geometry):
    """It is not accepted between them, and what is asked after it sees both pages as they are."""
    pages = ChangingPages(PAGE, 2)
    bench = bench_of(pages.tables, 2, **GEOMETRIES[geometry])
    access, responses, at_acceptance = Access(PAGE | 0xFF8, size=16), [], []

    async def ask(ctx):
        await put(ctx, bench.ports[1].req, access_fields(access))

    async def testbench(ctx):
        bench.control(ctx, pages.control)
        for delay in range(26):
            await bench.invalidate(ctx, pages.control, ALL)
            responses.clear()
            await ask(ctx)
            for _ in range(delay):
                await ctx.tick()
            pages.change(0)
            pages.change(1)
            await bench.invalidate(ctx, pages.control, ALL)
            at_acceptance.append(len(responses))
            await ask(ctx)
            while len(responses) < 2:
                await ctx.tick()
            _, fault, first, second = responses[1]
            assert (fault, first >> 24, second >> 24) == (0, 0, 1)
            assert [first >> 12 & 0xFFF, second >> 12 & 0xFFF] == pages.versions

    bench.run(testbench, background=[collector(bench, responses)])
    assert at_acceptance == [1] * 26


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [
    {}, {"hit_latency": 0}, {"hit_latency": 2}, {"misses": 3, "order": "tag"}], ids=str)
@pytest.mark.parametrize("by", ["tag", "all"])
@pytest.mark.parametrize("bad", [False, True], ids=["good", "first page faults"])
def test_in_any_cycle_a_cancelled_access_is_not_answered_and_its_tag_is_free(parameters, by, bad):
    tables = Tables(X86_64)
    for page in (PAGE, PAGE + 0x1000, OTHER, OTHER + 0x1000):
        tables.map(page, page, PERMISSIVE)
    if bad:
        tables.write(tables.map(PAGE, PAGE)[-1], 0)
    bench = bench_of(tables, 2, cancel=True, entries=1, **parameters)
    port, responses, cancelled = bench.ports[1], [], 0
    control = Control(tables.cr3)

    async def testbench(ctx):
        nonlocal cancelled
        bench.control(ctx, control)
        for delay in range(26):
            responses.clear()
            await put(ctx, port.req, access_fields(Access(PAGE | 0xFFF, size=4), 5))
            for _ in range(delay):
                await ctx.tick()
            ctx.set(port.cancel, {"valid": 1, "all": by == "all", "tag": 5})
            await ctx.tick()
            ctx.set(port.cancel.valid, 0)
            before = len(responses)
            cancelled += not before
            await put(ctx, port.req, access_fields(Access(OTHER | 0xFFE, size=8), 5))
            for _ in range(60):
                await ctx.tick()
            assert responses[before:] == [(5, 0, OTHER | 0xFFE, OTHER + 0x1000)], delay

    bench.run(testbench, background=[collector(bench, responses)])
    assert 10 <= cancelled < 26  # a fault is known in ten cycles


@pytest.mark.parametrize("delay", range(0, 20, 3))
def test_a_reset_forgets_an_access_in_two_pages(delay):
    tables = Tables(X86_64)
    for page in (PAGE, PAGE + 0x1000, OTHER, OTHER + 0x1000):
        tables.map(page, page, PERMISSIVE)
    bench = bench_of(tables, 2)
    port, responses = bench.ports[1], []

    async def testbench(ctx):
        bench.control(ctx, Control(tables.cr3))
        await put(ctx, port.req, access_fields(Access(PAGE | 0xFFF, size=4)))
        for _ in range(delay):
            await ctx.tick()
        before = len(responses)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        await put(ctx, port.req, access_fields(Access(OTHER | 0xFFE, size=2), 1))
        for _ in range(40):
            await ctx.tick()
        after = [one for one in responses[before:] if one[0] == 1]
        assert after == [(1, 0, OTHER | 0xFFE, 0)]
        assert len(responses) - before <= 2 if delay else len(responses) == 1

    bench.run(testbench, background=[collector(bench, responses)])


def test_a_page_fault_of_another_port_comes_between():
    """The second page is looked up when what the fault could use is dropped."""
    tables = Tables(X86_64)
    for page in (PAGE, PAGE + 0x1000):
        tables.map(page, page, PERMISSIVE)
    bench = bench_of(tables, 3)
    port, responses = bench.ports[1], []

    async def testbench(ctx):
        bench.control(ctx, Control(tables.cr3))
        await put(ctx, bench.ports[0].req, access_fields(Access(OTHER)))
        await put(ctx, port.req, access_fields(Access(PAGE | 0xFFF, size=4), 3))
        ctx.set(bench.ports[0].rsp.ready, 1)
        for _ in range(60):
            await ctx.tick()

    bench.run(testbench, background=[collector(bench, responses)])
    assert responses == [(3, 0, PAGE | 0xFFF, PAGE + 0x1000)]
    assert bench.events.total("fetch_fault") == 1
