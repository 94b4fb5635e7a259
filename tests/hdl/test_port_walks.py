"""A request port and the response to its walk: when it is taken, kept, and entered into the TLB."""

import pytest

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, Entry

from .bench import put, take
from .golden import access_fields, control_fields, response_fields
from .port_bench import VADDR, PortBench, one_page
from .tables import PERMISSIVE

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


async def ask(ctx, bench, control, access):
    ctx.set(bench.dut.control, control_fields(bench.config, control))
    await put(ctx, bench.dut.requests.req, access_fields(access))


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("flags", [PERMISSIVE, PERMISSIVE & ~Entry.US], ids=["page", "fault"])
@pytest.mark.parametrize("wait", [0, 1, 5])
@pytest.mark.parametrize("delay", [1, 3])
def test_the_response_to_a_walk_is_taken_at_once_and_the_answer_kept_until_it_is_taken(
        mode, flags, wait, delay):
    tables = one_page(mode, flags)
    bench = PortBench(tables, delay=lambda: delay)
    dut, trace = bench.dut, bench.trace
    control, access = Control(tables.cr3), Access(VADDR, user=True)
    expected = response_fields(bench.config, walk(tables.memory.copy(), mode, control, access))

    async def testbench(ctx):
        await ask(ctx, bench, control, access)
        while not ctx.get(dut.walk.rsp.valid):
            await ctx.tick()
        for _ in range(wait):
            ctx.set(dut.requests.req.valid, 1)  # nothing is accepted meanwhile
            assert ctx.get(dut.requests.rsp.valid)
            await ctx.tick()
        ctx.set(dut.requests.req.valid, 0)
        assert await take(ctx, dut.requests.rsp) == expected
        assert trace.cycles("walk_rsp_valid") == trace.cycles("rsp_valid")[:1]
        assert len(trace.cycles("rsp_valid")) == wait + 1
        assert len(trace.cycles("req_valid", "req_ready")) == 1
        assert not bench.faults.cycles("told")  # not before it is answered
        assert ctx.get(dut.page_fault.valid) == expected["fault"]
        for _ in range(delay + 2):
            await ctx.tick()
        await ask(ctx, bench, control, access)
        assert await take(ctx, dut.requests.rsp) == expected

    bench.run(testbench)
    assert len(bench.walks) == 1 + expected["fault"]


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("ready", [0, 1])
@pytest.mark.parametrize(("drop", "stale", "walks"), [
    (None, False, 1), (None, True, 2), ("here", False, 2), ("elsewhere", False, 2),
    ("elsewhere", True, 2)])
def test_a_walk_is_entered_unless_it_is_stale_or_there_is_a_drop_in_its_cycle(
        mode, ready, drop, stale, walks):
    tables = one_page(mode)
    bench = PortBench(tables, delay=lambda: 3)
    dut, control = bench.dut, Control(tables.cr3)
    bench.walker.stale = stale
    vpn = VADDR >> 12 if drop == "here" else 1

    async def testbench(ctx):
        for _ in range(2):
            await ask(ctx, bench, control, Access(VADDR))
            ctx.set(dut.requests.rsp.ready, ready)
            while not ctx.get(dut.requests.rsp.valid):
                await ctx.tick()
            ctx.set(dut.pause, bool(drop))
            ctx.set(dut.drop, {"valid": bool(drop), "by_address": 1, "vpn": vpn})
            if not ready:
                await ctx.tick()
                ctx.set(dut.drop.valid, 0)
            assert (await take(ctx, dut.requests.rsp))["paddr"] == 0x7000 | VADDR & 0xFFF
            ctx.set(dut.drop.valid, 0)
            while ctx.get(dut.busy):
                await ctx.tick()
            ctx.set(dut.pause, 0)

    bench.run(testbench)
    assert len(bench.walks) == walks


@pytest.mark.parametrize("wait", [1, 4])
def test_a_hit_that_waits_to_be_taken_stays_as_it_is_through_a_drop_of_its_page(wait):
    """And is a hit no longer after that."""
    tables = one_page()
    bench = PortBench(tables)
    dut, control = bench.dut, Control(tables.cr3)

    async def testbench(ctx):
        await ask(ctx, bench, control, Access(VADDR))
        expected = await take(ctx, dut.requests.rsp)
        await ask(ctx, bench, control, Access(VADDR))
        tables.map(VADDR, 0x9000)
        ctx.set(dut.pause, 1)
        ctx.set(dut.drop, {"valid": 1, "by_address": 1, "vpn": VADDR >> 12})
        await ctx.tick()
        ctx.set(dut.drop.valid, 0)
        ctx.set(dut.pause, 0)
        for _ in range(wait):
            await ctx.tick()
        assert await take(ctx, dut.requests.rsp) == expected
        await ask(ctx, bench, control, Access(VADDR))
        assert (await take(ctx, dut.requests.rsp))["paddr"] == 0x9000 | VADDR & 0xFFF

    bench.run(testbench)
