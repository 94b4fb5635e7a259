"""What a page fault drops in the whole MMU, and how it stops the ports. [SDM 4.10.4.1]"""

import pytest

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Entry, ErrorCode, InvalidateOp, Vector

from .bench import put, take
from .golden import access_fields
from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5678
BESIDE, FAR = VADDR + 0x1000, VADDR + 0x4000_0000
READ, WRITE, FETCH = AccessKind


def supervisor_pages(mode, flags=0, vaddrs=(VADDR, BESIDE, FAR)):
    """Return tables in which the leaf of each page is out of bounds for user accesses."""
    tables = Tables(mode)
    for number, vaddr in enumerate(vaddrs):
        tables.map(vaddr, 0x7000 + 0x1000 * number, PERMISSIVE & ~Entry.US | flags)
    return tables


def registers(tables, pcid=0):
    """Return registers with PCIDs, where the mode has them, and global pages."""
    cr4 = Cr4.PGE | (Cr4.PSE if tables.mode is IA32 else Cr4.PAE | Cr4.PCIDE)
    return Control(tables.cr3 | pcid, cr4=cr4)


async def walks_of(bench, ctx, control, vaddr, port=0, **flags):
    """Access a page that must not fault and return the number of walks."""
    response, walks = await bench.access(ctx, control, Access(vaddr, **flags), port)
    assert not response["fault"]
    return walks


async def fault(bench, ctx, control, vaddr, port=0, **flags):
    """Access a page that must fault and return the number of walks."""
    response, walks = await bench.access(ctx, control, Access(vaddr, user=True, **flags), port)
    assert (response["fault"], response["vector"]) == (1, Vector.PF)
    return walks


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("flags", [0, Entry.G], ids=["local", "global"])
@pytest.mark.parametrize("faulting", [0, 1, 2])
@pytest.mark.parametrize("on", ["hit", "walk"])
def test_a_page_fault_drops_its_page_and_no_other_in_the_tlbs_of_all_ports(
        mode, flags, faulting, on):
    tables = supervisor_pages(mode, flags)
    bench = MmuBench(tables, ports=("a", "b", "c"))
    control = registers(tables)

    async def testbench(ctx):
        holders = [port for port in range(3) if on == "hit" or port != faulting]
        for port in holders:
            assert await walks_of(bench, ctx, control, VADDR, port) == 1
            assert await walks_of(bench, ctx, control, BESIDE, port) == 1
        assert await fault(bench, ctx, control, VADDR, faulting) == (on == "walk")
        for port in holders:
            assert await walks_of(bench, ctx, control, BESIDE, port) == 0
            assert await walks_of(bench, ctx, control, VADDR, port) == 1
            assert await walks_of(bench, ctx, control, VADDR, port) == 0

    bench.run(testbench)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [0, Entry.G], ids=["local", "global"])
def test_a_page_fault_drops_what_its_own_pcid_can_use(flags):
    tables = supervisor_pages(X86_64, flags)
    bench = MmuBench(tables)
    one, two = registers(tables, 1), registers(tables, 2)

    async def testbench(ctx):
        assert await walks_of(bench, ctx, one, VADDR, 0) == 1
        assert await walks_of(bench, ctx, two, VADDR, 1) == 1
        await fault(bench, ctx, one, VADDR, 0)
        assert await walks_of(bench, ctx, two, VADDR, 1) == bool(flags)
        # The tables of the other PCID stay as well, those of its own do not.
        before = len(bench.memory.log)
        assert await walks_of(bench, ctx, two, BESIDE) == 1
        assert len(bench.memory.log) == before + 1
        assert await walks_of(bench, ctx, one, FAR) == 1
        assert len(bench.memory.log) == before + 1 + 4

    bench.run(testbench)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("walkers", [1, 3])
