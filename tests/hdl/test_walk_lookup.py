"""The pool's walk cache: one thing a cycle, and the lowest level that holds a table of use."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.walk_lookup import WalkLookup
from pagewalk.model.x86 import X86_64

from .bench import simulate

KEY = {"vpn": 0x12345, "pcid": 3}
TABLE = {"frame": 7, "writable": 1, "user": 1, "execute_disable": 0}


async def look_up(ctx, dut, key=KEY, nxe=1):
    """Return whether there was a hit, the level and the frame number."""
    ctx.set(dut.ask, 1)
    looking = 0
    while not looking:
        await ctx.tick()
        looking = ctx.get(dut.looking)
    ctx.set(dut.ask, 0)
    ctx.set(dut.key, key)
    ctx.set(dut.keep, 1)
    ctx.set(dut.nxe, nxe)
    await ctx.tick()
    ctx.set(dut.keep, 0)
    ctx.set(dut.key, {})
    return ctx.get(dut.hit), ctx.get(dut.level), ctx.get(dut.found.frame)


async def fill(ctx, dut, level, **table):
    ctx.set(dut.fill, 1)
    ctx.set(dut.fill_key, KEY)
    ctx.set(dut.fill_level, level)
    ctx.set(dut.filled, TABLE | table)
    await ctx.tick()
    ctx.set(dut.fill, 0)
    ctx.set(dut.fill_key, {})
    for _ in range(2):
        await ctx.tick()


def run(body):
    dut = WalkLookup(Config(mode=X86_64))

    async def testbench(ctx):
        await body(ctx, dut)

    simulate(dut, testbench)


def test_the_lowest_level_that_holds_a_table_is_where_a_walk_begins():
    async def body(ctx, dut):
        assert await look_up(ctx, dut) == (0, 0, 0)
        for level in range(3):
            await fill(ctx, dut, level, frame=10 + level)
            assert await look_up(ctx, dut) == (1, level + 1, 10 + level)
        assert await look_up(ctx, dut, KEY | {"pcid": 4}) == (0, 0, 0)

    run(body)


def test_a_table_with_xd_is_of_no_use_while_nxe_is_clear():
    async def body(ctx, dut):
        await fill(ctx, dut, 1, frame=10)
        await fill(ctx, dut, 2, frame=11, execute_disable=1)
        assert await look_up(ctx, dut) == (1, 3, 11)
        assert await look_up(ctx, dut, nxe=0) == (1, 2, 10)

    run(body)


@pytest.mark.parametrize(("drop", "gone"), [
    ({"by_pcid": 1, "pcid": 3}, True), ({"by_pcid": 1, "pcid": 4}, False), ({}, True),
    ({"tables_by_address": 1, "vpn": KEY["vpn"]}, True),
    ({"tables_by_address": 1, "vpn": KEY["vpn"] ^ 1 << 30}, False)])
@pytest.mark.parametrize("with_fill", [0, 1])
def test_a_drop_goes_before_a_fill_and_both_before_a_lookup(drop, gone, with_fill):
    """A fill in the cycle of a drop is left out."""
    async def body(ctx, dut):
        await fill(ctx, dut, 2)
        ctx.set(dut.drop, {"valid": 1, **drop})
        ctx.set(dut.fill, with_fill)
        ctx.set(dut.fill_key, KEY)
        ctx.set(dut.fill_level, 1)
        ctx.set(dut.ask, 1)
        await ctx.tick()
        ctx.set(dut.drop, {})
        ctx.set(dut.fill, 0)
        assert not ctx.get(dut.looking)
        assert (await look_up(ctx, dut))[:2] == ((0, 0) if gone else (1, 3))

    run(body)
