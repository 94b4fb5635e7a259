"""Walks that begin below the root, at what the walk cache holds: against the golden walk."""

from itertools import chain, product

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr4, Efer, Entry, ErrorCode, Vector

from .tables import PERMISSIVE, Tables, random_tables
from .walk_cache_reference import SIZES, Prediction
from .walker_bench import (
    VADDR,
    WalkerBench,
    apart,
    assert_result,
    control_of,
    expected_result,
    random_memory,
    random_requests,
    read_of,
    reads,
)

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
UPPER = pytest.mark.parametrize(
    ("mode", "number"), [(X86_64, 0), (X86_64, 1), (X86_64, 2), (IA32, 0)],
    ids=lambda value: getattr(value, "name", value))
READ, WRITE, FETCH = AccessKind
WITHOUT_NXE = Efer.LME | Efer.LMA


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("entries", [1, 3, 8])
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
@pytest.mark.parametrize("seed", range(2))
def test_random_walks_equal_the_golden_walks_and_read_what_is_not_cached(mode, entries, busy, seed):
    """With any registers, PSE and NXE among them, under two PCIDs that share their tables."""
    rng = default_rng(seed)
    tables = random_tables(rng, mode)
    prediction = Prediction(mode, SIZES[mode.name, entries], tables.memory.copy(), 40)
    config = Config(mode=mode, walk_cache=entries)
    requests = [request for pcid in (0, 5, 0, 5)
                for request in random_requests(rng, mode, tables.cr3 | pcid, 30)]
    bench = WalkerBench(config, tables.memory, **random_memory(rng, busy))
    results = bench.walk(requests)
    for result, (port, access, control) in zip(results, requests, strict=True):
        golden = prediction.walk(access, control)
        assert_result(result, expected_result(config, golden, control, port), (access, control))
        if golden.fault and golden.fault.vector is Vector.MC:
            prediction.log.append(bench.memory.log[len(prediction.log)])
            assert prediction.log[-1][1] >> 12 not in prediction.memory
    assert bench.memory.log == prediction.log
    assert (tables.memory.frames == prediction.memory.frames).all()
    assert_events_add_up(bench, prediction.begun)


def assert_events_add_up(bench, begun):
    """``begun`` is the level at which each walk began; none starts over."""
    trace, levels = bench.trace, [level.name.lower() for level in bench.config.mode.levels]
    kinds = [access[0] for access in bench.memory.log]
    assert trace.total("event_start") == trace.total("event_end") == len(begun)
    assert trace.total("event_restart") == 0
    assert trace.total(f"event_read_{levels[0]}") == begun.count(0)
    for number, above in enumerate(levels[:-1], start=1):
        assert trace.total(f"event_hit_{above}") == begun.count(number) > 0
        assert set(trace.cycles(f"event_hit_{above}")) <= set(trace.cycles("event_start"))
    assert sum(trace.total(f"event_read_{level}") for level in levels) == kinds.count("read")
    assert trace.total("event_update") == kinds.count("exchange")


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("latency", [1, 3])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_a_walk_takes_the_latencies_of_the_entries_that_are_not_cached(mode, latency, clean):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW if clean else PERMISSIVE
    # Addresses that share with the first the entries above each level, the lowest first.
    vaddrs = [VADDR, *(apart(mode, number) for number in reversed(range(len(mode.levels))))]
    paths = [tables.map(vaddr, 0x7000, flags, upper=flags) for vaddr in vaddrs]
    bench = WalkerBench(Config(mode=mode), tables.memory, latency=lambda: latency)
    bench.walk([(0, Access(vaddr, WRITE), control_of(tables)) for vaddr in vaddrs])
    read = [paths[0], *(path[-number:] for number, path in enumerate(paths[1:], start=1))]
    assert reads(bench) == [*chain(*read)]
    asked, answered = bench.trace.cycles("event_start"), bench.trace.cycles("answer")
    each = 2 * latency if clean else latency
    assert [end - start for start, end in zip(asked, answered, strict=True)] == [
        each * len(entries) + 1 for entries in read]
    assert asked == bench.trace.cycles("asked")
    assert bench.trace.total("event_start") == len(vaddrs)
    names = [level.name.lower() for level in mode.levels]
    assert [bench.trace.total(f"event_hit_{name}") for name in names[:-1]] == [1] * (len(names) - 1)
    assert bench.trace.total(f"event_read_{names[0]}") == 2


