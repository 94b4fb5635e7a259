"""A request port with a walker made of the golden walk."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Entry, ErrorCode, Vector

from .bench import put, take
from .golden import access_fields, control_fields, response_fields
from .port_bench import PORT, VADDR, PortBench, one_page
from .tables import (
    PERMISSIVE,
    Tables,
    bits,
    random_access,
    random_control,
    random_tables,
    random_vaddr,
)

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
READ, WRITE, FETCH = AccessKind


def assert_answers_equal_the_golden_walks(bench, requests, golden_memory, results):
    for number, (result, (access, control)) in enumerate(zip(results, requests, strict=True)):
        walked = walk(golden_memory, bench.config.mode, control, access)
        assert result == response_fields(bench.config, walked, number & 0xF), (access, control)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
@pytest.mark.parametrize("seed", range(2))
def test_random_accesses_are_answered_as_by_the_golden_walk(mode, busy, seed):
    rng = default_rng(seed)
    tables = random_tables(rng, mode)
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(12)]
    vaddrs += [1 << 47, 0x7FFF_FFFF_FFFF] if mode is X86_64 else []
    requests = [(random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))] ^ bits(rng, 12)),
                 random_control(rng, mode, tables.cr3, lasting=lasting)) for _ in range(150)]
    golden_memory = tables.memory.copy()
    bench = PortBench(tables, delay=lambda: int(rng.integers(1, 5)) if busy else 1)
    results = bench.answers(
        requests, pause=lambda: int(rng.integers(4)) if busy else 0,
        noise=lambda count: bits(rng, count))
    assert_answers_equal_the_golden_walks(bench, requests, golden_memory, results)
    assert (tables.memory.frames == golden_memory.frames).all()
    assert len(bench.walks) < len(requests)  # some hit
    events = bench.events
    hits = sum(events.total(name) for name in events.names if name.startswith("hit_"))
    assert hits + len(bench.walks) == hits + events.total("miss") == events.total("lookup")
    assert events.total("fault") == sum(result["fault"] for result in results)
    accepted = bench.trace.cycles("req_valid", "req_ready")
    assert sorted(events.cycles("stall") + accepted) == bench.trace.cycles("req_valid")


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "page", "name"), [
    (X86_64, 0, "hit_4k"), (X86_64, 1, "hit_2m"), (X86_64, 2, "hit_1g"),
    (IA32, 0, "hit_4k"), (IA32, 1, "hit_4m")])
def test_hits_are_accepted_in_every_cycle_and_answered_in_the_next(mode, page, name):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000 if page == 0 else 0xC000_0000, page=page)
    bench = PortBench(tables)
    kinds = [AccessKind(number % 3) for number in range(20)]
    requests = [(Access(VADDR + number, kind), Control(tables.cr3))
                for number, kind in enumerate(kinds)]
    results = bench.answers(requests)
    accepted = bench.trace.cycles("req_valid", "req_ready")
    answered = bench.trace.cycles("rsp_valid", "rsp_ready")
    assert not any(result["fault"] for result in results)
    assert len(bench.walks) == 1
    assert accepted[1:] == list(range(accepted[1], accepted[1] + 19))
    assert answered[1:] == [cycle + 1 for cycle in accepted[1:]]
    assert bench.events.cycles(name) == answered[1:]


@pytest.mark.parametrize("delay", [1, 2, 7])
def test_a_miss_asks_in_the_next_cycle_and_is_answered_with_the_walk(delay):
    tables = Tables(X86_64)
    for number in range(3):
        tables.map(VADDR + 0x1000 * number, 0x7000)
    bench = PortBench(tables, delay=lambda: delay)
    bench.answers([(Access(VADDR + 0x1000 * number), Control(tables.cr3)) for number in range(3)])
    trace = bench.trace
    accepted, answered = (trace.cycles(f"{name}_valid", f"{name}_ready") for name in ("req", "rsp"))
    offered = trace.cycles("walk_req_valid")
    asked = [cycle for cycle in offered if cycle - 1 not in offered]
    assert asked == [cycle + 1 for cycle in accepted]
    assert trace.cycles("rsp_valid") == trace.cycles("walk_rsp_valid") == answered
    # The page is entered in the cycle between.
    assert accepted[1:] == [cycle + 2 for cycle in answered[:-1]]


def test_a_walk_request_names_the_port_and_holds_access_and_control_of_its_request():
    tables = one_page()
    rng = default_rng(5)
    access = Access(VADDR, WRITE, user=True, ac=True)
    control = Control(tables.cr3, cr4=Cr4.PAE | Cr4.PGE | Cr4.SMAP, pkru=0x1234_5670)
    bench = PortBench(tables, delay=lambda: 4)
    bench.answers([(access, control)], noise=lambda count: bits(rng, count))
    assert bench.walker.requests == [{"port": PORT, "miss": 0, "access": access_fields(access),
                                      "control": control_fields(bench.config, control)}]


def test_a_fault_of_a_walk_is_answered_and_enters_nothing():
    tables = one_page(flags=PERMISSIVE & ~Entry.P)
    bench = PortBench(tables)
    results = bench.answers([(Access(VADDR, WRITE), Control(tables.cr3))] * 3)
    assert [(result["vector"], result["error_code"], result["vaddr"]) for result in results] == [
        (Vector.PF, ErrorCode.WR, VADDR)] * 3
    assert len(bench.walks) == 3


def test_a_machine_check_is_answered_and_enters_nothing():
    bench = PortBench(Tables(X86_64))
    results = bench.answers([(Access(VADDR), Control(0xDEAD_0000))] * 2)
    assert [(result["vector"], result["error_code"]) for result in results] == [(Vector.MC, 0)] * 2
    assert len(bench.walks) == 2


@MODES
def test_a_write_to_a_clean_page_walks_once_and_then_hits(mode):
    tables = one_page(mode, PERMISSIVE & ~Entry.D)
    read, write = Access(VADDR), Access(VADDR, WRITE)
    bench = PortBench(tables)
    bench.answers([(access, Control(tables.cr3)) for access in (read, read, write, write, read)])
    assert bench.walks == [read, write]


@pytest.mark.slow
@pytest.mark.parametrize("vaddr", [0x0000_8000_0000_0000, 0xFFFF_7FFF_FFFF_FFFF,
                                   0x0001_0000_0000_0000, 0x8000_0000_0000_0000])
def test_an_address_that_is_not_canonical_faults_in_the_next_cycle_without_a_walk(vaddr):
    tables = Tables(X86_64)
    bench = PortBench(tables)
    requests = [(Access(vaddr, kind, stack=stack), Control(tables.cr3))
                for kind in AccessKind for stack in (False, True)]
    results = bench.answers(requests)
    assert_answers_equal_the_golden_walks(bench, requests, tables.memory, results)
    assert [result["vector"] for result in results] == [Vector.GP, Vector.SS] * 3
    assert bench.walks == []
    assert bench.events.total("lookup") == 0
    accepted = bench.trace.cycles("req_valid", "req_ready")
    assert bench.trace.cycles("rsp_valid") == [cycle + 1 for cycle in accepted]
    # Nothing is accepted in the cycle in which a fault is answered.
    assert accepted == list(range(0, 2 * len(requests), 2))


@pytest.mark.parametrize("vaddr", [0x0000_7FFF_FFFF_FFFF, 0xFFFF_8000_0000_0000, 2**64 - 1])
def test_the_last_canonical_addresses_are_walked(vaddr):
    tables = Tables(X86_64)
    tables.map(vaddr, 0x7000)
    result, = PortBench(tables).answers([(Access(vaddr), Control(tables.cr3))])
    assert (result["fault"], result["paddr"]) == (0, 0x7000 | vaddr & 0xFFF)


@MODES
def test_without_paging_addresses_are_physical_and_32_bits_wide(mode):
    vaddrs = [0, VADDR, 0xFFFF_FFFF]
    vaddrs += [0x8000_1234_5678_9ABC] if mode is X86_64 else []
    bench = PortBench(Tables(mode))
    requests = [(Access(vaddr, kind, user=True), Control(0, cr0=Cr0.WP))
                for vaddr in vaddrs for kind in AccessKind]
    results = bench.answers(requests)
    assert_answers_equal_the_golden_walks(bench, requests, None, results)
    assert [result["paddr"] for result in results[::3]] == [vaddr % 2**32 for vaddr in vaddrs]
    assert bench.walks == []
    assert bench.trace.cycles("req_valid") == list(range(len(requests)))


@pytest.mark.slow
@pytest.mark.parametrize("entries", [1, 3, 4])
def test_a_port_holds_as_many_pages_as_it_has_entries(entries):
    tables = Tables(X86_64)
    vaddrs = [VADDR + 0x1000 * number for number in range(entries + 1)]
    for vaddr in vaddrs:
        tables.map(vaddr, 0x7000)
    bench = PortBench(tables, entries=entries)
    rounds = vaddrs[:-1] * 3 + vaddrs[-1:] + vaddrs[:-1]
    bench.answers([(Access(vaddr), Control(tables.cr3)) for vaddr in rounds])
    # First in, first out: after one page too many each access finds its page just replaced.
    assert [access.vaddr for access in bench.walks] == [*vaddrs, *vaddrs[:-1]]


def test_a_hit_counts_as_a_use_of_its_entry():
    tables = Tables(X86_64)
    first, second, third = vaddrs = [VADDR + 0x1000 * number for number in range(3)]
    for vaddr in vaddrs:
        tables.map(vaddr, 0x7000)
    bench = PortBench(tables, entries=2, policy="lru")
    accesses = [Access(vaddr) for vaddr in (first, second, first, third, first)]
    bench.answers([(access, Control(tables.cr3)) for access in accesses])
    assert [access.vaddr for access in bench.walks] == [first, second, third]


def test_a_page_that_becomes_dirty_stays_in_its_entry_and_displaces_no_other():
    tables = Tables(X86_64)
    first, second = VADDR, VADDR + 0x1000
    for vaddr in (first, second):
        tables.map(vaddr, 0x7000, PERMISSIVE & ~Entry.D)
    bench = PortBench(tables, entries=2)
    accesses = [Access(first), Access(second), Access(second, WRITE), Access(first), Access(second)]
    bench.answers([(access, Control(tables.cr3)) for access in accesses])
    assert bench.walks == accesses[:3]


def test_a_large_page_replaces_the_small_ones_that_it_covers():
    tables = one_page()
    tables.map(0x7000_0000, 0x6000)
    small = Control(tables.cr3)
    tables.cr3 = tables.new_table()
    tables.map(VADDR, 0x4000_0000, page=1)
    large = Control(tables.cr3)  # as if software had changed the tables and not told the MMU
    bench = PortBench(tables)
    *_, result = bench.answers([(Access(0x7000_0000), small), (Access(VADDR), small),
                                (Access(VADDR + 0x1000), large), (Access(VADDR), large)])
    assert (result["page"], result["paddr"]) == (1, 0x4000_0000 | VADDR & 0x1F_FFFF)
    assert len(bench.walks) == 3


def test_an_entry_is_of_the_pcid_of_its_request_whatever_control_says_later():
    tables = one_page()
    first, tables.cr3 = tables.cr3, tables.new_table()
    tables.map(VADDR, 0x8000)
    requests = [(Access(VADDR), Control(cr3, cr4=Cr4.PAE | Cr4.PCIDE))
                for cr3 in (first | 1, tables.cr3 | 2)] * 2
    bench = PortBench(tables, delay=lambda: 3)
    assert [result["paddr"] >> 12 for result in bench.answers(requests)] == [7, 8, 7, 8]
    assert len(bench.walks) == 2


def test_pause_stops_requests_but_not_answers_and_idle_says_when_there_are_none():
    tables = one_page()
    bench = PortBench(tables, delay=lambda: 5)
    dut = bench.dut

    async def testbench(ctx):
        ctx.set(dut.control, control_fields(bench.config, Control(tables.cr3)))
        assert ctx.get(dut.idle)
        await put(ctx, dut.requests.req, access_fields(Access(VADDR)))
        ctx.set(dut.pause, 1)
        ctx.set(dut.requests.req.valid, 1)
        while True:
            assert not ctx.get(dut.requests.req.ready)
            assert not ctx.get(dut.idle)
            if ctx.get(dut.requests.rsp.valid):
                break
            await ctx.tick()
        assert not (await take(ctx, dut.requests.rsp))["fault"]
        for _ in range(3):
            assert ctx.get(dut.idle)
            assert not ctx.get(dut.requests.req.ready)
            await ctx.tick()
        ctx.set(dut.pause, 0)
        assert ctx.get(dut.requests.req.ready)

    bench.run(testbench)


@pytest.mark.parametrize(("drop", "walks"), [
    ({"by_address": 1, "vpn": VADDR >> 12}, 2), ({"by_address": 1, "vpn": 1 + (VADDR >> 12)}, 1),
    ({"by_pcid": 1, "pcid": 0x123}, 2), ({"by_pcid": 1, "pcid": 0x122}, 1), ({}, 2)])
def test_a_drop_takes_the_entries_it_names(drop, walks):
    tables = one_page()
    bench = PortBench(tables)
    dut = bench.dut

    async def testbench(ctx):
        control = Control(tables.cr3 | 0x123, cr4=Cr4.PAE | Cr4.PCIDE)
        for _ in range(2):
            ctx.set(dut.control, control_fields(bench.config, control))
            await put(ctx, dut.requests.req, access_fields(Access(VADDR)))
            await take(ctx, dut.requests.rsp)
            await bench.drop(ctx, drop)

    bench.run(testbench)
    assert len(bench.walks) == walks
