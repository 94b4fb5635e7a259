"""Responses of page-table memory through a register: one cycle more for each access, no more."""

import pytest
from amaranth import ResetInserter, Signal
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.memory_register import MemoryRegister
from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .bench import plain, simulate
from .golden import response_fields
from .mmu_bench import MmuBench, Requester, changing_control
from .tables import PERMISSIVE, Tables, random_access, random_control, random_tables, random_vaddr

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
REGISTERED = {"memory_response": "registered"}
GEOMETRIES = {"plain": {}, "l2": {"l2_entries": 16}, "write": {"ad": "write"},
              "pool": {"walkers": 3, "misses": 2, "order": "tag"},
              "success": {"accessed": "success", "walk_stages": 2}}
VADDR = 0x1234_5678


@pytest.mark.parametrize("reset", [False, True])
def test_a_response_passes_in_the_next_cycle_unless_a_reset_empties_the_register(reset):
    dut, restart = MemoryRegister(Config()), Signal()
    seen = []

    async def testbench(ctx):
        ctx.set(dut.memory.rsp.payload, {"tag": 5, "data": 0x67, "exchanged": 1, "error": 1})
        ctx.set(dut.walker.req.valid, 1)
        ctx.set(dut.walker.req.payload.address, 0x1238)
        ctx.set(dut.memory.rsp.valid, 1)
        assert ctx.get(dut.memory.req.valid) == 1
        assert ctx.get(dut.memory.req.payload.address) == 0x1238
        for ready in (0, 1):
            ctx.set(dut.memory.req.ready, ready)
            assert ctx.get(dut.walker.req.ready) == ready
        for _ in range(3):
            seen.append(ctx.get(dut.walker.rsp.valid))
            assert ctx.get(dut.memory.rsp.ready) == 1
            ctx.set(restart, int(reset))
            await ctx.tick()
            ctx.set(restart, 0)
            ctx.set(dut.memory.rsp.valid, 0)
            payload = plain(ctx.get(dut.walker.rsp.payload))
            assert payload == {"tag": 5, "data": 0x67, "exchanged": 1, "error": 1} or reset

    simulate(ResetInserter(restart)(dut), testbench)
    assert seen == [0, int(not reset), 0]


@MODES
@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("latency", [1, 4])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_each_access_takes_one_cycle_more(mode, stages, latency, clean):
    """One miss walks all levels, the next one below what the walk cache holds."""
    tables = Tables(mode)
    flags = Entry.P | Entry.RW if clean else PERMISSIVE
    for vaddr in (VADDR, VADDR + 0x1000):
        tables.map(vaddr, vaddr & -0x1000, flags, upper=flags)
    bench = MmuBench(tables, walk_stages=stages, latency=lambda: latency, parameters=REGISTERED)

    async def testbench(ctx):
        for vaddr in (VADDR, VADDR + 0x1000):
            await bench.access(ctx, Control(tables.cr3), Access(vaddr, AccessKind.WRITE), 1)

    bench.run(testbench)
    asked = bench.handshakes.cycles("data_req_valid", "data_req_ready")
    answered = bench.handshakes.cycles("data_rsp_valid")
    update = latency + 1 + (3 if stages == 2 else 0)
    # With two stages an update is offered 3 cycles after the response to the read, else in its own.
    each = latency + 1 + (update if clean else 0)
    begin, cached = (2, 2) if stages == 1 else (5, 6)
    expected = [len(mode.levels) * each + begin, each + cached]
    assert [end - start for start, end in zip(asked, answered, strict=True)] == expected


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_answers_are_those_of_the_golden_walk_while_memory_is_slow(mode, geometry):
    rng = default_rng(len(geometry))
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    lasting = random_control(rng, mode, tables.cr3)
    controls = [random_control(rng, mode, tables.cr3, lasting=lasting) for _ in range(20)]
    vaddrs = [random_vaddr(rng, mode) for _ in range(12)]
    bench = MmuBench(tables, parameters=REGISTERED | GEOMETRIES[geometry],
                     latency=lambda: int(rng.integers(1, 5)), ready=lambda: rng.random() < 0.7,
                     plain_writes=geometry == "write")
    some = [[vaddrs[index] for index in rng.integers(len(vaddrs), size=80)] for _ in bench.ports]
    requesters = [Requester(port, [random_access(rng, vaddr) for vaddr in of_port],
                            lambda: int(rng.integers(3)))
                  for port, of_port in zip(bench.ports, some, strict=True)]
    bench.run(*(one.ask for one in requesters), *(one.collect for one in requesters),
              background=[changing_control(bench, requesters, rng, controls)])
    flags = FlagRules(bench.config.accessed, bench.config.ad)
    faults = 0
    for requester in requesters:
        asked = enumerate(zip(requester.accesses, requester.controls, strict=True))
        expected = {number: response_fields(
            bench.config, walk(golden_memory, mode, control, access, flags=flags), number & 0xF)
            for number, (access, control) in asked}
        if bench.config.order == "tag":
            assert sorted(map(str, requester.results)) == sorted(map(str, expected.values()))
        else:
            assert requester.results == [*expected.values()]
        faults += sum(one["fault"] for one in requester.results)
    assert 0 < faults < 160
