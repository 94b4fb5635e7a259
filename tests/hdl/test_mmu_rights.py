"""The rights of its page in each response, against the golden walk."""

import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Cr0, Cr4, Entry

from .golden import response_fields
from .mmu_bench import MmuBench
from .tables import PERMISSIVE, Tables, random_access, random_control, random_tables, random_vaddr

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
GEOMETRIES = {"plain": {}, "sets": {"ways": 2, "entries": 8, "hit_latency": 2},
              "misses": {"misses": 2, "hit_latency": 0}, "l2": {"l2_entries": 16}}
VADDR = 0x1234_5678


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("seed", range(2))
def test_random_answers_have_the_rights_of_the_golden_walk(mode, geometry, seed):
    rng = default_rng([seed, len(geometry)])
    tables = random_tables(rng, mode)
    golden_memory = tables.memory.copy()
    bench = MmuBench(tables, parameters={"rights": True, **GEOMETRIES[geometry]})
    lasting = random_control(rng, mode, tables.cr3)
    vaddrs = [random_vaddr(rng, mode) for _ in range(16)]
    met, hits = set(), 0

    async def testbench(ctx):
        nonlocal hits
        for _ in range(150):
            control = random_control(rng, mode, tables.cr3, lasting=lasting)
            access = random_access(rng, vaddrs[int(rng.integers(len(vaddrs)))])
            response, walks = await bench.access(ctx, control, access, int(rng.integers(2)))
            golden = walk(golden_memory, mode, control, access)
            expected = response_fields(bench.config, golden)
            if access.kind is not AccessKind.WRITE and not response["dirty"]:
                expected["dirty"] = 0  # the other port may have written
            assert response == expected, (access, control)
            if not golden.fault:
                hits += not walks
                met.update((name, response[name]) for name in ("writable", "user", "dirty"))

    bench.run(testbench)
    assert hits
    assert len(met) >= 4  # some rights differ


@MODES
def test_rights_are_those_of_all_levels_and_flags_those_of_the_leaf(mode):
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000, PERMISSIVE & ~Entry.D | Entry.G)
    tables.write(path[0], tables.read(path[0]) & ~Entry.RW)
    bench = MmuBench(tables, parameters={"rights": True})
    control = Control(tables.cr3, cr0=Cr0.PG, cr4=Cr4.PAE | Cr4.PGE)

    async def testbench(ctx):
        for _ in range(2):  # walked, and hit
            response, _ = await bench.access(ctx, control, Access(VADDR))
            assert [response[name] for name in ("writable", "user", "dirty", "global_page")] == [
                0, 1, 0, 1]
        response, _ = await bench.access(ctx, control, Access(VADDR, AccessKind.WRITE))
        assert response["dirty"] == 1
        response, _ = await bench.access(ctx, Control(0, cr0=0), Access(VADDR))
        assert [response[name] for name in ("writable", "user", "dirty", "global_page")] == [
            1, 1, 1, 0]

    bench.run(testbench)
