import pytest
from numpy.random import default_rng

from pagewalk.hdl.arbiter import WalkArbiter
from pagewalk.hdl.config import Config
from pagewalk.model.x86 import PAGE_SHIFT

from .bench import Trace, offers_hold, put, simulate, take

COUNTS = pytest.mark.parametrize("count", [1, 2, 3, 5])


def arbiter(count, misses=1, **parameters):
    ports = tuple(f"p{number}" for number in range(count))
    return WalkArbiter(Config(ports=ports, misses=misses), **parameters)


def request(port, number):
    """Return a request that tells its port and its number."""
    return {"port": port, "access": {"vaddr": number << PAGE_SHIFT},
            "control": {"root": 7 * number + port}}


def asks(dut, number, count, pause=lambda: 0):
    """Return a testbench: a port that asks ``count`` times and takes each answer."""
    port = dut.ports[number]

    async def testbench(ctx):
        for step in range(count):
            for _ in range(pause()):
                await ctx.tick()
            await put(ctx, port.req, request(number, step))
            answer = await take(ctx, port.rsp)
            assert answer["port"] == number
            assert answer["translation"]["frame"] == 1000 * number + step

    return testbench


def answers(dut, order, pause=lambda: 0):
    """Return a background testbench: a walker, which notes the ports it serves in ``order``."""
    async def testbench(ctx):
        ctx.set(dut.walk.req.ready, 0)
        while True:
            for _ in range(pause()):
                await ctx.tick()
            ctx.set(dut.walk.req.ready, 1)
            asked, payload = 0, None
            while not asked:
                _, _, asked, payload = await ctx.tick().sample(
                    dut.walk.req.valid, dut.walk.req.payload)
            ctx.set(dut.walk.req.ready, 0)
            number = payload.access.vaddr >> PAGE_SHIFT
            assert payload.control.root == 7 * number + payload.port  # nothing is mixed up
            order.append(payload.port)
            for _ in range(pause()):
                await ctx.tick()
            ctx.set(dut.walk.rsp.payload, {
                "port": payload.port, "translation": {"frame": 1000 * payload.port + number}})
            ctx.set(dut.walk.rsp.valid, 1)
            taken = 0
            while not taken:
                _, _, taken = await ctx.tick().sample(dut.walk.rsp.ready)
            ctx.set(dut.walk.rsp.valid, 0)

    return testbench


@COUNTS
def test_ports_that_always_ask_are_served_in_turn(count):
    dut, order = arbiter(count), []
    simulate(dut, *(asks(dut, number, 8) for number in range(count)),
             background=[answers(dut, order)])
    for start in range(0, len(order) - count, count):
        assert sorted(order[start:start + count]) == list(range(count))
        assert order[start:start + count] == order[:count]


@pytest.mark.slow
@COUNTS
@pytest.mark.parametrize("seed", range(3))
def test_every_answer_reaches_the_port_that_asked_and_no_other(count, seed):
    dut, order = arbiter(count), []
    pauses = [default_rng((seed, number)) for number in range(count + 1)]

    def pause(number):
        return lambda: int(pauses[number].integers(6))

    simulate(dut, *(asks(dut, number, 30, pause(number)) for number in range(count)),
             background=[answers(dut, order, pause(count)),
                         offers_hold("arbiter", dut.walk.req),
                         *(offers_hold(f"answer {number}", port.rsp)
                           for number, port in enumerate(dut.ports))])
    assert [order.count(number) for number in range(count)] == [30] * count


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_no_port_waits_while_another_is_served_twice(count, seed):
    dut, rng = arbiter(count), default_rng(seed)
    waiting = [0] * count  # how often others were served while this port asked

    async def testbench(ctx):
        asking = [False] * count
        for _ in range(300):
            for number, port in enumerate(dut.ports):
                asking[number] = asking[number] or rng.random() < 0.4
                ctx.set(port.req.valid, asking[number])
                ctx.set(port.req.payload, {"port": number})
            ctx.set(dut.walk.req.ready, rng.random() < 0.5)
            served = [number for number, port in enumerate(dut.ports)
                      if asking[number] and ctx.get(port.req.ready)]
            assert len(served) <= 1
            for number in served:
                assert ctx.get(dut.walk.req.payload.port) == number
                for other in range(count):
                    waiting[other] = waiting[other] + 1 if asking[other] else 0
                waiting[number] = 0
                asking[number] = False
            assert max(waiting) < count
            await ctx.tick()

    simulate(dut, testbench, background=[offers_hold("arbiter", dut.walk.req)])


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("later", [0, 1, 2])
def test_an_offered_request_stays_whoever_asks_later(first, later):
    dut = arbiter(3)

    async def testbench(ctx):
        for number, cycles in ((first, 2), (later, 3)):
            ctx.set(dut.ports[number].req.payload, request(number, 5))
            ctx.set(dut.ports[number].req.valid, 1)
            for _ in range(cycles):
                assert ctx.get(dut.walk.req.payload.port) == first
                await ctx.tick()
        ctx.set(dut.walk.req.ready, 1)
        assert ctx.get(dut.walk.req.payload.port) == first

    simulate(dut, testbench)


