"""What a drop leaves of the walk cache, and of a walk that is under way meanwhile."""

from itertools import chain

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, X86_64, Entry

from .tables import Tables
from .walker_bench import VADDR, WalkerBench, apart, read_of, reads

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
UPPER = pytest.mark.parametrize(
    ("mode", "number"), [(X86_64, 0), (X86_64, 1), (X86_64, 2), (IA32, 0)],
    ids=lambda value: getattr(value, "name", value))


@pytest.mark.slow
@UPPER
def test_a_changed_entry_may_be_used_as_it_was_until_it_is_dropped(mode, number):
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000)
    cr3 = tables.cr3
    tables.cr3 = tables.new_table()
    elsewhere = tables.map(VADDR, 0x8000)[number]
    changed = tables.read(elsewhere) & ~Entry.RW

    def change(_access):
        if len(bench.memory.log) == len(path):
            tables.write(path[number], changed)

    bench = WalkerBench(Config(mode=mode), tables.memory, before=change)
    results = bench.walk([*[read_of(tables, cr3=cr3)] * 2, {}, read_of(tables, cr3=cr3)])
    seen = [(one["translation"]["frame"], one["translation"]["rights"]["writable"])
            for one in results]
    assert seen == [(7, 1), (7, 1), (8, 0)]
    assert bench.trace.total("event_start") == 3


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(("drop", "kept"), [
    ({"by_pcid": 1, "pcid": 1}, (0, 1)), ({"by_pcid": 1, "pcid": 2}, (1, 0)),
    ({"by_pcid": 1, "pcid": 3}, (1, 1)), ({}, (0, 0)), ({"globals": 1}, (0, 0)),
    ({"by_pcid": 1, "pcid": 1, "by_address": 1, "vpn": 7}, (0, 1)),
    ({"by_pcid": 1, "pcid": 2, "by_address": 1, "globals": 1}, (1, 0))],
    ids=["1", "2", "3", "all", "all and global", "1 elsewhere", "2 elsewhere"])
def test_a_drop_takes_the_tables_of_a_pcid_or_all_whatever_the_address(mode, drop, kept):
    tables, roots = Tables(mode), []
    for pcid in (1, 2):
        tables.cr3 = tables.new_table()
        tables.map(VADDR, pcid << 12)
        roots.append(tables.cr3 | pcid)
    bench = WalkerBench(Config(mode=mode), tables.memory)
    asked = [read_of(tables, cr3=root) for root in roots]
    results = bench.walk([*asked, drop, *asked])
    assert [one["translation"]["frame"] for one in results] == [1, 2, 1, 2]
    levels = len(mode.levels)
    assert len(reads(bench)) == 2 * levels + sum(1 if one else levels for one in kept)


@pytest.mark.slow
@MODES
def test_a_drop_by_address_takes_the_tables_on_the_way_to_it_and_no_others(mode):
    tables, count = Tables(mode), len(mode.levels)
    beside = [apart(mode, number) for number in range(count - 1)]
    # Each of these shares with one of those the entries above a level further down.
    others = {vaddr ^ 1 << mode.levels[level].shift: level
              for number, vaddr in enumerate(beside) for level in range(number + 1, count)}
    paths = {vaddr: tables.map(vaddr, 0x7000) for vaddr in (VADDR, *beside, *others)}
    drop = {"by_pcid": 1, "tables_by_address": 1, "vpn": VADDR >> 12}
    bench = WalkerBench(Config(mode=mode, walk_cache=16), tables.memory)
    bench.walk([*(read_of(tables, vaddr) for vaddr in (VADDR, *beside)), drop | {"pcid": 1},
                read_of(tables), drop, *(read_of(tables, vaddr) for vaddr in (*others, VADDR))])
    expected = [paths[VADDR][-1:], *(paths[vaddr][level:] for vaddr, level in others.items()),
                paths[VADDR]]
    assert reads(bench)[-sum(map(len, expected)):] == [*chain(*expected)]


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("elsewhere", [False, True], ids=["all", "elsewhere"])
def test_of_a_walk_under_way_nothing_is_cached_from_a_drop_on(mode, elsewhere):
    """A drop in each cycle from before a walk to after its answer."""
    tables, count = Tables(mode), len(mode.levels)
    other = VADDR ^ 1 << mode.translated_bits - 1  # under another entry of the root
    drop = {"tables_by_address": 1, "vpn": other >> 12} if elsewhere else {}
    beside = VADDR + 0x1000
    for vaddr in (VADDR, beside):
        tables.map(vaddr, vaddr & -0x1000)
    seen = set()
    for cycle in range(2 * count + 3):
        bench = WalkerBench(Config(mode=mode), tables.memory, latency=lambda: 2)
        first, second = bench.walk(
            [read_of(tables), read_of(tables, beside)],
            background=[bench.drop_in(cycle, **drop)])
        assert [one["translation"]["frame"] for one in (first, second)] == [
            VADDR >> 12, beside >> 12]
        offers, answer = bench.trace.cycles("access"), bench.trace.cycles("answer")[0]
        assert offers[0] == (1 if cycle == 0 else 0)  # none is begun in the cycle of a drop
        assert first["stale"] == (offers[0] < cycle < answer)
        # The walk enters a table when it goes on to it, if nothing was dropped by then.
        entered = sum(offer < cycle for offer in offers[1:count])
        left = count - 1 if cycle == 0 else entered if elsewhere else 0
        assert len(reads(bench)) == count + count - left
        seen.add((first["stale"], left))
    assert seen == ({(0, count - 1), *((1, number) for number in range(count))} if elsewhere else {
        (0, count - 1), (1, 0), (0, 0)})


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("later", range(6))
def test_a_first_access_that_memory_does_not_accept_stays_as_it_is_through_a_drop(mode, later):
    """It is to a table that the drop takes: only in the cycle of the drop none is offered."""
    tables, count = Tables(mode), len(mode.levels)
    beside = VADDR + 0x1000
    paths = [tables.map(vaddr, vaddr & -0x1000) for vaddr in (VADDR, beside)]
    begin = count + 2  # of the second walk, which memory keeps waiting
    bench = WalkerBench(
        Config(mode=mode), tables.memory,
        ready=lambda: len(bench.memory.log) < count or len(bench.trace.words) > begin + 8)
    requests = [read_of(tables), read_of(tables, beside), read_of(tables)]
    results = bench.walk(requests, background=[bench.drop_in(begin + later)])
    assert [one["translation"]["frame"] for one in results] == [
        VADDR >> 12, beside >> 12, VADDR >> 12]
    assert [one["stale"] for one in results] == [0, later > 0, 0]
    offered = bench.trace.cycles("access")[count]
    assert offered == (begin if later else begin + 1)
    held = [paths[1][-1], *paths[0]]
    assert reads(bench)[count:] == (held if later else [*paths[1], paths[0][-1]])
