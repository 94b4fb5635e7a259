"""Page faults and resets while other misses of the same port are outstanding."""

from itertools import chain, repeat

import pytest

from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import IA32, X86_64, Entry, ErrorCode

from .bench import put
from .golden import access_fields
from .miss_bench import MissBench
from .tables import PERMISSIVE
from .test_miss_order import pages
from .test_reset import ResetBench, vaddr_of

ORDERS = pytest.mark.parametrize("order", ["tag", "request"])
LATENCIES = pytest.mark.parametrize("hit_latency", [0, 1, 2])
NO_USER = PERMISSIVE & ~Entry.US


@ORDERS
@LATENCIES
@pytest.mark.parametrize("drop_delay", [1, 6])
def test_a_page_fault_keeps_other_answers_until_its_drop_and_what_was_walked_before_enters_nothing(
        order, hit_latency, drop_delay):
    tables, control, (fault, early, late) = pages(3, NO_USER)
    # The first walk responds, the second just after it, the third after the drop.
    delays = chain([20, 21 - (hit_latency == 0), 60, drop_delay], repeat(1))
    bench = MissBench(tables, order=order, hit_latency=hit_latency, delay=lambda: next(delays))

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.request(ctx, 0, Access(fault, user=True), control)
        await bench.request(ctx, 1, Access(early), control)
        await bench.request(ctx, 2, Access(late), control)
        await bench.until_idle(ctx)
        assert len(bench.walks) == 3
        await bench.request(ctx, 4, Access(early), control)
        await bench.request(ctx, 5, Access(late), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    assert bench.responses[0]["error_code"] == ErrorCode.P | ErrorCode.US
    assert bench.page_faults == [(fault >> 12, 0)]
    told, (taken,) = bench.faults.cycles("told"), bench.faults.cycles("taken")
    first = bench.answered[0]
    assert told == list(range(first + 1, taken + 1))
    # The drop is carried out in the next cycle, the page looked up in the one after that.
    assert bench.answered[1] == taken + 3
    assert bench.trace.cycles("walk_rsp_valid")[1] <= first
    assert not {*bench.trace.cycles("req_valid", "req_ready")} & {*range(first, taken + 2)}
    assert bench.walks[3:] == [Access(early)]
    assert [bench.responses[number]["paddr"] >> 12 for number in (1, 2, 4, 5)] == [
        0x101, 0x102, 0x101, 0x102]


@ORDERS
@LATENCIES
def test_of_two_faults_the_second_is_answered_after_the_drop_for_the_first(order, hit_latency):
    tables, control, vaddrs = pages(4, NO_USER)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, delay=lambda: 12)

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        for number, vaddr in enumerate(vaddrs):
            await bench.request(ctx, number, Access(vaddr, user=True), control)
        for _ in range(100):
            await ctx.tick()

    bench.run(testbench)
    assert bench.page_faults == [(vaddr >> 12, 0) for vaddr in vaddrs]
    taken = bench.faults.cycles("taken")
    answered = [bench.answered[number] for number in range(4)]
    for number in range(3):
        assert answered[number] < taken[number] < answered[number + 1]
    assert all(bench.responses[number]["vaddr"] == vaddr for number, vaddr in enumerate(vaddrs))


@pytest.mark.slow
@ORDERS
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
@pytest.mark.parametrize("walkers", [1, 2])
def test_a_reset_forgets_all_requests_and_later_ones_are_answered_right(order, mode, walkers):
    """A reset in each cycle of four walks, whose page-table accesses are still responded to."""
    bench = ResetBench(mode, latency=lambda: 4, misses=4, order=order, walkers=walkers)
    port = bench.ports[0]

    async def testbench(ctx):
        for delay in range(8 * len(mode.levels) + 6):
            bench.control(ctx, bench.registers)
            for number in range(4):
                access = Access(vaddr_of(mode, (delay + number) % 40))
                await put(ctx, port.req, access_fields(access, number + 1))
            for _ in range(delay):
                await ctx.tick()
            await bench.pulse_reset(ctx)
            for number in (3, 4):
                await bench.check(ctx, Access(vaddr_of(mode, (delay + number) % 40)), number - 3)
            for _ in range(12):  # no answer to what was before
                assert not ctx.get(port.rsp.valid)
                await ctx.tick()
            await bench.pulse_reset(ctx)

    bench.run(testbench)
