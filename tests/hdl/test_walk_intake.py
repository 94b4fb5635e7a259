"""Where requests come into the pool: who takes them, and which walk they join."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.walk_intake import WalkIntake

from .bench import simulate

VPN = 0x12345


def request(number, vpn=VPN, **control):
    return {"miss": number, "access": {"vaddr": vpn << 12}, "control": control}


def run(body, *, walkers=2, late=False):
    dut = WalkIntake(Config(walkers=walkers, misses=8), late=late)

    async def testbench(ctx):
        ctx.set(dut.looking, 1)
        await body(ctx, dut)

    simulate(dut, testbench)


async def give(ctx, dut, payload, *, late=False):
    """Offer a request for one cycle, in which it is accepted."""
    ctx.set(dut.requests.valid, 1)
    if not late:
        ctx.set(dut.requests.payload, payload)
    assert ctx.get(dut.requests.ready)
    assert ctx.get(dut.ask)
    await ctx.tick()
    ctx.set(dut.requests.valid, 0)
    ctx.set(dut.requests.payload, payload if late else {})


@pytest.mark.parametrize("late", [False, True])
def test_a_request_goes_to_the_first_free_context_in_the_cycle_after_it_was_accepted(late):
    async def body(ctx, dut):
        for free in ((1, 1), (0, 1)):
            for context, one in zip(dut.contexts, free, strict=True):
                ctx.set(context.free, one)
            await give(ctx, dut, request(3), late=late)
            assert ctx.get(dut.take)
            assert ctx.get(dut.number) == free.index(1)
            assert ctx.get(dut.request.miss) == 3
            assert ctx.get(dut.key.vpn) == ctx.get(dut.birth.vpn) == VPN
            await ctx.tick()
            assert not ctx.get(dut.coming)

    run(body, late=late)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("lacking", ["context", "lookup"])
def test_a_request_waits_for_a_context_and_for_its_lookup(lacking, late):
    async def body(ctx, dut):
        missing = dut.looking if lacking == "lookup" else dut.contexts[0].free
        ctx.set(dut.contexts[0].free, 1)
        ctx.set(missing, 0)
        await give(ctx, dut, request(5), late=late)
        for _ in range(3):
            assert not ctx.get(dut.take)
            assert not ctx.get(dut.requests.ready)
            assert ctx.get(dut.ask)
            await ctx.tick()
        ctx.set(missing, 1)
        assert ctx.get(dut.take)
        assert ctx.get(dut.request.miss) == 5

    run(body, late=late)


@pytest.mark.parametrize(("vpn", "control", "merged"), [
    (VPN, {}, 1), (VPN ^ 1, {}, 0), (VPN, {"root": 6}, 0), (VPN, {"pcid": 2}, 0),
    (VPN, {"pse": 1}, 0), (VPN, {"nxe": 1}, 0), (VPN, {"wp": 1}, 1)])
def test_a_request_joins_a_walk_for_its_page_if_the_one_before_had_the_same_registers(
        vpn, control, merged):
    async def body(ctx, dut):
        ctx.set(dut.contexts[0].free, 1)
        await give(ctx, dut, request(0, root=5))
        await ctx.tick()
        ctx.set(dut.contexts[1], {"joinable": 1, "vpn": VPN})
        await give(ctx, dut, request(1, vpn, **{"root": 5, **control}))
        assert ctx.get(dut.take)
        assert ctx.get(dut.birth.merged) == merged
        assert not merged or ctx.get(dut.birth.leader) == 1
        assert ctx.get(dut.forget) == any(name != "wp" for name in control)

    run(body)
