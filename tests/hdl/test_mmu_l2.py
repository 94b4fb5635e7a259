"""The MMU with a second-level TLB."""

import pytest

from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import (
    IA32,
    X86_64,
    AccessKind,
    Cr0,
    Cr4,
    Entry,
    ErrorCode,
    InvalidateOp,
)

from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5000


def mapped(mode, count=1, flags=PERMISSIVE):
    """Return tables with pages from ``VADDR`` on, and the addresses of their leaf entries."""
    tables = Tables(mode)
    return tables, [tables.map(VADDR + 0x1000 * number, 0x10_0000 + 0x1000 * number, flags)[-1]
                    for number in range(count)]


def play(tables, body, *, entries=1, l2_entries=16, **memory_behaviour):
    """Run ``body(access, bench, ctx)``; ``access`` returns paddr or error code, walks, cycles."""
    bench = MmuBench(tables, entries=entries, l2_entries=l2_entries, **memory_behaviour)

    async def testbench(ctx):
        control = Control(tables.cr3, Cr0.PG | Cr0.WP, Cr4.PSE | Cr4.PAE)

        async def access(vaddr, kind=AccessKind.READ, port=1):
            response, walks = await bench.access(
                ctx, control, Access(vaddr, kind, user=True), port)
            name = bench.config.ports[port]
            accepted = bench.handshakes.cycles(f"{name}_req_valid", f"{name}_req_ready")[-1]
            answered = bench.handshakes.cycles(f"{name}_rsp_valid", f"{name}_rsp_ready")[-1]
            return (response["error_code"] if response["fault"] else response["paddr"], walks,
                    answered - accepted)

        await body(access, bench, ctx)

    bench.run(testbench)
    return bench


@MODES
@pytest.mark.parametrize("latency", [1, 4])
def test_a_page_that_a_port_has_walked_is_found_for_others_after_five_cycles(mode, latency):
    tables, _ = mapped(mode, 2)

    async def body(access, bench, ctx):
        while ctx.get(bench.mmu.invalidate.ready) == 0:  # the reset drops all
            await ctx.tick()
        walked = 2 + 4 + len(mode.levels) * latency
        assert await access(VADDR) == (0x10_0000, 1, walked)
        assert await access(VADDR) == (0x10_0000, 0, 1)
        for _ in range(5):
            await ctx.tick()
        assert await access(VADDR, port=0) == (0x10_0000, 0, 5)
        assert (await access(VADDR + 0x1000))[:2] == (0x10_1000, 1)
        for _ in range(5):
            await ctx.tick()
        assert await access(VADDR) == (0x10_0000, 0, 5)  # the one entry of the port's TLB has gone

    bench = play(tables, body, latency=lambda: latency)
    assert bench.events.total("l2_lookup") == 4
    assert bench.events.total("l2_hit_4k") == 2
    assert bench.events.total("l2_miss") == bench.events.total("walk_start") == 2


@MODES
@pytest.mark.parametrize(("op", "operands"), [
    (InvalidateOp.INVLPG, {"vaddr": VADDR}), (InvalidateOp.INVPCID_ALL, {}),
    (InvalidateOp.INVPCID_ALL_NON_GLOBAL, {}), (InvalidateOp.INVPCID_CONTEXT, {}),
    (InvalidateOp.INVPCID_ADDRESS, {"vaddr": VADDR + 0xFFF}), (InvalidateOp.MOV_CR3, {}),
    (InvalidateOp.MOV_CR4, {"old": Cr4.SMEP, "new": Cr4.SMEP | Cr4.PGE}),
    (InvalidateOp.MOV_CR0, {"old": Cr0.PG}),
])
def test_an_operation_drops_pages_of_the_second_level_too(mode, op, operands):
    tables, leaves = mapped(mode, 2)

    async def body(access, bench, ctx):
        for vaddr in (VADDR, VADDR + 0x1000):
            await access(vaddr)
        tables.write(leaves[0], 0x30_0000 | PERMISSIVE)
        assert (await access(VADDR))[:2] == (0x10_0000, 0)  # from the second level
        await bench.invalidate(ctx, Control(tables.cr3), op, **operands)
        assert (await access(VADDR))[:2] == (0x30_0000, 1)

    play(tables, body)


@MODES
def test_more_rights_are_found_by_a_walk_and_fewer_by_its_fault(mode):
    tables, (leaf, _) = mapped(mode, 2, PERMISSIVE & ~Entry.RW)

    async def body(access, _bench, _ctx):
        denied = ErrorCode.P | ErrorCode.WR | ErrorCode.US
        await access(VADDR)
        assert (await access(VADDR, AccessKind.WRITE, port=0))[:2] == (denied, 1)
        assert (await access(VADDR, port=0))[:2] == (0x10_0000, 1)  # the page fault dropped it
        tables.write(leaf, 0x10_0000 | PERMISSIVE)
        assert (await access(VADDR, AccessKind.WRITE, port=1))[:2] == (0x10_0000, 1)
        assert (await access(VADDR + 0x1000, port=0))[:2] == (0x10_1000, 1)
        assert (await access(VADDR, AccessKind.WRITE, port=0))[:2] == (0x10_0000, 0)

    play(tables, body)


@MODES
def test_a_write_to_a_clean_page_sets_the_dirty_flag_and_is_found_after_that(mode):
    tables, (leaf, _) = mapped(mode, 2, PERMISSIVE & ~Entry.D)

    async def body(access, _bench, _ctx):
        await access(VADDR, port=0)
        assert not tables.read(leaf) & Entry.D
        assert (await access(VADDR, AccessKind.WRITE))[:2] == (0x10_0000, 1)
        assert tables.read(leaf) & Entry.D
        await access(VADDR + 0x1000)
        assert (await access(VADDR, AccessKind.WRITE))[:2] == (0x10_0000, 0)

    play(tables, body)


@MODES
def test_what_is_not_present_is_not_held(mode):
    tables, (leaf,) = mapped(mode, 1)

    async def body(access, _bench, _ctx):
        tables.write(leaf, 0)
        assert (await access(VADDR))[:2] == (ErrorCode.US, 1)
        tables.write(leaf, 0x10_0000 | PERMISSIVE)
        assert (await access(VADDR))[:2] == (0x10_0000, 1)

    bench = play(tables, body)
    assert bench.events.total("walk_fault") == 1
