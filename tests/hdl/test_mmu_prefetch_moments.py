"""What happens at each moment of a walk ahead: drops, moves of CR3, resets, requests."""

from dataclasses import replace

import pytest

from pagewalk.model.mmu.walk import Access
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Entry, InvalidateOp

from .bench import put, take
from .golden import access_fields
from .mmu_bench import ChangingPages
from .prefetch_bench import NEXT, OTHER, VADDR, WALKERS, PrefetchBench, frame, mapped
from .tables import PERMISSIVE

pytestmark = pytest.mark.slow

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
KINDS = pytest.mark.parametrize("kind", WALKERS)
LATENCY = 3
MOMENTS = range(0, 50, 2)  # cycles after an answer, until what is walked ahead has been entered


def sweep(bench, prepare, act, *, moments=MOMENTS, held=()):
    """Do ``act(ctx, moment)`` so many cycles after the answer to ``VADDR``.

    The caches are empty before it, but for the pages ``held``.
    """
    async def testbench(ctx):
        await bench.ready(ctx)
        for moment in moments:
            prepare(moment)
            await bench.invalidate(ctx, bench.registers, InvalidateOp.INVPCID_ALL)
            await bench.ready(ctx)
            for vaddr in held:
                await bench.read(ctx, vaddr)
                await bench.settle(ctx)
            assert (await bench.read(ctx, VADDR))[0] == frame(VADDR)
            await bench.settle(ctx, moment)
            await act(ctx, moment)
            await bench.settle(ctx)

    bench.run(testbench)


DROPS = {
    "INVLPG": {"op": InvalidateOp.INVLPG, "vaddr": NEXT},
    "INVPCID address": {"op": InvalidateOp.INVPCID_ADDRESS, "vaddr": NEXT, "pcid": 1},
    "INVPCID context": {"op": InvalidateOp.INVPCID_CONTEXT, "pcid": 1},
    "INVPCID all": {"op": InvalidateOp.INVPCID_ALL},
    "MOV CR3": {"op": InvalidateOp.MOV_CR3, "new": 0x5001},
    "MOV CR4.PGE": {"op": InvalidateOp.MOV_CR4, "old": Cr4.PGE},
}


@KINDS
@pytest.mark.parametrize("drop", DROPS)
def test_what_is_dropped_at_any_moment_of_a_walk_ahead_is_not_found_afterwards(kind, drop):
    tables, leaves = mapped(X86_64, VADDR, NEXT)
    bench = PrefetchBench(tables, latency=lambda: LATENCY, **WALKERS[kind])
    bench.registers = replace(bench.registers, cr3=tables.cr3 | 1, cr4=Cr4.PAE | Cr4.PCIDE)

    def prepare(_moment):
        tables.write(leaves[1], frame(NEXT) | PERMISSIVE)

    async def act(ctx, _moment):
        tables.write(leaves[1], 0x7000 | PERMISSIVE)
        await put(ctx, bench.mmu.invalidate, DROPS[drop])
        assert (await bench.read(ctx, NEXT))[0] == 0x7000

    sweep(bench, prepare, act)
    assert 0 < bench.total("fill") < bench.total("start")


@KINDS
def test_nothing_is_walked_for_an_address_space_after_it_was_left(kind):
    """By a MOV to CR3 that drops nothing: the tables may be gone the moment after it."""
    tables, leaves = mapped(X86_64, VADDR, NEXT)
    bench = PrefetchBench(tables, latency=lambda: LATENCY, **WALKERS[kind])
    first = replace(bench.registers, cr3=tables.cr3 | 1, cr4=Cr4.PAE | Cr4.PCIDE)
    bench.registers = first

    waits = []

    async def act(ctx, _moment):
        asked = len(bench.handshakes.words)
        await put(ctx, bench.mmu.invalidate,
                  {"op": InvalidateOp.MOV_CR3, "new": 1 << 63 | tables.cr3 | 2})
        waits.append(len(bench.handshakes.words) - asked - 1)
        bench.control(ctx, replace(first, cr3=tables.cr3 | 2))
        assert not bench.memory.owed[-1]
        done = len(bench.memory.log)
        await bench.settle(ctx)
        assert len(bench.memory.log) == done
        bench.control(ctx, first)

    sweep(bench, lambda _moment: None, act, moments=range(40))
    assert bench.reads().count(leaves[0]) == 40
    assert 0 < bench.reads().count(leaves[1]) < 40
    assert (min(waits), max(waits)) == (0, LATENCY + (2 if kind == "one" else 5))


@MODES
@KINDS
def test_after_a_page_fault_nothing_is_found_by_what_was_walked_ahead_before_it(mode, kind):
    """The fault is of the page itself, its entry not present; it comes after any walk ahead."""
    tables, leaves = mapped(mode, VADDR, NEXT)
    bench = PrefetchBench(tables, latency=lambda: LATENCY, **WALKERS[kind])

    def prepare(_moment):
        tables.write(leaves[1], frame(NEXT) | PERMISSIVE & ~Entry.RW)

    async def act(ctx, _moment):
        assert (await bench.read(ctx, NEXT, kind=AccessKind.WRITE))[0] == 3
        tables.write(leaves[1], 0x7000 | PERMISSIVE)
        assert (await bench.read(ctx, NEXT, port=0))[0] == 0x7000

    sweep(bench, prepare, act)
    assert 0 < bench.total("fill")


