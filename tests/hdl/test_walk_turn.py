"""Whose turn it is at the memory port, a cycle ahead."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.walk_turn import WalkTurn

from .bench import simulate


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_contexts_that_always_want_the_port_have_it_in_turn(count):
    dut, turns = WalkTurn(count), []

    async def testbench(ctx):
        ctx.set(dut.wants, -1)
        ctx.set(dut.valid, 1)
        ctx.set(dut.ready, 1)
        for _ in range(3 * count):
            turns.append(ctx.get(dut.turn))
            ctx.set(dut.source, turns[-1])
            await ctx.tick()

    simulate(dut, testbench)
    assert turns == [*range(count)] * 3


@pytest.mark.parametrize("seed", range(3))
def test_what_memory_does_not_accept_stays_and_nobody_waits_for_more_than_one_of_each_other(seed):
    count, rng = 4, default_rng(seed)
    dut = WalkTurn(count)

    async def testbench(ctx):
        wants, waited, offered = [False] * count, [0] * count, None
        for _ in range(300):
            wants = [one or rng.random() < 0.3 for one in wants]
            turn, ready = ctx.get(dut.turn), rng.random() < 0.5
            assert ctx.get(dut.held) == (offered is not None)
            assert offered in (None, turn)
            ctx.set(dut.wants, sum(one << number for number, one in enumerate(wants)))
            ctx.set(dut.source, turn)
            ctx.set(dut.valid, wants[turn])
            ctx.set(dut.ready, ready)
            ctx.set(dut.expected, int(rng.integers(count)))
            await ctx.tick()
            offered = turn if wants[turn] and not ready else None
            if wants[turn] and ready:
                waited = [waited[number] + 1 if one else 0 for number, one in enumerate(wants)]
                wants[turn], waited[turn] = False, 0
                assert max(waited) < count

    simulate(dut, testbench)


@pytest.mark.parametrize("expected", range(3))
def test_when_nobody_wants_the_port_it_is_for_whoever_is_expected(expected):
    dut = WalkTurn(3)

    async def testbench(ctx):
        ctx.set(dut.expected, expected)
        await ctx.tick()
        assert ctx.get(dut.turn) == expected

    simulate(dut, testbench)
