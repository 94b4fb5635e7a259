"""Where a walk goes on: each step from any place, and where it begins with a walk cache."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.next_entry import NextEntry
from pagewalk.hdl.walk_shapes import WalkStep
from pagewalk.model.x86 import IA32, X86_64

from .bench import evaluate, plain, simulate
from .tables import Tables, bits, random_vaddr

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5678
ROOT = 0x321
OPEN = {"writable": 1, "user": 1, "execute_disable": 0}
AT_ROOT = {"level": 0, "table": OPEN | {"frame": ROOT}, "updating": 0}
TABLE = {"frame": 0x77, "writable": 0, "user": 1, "execute_disable": 1}


def request_fields(vaddr=VADDR, **control):
    return {"access": {"vaddr": vaddr}, "control": {"root": ROOT, "nxe": 1} | control}


def random_place(rng, config):
    rights = {name: bits(rng, 1) for name in OPEN}
    return {"level": int(rng.integers(len(config.mode.levels))), "updating": bits(rng, 1),
            "table": {"frame": bits(rng, config.root_bits)} | rights}


def expected_place(step, place, below):
    """Return where ``step`` leads without a walk cache."""
    return {WalkStep.BEGIN: AT_ROOT, WalkStep.RESTART: AT_ROOT,
            WalkStep.UPDATE: place | {"updating": 1}, WalkStep.DESCEND: below,
            WalkStep.REPEAT: place}[step]


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("paddr_bits", [32, 52])
@pytest.mark.parametrize("walk_cache", [0, 8])
@pytest.mark.parametrize("seed", range(2))
def test_each_step_leads_from_any_place_to_the_entry_of_the_address(
        mode, paddr_bits, walk_cache, seed):
    rng = default_rng(seed)
    config = Config(mode=mode, paddr_bits=paddr_bits, walk_cache=walk_cache)
    steps = [step for step in WalkStep if step is not WalkStep.FINISH] * 25
    stimuli = [{"step": step, "request": request_fields(random_vaddr(rng, mode)),
                "place": random_place(rng, config), "below": random_place(rng, config)}
               for step in steps]
    results = evaluate(NextEntry(config), stimuli, ("next_place", "address"))
    for stimulus, found in zip(stimuli, results, strict=True):
        place = expected_place(stimulus["step"], stimulus["place"], stimulus["below"])
        assert found["next_place"] == place, stimulus
        assert found["address"] == Tables(mode).entry_address(
            place["table"]["frame"] << 12, mode.levels[place["level"]],
            stimulus["request"]["access"]["vaddr"])


class CachedWalk:
    """A ``NextEntry`` in the simulator, whose walk cache is filled and asked."""

    def __init__(self, ctx, dut):
        self.ctx, self.dut = ctx, dut

    async def fill(self, level, vaddr=VADDR, **control):
        """Let a walk of ``vaddr`` go down from ``level``."""
        self._set(WalkStep.DESCEND, vaddr, control)
        self.ctx.set(self.dut.place, {"level": level})
        self.ctx.set(self.dut.below, {"level": level + 1, "table": TABLE})
        self.ctx.set(self.dut.fill, 1)
        await self.ctx.tick()
        self.ctx.set(self.dut.fill, 0)

    async def drop(self, **drop):
        self.ctx.set(self.dut.drop, {"valid": 1} | drop)
        await self.ctx.tick()
        self.ctx.set(self.dut.drop.valid, 0)

    def start(self, step=WalkStep.BEGIN, vaddr=VADDR, **control):
        """Return at which level a walk starts, and check with what."""
        self._set(step, vaddr, control)
        place = plain(self.ctx.get(self.dut.next_place))
        expected = {"level": place["level"], "table": TABLE, "updating": 0}
        assert place == (expected if place["level"] else AT_ROOT)
        return place["level"]

    def _set(self, step, vaddr, control):
        self.ctx.set(self.dut.step, step)
        self.ctx.set(self.dut.request, request_fields(vaddr, **control))


def run(mode, body):
    dut = NextEntry(Config(mode=mode))

    async def testbench(ctx):
        await body(CachedWalk(ctx, dut))

    simulate(dut, testbench)


@MODES
def test_a_walk_begins_at_the_lowest_table_that_is_held_and_restarts_at_the_root(mode):
    async def body(walk):
        assert walk.start() == 0
        for level in range(len(mode.levels) - 1):
            await walk.fill(level)
            assert walk.start() == level + 1
            assert walk.start(WalkStep.RESTART) == 0

    run(mode, body)


@MODES
def test_a_table_is_held_for_its_addresses_and_its_pcid_until_it_is_dropped(mode):
    last = len(mode.levels) - 2
    beyond = VADDR + mode.levels[last].page_bytes

    async def body(walk):
        await walk.fill(last, pcid=5)
        assert walk.start(pcid=5) == last + 1
        assert walk.start(pcid=4) == walk.start(vaddr=beyond, pcid=5) == 0
        await walk.drop(by_pcid=1, pcid=4)
        assert walk.start(pcid=5) == last + 1
        await walk.drop(by_pcid=1, pcid=5)
        assert walk.start(pcid=5) == 0

    run(mode, body)


def test_a_table_behind_an_entry_with_xd_is_not_used_while_nxe_is_clear():
    async def body(walk):
        await walk.fill(1)
        assert (walk.start(), walk.start(nxe=0)) == (2, 0)

    run(X86_64, body)
