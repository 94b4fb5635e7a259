"""Hits under misses, several walks at once, and in which order and cycle what is answered."""

import pytest

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import X86_64, AccessKind, Entry

from .golden import access_fields
from .miss_bench import MissBench
from .port_bench import VADDR
from .tables import PERMISSIVE, Tables

LATENCIES = pytest.mark.parametrize("hit_latency", [0, 1, 2])
ORDERS = pytest.mark.parametrize("order", ["tag", "request"])
TO_FILE = {0: 1, 1: 1, 2: 2}  # cycles from the acceptance of a request until a miss is put aside


def pages(count, flags=PERMISSIVE):
    """Return tables, the registers for them, and ``count`` pages of which each has its frame."""
    tables = Tables(X86_64)
    vaddrs = [VADDR + 0x1000 * number for number in range(count)]
    for number, vaddr in enumerate(vaddrs):
        tables.map(vaddr, 0x10_0000 + 0x1000 * number, flags)
    return tables, Control(tables.cr3), vaddrs


def offered_first(trace, name):
    """Return the cycles in which an offer begins."""
    valid, accepted = trace.cycles(f"{name}_valid"), trace.cycles(f"{name}_valid", f"{name}_ready")
    return [cycle for cycle in valid if cycle - 1 not in valid or cycle - 1 in accepted]


@ORDERS
@LATENCIES
@pytest.mark.parametrize("delay", [1, 4])
def test_a_miss_alone_is_asked_for_as_it_is_put_aside_and_answered_as_its_walk_responds(
        order, hit_latency, delay):
    tables, control, (vaddr,) = pages(1)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, delay=lambda: delay)
    bench.ask([(Access(vaddr), control)])
    accepted, walked = bench.accepted[0], bench.trace.cycles("walk_rsp_valid")
    assert bench.trace.cycles("walk_req_valid") == [accepted + TO_FILE[hit_latency]]
    assert bench.trace.cycles("rsp_valid") == walked


