"""A request port whose TLB has sets."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64

from .bench import put, take
from .golden import access_fields, control_fields, response_fields
from .port_bench import VADDR, PortBench, one_page
from .tables import Tables, bits, random_access, random_control, random_tables, random_vaddr

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("geometry", [
    {"entries": 8, "ways": 2, "large_entries": 1}, {"entries": 4, "ways": 1, "index": "plain"},
    {"entries": 8, "ways": 4, "hit_latency": 0}], ids=str)
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
def test_random_accesses_are_answered_as_by_the_golden_walk(mode, geometry, busy):
    rng = default_rng(5)
    tables = random_tables(rng, mode)
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(12)]
    requests = [(random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))] ^ bits(rng, 12)),
                 random_control(rng, mode, tables.cr3, lasting=lasting)) for _ in range(150)]
    golden_memory = tables.memory.copy()
    bench = PortBench(tables, delay=lambda: int(rng.integers(1, 5)) if busy else 1, **geometry)
    results = bench.answers(requests, pause=lambda: int(rng.integers(4)) if busy else 0,
                            noise=lambda count: bits(rng, count))
    for number, (result, (access, control)) in enumerate(zip(results, requests, strict=True)):
        walked = walk(golden_memory, mode, control, access)
        assert result == response_fields(bench.config, walked, number & 0xF), (access, control)
    assert (tables.memory.frames == golden_memory.frames).all()
    assert len(bench.walks) < bench.events.total("lookup")


@pytest.mark.parametrize("hit_latency", [0, 1])
def test_hits_of_all_sets_are_accepted_in_every_cycle(hit_latency):
    tables, count, first = Tables(X86_64), 8, 0x1234_0000
    for number in range(count):
        tables.map(first + 0x1000 * number, 0x7000 + 0x1000 * number)
    bench = PortBench(tables, entries=8, ways=2, hit_latency=hit_latency)
    pages = [*range(count), *range(count), *reversed(range(count))]
    results = bench.answers(
        [(Access(first + 0x1000 * number), Control(tables.cr3)) for number in pages])
    assert [result["paddr"] for result in results] == [
        0x7000 + 0x1000 * number for number in pages]
    assert len(bench.walks) == count
    accepted = bench.trace.cycles("req_valid", "req_ready")[count:]
    assert accepted == list(range(accepted[0], accepted[0] + 2 * count))
    assert bench.trace.cycles("rsp_valid", "rsp_ready")[count:] == [
        cycle + hit_latency for cycle in accepted]


@pytest.mark.parametrize(("drop", "walks", "cycles"), [
    ({"by_address": 1, "vpn": VADDR >> 12}, 2, 2), ({"by_address": 1, "vpn": 4}, 1, 2),
    ({"by_pcid": 1, "pcid": 0}, 2, 6), ({"by_pcid": 1, "pcid": 2}, 1, 6), ({}, 2, 6)])
def test_a_drop_takes_the_entries_it_names_and_a_cycle_for_each_set(drop, walks, cycles):
    tables = one_page()
    bench = PortBench(tables, entries=8, ways=2)
    dut, took = bench.dut, []

    async def testbench(ctx):
        await bench.wait_while_busy(ctx)
        for _ in range(2):
            ctx.set(dut.control, control_fields(bench.config, Control(tables.cr3)))
            await put(ctx, dut.requests.req, access_fields(Access(VADDR)))
            await take(ctx, dut.requests.rsp)
            start = len(bench.trace.words)
            await bench.drop(ctx, drop)
            took.append(len(bench.trace.words) - start - 1)

    bench.run(testbench)
    assert len(bench.walks) == walks
    assert took == [cycles] * 2