@pytest.mark.parametrize("on", ["hit", "walk"])
def test_a_page_fault_drops_the_tables_on_the_way_to_its_address_and_no_others(mode, on, walkers):
    tables = supervisor_pages(mode, vaddrs=(VADDR, BESIDE, FAR, FAR + 0x1000))
    bench = MmuBench(tables, walkers=walkers)
    control = registers(tables)

    async def reads_of(ctx, vaddr):
        before = len(bench.memory.log)
        assert await walks_of(bench, ctx, control, vaddr, port=1) == 1
        return len(bench.memory.log) - before

    async def testbench(ctx):
        await walks_of(bench, ctx, control, FAR)
        if on == "hit":
            await walks_of(bench, ctx, control, VADDR)
        assert await fault(bench, ctx, control, VADDR) == (on == "walk")
        assert await reads_of(ctx, FAR + 0x1000) == 1
        assert await reads_of(ctx, BESIDE) == len(mode.levels)

    bench.run(testbench)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "number"), [(X86_64, 0), (X86_64, 1), (X86_64, 2), (IA32, 0)],
    ids=lambda value: getattr(value, "name", value))
def test_more_rights_count_after_one_page_fault_without_any_invalidation(mode, number):
    """Whatever upper entry held them back, in the walk cache, and in the TLBs of all ports."""
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000)
    tables.map(BESIDE, 0x8000)
    tables.write(path[number], tables.read(path[number]) & ~Entry.US)
    bench = MmuBench(tables)
    control = registers(tables)

    async def testbench(ctx):
        for port in range(2):
            await walks_of(bench, ctx, control, VADDR, port)
        tables.write(path[number], tables.read(path[number]) | Entry.US)
        await fault(bench, ctx, control, BESIDE)  # by the rights of a cached table
        assert await walks_of(bench, ctx, control, BESIDE, user=True) == 1
        assert await fault(bench, ctx, control, VADDR, 1) == 0  # by those of a cached page
        for port in range(2):
            assert await walks_of(bench, ctx, control, VADDR, port, user=True) == 1

    bench.run(testbench)


@pytest.mark.slow
def test_page_faults_of_all_ports_in_one_cycle_are_dealt_with_one_after_the_other():
    vaddrs = (VADDR, BESIDE, FAR)
    tables = supervisor_pages(X86_64, vaddrs=vaddrs)
    bench = MmuBench(tables, ports=("a", "b", "c"))
    control = registers(tables)

    async def testbench(ctx):
        for port in range(3):
            for vaddr in vaddrs:
                await walks_of(bench, ctx, control, vaddr, port)
        await ctx.tick()  # in which the last page is entered
        first = len(bench.handshakes.words)
        for port, vaddr in zip(bench.ports, vaddrs, strict=True):
            ctx.set(port.req.payload, access_fields(Access(vaddr, user=True)))
            ctx.set(port.req.valid, 1)
            ctx.set(port.rsp.ready, 1)
        for _ in range(11):
            await ctx.tick()
        for port in bench.ports:
            ctx.set(port.req.valid, 0)
        for name in bench.config.ports:
            accepted = bench.handshakes.cycles(f"{name}_req_valid", f"{name}_req_ready")
            answered = bench.handshakes.cycles(f"{name}_rsp_valid", f"{name}_rsp_ready")
            # Answered in cycle 1, dropped in 2, 4 and 6, two cycles each: all ports go on in 8.
            assert [one - first for one in accepted if one >= first] == [0, 8]
            assert next(one - first for one in answered if one >= first) == 1
        for _ in range(30):
            await ctx.tick()
        for port in range(3):
            for vaddr in vaddrs:
                assert await walks_of(bench, ctx, control, vaddr, port) == 1

    bench.run(testbench)


def test_an_invalidation_waits_for_the_answers_but_a_page_fault_for_none():
    tables = supervisor_pages(X86_64)
    bench = MmuBench(tables, latency=lambda: 10)
    control = registers(tables)
    first, second = bench.ports

    async def testbench(ctx):
        for vaddr in (VADDR, BESIDE):
            await walks_of(bench, ctx, control, vaddr)
        await put(ctx, second.req, access_fields(Access(FAR)))  # a walk, for a while
        for _ in range(3):
            await ctx.tick()
        assert await fault(bench, ctx, control, VADDR) == 0
        assert await walks_of(bench, ctx, control, BESIDE) == 0
        faulted, = bench.events.cycles("fetch_fault")
        accepted = bench.handshakes.cycles("fetch_req_valid", "fetch_req_ready")
        assert accepted[-1] == faulted + 3
        assert not bench.handshakes.cycles("data_rsp_valid")
        ctx.set(first.req.valid, 1)
        ctx.set(bench.mmu.invalidate.payload, {"op": InvalidateOp.INVPCID_ALL.value})
        ctx.set(bench.mmu.invalidate.valid, 1)
        while not ctx.get(second.rsp.valid):
            await ctx.tick()
        for _ in range(3):
            await ctx.tick()
        assert not bench.handshakes.cycles("invalidate_valid", "invalidate_ready")
        assert not (await take(ctx, second.rsp))["fault"]
        await put(ctx, bench.mmu.invalidate, {"op": InvalidateOp.INVPCID_ALL.value})
        for _ in range(2):
            await ctx.tick()
        ctx.set(first.req.valid, 0)
        taken = bench.handshakes.cycles("data_rsp_valid", "data_rsp_ready")[-1]
        assert bench.handshakes.cycles("invalidate_valid", "invalidate_ready") == [taken + 1]
        assert bench.events.cycles("flush") == [taken + 1]
        accepted = bench.handshakes.cycles("fetch_req_valid", "fetch_req_ready")
        assert accepted[-1] == taken + 3  # the ports are at work on it in between

    bench.run(testbench)