@COUNTS
def test_requests_and_answers_pass_in_the_same_cycle(count):
    dut = arbiter(count)
    last = dut.ports[count - 1]

    async def testbench(ctx):
        assert not ctx.get(dut.walk.req.valid)
        ctx.set(last.req.payload, request(count - 1, 9))
        ctx.set(last.req.valid, 1)
        assert ctx.get(dut.walk.req.valid)
        assert ctx.get(dut.walk.req.payload) == ctx.get(last.req.payload)
        for ready in (1, 0, 1):
            ctx.set(dut.walk.req.ready, ready)
            assert ctx.get(last.req.ready) == ready
        ctx.set(dut.walk.rsp.payload.port, count - 1)
        ctx.set(dut.walk.rsp.valid, 1)
        assert [ctx.get(port.rsp.valid) for port in dut.ports] == [0] * (count - 1) + [1]
        for ready in (1, 0):
            ctx.set(last.rsp.ready, ready)
            assert ctx.get(dut.walk.rsp.ready) == ready

    simulate(dut, testbench)


def test_a_port_alone_is_served_in_every_cycle():
    dut = arbiter(3)
    trace = Trace(valid=dut.walk.req.valid, ready=dut.walk.req.ready)

    async def testbench(ctx):
        ctx.set(dut.walk.req.ready, 1)
        ctx.set(dut.ports[1].req.valid, 1)
        for number in range(10):
            ctx.set(dut.ports[1].req.payload, request(1, number))
            assert ctx.get(dut.walk.req.payload.access.vaddr) == number << PAGE_SHIFT
            await ctx.tick()

    simulate(dut, testbench, background=[trace])
    assert trace.cycles("valid", "ready") == list(range(10))


@pytest.mark.parametrize("misses", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_late_arbiter_tells_what_is_asked_from_the_cycle_after_the_walker_was_ready(
        count, misses):
    """With several misses even if the port asks something else by then; the page number at once."""
    dut, rng, served = arbiter(count, late=True, misses=misses), default_rng(count), [0] * count

    async def testbench(ctx):
        asking, accepted = [False] * count, None
        for _ in range(200):
            for number, port in enumerate(dut.ports):
                kept = misses == 1 and accepted is not None and accepted[0] == number
                asking[number] = not kept and (asking[number] or rng.random() < 0.4)
                ctx.set(port.req.valid, asking[number])
                ctx.set(port.req.payload, request(number, served[number] - kept))
            ready = rng.random() < 0.5
            ctx.set(dut.walk.req.ready, ready)
            if accepted:
                payload = ctx.get(dut.walk.req.payload)
                assert (payload.port, payload.access.vaddr >> PAGE_SHIFT) == accepted
                assert payload.control.root == 7 * accepted[1] + accepted[0]
            if ready:
                accepted = None
            for number, port in enumerate(dut.ports):
                if asking[number] and ctx.get(port.req.ready):
                    assert ctx.get(dut.vpn) == served[number]
                    accepted, asking[number] = (number, served[number]), False
                    served[number] += 1
            await ctx.tick()

    simulate(dut, testbench)
    assert all(served)
