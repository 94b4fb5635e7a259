"""Page tables: what is mapped is what the architectural walk finds, and nothing is left behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.address_space.tables.parts import TableInTheWay
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry

from .world import DATA_PFN, World

MODES = [IA32, X86_64]
USER = Entry.P | Entry.RW | Entry.US
PAGE = 4096


def addresses(mode):
    """Pages that share tables at every level, and pages that share none."""
    top = 0xC000_0000 if mode is IA32 else 1 << 47
    bases = [0, 5 << 22, top // 2, top - (8 << 22)] + ([7 << 30, 3 << 39] if mode is X86_64 else [])
    return st.builds(lambda base, page: base + page * PAGE, st.sampled_from(bases),
                     st.sampled_from([0, 1, 2, 511, 512, 513, 1023, 1024, 2047, 4000]))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@given(data=st.data())
def test_walk_finds_what_is_mapped_and_freeing_leaves_only_the_root(mode, data):
    world = World(mode, spaces=2)
    expected = [{}, {}]
    end = 0xC000_0000 if mode is IA32 else 1 << 47
    steps = st.tuples(st.integers(0, 1), st.sampled_from(["map", "clear", "free"]),
                      addresses(mode), st.integers(0, 255))
    for which, action, vaddr, number in data.draw(st.lists(steps, max_size=30)):
        tables, pages = world.spaces[which], expected[which]
        if action == "map":
            tables.map(vaddr, DATA_PFN + number, USER)
            pages[vaddr] = DATA_PFN + number
        elif action == "clear":
            paddr = tables.find(vaddr)
            assert paddr is not None or vaddr not in pages
            if paddr is not None:
                entry = tables.exchange(paddr, 0)
                assert (tables.pfn(entry) if entry else None) == pages.pop(vaddr, None)
        else:
            if vaddr in pages:
                continue
            floor = max((one + PAGE for one in pages if one < vaddr), default=0)
            ceiling = min((one for one in pages if one > vaddr), default=0)
            # All of the hole: "clear" may have left tables without entries anywhere in it.
            tables.free_pgtables(floor, ceiling or end, floor, ceiling)
        world.check()
    for tables, pages in zip(world.spaces, expected, strict=True):
        found = {leaf.vaddr: tables.pfn(leaf.entry) for leaf in tables.entries(0, end)}
        assert found == pages
        assert list(found) == sorted(found)
        for vaddr, pfn in pages.items():
            result = world.walk(tables, vaddr + 5, AccessKind.WRITE, user=True)
            assert result.paddr == (pfn << 12) + 5
            tables.exchange(tables.find(vaddr), 0)
        tables.free_pgtables(0, end, 0, 0)
        world.check()
        assert sum(tables.tables) == 1
    for tables in world.spaces:
        tables.free()
    assert world.kernel.roots == []


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_free_pgtables_keeps_tables_that_neighbours_reach_into(mode):
    world = World(mode)
    tables = world.spaces[0]
    span = mode.levels[-2].page_bytes
    for vaddr in (span, span + PAGE, 3 * span):
        tables.map(vaddr, DATA_PFN, USER)
    assert tables.tables[-1] == 2
    tables.exchange(tables.find(span), 0)
    assert tables.free_pgtables(span, span + PAGE, 0, span + PAGE) == 0
    tables.exchange(tables.find(span + PAGE), 0)
    assert tables.free_pgtables(span, span + 2 * PAGE, 0, 3 * span) == 1
    assert tables.pgtables_bytes == (len(mode.levels) - 1) * PAGE
    world.check()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_freeing_a_table_that_still_maps_a_page_is_a_broken_invariant(mode):
    tables = World(mode).spaces[0]
    tables.map(0, DATA_PFN, USER)
    with pytest.raises(BrokenInvariant, match="is freed, but not empty"):
        tables.free_pgtables(0, PAGE, 0, 0)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_large_pages(mode):
    world = World(mode)
    tables = world.spaces[0]
    for level in mode.pages[1:]:
        size = level.page_bytes
        paddr = tables.map(2 * size, 3 * size >> 12, USER, size)
        result = world.walk(tables, 2 * size + 0x12345)
        assert result.paddr == 3 * size + 0x12345
        assert result.page is level
        leaf = tables.lookup(2 * size + 0x12345)
        assert (leaf.vaddr, leaf.level, leaf.paddr) == (2 * size, level, paddr)
        with pytest.raises(TableInTheWay, match=rf"^The {level.name} of address"):
            tables.alloc(2 * size)
        with pytest.raises(ValueError, match="cannot be at address"):
            tables.map(size + PAGE, 0, USER, size)
        tables.map(5 * size, DATA_PFN, USER)
        with pytest.raises(TableInTheWay):
            tables.map(5 * size, 0, USER, size)
        world.check()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_update_loses_no_flag_that_the_hardware_sets_meanwhile(mode):
    world = World(mode)
    tables = world.spaces[0]
    paddr = tables.map(0, DATA_PFN, USER)
    exchange = world.memory.compare_exchange

    def hardware_is_first(*args):
        world.memory.compare_exchange = exchange
        world.walk(tables, 0, AccessKind.WRITE, user=True)
        return exchange(*args)

    world.memory.compare_exchange = hardware_is_first
    before = tables.update(paddr, clear=Entry.RW)
    assert before & Entry.D
    assert tables.read(paddr) == DATA_PFN << 12 | Entry.P | Entry.US | Entry.A | Entry.D