def test_a_request_accepted_in_the_cycle_of_another_ports_fault_may_use_what_it_then_drops():
    tables = supervisor_pages(X86_64)
    bench = MmuBench(tables)
    control = registers(tables)
    first, second = bench.ports

    async def testbench(ctx):
        for port in range(2):
            await walks_of(bench, ctx, control, VADDR, port)
        for port in bench.ports:
            ctx.set(port.rsp.ready, 1)
        await put(ctx, first.req, access_fields(Access(VADDR, user=True)))
        await put(ctx, second.req, access_fields(Access(VADDR)))
        fault = bench.events.cycles("fetch_fault")
        assert fault == bench.handshakes.cycles("data_req_valid", "data_req_ready")[-1:]
        await ctx.tick()
        assert bench.handshakes.cycles("data_rsp_valid", "data_rsp_ready")[-1] == fault[0] + 1
        assert bench.events.total("data_fault") == 0
        assert bench.events.total("data_hit_4k") == 1
        assert await walks_of(bench, ctx, control, VADDR, 1) == 1

    bench.run(testbench)


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["not canonical", "machine check"])
def test_another_fault_stops_no_other_port_and_drops_nothing(cause):
    tables = supervisor_pages(X86_64)
    tables.write(tables.map(FAR, 0)[2], 0xDEAD_0000 | PERMISSIVE)
    bench = MmuBench(tables)
    control = registers(tables)
    access = Access(1 << 47 if cause == "not canonical" else FAR)
    vector = Vector.GP if cause == "not canonical" else Vector.MC

    async def testbench(ctx):
        await walks_of(bench, ctx, control, VADDR)
        await put(ctx, bench.ports[0].req, access_fields(access))
        ctx.set(bench.ports[1].rsp.ready, 1)
        ctx.set(bench.ports[1].req.payload, access_fields(Access(1 << 47)))
        response = await take(ctx, bench.ports[0].rsp)
        assert response["vector"] == vector
        ctx.set(bench.ports[1].req.valid, 1)
        await ctx.tick()
        ctx.set(bench.ports[1].req.valid, 0)
        assert bench.events.total("data_stall") == 0
        await ctx.tick()
        before = len(bench.memory.log)
        assert await walks_of(bench, ctx, control, VADDR) == 0
        assert await walks_of(bench, ctx, control, BESIDE) == 1
        assert len(bench.memory.log) == before + 1

    bench.run(testbench)


def test_without_nxe_a_reserved_xd_is_found_on_a_hit_and_told_only_once():
    """The page fault drops the entry: with NXE again, the page is walked, and then hit."""
    tables = supervisor_pages(X86_64, Entry.XD)
    bench = MmuBench(tables)
    on = registers(tables)
    off = Control(on.cr3, cr4=on.cr4, efer=0)

    async def testbench(ctx):
        for port in range(2):
            await walks_of(bench, ctx, on, VADDR, port)
        response, walks = await bench.access(ctx, off, Access(VADDR))
        assert (response["error_code"], walks) == (ErrorCode.P | ErrorCode.RSVD, 1)
        for port in range(2):
            assert await walks_of(bench, ctx, on, VADDR, port) == 1
            assert await walks_of(bench, ctx, on, VADDR, port) == 0

    bench.run(testbench)
