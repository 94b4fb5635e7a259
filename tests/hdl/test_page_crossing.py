"""Accesses that cross a page: both pages against the golden walks, cycle by cycle, and alone."""

from dataclasses import replace

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.crossing import second_vaddr, walk_pages
from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.walk import Access, Control
from pagewalk.model.x86 import IA32, LA57, X86_64, AccessKind, Cr0, Entry, Purpose, Vector

from .golden import sized_response_fields
from .mmu_bench import MmuBench, Requester, changing_control
from .tables import PERMISSIVE, Tables, random_access, random_control, random_tables, random_vaddr

MODES = pytest.mark.parametrize("mode", [X86_64, IA32, LA57], ids=lambda mode: mode.name)
TWO_MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
GEOMETRIES = {
    "plain": {}, "sets": {"ways": 2, "entries": 8, "hit_latency": 2},
    "no latency": {"hit_latency": 0, "rights": True}, "l2": {"l2_entries": 16},
    "misses": {"misses": 2, "hit_latency": 0}, "two misses": {"misses": 2, "hit_latency": 2},
    "by tag": {"misses": 4, "order": "tag", "walkers": 3},
    "probes": {"probes": True, "rights": True, "walkers": 2, "misses": 3},
    "success": {"accessed": "success", "memory_response": "registered"},
    "fault": {"ad": "fault", "walk_stages": 2, "cancel": True}}
# The cycles that the lookup of a second page adds to an access that hits.
SECONDS = {"plain": 1, "no latency": 1, "latency": 3, "misses": 1, "misses, latency": 2,
           "misses, two": 3}
HITS = {"plain": {}, "no latency": {"hit_latency": 0}, "latency": {"hit_latency": 2},
        "misses": {"misses": 2, "hit_latency": 0}, "misses, latency": {"cancel": True},
        "misses, two": {"misses": 2, "hit_latency": 2, "order": "tag"}}
VADDR = 0x1234_5FFC
READ, WRITE, FETCH = AccessKind
CLEAN = Entry.P | Entry.RW | Entry.US


def bench_of(tables, geometry="plain", **memory):
    parameters = GEOMETRIES | HITS
    return MmuBench(tables, parameters={
        "access_bytes": 64, "walk_cache": 2, **parameters[geometry]}, **memory)


def sized(rng, access):
    """Return ``access`` with a size, and as a rule moved to the end of its page."""
    vaddr = access.vaddr
    if rng.random() < 0.8:
        vaddr = vaddr & -0x1000 | 0x1000 - int(rng.integers(1, 80))
    return replace(access, vaddr=vaddr, size=int(rng.integers(1, 65)))


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_random_accesses_are_answered_as_by_the_golden_walks(mode, geometry):
    rng = default_rng([len(mode.levels), len(geometry)])
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    bench = bench_of(tables, geometry)
    flags = FlagRules(bench.config.accessed, bench.config.ad)
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(6)]
    purposes = 3 if bench.config.probes else 1
    met = {"both": 0, "first": 0, "second": 0}

    async def testbench(ctx):
        for _ in range(120):
            control = random_control(rng, mode, tables.cr3, lasting=lasting)
            access = sized(rng, random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))]))
            access = replace(access, purpose=Purpose(int(rng.integers(purposes))))
            response, _ = await bench.access(ctx, control, access, int(rng.integers(2)))
            golden = walk_pages(golden_memory, mode, control, access, flags=flags)
            expected = sized_response_fields(bench.config, golden)
            assert response == expected, (access, control)
            assert (tables.memory.frames == golden_memory.frames).all(), (access, control)
            if second_vaddr(mode, control, access) is not None:
                which = "both" if not golden.fault else "second" if golden.second else "first"
                met[which] += 1

    bench.run(testbench)
    assert met["first"]
    assert met["second"] or met["both"]