@ORDERS
@LATENCIES
def test_a_request_that_follows_the_answer_to_a_miss_of_its_page_waits_for_the_page_and_hits(
        order, hit_latency):
    """It is offered in the cycle after the answer, as by a core that waits for each."""
    tables, control, (vaddr,) = pages(1)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, delay=lambda: 6)

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.request(ctx, 0, Access(vaddr), control)
        while not bench.responses:
            await ctx.tick()
        await bench.request(ctx, 1, Access(vaddr), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    assert len(bench.walks) == 1
    assert bench.answered[1] == bench.answered[0] + 4 + min(hit_latency, 1)
    assert bench.events.total("hit_4k") == bench.events.total("miss") == 1


@ORDERS
@LATENCIES
@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("ways", [0, 2])
def test_an_answer_to_a_walk_is_kept_until_it_is_taken_or_cancelled_and_enters_its_page(
        order, hit_latency, cancel, ways):
    """It is entered into the set of its page, though the address of another is at the port."""
    tables, control, (vaddr, other) = pages(2)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, cancel=True, entries=8,
                      ways=ways, delay=lambda: 6)

    async def testbench(ctx):
        requests = bench.dut.requests
        await bench.request(ctx, 0, Access(vaddr), control)
        while not ctx.get(requests.rsp.valid):
            await ctx.tick()
        ctx.set(requests.req.payload, access_fields(Access(other)))
        for _ in range(10):
            await ctx.tick()
        if cancel:
            ctx.set(requests.cancel, {"valid": 1, "all": 0, "tag": 0})
            await ctx.tick()
            ctx.set(requests.cancel.valid, 0)
        ctx.set(requests.rsp.ready, 1)
        await bench.until_idle(ctx)
        await bench.request(ctx, 1, Access(vaddr), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    walked = bench.trace.cycles("walk_rsp_valid")
    assert bench.trace.cycles("rsp_valid")[:10] == [*range(walked[0], walked[0] + 10)]
    assert bench.order == ([1] if cancel else [0, 1])
    assert len(walked) == 1 + cancel  # what is cancelled before it is given back enters nothing


@LATENCIES
def test_by_tag_hits_are_answered_at_once_under_misses_one_a_cycle(hit_latency):
    """And the walk is answered as soon as it would be alone, though hits come without end."""
    tables, control, vaddrs = pages(4)
    walks = iter([1, 30, 40, 50])
    bench = MissBench(tables, order="tag", hit_latency=hit_latency, delay=lambda: next(walks))
    hits = range(4, 64)

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.request(ctx, 0, Access(vaddrs[0]), control)
        await bench.until_idle(ctx)
        for number in (*range(1, 4), *hits):
            vaddr = vaddrs[0 if number in hits else number]
            await bench.request(ctx, number, Access(vaddr), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    walked = bench.trace.cycles("walk_rsp_valid")[1:]
    assert [bench.answered[number] for number in (1, 2, 3)] == [cycle + 3 for cycle in walked]
    for number in hits:
        # Out of the register of a hit latency of 2, a lookup waits while a walk is answered.
        waits = hit_latency == 2 and bench.accepted[number] - 1 in walked
        wait = 2 if waits else 0
        assert bench.answered[number] == bench.accepted[number] + hit_latency + wait
    # Requests are accepted in every cycle but two after each response to a walk, and with no
    # hit latency the one after a miss.
    accepted = [bench.accepted[number] for number in (*range(1, 4), *hits)]
    gaps = {*range(accepted[0], accepted[-1])} - {*accepted}
    expected = {cycle + later for cycle in walked for later in (2, 3)}
    expected |= {cycle + 1 for cycle in accepted[:3]} if hit_latency == 0 else set()
    assert gaps == expected
    assert sum(bench.answered[number] < walked[0] for number in hits) > 15


@LATENCIES
def test_in_order_what_is_behind_a_miss_is_walked_at_once_and_answered_after_it(hit_latency):
    """The walks respond the last first. The oldest is answered in the cycle of its response.

    It is given back in three cycles more; the other answers then come every other cycle.
    """
    tables, control, vaddrs = pages(4)
    walks = iter([40, 30, 20, 10])
    bench = MissBench(tables, order="request", hit_latency=hit_latency, delay=lambda: next(walks))
    results = bench.ask([(Access(vaddr), control) for vaddr in vaddrs])
    assert [result["paddr"] >> 12 for result in results] == [0x100, 0x101, 0x102, 0x103]
    asked = bench.trace.cycles("walk_req_valid")
    pace = 2 if hit_latency == 0 else 1  # a miss takes a cycle then, in which none is accepted
    assert asked == list(range(asked[0], asked[0] + 4 * pace, pace))
    assert bench.walks == [Access(vaddr) for vaddr in reversed(vaddrs)]
    first = bench.trace.cycles("walk_rsp_valid")[-1]
    assert [bench.answered[number] for number in range(4)] == [first, first + 5, first + 7,
                                                               first + 9]


@ORDERS
@LATENCIES
def test_as_many_walks_are_under_way_as_there_are_misses_and_no_more(order, hit_latency):
    tables, control, vaddrs = pages(9)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, misses=5, entries=16,
                      delay=lambda: 30)
    bench.ask([(Access(vaddr), control) for vaddr in vaddrs])
    assert bench.walker.most == 5
    before = [cycle for cycle in bench.accepted.values() if cycle <= min(bench.answered.values())]
    # With a hit latency of 2 one more is accepted, and waits to be looked up.
    assert len(before) == 5 + (hit_latency == 2)


@ORDERS
def test_an_in_order_port_answers_a_hit_behind_a_miss_after_it_and_by_tag_before(order):
    tables, control, (first, second) = pages(2)
    bench = MissBench(tables, order=order, delay=lambda: 12)

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.request(ctx, 0, Access(first), control)
        await bench.until_idle(ctx)
        await bench.request(ctx, 1, Access(second), control)
        await bench.request(ctx, 2, Access(first), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    assert bench.order == ([0, 1, 2] if order == "request" else [0, 2, 1])
    if order == "request":
        assert bench.answered[2] == bench.answered[1] + 5
    assert len(bench.walks) == 2
    events = bench.events
    assert (events.total("lookup"), events.total("miss"), events.total("hit_4k")) == (3, 2, 1)


@ORDERS
@pytest.mark.parametrize("ways", [0, 2])
def test_misses_of_one_page_share_a_walk_if_it_is_not_asked_for_yet_and_one_entry(order, ways):
    """While the walker has one walk at a time, two of four are asked for before the first fill.

    The second fill takes the place of the first: the page that is in the TLB beside it stays.
    """
    tables, control, (page, other) = pages(2)
    shape = {"entries": 4, "ways": ways} if ways else {"entries": 2}
    bench = MissBench(tables, order=order, delay=lambda: 9, index="plain", **shape)
    bench.walker.ready = lambda: not bench.walker.under_way

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.request(ctx, 0, Access(other), control)
        await bench.until_idle(ctx)
        for number in range(1, 5):
            await bench.request(ctx, number, Access(page + number), control)
        await bench.until_idle(ctx)
        assert bench.walks == [Access(other), Access(page + 1), Access(page + 2)]
        for number, vaddr in ((5, other), (6, page)):
            await bench.request(ctx, number, Access(vaddr), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    assert len(bench.walks) == 3
    for number in range(1, 5):
        assert bench.responses[number]["paddr"] == 0x10_0000 + (page + number & 0xFFF)
    assert [bench.responses[number]["paddr"] >> 12 for number in (5, 6)] == [0x101, 0x100]


@ORDERS
def test_a_write_that_is_looked_up_again_and_finds_a_clean_page_is_walked(order):
    """Once, although each fill has all that wait looked up again."""
    tables, control, vaddrs = pages(1, PERMISSIVE & ~Entry.D)
    bench = MissBench(tables, order=order, delay=lambda: 6)
    bench.walker.ready = lambda: not bench.walker.under_way
    read, write = Access(vaddrs[0]), Access(vaddrs[0], AccessKind.WRITE)
    results = bench.ask([(one, control) for one in (read, read, write, write, read)])
    assert [result["paddr"] for result in results] == [0x10_0000 | VADDR & 0xFFF] * 5
    assert bench.walks[:3] == [read, read, write]
    assert bench.walks.count(write) <= 2


@ORDERS
@LATENCIES
def test_answers_that_are_not_taken_are_kept_and_come_one_by_one(order, hit_latency):
    tables, control, vaddrs = pages(4)
    bench = MissBench(tables, order=order, hit_latency=hit_latency, delay=lambda: 10)

    async def testbench(ctx):
        for number, vaddr in enumerate(vaddrs):
            await bench.request(ctx, number, Access(vaddr), control)
        for _ in range(20):
            await ctx.tick()
        assert len(bench.walks) == 4  # all are walked, though no answer is taken
        assert not bench.responses
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.until_idle(ctx)

    bench.run(testbench)
    cycles = sorted(bench.answered.values())
    # The first one is given back after it was answered, and then the others.
    assert cycles == [cycles[0] + later for later in (0, 4, 6, 8)]
    assert [bench.responses[number]["paddr"] >> 12 for number in range(4)] == [
        0x100, 0x101, 0x102, 0x103]


def test_each_miss_that_waits_is_looked_up_again_once_and_no_more():
    """One walk at a time, of six pages: when the first is entered, four are not asked for yet.

    Hits that are offered in every cycle are held back for two cycles by each walk, and for one by
    each of these four.
    """
    tables, control, vaddrs = pages(7)
    bench = MissBench(tables, order="tag", misses=8, entries=8, delay=lambda: 20)
    bench.walker.ready = lambda: not bench.walker.under_way
    hits = range(7, 180)

    async def testbench(ctx):
        ctx.set(bench.dut.requests.rsp.ready, 1)
        await bench.request(ctx, 0, Access(vaddrs[0]), control)
        await bench.until_idle(ctx)
        for number in (*range(1, 7), *hits):
            vaddr = vaddrs[0 if number in hits else number]
            await bench.request(ctx, number, Access(vaddr), control)
        await bench.until_idle(ctx)

    bench.run(testbench)
    accepted = [bench.accepted[number] for number in hits]
    assert accepted[-1] > max(bench.answered[number] for number in range(1, 7))
    assert accepted[-1] - accepted[0] - (len(hits) - 1) == 2 * 6 + 4
