"""The policies in sets, each against the reference of that policy."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.l2_geometry import L2Geometry
from pagewalk.hdl.l2_replacement import STATES, L2Replacement
from pagewalk.hdl.replacement import POLICIES

from .bench import simulate
from .test_replacement import REFERENCES

SETS = 4


def test_every_policy_has_a_state_for_each_set_or_one_for_all():
    assert {*STATES, "random"} == {*POLICIES} == {*REFERENCES}


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "ways"), [
    (policy, ways) for policy in POLICIES for ways in (1, 2, 3, 4, 8)
    if policy != "plru" or ways != 3])
def test_each_set_replaces_as_the_policy_does(policy, ways):
    dut = L2Replacement(L2Geometry(Config(l2_entries=SETS * ways, l2_ways=ways, l2_policy=policy)))
    rng = default_rng(ways)
    if policy == "random":
        references = [REFERENCES[policy](ways)] * SETS
    else:
        references = [REFERENCES[policy](ways) for _ in range(SETS)]
    seen = set()

    async def testbench(ctx):
        ctx.set(dut.hold, 0)
        for _ in range(300):
            index, way = int(rng.integers(SETS)), int(rng.integers(ways))
            held = int(rng.integers(3))
            ctx.set(dut.index, index)
            ctx.set(dut.read, 1)
            await ctx.tick()
            ctx.set(dut.read, 0)
            ctx.set(dut.index, int(rng.integers(SETS)))
            await ctx.tick()
            ctx.set(dut.hold, 1)
            for _ in range(held):
                assert ctx.get(dut.victim) == 1 << references[index].victim()
                await ctx.tick()
            seen.add(references[index].victim())
            assert ctx.get(dut.victim) == 1 << references[index].victim()
            filled = bool(rng.integers(2))
            ctx.set(dut.touch, 1 << way)
            ctx.set(dut.filled, filled)
            ctx.set(dut.touch_index, index)
            await ctx.tick()
            ctx.set(dut.touch, 0)
            ctx.set(dut.hold, 0)
            references[index].touch(way, filled)

    simulate(dut, testbench)
    assert seen == {*range(ways)}


@pytest.mark.parametrize("policy", STATES)
def test_a_set_that_is_cleared_is_as_at_first(policy):
    dut = L2Replacement(L2Geometry(Config(l2_entries=SETS * 4, l2_policy=policy)))

    async def victim(ctx):
        ctx.set(dut.read, 1)
        await ctx.tick()
        ctx.set(dut.read, 0)
        await ctx.tick()
        return ctx.get(dut.victim)

    async def testbench(ctx):
        ctx.set(dut.index, 2)
        ctx.set(dut.touch_index, 2)
        assert await victim(ctx) == 1
        ctx.set(dut.filled, 1)
        ctx.set(dut.touch, 1)
        await ctx.tick()
        ctx.set(dut.touch, 0)
        assert await victim(ctx) != 1
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert await victim(ctx) == 1

    simulate(dut, testbench)
