"""Requests that are cancelled, in every state that they can be in."""

import pytest

from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import Entry

from .bench import put
from .golden import access_fields
from .miss_bench import MissBench
from .tables import PERMISSIVE
from .test_miss_order import pages

ORDERS = pytest.mark.parametrize("order", ["tag", "request"])
LATENCIES = pytest.mark.parametrize("hit_latency", [0, 1, 2])
EVERYTHING = {"globals": 1}
TAGS = 1 << 9


async def cancel(ctx, bench, **what):
    """Cancel requests in one cycle."""
    ctx.set(bench.dut.requests.cancel, {"valid": 1, **what})
    await ctx.tick()
    ctx.set(bench.dut.requests.cancel.valid, 0)


class Round:
    """Four requests, the last of which hits; one or all are cancelled after so many cycles.

    A request with the tag of the one that is cancelled is offered from the same cycle on. With
    ``late`` no answer is taken before cycle 30.
    """

    def __init__(self, bench, vaddrs, first_tag, when, victim, late):
        self.bench, self.vaddrs = bench, vaddrs
        self.first_tag, self.when, self.victim, self.late = first_tag, when, victim, late

    async def play(self, ctx):
        """Return how many requests were cancelled."""
        bench = self.bench
        requests = bench.dut.requests
        for past in (bench.accepted, bench.responses, bench.cancelled, bench.answered):
            past.clear()
        before = bench.cancels
        tags = [(self.first_tag + number) % TAGS for number in range(4)]
        again = tags[self.victim or 0]  # the tag that is used again
        plan = [*zip(tags, (1, 2, 3, 0), strict=True)]  # tag and page
        expected = dict(plan)
        for cycle in range(400):
            ctx.set(requests.rsp.ready, not self.late or cycle >= 30)
            now = cycle == self.when
            ctx.set(requests.cancel, {
                "valid": now, "all": self.victim is None, "tag": again})
            if now:
                plan = [(again, 4)]  # those that were not accepted are withdrawn
            if plan:
                tag, page = plan[0]
                ctx.set(requests.req.payload, access_fields(Access(self.vaddrs[page]), tag))
            ctx.set(requests.req.valid, bool(plan))
            _, _, ready, idle = await ctx.tick().sample(requests.req.ready, bench.dut.idle)
            if plan and ready:
                expected[plan[0][0]] = plan[0][1]
                plan.pop(0)
            elif idle and not plan and cycle > self.when:
                break
        else:
            raise AssertionError(f"not idle after a cancel in cycle {self.when}")
        ctx.set(requests.req.valid, 0)
        assert {*bench.responses}.isdisjoint(bench.cancelled)
        assert {*bench.responses} | {*bench.cancelled} == {*bench.accepted}
        assert again in bench.responses
        for tag, response in bench.responses.items():
            assert response["paddr"] >> 12 == 0x100 + expected[tag], (self.when, tag)
        await bench.drop(ctx, EVERYTHING)
        return bench.cancels - before


@pytest.mark.slow
@ORDERS
@LATENCIES
@pytest.mark.parametrize("late", [False, True])
def test_in_any_cycle_a_cancelled_request_is_not_answered_and_its_tag_is_free(
        order, hit_latency, late):
    tables, control, vaddrs = pages(9)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, cancel=True, entries=16,
                      delay=lambda: 8)
    cancelled = [0] * 5

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        tag = 0
        for when in (*range(15), *range(27, 34)) if late else range(20):
            for victim in (0, 1, 2, 3, None):
                await bench.request(ctx, tag, Access(vaddrs[0]), control)
                await bench.until_idle(ctx)
                number = await Round(bench, vaddrs, tag + 1, when, victim, late).play(ctx)
                cancelled[4 if victim is None else victim] += number
                tag = (tag + 5) % TAGS
        # No place is lost: as many walks as ever are under way.
        bench.walker.most = 0
        ctx.set(bench.dut.requests.rsp.ready, 1)
        for past in (bench.accepted, bench.responses, bench.cancelled):
            past.clear()
        for number, vaddr in enumerate(vaddrs[5:]):
            await bench.request(ctx, number, Access(vaddr), control)
        await bench.until_idle(ctx)
        assert bench.walker.most == 4

    bench.run(testbench)
    answered_at_once = order == "tag" and not late  # the hit
    assert min(count for victim, count in enumerate(cancelled)
               if victim != 3 or not answered_at_once) >= 3


@ORDERS
def test_of_walks_not_asked_for_yet_none_is_made_and_the_one_offered_is(order):
    tables, control, vaddrs = pages(4)
    bench = MissBench(tables, order=order, cancel=True, ready=lambda: ready)
    ready = False

    async def testbench(ctx):
        nonlocal ready
        ctx.set(bench.dut.requests.rsp.ready, 1)
        for number, vaddr in enumerate(vaddrs):
            await bench.request(ctx, number, Access(vaddr), control)
        for _ in range(3):
            await ctx.tick()
        await cancel(ctx, bench, all=1)
        for _ in range(5):
            await ctx.tick()
        assert not ctx.get(bench.dut.idle)  # an invalidation must wait for the walk
        ready = True
        await bench.until_idle(ctx)
        assert bench.walks == [Access(vaddrs[0])]
        await bench.request(ctx, 5, Access(vaddrs[0]), control)  # which it did not enter
        await bench.until_idle(ctx)

    bench.run(testbench)
    assert bench.walks == [Access(vaddrs[0])] * 2
    assert [*bench.responses] == [5]


@ORDERS
def test_a_walk_under_way_goes_on_is_not_answered_and_keeps_its_place_until_it_has_ended(order):
    tables, control, vaddrs = pages(3)
    bench = MissBench(tables, order=order, cancel=True, misses=2, delay=lambda: 25)

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        for number, vaddr in enumerate(vaddrs[:2]):
            await bench.request(ctx, number, Access(vaddr), control)
        for _ in range(6):
            await ctx.tick()
        await cancel(ctx, bench, all=1)
        await bench.request(ctx, 0, Access(vaddrs[2]), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    first, *_ = bench.trace.cycles("walk_rsp_valid")
    assert bench.accepted[0] == first + 1  # and the tag is that of one cancelled
    assert bench.walks == [Access(vaddr) for vaddr in vaddrs]
    assert bench.responses.keys() == {0}
    assert bench.responses[0]["paddr"] >> 12 == 0x102


@ORDERS
def test_a_fault_that_is_not_answered_invalidates_nothing(order):
    tables, control, (fault, page) = pages(2, PERMISSIVE & ~Entry.US)
    bench = MissBench(tables, order=order, cancel=True, delay=lambda: 5)

    async def testbench(ctx):
        await bench.request(ctx, 0, Access(fault, user=True), control)
        while not ctx.get(bench.dut.requests.rsp.valid):
            await ctx.tick()
        assert ctx.get(bench.dut.requests.rsp.payload.fault)
        await cancel(ctx, bench, tag=0)
        assert not ctx.get(bench.dut.requests.rsp.valid)
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await put(ctx, bench.dut.requests.req, access_fields(Access(page), 0))
        await bench.until_idle(ctx)

    bench.run(testbench)
    assert bench.page_faults == []
    assert bench.responses[0]["fault"] == 0
