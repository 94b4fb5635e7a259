"""Request ports that answer a hit in the request's own cycle, or two cycles after it."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .bench import put
from .golden import access_fields, control_fields, response_fields
from .port_bench import VADDR, PortBench, one_page
from .tables import (
    PERMISSIVE,
    Tables,
    bits,
    random_access,
    random_control,
    random_tables,
    random_vaddr,
)

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
@pytest.mark.parametrize("hit_latency", [0, 2])
def test_random_accesses_are_answered_as_by_the_golden_walk(mode, busy, hit_latency):
    rng = default_rng(7)
    tables = random_tables(rng, mode)
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(12)]
    requests = [(random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))] ^ bits(rng, 12)),
                 random_control(rng, mode, tables.cr3, lasting=lasting)) for _ in range(150)]
    golden_memory = tables.memory.copy()
    bench = PortBench(tables, hit_latency=hit_latency,
                      delay=lambda: int(rng.integers(1, 5)) if busy else 1)
    results = bench.answers(
        requests, pause=lambda: int(rng.integers(4)) if busy else 0,
        noise=lambda count: bits(rng, count))
    for number, (result, (access, control)) in enumerate(zip(results, requests, strict=True)):
        walked = walk(golden_memory, mode, control, access)
        assert result == response_fields(bench.config, walked, number & 0xF), (access, control)
    events = bench.events
    hits = sum(events.total(name) for name in events.names if name.startswith("hit_"))
    assert 0 < hits == events.total("lookup") - len(bench.walks)
    assert events.total("miss") == len(bench.walks)


@MODES
@pytest.mark.parametrize("hit_latency", [0, 2])
def test_hits_are_answered_after_the_latency_one_in_every_cycle(mode, hit_latency):
    tables = one_page(mode)
    bench = PortBench(tables, hit_latency=hit_latency)
    requests = [(Access(VADDR + number, AccessKind(number % 3)), Control(tables.cr3))
                for number in range(20)]
    results = bench.answers(requests)
    accepted = bench.trace.cycles("req_valid", "req_ready")
    answered = bench.trace.cycles("rsp_valid", "rsp_ready")
    assert [result["paddr"] for result in results] == [
        0x7000 | access.vaddr & 0xFFF for access, _ in requests]
    # With a latency of 2 the second one is accepted, and waits, while the first one walks.
    regular = accepted[2:]
    assert regular == list(range(regular[0], regular[0] + 18))
    assert answered[2:] == [cycle + hit_latency for cycle in regular]
    assert bench.events.cycles("hit_4k") == answered[1:]
    assert len(bench.walks) == 1


@pytest.mark.parametrize("delay", [1, 4])
def test_a_miss_asks_in_the_next_cycle_and_holds_the_next_request_back(delay):
    tables = Tables(X86_64)
    for number in range(3):
        tables.map(VADDR + 0x1000 * number, 0x7000)
    bench = PortBench(tables, hit_latency=0, delay=lambda: delay)
    bench.answers([(Access(VADDR + 0x1000 * number), Control(tables.cr3)) for number in range(3)])
    trace = bench.trace
    accepted, answered = (trace.cycles(f"{name}_valid", f"{name}_ready") for name in ("req", "rsp"))
    offered = trace.cycles("walk_req_valid")
    assert [cycle for cycle in offered if cycle - 1 not in offered] == [
        cycle + 1 for cycle in accepted]
    assert trace.cycles("rsp_valid") == trace.cycles("walk_rsp_valid") == answered
    assert accepted[1:] == [cycle + 2 for cycle in answered[:-1]]


@pytest.mark.parametrize("flags", [PERMISSIVE, PERMISSIVE & ~Entry.US], ids=["page", "fault"])
def test_an_answer_that_is_not_taken_at_once_is_kept_and_stays_as_it_is(flags):
    tables = one_page(flags=flags)
    bench = PortBench(tables, hit_latency=0)
    dut, control, access = bench.dut, Control(tables.cr3), Access(VADDR, user=True)
    expected = response_fields(
        bench.config, walk(tables.memory.copy(), X86_64, control, access))

    async def testbench(ctx):
        ctx.set(dut.control, control_fields(bench.config, control))
        ctx.set(dut.requests.rsp.ready, 1)
        await put(ctx, dut.requests.req, access_fields(Access(VADDR)))
        while not ctx.get(dut.idle):
            await ctx.tick()
        ctx.set(dut.requests.rsp.ready, 0)
        await put(ctx, dut.requests.req, access_fields(access))
        ctx.set(dut.requests.req.payload, access_fields(Access(0)))
        ctx.set(dut.requests.req.valid, 1)
        for _ in range(4):
            assert ctx.get(dut.requests.rsp.valid)
            assert not ctx.get(dut.requests.req.ready)
            assert ctx.get(dut.requests.rsp.payload.fault) == expected["fault"]
            assert ctx.get(dut.requests.rsp.payload.paddr) == expected["paddr"]
            await ctx.tick()
        ctx.set(dut.requests.req.valid, 0)
        ctx.set(dut.requests.rsp.ready, 1)
        await ctx.tick()
        assert ctx.get(dut.page_fault.valid) == expected["fault"]
        assert not ctx.get(dut.requests.rsp.valid)

    bench.run(testbench)
    assert len(bench.walks) == 1


def test_after_a_page_fault_nothing_is_accepted_until_it_is_dropped():
    tables = one_page(flags=PERMISSIVE & ~Entry.US)
    control = Control(tables.cr3)
    read, user_read = Access(VADDR), Access(VADDR, user=True)
    bench = PortBench(tables, hit_latency=0, delay=lambda: 3)
    results = bench.answers([(one, control) for one in (read, read, user_read, read)])
    assert [result["fault"] for result in results] == [0, 0, 1, 0]
    assert bench.walks == [read, read]
    answered = bench.trace.cycles("rsp_valid", "rsp_ready")
    accepted = bench.trace.cycles("req_valid", "req_ready")
    taken, = bench.faults.cycles("taken")
    assert accepted[2] == answered[2]
    assert bench.faults.cycles("told") == list(range(answered[2] + 1, taken + 1))
    assert accepted[3] == taken + 2


def test_with_a_latency_of_2_one_request_is_accepted_behind_a_miss_and_looked_up_after_it():
    """And finds the page that the walk entered; the third waits to be accepted."""
    tables = one_page()
    bench = PortBench(tables, hit_latency=2, delay=lambda: 5)
    control = Control(tables.cr3)
    bench.answers([(Access(VADDR + number), control) for number in range(3)])
    accepted, answered = (
        bench.trace.cycles(f"{name}_valid", f"{name}_ready") for name in ("req", "rsp"))
    asked = bench.trace.cycles("walk_req_valid")[0]
    assert asked == accepted[0] + 2
    assert accepted[1] == accepted[0] + 1
    # The walk is answered, its page entered; the next lookup is after that, and lets a request in.
    assert accepted[2] == answered[0] + 2
    assert answered[1:] == [answered[0] + 3, answered[0] + 4]
    assert len(bench.walks) == 1
    assert bench.events.cycles("miss") == [asked]


@pytest.mark.parametrize("delay", [1, 3])
def test_with_a_latency_of_2_a_request_behind_a_page_fault_is_looked_up_after_the_drop(delay):
    tables = one_page(flags=PERMISSIVE & ~Entry.US)
    control = Control(tables.cr3)
    read, user_read = Access(VADDR), Access(VADDR, user=True)
    bench = PortBench(tables, hit_latency=2, delay=lambda: delay)
    results = bench.answers([(one, control) for one in (read, user_read, read, read)])
    assert [result["fault"] for result in results] == [0, 1, 0, 0]
    assert bench.walks == [read, read]  # the fault dropped the page
    accepted = bench.trace.cycles("req_valid", "req_ready")
    answered = bench.trace.cycles("rsp_valid", "rsp_ready")
    taken, = bench.faults.cycles("taken")
    assert accepted[2] < answered[1] < taken
    asked = bench.trace.cycles("walk_req_valid")
    assert next(cycle for cycle in asked if cycle > taken) == taken + 3