RIGHTS = pytest.mark.parametrize(("mode", "number", "right"), [
    *product([X86_64], range(3), (Entry.RW, Entry.US, Entry.XD)),
    *product([IA32], [0], (Entry.RW, Entry.US)),
], ids=lambda value: getattr(value, "name", f"{value:x}" if isinstance(value, int) else None))


def assert_walks_are_golden(bench, tables, vaddrs):
    requests = [(0, Access(vaddr, kind, user=user), control_of(tables)) for vaddr in vaddrs
                for kind in (WRITE, FETCH) for user in (False, True)]
    for result, (_, access, registers) in zip(bench.walk(requests), requests, strict=True):
        golden = walk(tables.memory, tables.mode, registers, access)
        assert_result(result, expected_result(bench.config, golden, registers), access)


@pytest.mark.slow
@RIGHTS
def test_two_ways_to_one_table_keep_rights_of_their_own(mode, number, right):
    tables = Tables(mode)
    one_way = tables.map(VADDR, 0x7000)[number]
    beside = apart(mode, number)
    other_way = tables.entry_address(one_way & -0x1000, mode.levels[number], beside)
    tables.write(other_way, tables.read(one_way) ^ right)
    bench = WalkerBench(Config(mode=mode), tables.memory)
    assert_walks_are_golden(bench, tables, [VADDR, beside, VADDR, beside])
    assert reads(bench).count(one_way) == reads(bench).count(other_way) == 1


@pytest.mark.slow
@RIGHTS
def test_rights_are_combined_over_the_entries_cached_and_read(mode, number, right):
    """One upper entry takes a right away, and the others do not give it back."""
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000)
    tables.write(path[number], tables.read(path[number]) ^ right)
    # Those that share this entry begin at each level below it.
    vaddrs = [VADDR, *(apart(mode, level) for level in range(number + 1, len(mode.levels))), VADDR]
    for vaddr in vaddrs:
        tables.map(vaddr, 0x7000)
    bench = WalkerBench(Config(mode=mode), tables.memory)
    assert_walks_are_golden(bench, tables, vaddrs)
    assert reads(bench).count(path[number]) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "number", "flaw"), [
    *((X86_64, number, flaw) for number in range(3) for flaw in (Entry.P, 1 << 51)),
    (IA32, 0, Entry.P)], ids=lambda value: getattr(value, "name", str(value)))
def test_an_entry_that_is_absent_or_reserved_is_not_cached(mode, number, flaw):
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000)
    tables.write(path[number], tables.read(path[number]) ^ flaw)

    def mend(access):
        """Put right what the first walk finds, before the second reads it again."""
        met.append(access)
        if met.count(("read", path[number])) == 2:
            tables.write(path[number], tables.read(path[number]) ^ flaw)

    met = []
    bench = WalkerBench(Config(mode=mode), tables.memory, before=mend)
    results = bench.walk([read_of(tables)] * 3)
    assert [result["fault"] for result in results] == [1, 0, 0]
    # The second walk begins at the entry that was no good before, the third at the last.
    assert reads(bench) == [*path[:number + 1], *path[number:], path[-1]]


@pytest.mark.slow
@UPPER
def test_an_entry_is_not_cached_before_its_accessed_flag_is_set(mode, number):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW
    path = tables.map(VADDR, 0x7000, flags, upper=flags)
    broken = {("exchange", path[number])}

    def refuse_once(access):
        if access[:2] in broken:
            broken.clear()
            raise BusError(access[1])

    bench = WalkerBench(Config(mode=mode), tables.memory, before=refuse_once)
    results = bench.walk([read_of(tables)] * 2)
    assert [result["fault"] for result in results] == [1, 0]
    assert reads(bench) == [*path[:number + 1], *path[number:]]
    assert all(tables.read(entry) & Entry.A for entry in path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "exchange"])
@UPPER
def test_after_a_bus_error_the_tables_on_the_way_to_it_are_cached(mode, number, kind):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW
    path = tables.map(VADDR, 0x7000, flags, upper=flags)
    broken = {(kind, path[number + 1])}

    def refuse_once(access):
        if access[:2] in broken:
            broken.clear()
            raise BusError(access[1])

    bench = WalkerBench(Config(mode=mode), tables.memory, before=refuse_once)
    results = bench.walk([read_of(tables)] * 2)
    assert [result["vector"] for result in results if result["fault"]] == [Vector.MC]
    assert reads(bench) == [*path[:number + 2], *path[number + 1:]]


