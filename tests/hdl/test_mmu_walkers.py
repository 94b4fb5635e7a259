"""A whole MMU with several walkers: time, walks side by side, resets."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.shapes import memory_tag_bits
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .bench import put, take
from .golden import access_fields
from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5678
OTHER = VADDR ^ 1 << 31  # under another entry of the last upper level


def mapped(mode, flags=PERMISSIVE):
    tables = Tables(mode)
    for vaddr in (VADDR, VADDR + 0x1000, OTHER):
        tables.map(vaddr, vaddr & -0x1000, flags, upper=flags)
    return tables


@MODES
@pytest.mark.parametrize("walkers", [1, 4])
@pytest.mark.parametrize("latency", [1, 4])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_a_miss_alone_takes_its_latencies_and_5_cycles(mode, walkers, latency, clean):
    """One more where the walk cache holds an entry, three for each A/D update."""
    bench = MmuBench(mapped(mode, Entry.P | Entry.RW if clean else PERMISSIVE), walkers=walkers,
                     walk_stages=2, latency=lambda: latency)
    control = Control(bench.tables.cr3)

    async def testbench(ctx):
        for vaddr in (VADDR, VADDR + 0x1000):
            await bench.access(ctx, control, Access(vaddr, AccessKind.WRITE), 1)

    bench.run(testbench)
    each = 2 * latency + 3 if clean else latency
    asked = bench.handshakes.cycles("data_req_valid", "data_req_ready")
    answered = bench.handshakes.cycles("data_rsp_valid")
    assert [end - begin for begin, end in zip(asked, answered, strict=True)] == [
        len(mode.levels) * each + 5, each + 6]


@MODES
def test_the_walks_of_two_ports_are_under_way_side_by_side(mode):
    bench = MmuBench(mapped(mode), walkers=2, latency=lambda: 10)
    control = Control(bench.tables.cr3)

    def requester(number, vaddr):
        async def testbench(ctx):
            bench.control(ctx, control)
            await put(ctx, bench.ports[number].req, access_fields(Access(vaddr)))
            assert (await take(ctx, bench.ports[number].rsp))["paddr"] == vaddr

        return testbench

    bench.run(requester(0, VADDR), requester(1, OTHER))
    assert max(bench.memory.owed) == 2
    assert len(bench.events.words) < 10 * len(mode.levels) + 15


def test_the_tag_of_an_access_has_room_for_the_number_of_its_walk():
    widths = {walkers: memory_tag_bits(Config(walkers=walkers)) for walkers in (1, 2, 3, 4, 5, 8)}
    assert widths == {1: 4, 2: 5, 3: 6, 4: 6, 5: 7, 8: 7}
