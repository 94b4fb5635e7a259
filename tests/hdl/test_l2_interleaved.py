"""The second-level TLB while lookups, walks, fills and drops go on at once."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import default_rng

from pagewalk.hdl.l2_tlb import L2Tlb
from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import IA32, X86_64

from .bench import offers_hold, simulate
from .l2_bench import geometry, random_translation
from .l2_world import KINDS, Step, World, registers
from .test_l2_tlb import page_numbers, random_access, random_control, random_drop

OPEN = {"writable": 1, "user": 1, "execute_disable": 0, "key": 0}
by_mode = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


def play(shape, steps, drained, seed=0):
    """Carry out the steps, and all that they leave under way; return the world."""
    dut, worlds = L2Tlb(shape.config), []
    rng = default_rng(seed)

    async def testbench(ctx):
        world = World(ctx, dut, shape.config)
        worlds.append(world)
        ctx.set(dut.walk.rsp.ready, 1)
        while ctx.get(dut.busy):
            await ctx.tick()
        for step in steps:
            await world.step(step)
        await world.drain(lambda: drained(rng))

    simulate(dut, testbench, background=[offers_hold("L2", dut.walkers.req)])
    return worlds[0]


def random_result(rng, config):
    """Return a walk's result, with a frame that tells it from all others."""
    rights = {} if rng.random() < 0.3 else {"dirty": 1, "rights": OPEN}
    return {"translation": random_translation(rng, config, **rights),
            "fault": int(rng.random() < 0.1)}


def random_steps(rng, config, vpns, count, drops):
    """Yield random steps; what they want most changes now and then."""
    mode = config.mode
    for number in range(count):
        if number % 100 == 0:
            asking, ready, responding = rng.random(3) ** 0.5
        control = random_control(rng, mode) if rng.random() < 0.3 else registers(mode, 0)
        request = random_access(rng, vpns), control
        yield Step(
            request=request if rng.random() < asking else None,
            ready=bool(rng.random() < ready),
            respond=int(rng.integers(8)) if rng.random() < responding else None,
            result=random_result(rng, config),
            drop=random_drop(rng, mode, vpns) if rng.random() < drops else None)


@pytest.mark.slow
@by_mode
@pytest.mark.parametrize(("seed", "ways", "policy", "drops"), [
    (1, 4, "lru", 0.0), (2, 2, "plru", 0.02), (3, 2, "random", 0.05), (4, 1, "fifo", 0.2)])
def test_random_interleavings_find_only_what_was_walked_and_not_dropped(
        mode, seed, ways, policy, drops):
    shape = geometry(mode, ways=ways, policy=policy)
    vpns, rng = page_numbers(mode, 4)[::4], default_rng(seed)
    world = play(shape, random_steps(rng, shape.config, vpns, 1500, drops),
                 lambda rng: random_result(rng, shape.config), seed)
    assert world.counts["walk"] > 10, world.counts
    assert world.counts["hit"] > (20 if drops < 0.1 else 0), world.counts
    assert (world.counts["drop"] > 10) == bool(drops), world.counts


def steps_of(mode):
    """Return a strategy for lists of steps that meet at few pages."""
    pages = st.sampled_from(page_numbers(mode, 4)[:6])
    pcids = st.sampled_from((0, 1) if mode.has_pcids else (0,))
    bit = st.integers(0, 1)
    request = st.builds(
        lambda vpn, kind, pcid: (Access(vpn << 12, kind, user=True), registers(mode, pcid)),
        pages, st.sampled_from(KINDS), pcids)
    result = st.builds(
        lambda seed, page, is_global, fault: {
            "translation": random_translation(
                default_rng(seed), geometry(mode).config, page=page, global_page=is_global,
                dirty=1, rights=OPEN),
            "fault": int(fault)},
        st.integers(0, 10_000), st.integers(0, len(mode.pages) - 1), bit, st.just(False))
    drop = st.fixed_dictionaries({
        "by_address": bit, "by_pcid": bit, "globals": bit, "vpn": pages, "pcid": pcids})
    often, seldom = st.none() | request, st.none() | st.none() | st.none() | drop
    return st.lists(st.builds(
        Step, request=often, ready=st.booleans(), respond=st.none() | st.integers(0, 5),
        result=result, drop=seldom), min_size=20, max_size=100)


@pytest.mark.slow
@by_mode
def test_no_interleaving_finds_what_was_dropped(mode):
    shape = geometry(mode)

    @settings(max_examples=15, deadline=None, print_blob=True)
    @given(steps=steps_of(mode))
    def check(steps):
        play(shape, steps, lambda rng: random_result(rng, shape.config))

    check()