@MODES
@KINDS
@pytest.mark.parametrize("access", [AccessKind.READ, AccessKind.WRITE], ids=lambda one: one.name)
def test_a_request_for_the_page_that_is_walked_ahead_walks_by_itself(mode, kind, access):
    """It sets its flags; a walk ahead sets none, and answers nobody."""
    tables, leaves = mapped(mode, VADDR, NEXT)
    bench = PrefetchBench(tables, latency=lambda: LATENCY, **WALKERS[kind])

    def prepare(_moment):
        tables.write(leaves[1], frame(NEXT) | PERMISSIVE & ~(Entry.A | Entry.D))

    async def act(ctx, _moment):
        assert (await bench.read(ctx, NEXT, kind=access))[0] == frame(NEXT)
        flags = Entry.A | (Entry.D if access is AccessKind.WRITE else 0)
        assert tables.read(leaves[1]) & (Entry.A | Entry.D) == flags

    sweep(bench, prepare, act)
    assert bench.events.total("walk_update") >= len(MOMENTS)


@MODES
@KINDS
def test_a_reset_at_any_moment_of_a_walk_ahead_leaves_nothing_of_it(mode, kind):
    tables, leaves = mapped(mode, VADDR, NEXT)
    bench = PrefetchBench(tables, latency=lambda: LATENCY, **WALKERS[kind])

    def prepare(_moment):
        tables.write(leaves[1], frame(NEXT) | PERMISSIVE)

    async def act(ctx, _moment):
        tables.write(leaves[1], 0x7000 | PERMISSIVE)
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        assert (await bench.read(ctx, NEXT))[0] == 0x7000
        assert (await bench.read(ctx, VADDR))[0] == frame(VADDR)

    sweep(bench, prepare, act)


# By what a request to another page may come later than without walks ahead. With one walker it
# waits for the rest of an access to memory, and three cycles from then on until it is walked; with
# several, the most is that the page found is being entered.
LATEST = {"one": LATENCY + 3, "pool": 5}


def delays(mode, kind, held=()):
    """Return by how much a request to another page is answered later, for each moment."""
    tables, _ = mapped(mode, VADDR, NEXT, OTHER)
    cycles = {}
    for prefetch in ("none", "next"):
        bench = PrefetchBench(
            tables, prefetch=prefetch, latency=lambda: LATENCY, **WALKERS[kind])
        found = cycles[prefetch] = []

        async def act(ctx, _moment, bench=bench, found=found):
            paddr, took = await bench.read(ctx, OTHER, port=0)
            assert paddr == frame(OTHER)
            found.append(took)

        sweep(bench, lambda _moment: None, act, moments=range(50), held=held)
    return [ahead - alone for ahead, alone in zip(cycles["next"], cycles["none"], strict=True)]


@MODES
@KINDS
def test_a_request_waits_for_a_walk_ahead_no_longer_than_the_contract_says(mode, kind):
    later = delays(mode, kind)
    assert (min(later), max(later)) == (0, LATEST[kind])


def test_a_request_waits_two_cycles_for_the_array_that_looks_for_a_page():
    later = delays(X86_64, "one", held=[NEXT])
    assert (min(later), max(later)) == (0, 2)


def test_a_walk_ahead_goes_by_the_registers_of_the_request_before_it():
    """CR4.PGE is clear by the time it begins: the page is global by the request, or it is not."""
    for pge in (0, Cr4.PGE):
        tables, _ = mapped(X86_64, VADDR, NEXT, flags=PERMISSIVE | Entry.G)
        bench = PrefetchBench(tables, **WALKERS["one"])
        first = replace(bench.registers, cr4=Cr4.PAE | pge)

        async def testbench(ctx, bench=bench, first=first, pge=pge):
            await bench.ready(ctx)
            bench.control(ctx, first)
            await put(ctx, bench.ports[1].req, access_fields(Access(VADDR)))
            bench.control(ctx, replace(first, cr4=first.cr4 ^ Cr4.PGE, cr0=Cr0.PG))
            await take(ctx, bench.ports[1].rsp)
            await bench.settle(ctx)
            await put(ctx, bench.mmu.invalidate, {"op": InvalidateOp.MOV_CR3, "new": first.cr3})
            walks = bench.events.total("walk_start")
            assert (await bench.read(ctx, NEXT))[0] == frame(NEXT)
            assert bench.events.total("walk_start") - walks == (0 if pge else 1)

        bench.run(testbench)


@KINDS
def test_pages_that_change_all_the_time_are_never_found_older_than_their_invalidation(kind):
    pages = ChangingPages(VADDR, 6)
    bench = PrefetchBench(pages.tables, latency=lambda: LATENCY, **WALKERS[kind])
    bench.registers = pages.control

    async def testbench(ctx):
        await bench.ready(ctx)
        for number in range(150):
            page, other = number * 5 % 6, number * 7 % 5
            response = (await bench.read(ctx, pages.vaddr(page)))[0]
            pages.check(page, {"paddr": response})
            await bench.settle(ctx, number * 11 % 37)
            if number % 4 == 0:
                pages.move_table()
            pages.change(other)
            await put(ctx, bench.mmu.invalidate,
                      {"op": InvalidateOp.INVLPG, "vaddr": pages.vaddr(other)})
            pages.flushed(other, others=False, with_global=True)

    bench.run(testbench)
    assert bench.total("fill") > 10
