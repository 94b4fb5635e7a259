"""Answers come in bounded time, whatever the requesters of other ports do."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .bench import put, take
from .golden import access_fields
from .mmu_bench import MmuBench, Requester
from .tables import PERMISSIVE, Tables

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
PORTS = pytest.mark.parametrize("ports", [("a", "b"), ("a", "b", "c")], ids=len)
VADDR = 0x1234_5678
ABSENT = VADDR + 0x8_0000  # in the same page table


def pages(mode, count, flags=PERMISSIVE):
    """Return tables that map the pages from ``VADDR`` on, with frames from 7 on."""
    tables = Tables(mode)
    for number in range(count):
        tables.map(VADDR + 0x1000 * number, 0x7000 + 0x1000 * number, flags)
    return tables


@pytest.mark.slow
@MODES
@PORTS
@pytest.mark.parametrize("first", ["walk", "fault", "hit"])
@pytest.mark.parametrize("latency", [1, 5])
def test_an_answer_that_is_not_taken_delays_no_other_ports_answers(mode, ports, first, latency):
    """The requester takes the answers of the other ports, one after the other, and this one last.

    The others' walks take their time from the contract, and so does what follows a page fault.
    """
    tables, count = pages(mode, len(ports) + 1), len(mode.levels)
    bench = MmuBench(tables, ports=ports, latency=lambda: latency)
    control, untaken = Control(tables.cr3), bench.ports[0]

    async def cycles_of(ctx, port, vaddr, walks=1):
        """Return after how many cycles an access is answered; fail before it would be late."""
        start = len(bench.handshakes.words)
        response, walked = await bench.access(ctx, control, Access(vaddr), port)
        assert (response["fault"], walked) == (vaddr == ABSENT, walks)
        return len(bench.handshakes.words) - start - 1

    async def testbench(ctx):
        if first == "hit":
            await cycles_of(ctx, 0, VADDR)
        bench.control(ctx, control)
        await put(ctx, untaken.req, access_fields(Access(ABSENT if first == "fault" else VADDR)))
        while not ctx.get(untaken.rsp.valid):
            await ctx.tick()
        for port in range(1, len(ports)):
            vaddr = VADDR + 0x1000 * port
            assert await cycles_of(ctx, port, vaddr) == 2 + latency
            # It is accepted a cycle later, as the page of the walk before is entered.
            assert await cycles_of(ctx, port, vaddr, 0) == 1 + 1
            assert await cycles_of(ctx, port, ABSENT) == 2 + latency
            # The fault dropped the tables on the way to this page, too, in two cycles after it.
            assert await cycles_of(ctx, port, VADDR) == 2 + 2 + count * latency
        response = await take(ctx, untaken.rsp)
        assert (response["fault"], response["paddr"]) == (
            (1, 0) if first == "fault" else (0, 0x7000 | VADDR & 0xFFF))

    bench.run(testbench)


@pytest.mark.slow
@MODES
@PORTS
@pytest.mark.parametrize("seed", range(2))
def test_answers_are_bounded_while_other_requesters_take_theirs_late(mode, ports, seed):
    """An access waits at most for a walk of each other port, and the drop of a fault of each."""
    rng, count, latency = default_rng(seed), len(ports), 2
    flags = Entry.P | Entry.RW | Entry.US
    tables = pages(mode, 40, flags)
    bench = MmuBench(tables, ports=ports, latency=lambda: latency)
    control = Control(tables.cr3)

    def access():
        vaddr = ABSENT if rng.random() < 0.2 else VADDR + 0x1000 * int(rng.integers(40))
        kind = AccessKind.WRITE if rng.random() < 0.4 else AccessKind.READ
        return Access(vaddr, kind)

    def pause():
        return int(rng.integers(30)) if rng.random() < 0.3 else 0

    requesters = [Requester(port, [access() for _ in range(60)], pause) for port in bench.ports]

    async def conduct(ctx):
        bench.control(ctx, control)

    bench.run(conduct, *(one.ask for one in requesters), *(one.collect for one in requesters))
    longest = 2 * len(mode.levels) * latency + 2  # each entry is read, and updated
    for name in ports:
        offered = bench.handshakes.cycles(f"{name}_rsp_valid")
        waits = [next(cycle for cycle in offered if cycle > accepted) - accepted
                 for accepted in bench.handshakes.cycles(f"{name}_req_valid", f"{name}_req_ready")]
        assert len(waits) == 60
        assert len(mode.levels) * latency + 2 < max(waits) <= count * (longest + 1)
