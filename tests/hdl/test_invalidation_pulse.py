"""Invalidations by a pulse: they drop what those of the stream drop, and busy tells how long."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.drops import Drops
from pagewalk.model.mmu.register_checks import raises_gp
from pagewalk.model.mmu.walk import Access, Control, is_canonical
from pagewalk.model.x86 import IA32, LA57, X86_64, Cr0, Cr3, Cr4, InvalidateOp

from .bench import Trace, put, take
from .golden import access_fields
from .mmu_bench import ChangingPages, MmuBench, Requester
from .tables import PERMISSIVE, Tables, bits

MODES = pytest.mark.parametrize("mode", [X86_64, IA32, LA57], ids=lambda mode: mode.name)
ADDRESS, CONTEXT, ALL, ALL_NON_GLOBAL, INVLPG, MOV_CR3, MOV_CR4, MOV_CR0 = InvalidateOp
VADDR = 0x1234_5678
PULSE = {"invalidation": "pulse"}
GEOMETRIES = {"plain": {}, "sets": {"ways": 2, "entries": 8}, "l2": {"l2_entries": 16},
              "no latency": {"hit_latency": 0}, "latency": {"hit_latency": 2},
              "misses": {"misses": 4, "order": "tag", "walkers": 2},
              "in order": {"misses": 2, "walk_stages": 2, "memory_response": "registered"}}
BASE = {X86_64: Cr4.PAE, IA32: 0, LA57: Cr4.PAE | Cr4.LA57}


def random_operation(rng, mode):
    """Return registers before an operation, its port, and the registers after it."""
    op = InvalidateOp(int(rng.integers(8)))
    pcide = mode is not IA32 and rng.random() < 0.6
    some = Cr4.PGE | Cr4.PSE | Cr4.SMEP
    cr4 = BASE[mode] | bits(rng, 32) & some | pcide * Cr4.PCIDE
    before = Control(0x1000 | (bits(rng, 12) & 3 if pcide or rng.random() < 0.3 else 0),
                     cr0=Cr0.PG | Cr0.PE, cr4=cr4)
    after, operands = before, {
        "vaddr": bits(rng, 31), "pcid": bits(rng, 2) if pcide or rng.random() < 0.2 else 0}
    if op is MOV_CR3:
        new = 0x2000 | bits(rng, 2) | (pcide and rng.random() < 0.3) * Cr3.NO_FLUSH
        after = Control(new & ~Cr3.NO_FLUSH, cr0=before.cr0, cr4=cr4)
        operands |= {"old": bits(rng, 32), "new": new}
    elif op is MOV_CR4:
        change = bits(rng, 32) & some & bits(rng, 32)
        change |= (mode is not IA32 and rng.random() < 0.3) * Cr4.PCIDE
        after = Control(before.cr3, cr0=before.cr0, cr4=cr4 ^ change)
        operands |= {"old": cr4, "new": cr4 ^ change}
    elif op is MOV_CR0:
        after = Control(before.cr3, cr0=before.cr0 ^ (rng.random() < 0.4) * Cr0.PG, cr4=cr4)
        operands |= {"old": before.cr0, "new": after.cr0}
    return before, op, operands, after


async def carry_out(ctx, bench, op, operands, told):
    """Carry out an operation; append what it drops, None for nothing, and if it was refused."""
    log = [None, 0]

    def note():
        if ctx.get(bench.mmu.dropped.valid):
            drop = bench.mmu.dropped
            fields = {name: ctx.get(drop[name]) for name in drop.shape().members}
            log[0] = {name: value for name, value in fields.items()
                      if name not in ("vpn", "pcid") or fields[f"by_{DROPPED_BY[name]}"]}
        log[1] |= ctx.get(bench.mmu.invalidate_refused)

    operation = {"op": op.value, **operands}
    port = bench.mmu.invalidate
    if bench.pulsed:
        ctx.set(port, operation | {"strobe": 1})
        await ctx.tick()
        # What the registers and the operands are by now does not matter.
        ctx.set(port, {"strobe": 0, "op": ALL.value, "vaddr": 0x5000, "old": 0xFFFF_FFFF})
        bench.control(ctx, Control(0x7FFF, cr4=BASE[bench.config.mode]))
        while ctx.get(bench.mmu.invalidate_busy):
            note()
            await ctx.tick()
    else:
        ctx.set(port.payload, operation)
        ctx.set(port.valid, 1)
        note()
        await ctx.tick()
        ctx.set(port.valid, 0)
        for _ in range(3):
            await ctx.tick()
    told.append(log)


DROPPED_BY = {"vpn": "address", "pcid": "pcid"}


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_pulse_drops_what_the_stream_and_the_golden_rules_drop(mode, when):
    """The registers may be those before the operation or after it, and change at once."""
    rng = default_rng(len(when))
    cases = [random_operation(rng, mode) for _ in range(250)]
    told = {}
    for invalidation in ("pulse", "stream"):
        bench = MmuBench(Tables(mode), entries=1, ports=("data",), parameters={
            "invalidation": invalidation, "dropped": True, "checks": True, "walk_cache": 0})
        told[invalidation] = []

        async def testbench(ctx, bench=bench, told=told[invalidation]):
            for before, op, operands, after in cases:
                bench.control(ctx, after if bench.pulsed and when == "after" else before)
                await carry_out(ctx, bench, op, operands, told)

        bench.run(testbench)
    refused, dropped = 0, 0
    for (before, op, operands, _), *pair in zip(cases, told["pulse"], told["stream"], strict=True):
        assert pair[0] == pair[1], (before, op, operands)
        drop, is_refused = pair[0]
        kind = op.value if op <= ALL_NON_GLOBAL else 0
        assert is_refused == raises_gp(
            mode, before, op, kind=kind, vaddr=operands["vaddr"], descriptor=operands["pcid"],
            old=operands.get("old", 0), new=operands.get("new", 0))
        refused += is_refused
        dropped += drop is not None
        if not is_refused:
            assert_golden_drops(mode, before, op, operands, drop)
    assert refused > 4
    assert dropped > 120


def assert_golden_drops(mode, before, op, operands, drop):
    """Assert that what must go is named: of two pages and four PCIDs, global or not."""
    pcide = mode is not IA32 and bool(before.cr4 & Cr4.PCIDE)
    golden = Drops(mode)
    golden.operation(1, op, operands, pcid=before.cr3 & Cr3.PCID if pcide else 0, pcide=pcide)
    page = mode.pages[0]
    vaddr = operands["vaddr"]
    for other in (vaddr, vaddr ^ 0x1000):
        for pcid in range(4):
            for is_global in (False, True):
                must = golden.last_of_page(pcid, page, other, 2, in_all_pcids=is_global) == 1
                is_named = drop is not None and (
                    not drop["by_address"] or drop["vpn"] == other >> 12) and (
                    drop["globals"] if is_global else
                    not drop["by_pcid"] or drop["pcid"] == pcid)
                assert is_named or not must, (before, op, operands, drop)
    assert is_canonical(mode, vaddr)


def timed(geometry, *, drops=True, waits=0, mode=X86_64):
    """Return the cycles from a strobe in which the ports are busy, and accept the next request.

    ``waits`` says for how many cycles the answer to a request before it is not taken.
    """
    tables = Tables(mode)
    tables.map(VADDR, 0x7000)
    bench = MmuBench(tables, parameters=PULSE | GEOMETRIES[geometry])
    mmu, port = bench.mmu, bench.ports[1]
    trace = Trace(strobe=mmu.invalidate.strobe, busy=mmu.invalidate_busy, flush=mmu.events.flush,
                  accepted=port.req.valid & port.req.ready)
    control = Control(tables.cr3)

    async def testbench(ctx):
        await bench.access(ctx, control, Access(VADDR), 1)  # waits for a reset that takes long
        for _ in range(4):  # the page is entered
            await ctx.tick()
        if waits:
            await put(ctx, port.req, access_fields(Access(VADDR)))
        ctx.set(mmu.invalidate, {"strobe": 1, "op": MOV_CR4.value, "new": drops * Cr4.PGE})
        ctx.set(port.req.valid, 1)
        for cycle in range(60):
            ctx.set(port.rsp.ready, cycle >= waits)
            _, _, accepted = await ctx.tick().sample(port.req.ready)
            ctx.set(mmu.invalidate.strobe, 0)
            if accepted:
                ctx.set(port.req.valid, 0)

    bench.run(testbench, background=[trace])
    start, = trace.cycles("strobe")
    assert trace.cycles("flush") == [start + 1 + waits] * drops
    accepted = [cycle - start for cycle in trace.cycles("accepted") if cycle >= start]
    return [cycle - start for cycle in trace.cycles("busy")], accepted


@pytest.mark.parametrize(("geometry", "at_work"), [
    ("plain", 1), ("no latency", 1), ("latency", 1), ("misses", 1), ("sets", 6)])
@pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
def test_busy_lasts_one_cycle_and_those_of_the_drop_and_then_requests_are_accepted(
        geometry, at_work, mode):
    assert timed(geometry, mode=mode) == ([*range(1, 2 + at_work)], [2 + at_work])


def test_an_operation_that_drops_nothing_is_busy_for_one_cycle():
    assert timed("plain", drops=False) == ([1], [2])


@pytest.mark.parametrize("geometry", ["plain", "misses"])
def test_an_operation_waits_until_the_answers_before_it_are_taken(geometry):
    assert timed(geometry, waits=4) == ([*range(1, 7)], [7])


def test_a_strobe_while_busy_is_ignored_and_the_page_is_still_there():
    tables = Tables(X86_64)
    tables.map(VADDR, 0x7000)
    bench = MmuBench(tables, parameters=PULSE)
    control, flush = Control(tables.cr3), bench.events

    async def testbench(ctx):
        await bench.access(ctx, control, Access(VADDR), 1)
        port = bench.mmu.invalidate
        ctx.set(port, {"strobe": 1, "op": MOV_CR4.value})  # drops nothing
        await ctx.tick()
        assert ctx.get(bench.mmu.invalidate_busy) == 1
        ctx.set(port, {"strobe": 1, "op": ALL.value})
        await ctx.tick()
        ctx.set(port.strobe, 0)
        assert ctx.get(bench.mmu.invalidate_busy) == 0
        assert (await bench.access(ctx, control, Access(VADDR), 1))[1] == 0

    bench.run(testbench)
    assert flush.total("flush") == 0


def test_a_page_fault_that_was_answered_comes_before_an_operation():
    tables = Tables(X86_64)
    tables.map(VADDR, 0x7000, PERMISSIVE)
    bench = MmuBench(tables, parameters=PULSE | {"dropped": True})
    drops, control = [], Control(tables.cr3)

    async def testbench(ctx):
        mmu, port = bench.mmu, bench.ports[1]
        bench.control(ctx, control)
        await put(ctx, port.req, access_fields(Access(0x9000)))
        ctx.set(port.rsp.ready, 1)
        answered = 0
        while not answered:
            _, _, answered = await ctx.tick().sample(port.rsp.valid)
        ctx.set(mmu.invalidate, {"strobe": 1, "op": ALL.value})
        for _ in range(8):
            _, _, drop = await ctx.tick().sample(mmu.dropped)
            ctx.set(mmu.invalidate.strobe, 0)
            if drop.valid:
                drops.append((drop.by_address, drop.vpn * drop.by_address))
        assert ctx.get(mmu.invalidate_busy) == 0

    bench.run(testbench)
    assert drops == [(1, 9), (0, 0)]


def test_a_reset_forgets_the_operation():
    tables = Tables(X86_64)
    tables.map(VADDR, 0x7000)
    bench = MmuBench(tables, parameters=PULSE)

    async def testbench(ctx):
        bench.control(ctx, Control(tables.cr3))
        await put(ctx, bench.ports[0].req, access_fields(Access(VADDR)))
        ctx.set(bench.mmu.invalidate, {"strobe": 1, "op": ALL.value})
        await ctx.tick()
        ctx.set(bench.mmu.invalidate.strobe, 0)
        assert ctx.get(bench.mmu.invalidate_busy) == 1
        ctx.set(bench.reset, 1)
        await ctx.tick()
        ctx.set(bench.reset, 0)
        for _ in range(4):
            assert ctx.get(bench.mmu.invalidate_busy) == 0
            await ctx.tick()

    bench.run(testbench)
    assert bench.events.total("flush") == 0


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_no_answer_after_busy_is_older_than_the_operation(geometry):
    rng, pages = default_rng(len(geometry)), ChangingPages(VADDR, 6)
    bench = MmuBench(pages.tables, parameters=PULSE | GEOMETRIES[geometry],
                     latency=lambda: int(rng.integers(1, 6)))
    left, by_tag = [50, 50], bench.config.order == "tag"
    counts = {"pulses": 0}

    def requester(port):
        asked = [int(number) for number in rng.integers(6, size=left[port])]

        async def collect(ctx):
            for number in asked:
                response = await take(ctx, bench.ports[port].rsp)
                pages.check(response["paddr"] >> 24 if by_tag else number, response)
                left[port] -= 1

        accesses = [Access(pages.vaddr(number)) for number in asked]
        return Requester(bench.ports[port], accesses, lambda: int(rng.integers(2))).ask, collect

    async def software(ctx):
        bench.control(ctx, pages.control)
        while any(left):
            for _ in range(int(rng.integers(20))):
                await ctx.tick()
            number, everything = int(rng.integers(6)), rng.random() < 0.5
            if rng.random() < 0.3:
                pages.move_table()
            pages.change(number)
            await bench.invalidate(ctx, pages.control, ALL if everything else INVLPG,
                                   vaddr=pages.vaddr(number))
            pages.flushed(number, everything, True)
            counts["pulses"] += 1

    bench.run(*requester(0), *requester(1), software)
    assert bench.events.total("flush") == counts["pulses"] > 5


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_a_request_of_the_strobes_cycle_is_judged_by_the_registers_after_the_operation(geometry):
    """A MOV to CR3 that drops nothing: it is not found under the PCID before, which stays."""
    tables = Tables(X86_64)
    tables.map(VADDR, 0x7000)
    bench = MmuBench(tables, parameters=PULSE | GEOMETRIES[geometry])
    cr4 = Cr4.PAE | Cr4.PCIDE
    old, new = Control(tables.cr3 | 1, cr4=cr4), Control(tables.cr3 | 2, cr4=cr4)
    port = bench.ports[1]

    async def testbench(ctx):
        assert (await bench.access(ctx, old, Access(VADDR), 1))[1] == 1
        bench.control(ctx, new)
        ctx.set(port.req.payload, access_fields(Access(VADDR)))
        ctx.set(port.req.valid, 1)
        ctx.set(bench.mmu.invalidate, {"strobe": 1, "op": MOV_CR3.value,
                                       "new": Cr3.NO_FLUSH | new.cr3})
        _, _, accepted = await ctx.tick().sample(port.req.ready)
        assert not accepted
        ctx.set(port.req.valid, 0)
        ctx.set(bench.mmu.invalidate.strobe, 0)
        assert (await bench.access(ctx, new, Access(VADDR), 1))[1] == 1  # not of the old PCID
        assert (await bench.access(ctx, old, Access(VADDR), 1))[1] == 0  # which is still there

    bench.run(testbench)
    assert bench.events.total("flush") == 0