@pytest.mark.slow
@TWO_MODES
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_ports_in_parallel_are_answered_by_the_registers_of_the_acceptance(mode, geometry):
    """The registers change in each cycle, answers are taken late, and memory is slow."""
    rng = default_rng([len(mode.levels), len(geometry), 1])
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    lasting = random_control(rng, mode, tables.cr3)
    controls = [random_control(rng, mode, tables.cr3, lasting=lasting) for _ in range(20)]
    vaddrs = [random_vaddr(rng, mode) for _ in range(5)]
    bench = bench_of(tables, geometry, latency=lambda: int(rng.integers(1, 5)),
                     ready=lambda: rng.random() < 0.7)
    flags = FlagRules(bench.config.accessed, bench.config.ad)
    requesters = [Requester(port, [
        sized(rng, random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))]))
        for _ in range(60)], lambda: int(rng.integers(3))) for port in bench.ports]
    bench.run(*(one.ask for one in requesters), *(one.collect for one in requesters),
              background=[changing_control(bench, requesters, rng, controls)])
    crossed = 0
    for one in requesters:
        asked = [*zip(one.accesses, one.controls, strict=True)]
        walks = [walk_pages(golden_memory, mode, control, access, flags=flags)
                 for access, control in asked]
        expected = [sized_response_fields(bench.config, both, number & 0xF)
                    for number, both in enumerate(walks)]
        for response in one.results + expected if bench.config.rights else ():
            response["dirty"] = response["second"]["dirty"] = 0  # the other port may write
        in_order = bench.config.order == "request"
        assert one.results == expected if in_order else (
            sorted(map(str, one.results)) == sorted(map(str, expected)))
        crossed += sum(second_vaddr(mode, control, access) is not None
                       for access, control in asked)
    assert crossed > 20
    # A flag that one access sets and another faults for comes out the same in any order.
    assert (tables.memory.frames == golden_memory.frames).all() or flags.at_the_end


def two_pages(mode, first=PERMISSIVE, second=PERMISSIVE):
    """Return tables that map two pages, with ``leaves``, the addresses of their last entries."""
    tables = Tables(mode)
    tables.leaves = [tables.map(VADDR + offset, paddr, flags, upper=CLEAN)[-1]
                     for offset, paddr, flags in ((0, 0x7000, first), (0x1000, 0x3000, second))]
    return tables


def timed(geometry, *accesses, latency=1, tables=None):
    """Return for each of some accesses, asked at once and again, the cycles to its answer.

    The first round fills the TLB, the cycles are those of the second one.
    """
    bench = bench_of(tables or two_pages(X86_64), geometry, latency=lambda: latency)
    control, port = Control(bench.tables.cr3), bench.ports[1]
    first, again = (Requester(port, [*accesses], lambda: 0) for _ in range(2))
    start = []

    async def ask(ctx):
        bench.control(ctx, control)
        await first.ask(ctx)
        while len(first.results) < len(accesses):
            await ctx.tick()
        await ctx.tick()
        start.append(len(bench.handshakes.words))
        await again.ask(ctx)

    async def collect(ctx):
        await first.collect(ctx)
        await again.collect(ctx)

    bench.run(ask, collect)
    asked = [cycle for cycle in bench.handshakes.cycles("data_req_valid", "data_req_ready")
             if cycle >= start[0]]
    answered = [cycle for cycle in bench.handshakes.cycles("data_rsp_valid", "data_rsp_ready")
                if cycle >= start[0]]
    assert sorted(map(str, first.results)) == sorted(map(str, again.results))
    return again.results, [*zip((cycle - asked[0] for cycle in asked),
                                (cycle - asked[0] for cycle in answered), strict=True)]


@pytest.mark.parametrize("geometry", HITS)
def test_an_access_that_crosses_nothing_loses_no_cycle(geometry):
    """It may end with the last byte of its page, and be as large as there are."""
    accesses = [Access(VADDR, size=4), Access(VADDR & -0x1000, size=64), Access(VADDR | 3, size=1)]
    results, cycles = timed(geometry, *accesses)
    hit = (HITS | GEOMETRIES)[geometry].get("hit_latency", 1)
    assert cycles == [(number, number + hit) for number in range(3)]
    assert [result["second"]["paddr"] for result in results] == [0, 0, 0]


@pytest.mark.parametrize("geometry", HITS)
def test_the_second_page_costs_one_lookup_and_the_next_request_follows(geometry):
    results, cycles = timed(geometry, Access(VADDR, size=5), Access(VADDR, size=4))
    hit = HITS[geometry].get("hit_latency", 1)
    more = SECONDS[geometry]
    # Two cycles of the second lookup are the first's, where the answer to that is waited for.
    assert cycles == [(0, hit + more), (more + 1, hit + more + 1)]
    assert [(result["paddr"], result["second"]["paddr"]) for result in results] == [
        (0x7FFC, 0x3000), (0x7FFC, 0)]