@pytest.mark.parametrize(("mode", "page"), [(X86_64, 1), (X86_64, 2), (IA32, 1)],
                         ids=lambda value: getattr(value, "name", value))
def test_a_large_page_is_no_table(mode, page):
    tables = Tables(mode)
    path = tables.map(VADDR, 0, page=page)
    bench = WalkerBench(Config(mode=mode), tables.memory)
    results = bench.walk([read_of(tables)] * 3)
    assert all(result["translation"]["page"] == page for result in results)
    assert reads(bench) == [*path, path[-1], path[-1]]


def test_a_32_bit_pde_that_pse_gives_another_meaning_is_not_cached():
    tables = Tables(IA32)
    pde, _ = tables.map(VADDR, 0x7000)
    table = 0x40_0000  # without a bit that is reserved in a large page
    tables.memory.add([table >> 12])
    tables.write(pde, table | PERMISSIVE | Entry.PS)
    tables.write(tables.entry_address(table, IA32.levels[1], VADDR), 0x7000 | PERMISSIVE)
    bench = WalkerBench(Config(mode=IA32), tables.memory)
    off, on = (read_of(tables, cr4=cr4) for cr4 in (0, Cr4.PSE))
    results = bench.walk([off, off, on, off])
    assert [result["translation"]["page"] for result in results] == [0, 0, 1, 0]
    assert reads(bench).count(pde) == 4


@MODES
def test_a_walk_that_starts_over_begins_at_the_root_and_caches_what_it_finds(mode):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000)
    beside = apart(mode, len(mode.levels) - 1)
    path = tables.map(beside, 0x8000, Entry.P | Entry.RW)
    changed = []

    def another_agent(access):
        """Change all entries on the way but the first, and point to a new table."""
        if access[0] == "exchange" and not changed:
            table = tables.new_table()
            tables.write(path[-2], table | PERMISSIVE & ~Entry.RW)
            for vaddr, frame in ((VADDR, 0x9000), (beside, 0xA000)):
                tables.write(tables.entry_address(table, mode.levels[-1], vaddr),
                             frame | PERMISSIVE)
            tables.write(path[-1], 0)
            changed.append(table)

    bench = WalkerBench(Config(mode=mode), tables.memory, before=another_agent)
    results = bench.walk([read_of(tables), read_of(tables, beside), read_of(tables)])
    assert [result["translation"]["frame"] for result in results] == [7, 0xA, 9]
    assert not results[2]["translation"]["rights"]["writable"]
    new = tables.entry_address(changed[0], mode.levels[-1], beside)
    second = bench.memory.log[len(path):-1]
    assert [access[:2] for access in second] == [
        ("read", path[-1]), ("exchange", path[-1]), *(("read", entry) for entry in path[:-1]),
        ("read", new)]
    lowest = mode.levels[-2].name.lower()
    assert bench.trace.total("event_restart") == 1
    assert bench.trace.total(f"event_hit_{lowest}") == 2
    root = bench.trace.total(f"event_read_{mode.levels[0].name.lower()}")
    assert bench.trace.total("event_start") == 3 == root + 2 - 1  # from the root, hits, restarts


def test_without_nxe_a_walk_begins_above_an_entry_with_xd_and_finds_it_reserved():
    tables = Tables(X86_64)
    path = tables.map(VADDR, 0x7000)
    tables.write(path[1], tables.read(path[1]) | Entry.XD)
    bench = WalkerBench(Config(), tables.memory)
    results = bench.walk([
        read_of(tables), read_of(tables, efer=WITHOUT_NXE), read_of(tables)])
    assert [one["error_code"] * one["fault"] for one in results] == [
        0, ErrorCode.P | ErrorCode.RSVD, 0]
    assert reads(bench) == [*path, path[1], path[-1]]
    assert results[2]["translation"]["rights"]["execute_disable"]


@pytest.mark.slow
@MODES
def test_the_first_access_of_a_walk_from_the_cache_waits_as_any_other(mode):
    """Back-pressure, while what the walk is for has to be remembered."""
    tables = Tables(mode)
    tables.map(VADDR, 0x7000)
    pattern = iter(([False] * 4 + [True]) * 100)
    bench = WalkerBench(Config(mode=mode), tables.memory, ready=lambda: next(pattern))
    results = bench.walk([read_of(tables)] * 3)
    assert [one["translation"]["frame"] for one in results] == [7] * 3
    assert len(reads(bench)) == len(mode.levels) + 2
