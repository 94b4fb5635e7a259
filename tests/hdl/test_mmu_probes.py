"""What a request is for: checks and probes, against the golden walk; what they leave as it was."""

from dataclasses import replace

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.flag_rules import FlagRules
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, Purpose, Vector

from .golden import response_fields
from .mmu_bench import MmuBench
from .pool_bench import PoolBench, pool_config
from .tables import PERMISSIVE, Tables, random_access, random_control, random_tables, random_vaddr

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
GEOMETRIES = {"plain": {}, "sets": {"ways": 2, "entries": 8, "hit_latency": 2},
              "misses": {"misses": 2, "hit_latency": 0}, "l2": {"l2_entries": 16},
              "pool": {"walkers": 3, "misses": 2, "order": "tag"},
              "success": {"accessed": "success"}, "fault": {"ad": "fault", "walk_stages": 2}}
A, D, WRITE = Entry.A, Entry.D, AccessKind.WRITE
CLEAN = Entry.P | Entry.RW | Entry.US
VADDR = 0x1234_5678
NOTHING = dict.fromkeys(("paddr", "page", "memory_type", "vector", "error_code", "vaddr"), 0)
QUIET = (Purpose.PROBE, Purpose.LOOKUP)


def bench_of(tables, geometry="plain", **memory):
    return MmuBench(tables, parameters={"probes": True, "walk_cache": 2, **GEOMETRIES[geometry]},
                    **memory)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("seed", range(2))
def test_random_requests_are_answered_as_by_the_golden_walk(mode, geometry, seed):
    rng = default_rng([seed, len(geometry)])
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    bench = bench_of(tables, geometry)
    flags = FlagRules(bench.config.accessed, bench.config.ad)
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(12)]
    found, lookups = 0, 0

    async def testbench(ctx):
        nonlocal found, lookups
        for _ in range(220):
            control = random_control(rng, mode, tables.cr3, lasting=lasting)
            access = replace(random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))]),
                             purpose=Purpose(int(rng.integers(4))))
            response, walks = await bench.access(ctx, control, access, int(rng.integers(2)))
            golden = walk(golden_memory, mode, control, access, flags=flags)
            expected = response_fields(bench.config, golden)
            if access.purpose is Purpose.LOOKUP:
                assert not walks
                lookups += 1
                found += not response["fault"]
                if response["fault"]:
                    expected = {"tag": 0, **NOTHING, "fault": 1}
            assert response == expected, (access, control)
            assert (tables.memory.frames == golden_memory.frames).all()

    bench.run(testbench)
    assert found < lookups
    assert found or geometry == "fault"  # where hardly any walk finds all flags set


def answers(bench, *accesses):
    """Return the responses to accesses through the data port, and whether each was walked."""
    responses = []

    async def testbench(ctx):
        control = Control(bench.tables.cr3)
        responses.extend([await bench.access(ctx, control, access, 1) for access in accesses])

    bench.run(testbench)
    return responses


def asking(purpose, kind=AccessKind.READ):
    return Access(VADDR, kind, user=True, purpose=purpose)


@MODES
@pytest.mark.parametrize("geometry", ["plain", "pool", "success"])
def test_a_probe_finds_the_page_and_changes_and_keeps_nothing(mode, geometry):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000, CLEAN, upper=CLEAN)
    before = tables.memory.frames.copy()
    bench = bench_of(tables, geometry)
    probed, again, looked = answers(bench, *map(asking, (Purpose.PROBE, *QUIET)))
    assert (probed[0]["paddr"], probed[1], again[1]) == (0x7678, 1, 1)
    assert looked == ({"tag": 0, **NOTHING, "fault": 1}, 0)
    assert (tables.memory.frames == before).all()
    reads = [access for access in bench.memory.log if access[0] == "read"]
    assert len(reads) == len(bench.memory.log) == 2 * len(mode.levels)


@MODES
@pytest.mark.parametrize("geometry", ["plain", "pool", "l2"])
def test_what_a_probe_finds_by_entries_with_a_is_kept(mode, geometry):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000, CLEAN | A)
    probed, looked = answers(bench_of(tables, geometry), *map(asking, QUIET))
    assert (probed[0]["paddr"], probed[1]) == (looked[0]["paddr"], 1) == (0x7678, 1)
    assert looked[1] == 0


@MODES
@pytest.mark.parametrize("geometry", ["plain", "pool", "misses"])
def test_a_probe_that_finds_nothing_drops_nothing_and_no_request_waits(mode, geometry):
    """A page fault would drop the walk cache's tables."""
    tables = Tables(mode)
    tables.map(VADDR, 0)
    tables.map(VADDR ^ 0x1000, 0x8000)
    tables.write(tables.map(VADDR, 0)[-1], 0)
    bench = bench_of(tables, geometry)
    kept, probed, other = answers(bench, Access(VADDR ^ 0x1000), asking(Purpose.PROBE),
                                  replace(Access(VADDR ^ 0x1000), kind=WRITE))
    assert (kept[0]["fault"], other) == (0, ({**kept[0]}, 0))
    assert probed[0] == {"tag": 0, **NOTHING, "fault": 1}
    assert bench.events.total("flush") == 0
    assert bench.events.total("data_fault") == 1


@MODES
@pytest.mark.parametrize("geometry", ["plain", "pool", "l2"])
def test_a_check_of_a_write_faults_as_the_write_and_sets_no_dirty_flag(mode, geometry):
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000, CLEAN)
    bench = bench_of(tables, geometry)
    check = asking(Purpose.CHECK, WRITE)
    first, again, written = answers(bench, check, check, asking(Purpose.ACCESS, WRITE))
    assert (first[0]["paddr"], first[1], again[1], written[1]) == (0x7678, 1, 0, 1)
    exchanges = [access[3] ^ access[2] for access in bench.memory.log if access[0] == "exchange"]
    assert exchanges == [A, D]
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000, PERMISSIVE & ~Entry.RW)
    (response, _), = answers(bench_of(tables, geometry), check)
    assert (response["vector"], response["error_code"], response["vaddr"]) == (
        Vector.PF, 7, VADDR)
    assert tables.read(path[-1]) & D


@MODES
@pytest.mark.parametrize("order", ["probe first", "probe last"])
def test_no_walk_is_shared_with_a_probe(mode, order):
    """It would be answered without its flags, or the probe would set them."""
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000, CLEAN, upper=CLEAN)
    control, pair = Control(tables.cr3), [Access(VADDR, purpose=Purpose.PROBE), Access(VADDR)]
    bench = PoolBench(pool_config(mode, 4, probes=True), tables.memory, latency=lambda: 9)
    if order == "probe last":
        pair.reverse()
    results = bench.walk([(access, control) for access in pair])
    assert [result["fault"] for result in results] == [0, 0]
    assert all(tables.read(paddr) & A for paddr in path)
    assert bench.trace.total("event_read_pte") == 2
