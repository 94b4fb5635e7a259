"""An MMU that is reset alone, while page-table memory has an access of its under way."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.shapes import MEMORY_TAG_BITS
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .bench import put, take
from .golden import access_fields, response_fields
from .mmu_bench import MmuBench
from .tables import Tables

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5678
RESPONSES = pytest.mark.parametrize("response", ["direct", "registered"])
REGIONS = 5  # the pages are under as many entries of the root
OWED = (1 << MEMORY_TAG_BITS) - 1  # responses to accesses of before resets, at most


def vaddr_of(mode, number):
    return VADDR + 0x1000 * number + (number % REGIONS << mode.levels[0].shift)


def pages(mode, count):
    """Return tables that map pages to frames of their own; no flag is set in any entry."""
    tables = Tables(mode)
    flags = Entry.P | Entry.RW | Entry.US
    for number in range(count):
        tables.map(vaddr_of(mode, number), 0x1_0000 + 0x1000 * number, flags, upper=flags)
    return tables


class ResetBench(MmuBench):
    """An MMU that is reset again and again, of which each answer must be right."""

    def __init__(self, mode, response="direct", **memory_behaviour):
        super().__init__(pages(mode, 40), parameters={"memory_response": response},
                         **memory_behaviour)
        self.mode, self.registers = mode, Control(self.tables.cr3)
        self.golden = self.tables.memory.copy()

    async def pulse_reset(self, ctx):
        ctx.set(self.reset, 1)
        await ctx.tick()
        ctx.set(self.reset, 0)

    async def ask(self, ctx, access, port=0):
        self.control(ctx, self.registers)
        await put(ctx, self.ports[port].req, access_fields(access))

    async def check(self, ctx, access, port=0):
        """Access a page and compare the answer with the golden walk."""
        await self.ask(ctx, access, port)
        response = await take(ctx, self.ports[port].rsp)
        golden = walk(self.golden, self.mode, self.registers, access)
        assert response == response_fields(self.config, golden), access


@pytest.mark.slow
@MODES
@RESPONSES
@pytest.mark.parametrize("latency", [1, 2, 6])
def test_a_late_response_answers_no_walk_after_a_reset(mode, response, latency):
    """A reset in each cycle of a walk, and walks of other pages after it."""
    bench = ResetBench(mode, response, latency=lambda: latency)
    cycles = 2 * len(mode.levels) * (latency + (response == "registered")) + 3

    async def testbench(ctx):
        for delay in range(cycles):
            await bench.ask(ctx, Access(vaddr_of(mode, delay % 40)))
            for _ in range(delay):
                await ctx.tick()
            await bench.pulse_reset(ctx)
            for number in (1, 2):
                await bench.check(ctx, Access(vaddr_of(mode, (delay + number) % 40)), number - 1)
            await bench.pulse_reset(ctx)

    bench.run(testbench)


@pytest.mark.slow
@MODES
@RESPONSES
@pytest.mark.parametrize("latency", [1, 3, 12])
@pytest.mark.parametrize("seed", range(2))
def test_answers_are_right_after_any_number_of_resets(mode, response, latency, seed):
    """Both ports walk, memory is slow and often not ready, and a reset may come at any time."""
    rng = default_rng(seed)
    bench = ResetBench(mode, response, latency=lambda: int(rng.integers(1, latency + 1)),
                       ready=lambda: rng.random() < 0.7)

    def access():
        kind = AccessKind.WRITE if rng.random() < 0.3 else AccessKind.READ
        return Access(vaddr_of(mode, int(rng.integers(40))), kind)

    async def testbench(ctx):
        for _ in range(60):
            for port in rng.permutation(2):
                await bench.ask(ctx, access(), port)
            for _ in range(int(rng.integers(2 * latency + 2))):
                await ctx.tick()
            await bench.pulse_reset(ctx)
            if rng.random() < 0.6:
                for port in rng.permutation(2):
                    await bench.check(ctx, access(), port)

    bench.run(testbench)


@MODES
@RESPONSES
def test_memory_may_owe_as_many_responses_as_there_are_other_tags(mode, response):
    bench = ResetBench(mode, response, latency=lambda: 150)

    async def testbench(ctx):
        for number in range(OWED):
            await bench.ask(ctx, Access(vaddr_of(mode, number)))
            while len(bench.memory.log) == number:
                await ctx.tick()
            await bench.pulse_reset(ctx)
        assert len(bench.handshakes.words) < 150  # none of them was answered yet
        await bench.check(ctx, Access(vaddr_of(mode, OWED)))
        assert len(bench.memory.log) == OWED + 2 * len(mode.levels)

    bench.run(testbench)


@MODES
def test_a_response_is_taken_at_once_whatever_the_mmu_does(mode):
    bench = ResetBench(mode, latency=lambda: 4)
    taken = []

    async def watch(ctx):
        rsp = bench.mmu.memory.rsp
        async for _, _, ready in ctx.tick().sample(rsp.ready):
            taken.append(ready)

    async def testbench(ctx):
        await bench.ask(ctx, Access(VADDR))
        for _ in range(3):
            await ctx.tick()
        await bench.pulse_reset(ctx)
        for _ in range(6):
            await ctx.tick()
        await bench.check(ctx, Access(VADDR))

    bench.run(testbench, background=[watch])
    assert all(taken)
    assert len(taken) > 20


@MODES
def test_a_reset_empties_the_caches_and_forgets_what_waits(mode):
    bench = ResetBench(mode)

    async def testbench(ctx):
        for _ in range(2):
            await bench.check(ctx, Access(VADDR))
            await bench.check(ctx, Access(VADDR), 1)
        walks = bench.events.total("walk_start")
        assert walks == 2
        await bench.ask(ctx, Access(VADDR))
        await bench.ask(ctx, Access(vaddr_of(mode, 1)), 1)
        await bench.pulse_reset(ctx)
        for _ in range(30):
            assert not any(ctx.get(port.rsp.valid) for port in bench.ports)
            await ctx.tick()
        before = len(bench.memory.log)
        await bench.check(ctx, Access(VADDR))
        assert len(bench.memory.log) == before + len(mode.levels)

    bench.run(testbench)
