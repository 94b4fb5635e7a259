"""The replacement policies of sets, each beside its counterpart for a whole TLB."""

import pytest
from amaranth import Module, Signal
from numpy.random import default_rng

from pagewalk.hdl.replacement import POLICIES
from pagewalk.hdl.set_policy import SET_POLICIES

from .bench import simulate


def histories(name, ways, uses):
    """Return the victims before each of ``uses``: of the set's policy, and of the TLB's."""
    ours, theirs, top, state = SET_POLICIES[name](ways), POLICIES[name](ways), Module(), Signal(64)
    top.submodules += [ours, theirs]
    use, way, filled = Signal(), Signal(range(ways)), Signal()
    top.d.comb += [ours.state.eq(state), ours.way.eq(way), ours.filled.eq(use & filled),
                   theirs.touch.eq(use), theirs.slot.eq(way), theirs.filled.eq(use & filled)]
    with top.If(use):
        top.d.sync += state.eq(ours.after)
    victims = []

    async def testbench(ctx):
        for one, is_filled in uses:
            victims.append((ctx.get(ours.victim), ctx.get(theirs.victim)))
            ctx.set(use, 1)
            ctx.set(way, victims[-1][1] if is_filled else one)
            ctx.set(filled, is_filled)
            await ctx.tick()

    simulate(top, testbench)
    return victims


@pytest.mark.parametrize("ways", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("name", SET_POLICIES)
@pytest.mark.parametrize("seed", range(2))
def test_a_set_gives_up_the_entry_that_a_tlb_of_its_size_would(name, ways, seed):
    if name == "plru" and ways == 3:
        return  # no tree
    rng = default_rng(seed)
    uses = [(int(rng.integers(ways)), int(rng.integers(2))) for _ in range(150)]
    victims = histories(name, ways, uses)
    assert len({theirs for _, theirs in victims}) == ways
    assert [ours for ours, _ in victims] == [theirs for _, theirs in victims]


def test_lru_gives_up_the_way_whose_last_use_is_the_oldest():
    rng, order = default_rng(3), [0, 1, 2, 3]
    uses = [(int(rng.integers(4)), 0) for _ in range(100)]
    for (ours, _), (way, _) in zip(histories("lru", 4, uses), uses, strict=True):
        assert ours == order[0]
        order.remove(way)
        order.append(way)
