"""The walker against the golden walk: results, memory accesses, timing, other writers.

Without a walk cache; ``test_walker_cache.py`` has the walks that begin below the root.
"""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, ErrorCode, Vector

from .tables import PERMISSIVE, Tables, random_tables
from .walker_bench import (
    WalkerBench,
    assert_result,
    expected_accesses,
    expected_result,
    random_memory,
    random_requests,
)

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
VADDR = 0x1234_5678
READ, WRITE, FETCH = AccessKind


def plain(mode, **parameters):
    """Return the config of a walker that reads every entry each time."""
    return Config(mode=mode, walk_cache=0, **parameters)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [X86_64, X86_64.without_1g_pages(), IA32],
                         ids=["x86_64", "without_1g", "ia32"])
@pytest.mark.parametrize("paddr_bits", [32, 40, 52])
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
@pytest.mark.parametrize("seed", range(2))
def test_random_walks_equal_the_golden_walks(mode, paddr_bits, busy, seed):
    rng = default_rng(seed)
    config = plain(mode, paddr_bits=paddr_bits)
    tables = random_tables(rng, mode, paddr_bits)
    golden_memory = tables.memory.copy()
    requests = random_requests(rng, mode, tables.cr3, 50)
    bench = WalkerBench(config, tables.memory, **random_memory(rng, busy))
    log = []
    for result, (port, access, control) in zip(bench.walk(requests), requests, strict=True):
        golden = walk(golden_memory, mode, control, access, paddr_bits)
        assert_result(result, expected_result(config, golden, control, port), (access, control))
        log += expected_accesses(golden.steps)
        if golden.fault and golden.fault.vector is Vector.MC:
            log.append(bench.memory.log[len(log)])
            assert log[-1][0] == "read"
            assert log[-1][1] >> 12 not in golden_memory
    assert bench.memory.log == log
    assert (tables.memory.frames == golden_memory.frames).all()
    assert_events_add_up(bench, requests)


def assert_events_add_up(bench, requests):
    trace, log = bench.trace, bench.memory.log
    reads = sum(access[0] == "read" for access in log)
    names = [name for name in trace.names if name.startswith("event_read_")]
    assert trace.total("event_start") == trace.total("event_end") == len(requests)
    assert sum(trace.total(name) for name in names) == reads
    assert trace.total(names[0]) == len(requests)  # each walk reads the root once
    assert trace.total("event_update") == len(log) - reads
    assert trace.total("event_restart") == 0


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("latency", [1, 2, 5])
@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_a_walk_takes_its_memory_latencies_and_one_cycle(mode, latency, page, clean):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW if clean else PERMISSIVE
    path = tables.map(VADDR, 0, flags, page=page, upper=flags)
    bench = WalkerBench(plain(mode), tables.memory, latency=lambda: latency)
    bench.walk([(0, Access(VADDR, WRITE), Control(tables.cr3))] * 2)
    first = len(path) * (2 if clean else 1)  # each entry is read, and updated if it is clean
    asked, answered = bench.trace.cycles("event_start"), bench.trace.cycles("answer")
    assert [end - start for start, end in zip(asked, answered, strict=True)] == [
        first * latency + 1, len(path) * latency + 1]
    # An idle walker starts in the cycle in which it is asked.
    assert asked == bench.trace.cycles("asked")


@MODES
def test_an_answer_waits_until_it_is_taken_and_the_next_walk_starts_in_the_cycle_after(mode):
    tables = Tables(mode)
    tables.map(VADDR, 0)
    requests = [(0, Access(VADDR), Control(tables.cr3))] * 3
    bench = WalkerBench(plain(mode), tables.memory, pause=lambda: 20)
    bench.walk(requests)
    ends = bench.trace.cycles("event_end")
    assert bench.trace.cycles("answer", "taken") == ends
    assert bench.trace.cycles("event_start")[1:] == [end + 1 for end in ends[:-1]]