@TWO_MODES
@pytest.mark.parametrize("latency", [1, 4])
def test_two_misses_take_the_time_of_two(mode, latency):
    bench = bench_of(two_pages(mode), latency=lambda: latency)

    async def testbench(ctx):
        await bench.access(ctx, Control(bench.tables.cr3), Access(VADDR, size=8), 1)

    bench.run(testbench)
    asked, = bench.handshakes.cycles("data_req_valid", "data_req_ready")
    answered, = bench.handshakes.cycles("data_rsp_valid")
    walks = [2 + len(mode.levels) * latency * 2 - latency, 2 + latency]
    # A is set in each entry above the leaves, the walk cache holds them for the second page.
    # The second lookup comes after the cycle in which the first page is entered.
    assert answered - asked == sum(walks) + 2


@TWO_MODES
@pytest.mark.parametrize("geometry", ["plain", "sets", "misses", "by tag", "no latency"])
@pytest.mark.parametrize("bad", ["first", "second", "both"])
def test_the_first_page_is_judged_first_and_cr2_is_that_of_the_page_that_faults(
        mode, geometry, bad):
    denied = CLEAN & ~Entry.RW
    tables = two_pages(mode, CLEAN if bad == "second" else denied,
                       CLEAN if bad == "first" else denied)
    bench = bench_of(tables, geometry)
    responses = []

    async def testbench(ctx):
        access = Access(VADDR, WRITE, user=True, size=16)
        responses.append((await bench.access(ctx, Control(tables.cr3), access, 1))[0])

    bench.run(testbench)
    response, = responses
    assert (response["fault"], response["vector"], response["error_code"]) == (1, Vector.PF, 7)
    assert response["vaddr"] == (VADDR + 4 if bad == "second" else VADDR)
    assert (response["paddr"], response["second"]["paddr"]) == (0, 0)
    leaves = [tables.read(leaf) & (Entry.A | Entry.D) for leaf in tables.leaves]
    assert leaves == [Entry.A | Entry.D if bad == "second" else 0, 0]
    assert bench.events.total("data_fault") == 1


TOP = {X86_64: 0x7FFF_FFFF_F000, LA57: 0xFF_FFFF_FFFF_F000}


@pytest.mark.parametrize("mode", TOP, ids=lambda mode: mode.name)
@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("geometry", ["plain", "misses", "sets"])
def test_behind_the_lower_half_nothing_is_looked_up_but_that_it_is_not_canonical(
        mode, stack, geometry):
    tables = Tables(mode)
    vaddr = TOP[mode] | 0xFFE
    path = tables.map(vaddr, 0x7000, CLEAN, upper=CLEAN)
    bench = bench_of(tables, geometry)
    seen = []

    async def testbench(ctx):
        control = Control(tables.cr3)
        for size in (4, 2):
            access = Access(vaddr, stack=stack, size=size)
            seen.append((await bench.access(ctx, control, access))[0])
            if size == 4:
                assert not bench.memory.log

    bench.run(testbench)
    refused, fits = seen
    assert (refused["fault"], refused["vector"]) == (1, Vector.SS if stack else Vector.GP)
    assert (refused["error_code"], refused["vaddr"]) == (0, TOP[mode] + 0x1000)
    assert (fits["fault"], fits["paddr"]) == (0, 0x7FFE)
    assert tables.read(path[-1]) & Entry.A


@pytest.mark.parametrize(("mode", "last", "paging"), [
    (X86_64, (1 << 64) - 0x1000, True), (LA57, (1 << 64) - 0x1000, True),
    (IA32, (1 << 32) - 0x1000, True), (IA32, (1 << 32) - 0x1000, False),
    (X86_64, (1 << 32) - 0x1000, False)], ids=lambda value: getattr(value, "name", value))
def test_behind_the_last_address_comes_the_first(mode, last, paging):
    tables = Tables(mode)
    if paging:
        tables.map(last, 0x7000)
        tables.map(0, 0x3000)
    bench = bench_of(tables)
    seen = []

    async def testbench(ctx):
        control = Control(tables.cr3) if paging else Control(0, cr0=0)
        seen.append((await bench.access(ctx, control, Access(last | 0xFFF, FETCH, size=15)))[0])

    bench.run(testbench)
    first = 0x7FFF if paging else last | 0xFFF
    assert (seen[0]["fault"], seen[0]["paddr"]) == (0, first)
    assert seen[0]["second"]["paddr"] == (0x3000 if paging else 0)


def test_without_paging_both_pages_are_the_linear_ones():
    bench = bench_of(Tables(X86_64))
    seen = []

    async def testbench(ctx):
        access = Access(0x1FFE, size=4)
        seen.append((await bench.access(ctx, Control(0, cr0=Cr0.WP), access))[0])

    bench.run(testbench)
    assert (seen[0]["paddr"], seen[0]["second"]["paddr"]) == (0x1FFE, 0x2000)