@MODES
def test_memory_sees_a_refused_access_again_without_a_new_read(mode):
    """Back-pressure costs its own cycles only, and loses or repeats nothing."""
    tables = Tables(mode)
    tables.map(VADDR, 0, Entry.P | Entry.RW, upper=Entry.P | Entry.RW)
    walked = walk(tables.memory.copy(), mode, Control(tables.cr3), Access(VADDR, WRITE))
    pattern = iter(([False] * 4 + [True]) * 100)
    bench = WalkerBench(plain(mode), tables.memory, ready=lambda: next(pattern))
    bench.walk([(0, Access(VADDR, WRITE), Control(tables.cr3))])
    accesses = expected_accesses(walked.steps)
    assert bench.memory.log == accesses
    assert bench.trace.cycles("answer")[0] == 4 + 5 * (len(accesses) - 1) + 2


def updates_of(mode):
    """Return which exchange of a walk that has to update every entry loses, one per level."""
    return [(mode, number) for number in range(len(mode.levels))]


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "number"), [*updates_of(X86_64), *updates_of(IA32)],
                         ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("change", [Entry.PWT, Entry.P, Entry.RW, Entry.A])
def test_a_lost_exchange_starts_the_walk_over(mode, number, change):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW
    path = tables.map(VADDR, 0x7000, flags, upper=flags)
    control, access = Control(tables.cr3), Access(VADDR, WRITE)
    lost = []

    def another_agent(access):
        if access[:2] == ("exchange", path[number]) and not lost:
            tables.write(path[number], tables.read(path[number]) ^ change)
            lost.append(tables.memory.copy())

    bench = WalkerBench(plain(mode), tables.memory, before=another_agent)
    result, = bench.walk([(1, access, control)])
    golden = walk(lost[0], mode, control, access)  # a walk of what the other writer left
    assert_result(result, expected_result(bench.config, golden, control, 1), change)
    assert (tables.memory.frames == lost[0].frames).all()
    before = 2 * number + 2  # reads and exchanges down to the one lost
    assert bench.memory.log[before:] == expected_accesses(golden.steps)
    assert bench.trace.total("event_restart") == bench.trace.total("event_start") == 1


def test_exchanges_may_be_lost_any_number_of_times():
    tables = Tables(X86_64)
    path = tables.map(VADDR, 0x7000, Entry.P | Entry.RW)
    left = [5]

    def another_agent(access):
        if access[0] == "exchange" and left[0]:
            left[0] -= 1
            tables.write(path[-1], tables.read(path[-1]) ^ Entry.PWT)

    bench = WalkerBench(plain(X86_64), tables.memory, before=another_agent)
    result, = bench.walk([(0, Access(VADDR, WRITE), Control(tables.cr3))])
    assert (result["fault"], result["translation"]["memory_type"]) == (0, 1)
    assert tables.read(path[-1]) == 0x7000 | Entry.P | Entry.RW | Entry.PWT | Entry.A | Entry.D
    assert bench.trace.total("event_restart") == 5


@MODES
@pytest.mark.parametrize("always", [False, True])
def test_memory_that_keeps_writers_off_after_a_lost_exchange_lets_the_walk_end(mode, always):
    """A processor writes an ignored bit of every entry before each access, unless it is kept off.

    It is from an entry that was read, until the next access; ``always``, or after a loss alone.
    """
    tables = Tables(mode)
    path = tables.map(VADDR, 0x7000, Entry.P | Entry.RW, upper=Entry.P | Entry.RW)
    kept_off = [always]

    def another_agent(access):
        before = bench.memory.log[-2] if len(bench.memory.log) > 1 else None
        for entry in path:
            if not (kept_off[0] and before == ("read", entry)):
                tables.write(entry, tables.read(entry) ^ 1 << 9)
                kept_off[0] |= access[:2] == ("exchange", entry)

    bench = WalkerBench(plain(mode), tables.memory, before=another_agent)
    result, = bench.walk([(0, Access(VADDR, WRITE), Control(tables.cr3))])
    assert (result["fault"], result["translation"]["frame"]) == (0, 7)
    assert bench.trace.total("event_restart") == (not always)
    kinds = ["read", "exchange"] * (len(path) if always else len(path) + 1)
    assert [access[0] for access in bench.memory.log] == kinds


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "number"), [*updates_of(X86_64), *updates_of(IA32)],
                         ids=lambda value: getattr(value, "name", value))
@pytest.mark.parametrize("kind", ["read", "exchange"])
def test_a_bus_error_at_any_level_is_a_machine_check_and_the_last_access(mode, number, kind):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW
    path = tables.map(VADDR, 0x7000, flags, upper=flags)
    broken = {(kind, path[number])}

    def refuse_once(access):
        if access[:2] in broken:
            broken.clear()
            raise BusError(access[1])

    bench = WalkerBench(plain(mode), tables.memory, before=refuse_once)
    results = bench.walk([(1, Access(VADDR, WRITE), Control(tables.cr3))] * 2)
    assert_result(results[0], {"port": 1, "fault": 1, "vector": Vector.MC, "error_code": 0}, kind)
    last = 2 * number + (kind == "exchange")
    assert bench.memory.log[last][:2] == (kind, path[number])
    assert bench.memory.log[last + 1] == ("read", path[0])  # of the next walk, and all is well
    assert results[1]["fault"] == 0
    assert bench.trace.total("event_fault") == 1


@MODES
def test_flags_that_are_set_are_not_written_again(mode):
    tables = Tables(mode)
    tables.map(VADDR, 0x7000, PERMISSIVE)
    bench = WalkerBench(plain(mode), tables.memory)
    bench.walk([(0, Access(VADDR, kind), Control(tables.cr3)) for kind in AccessKind])
    assert {access[0] for access in bench.memory.log} == {"read"}


@pytest.mark.slow
@MODES
@pytest.mark.parametrize("kind", AccessKind)
def test_a_denied_access_leaves_its_leaf_as_it_was(mode, kind):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW
    *upper, leaf = tables.map(VADDR, 0x7000, flags, upper=flags)
    bench = WalkerBench(plain(mode), tables.memory)
    result, = bench.walk([(0, Access(VADDR, kind, user=True), Control(tables.cr3))])
    assert result["fault"]
    assert tables.read(leaf) == 0x7000 | flags
    assert all(tables.read(entry) & Entry.A for entry in upper)


@MODES
def test_a_walk_uses_the_control_state_of_its_request(mode):
    """A second root, and PGE: what the request brings counts, walk by walk."""
    tables = Tables(mode)
    tables.map(VADDR, 0x7000, PERMISSIVE | Entry.G)
    first, tables.cr3 = tables.cr3, tables.new_table()
    tables.map(VADDR, 0x8000, PERMISSIVE | Entry.G)
    controls = [Control(first), Control(tables.cr3), Control(first, cr4=0)]
    results = WalkerBench(plain(mode), tables.memory).walk(
        [(0, Access(VADDR), control) for control in controls])
    translations = [result["translation"] for result in results]
    assert [one["frame"] for one in translations] == [7, 8, 7]
    assert [one["global_page"] for one in translations] == [1, 1, 0]


def test_without_1_gbyte_pages_ps_is_reserved_in_a_pdpte_and_pages_are_numbered_anew():
    tables = Tables(X86_64)
    for page, vaddr in enumerate((0, 1 << 31, 1 << 39)):
        tables.map(vaddr, 0, page=page)
    requests = [(0, Access(vaddr), Control(tables.cr3)) for vaddr in (0, 1 << 31, 1 << 39)]
    mode = X86_64.without_1g_pages()
    small, large, huge = WalkerBench(plain(mode), tables.memory).walk(requests)
    assert (small["translation"]["page"], large["translation"]["page"]) == (0, 1)
    assert (huge["vector"], huge["error_code"]) == (Vector.PF, ErrorCode.P | ErrorCode.RSVD)
    *_, huge = WalkerBench(plain(X86_64), tables.memory).walk(requests)
    assert (huge["fault"], huge["translation"]["page"]) == (0, 2)
