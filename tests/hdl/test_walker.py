"""The walker against the golden walk: results, memory accesses, timing, other writers."""

import pytest
from numpy.random import default_rng

from pagewalk.hdl.config import Config
from pagewalk.hdl.walker import Walker
from pagewalk.model.mmu.walk import Access, Control, walk
from pagewalk.model.physical.memory import BusError
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, Vector

from .bench import PageTableMemory, Trace, offers_hold, put, simulate, take
from .golden import access_fields, control_fields, translation_fields
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
VADDR = 0x1234_5678
READ, WRITE, FETCH = AccessKind


class Bench:
    """A walker with page-table memory; ``walk`` takes one walk after another."""

    def __init__(self, config, memory, *, pause=lambda: 0, **memory_behaviour):
        self.config = config
        self.dut = Walker(config)
        self.memory = PageTableMemory(
            self.dut.memory, memory, config.mode.entry_bytes, **memory_behaviour)
        self.pause = pause
        signals = {"asked": self.dut.walk.req.valid, "answer": self.dut.walk.rsp.valid,
                   "taken": self.dut.walk.rsp.ready, "access": self.dut.memory.req.valid}
        signals |= {f"event_{name}": self.dut.events[name]
                    for name, _ in self.dut.events.shape()}
        self.trace = Trace(**signals)

    def walk(self, requests):
        """Return the result of each request, a triple of port, ``Access`` and ``Control``."""
        results = []
        dut = self.dut

        async def testbench(ctx):
            for port, access, control in requests:
                await put(ctx, dut.walk.req, {
                    "port": port, "access": access_fields(access),
                    "control": control_fields(self.config, control)})
                ctx.set(dut.walk.req.payload, {})  # the walker has to remember
                for _ in range(self.pause()):
                    await ctx.tick()
                results.append(await take(ctx, dut.walk.rsp))

        holds = [offers_hold("walk", dut.walk.rsp), offers_hold("memory", dut.memory.req)]
        simulate(dut, testbench, background=[self.memory.serve, self.trace, *holds])
        return results


def expected_result(config, walked, control, port=0):
    """Return the result of a golden walk, without what means nothing on a fault."""
    if walked.fault:
        return {"port": port, "fault": 1, "vector": walked.fault.vector.value,
                "error_code": walked.fault.error_code}
    return {"port": port, "fault": 0, "translation": translation_fields(config, walked, control)}


def expected_accesses(walked):
    """Return the accesses to page-table memory that a golden walk makes; a bus error is extra."""
    accesses = []
    for step in walked.steps:
        accesses.append(("read", step.paddr))
        if step.updated != step.entry:
            accesses.append(("exchange", step.paddr, step.entry, step.updated))
    return accesses


def assert_result(result, expected, about):
    assert {name: result[name] for name in expected} == expected, about


def random_requests(rng, mode, cr3, count):
    return [(bits(rng, 1), random_access(rng, random_vaddr(rng, mode)),
             random_control(rng, mode, cr3)) for _ in range(count)]


def random_memory(rng, busy):
    """Return how memory behaves: slow and often not ready if ``busy``."""
    if not busy:
        return {}
    return {"latency": lambda: int(rng.integers(1, 6)), "ready": lambda: rng.random() < 0.5,
            "pause": lambda: int(rng.integers(0, 3))}


@MODES
@pytest.mark.parametrize("paddr_bits", [32, 40, 52])
@pytest.mark.parametrize("busy", [False, True], ids=["fast", "busy"])
@pytest.mark.parametrize("seed", range(2))
def test_random_walks_equal_the_golden_walks(mode, paddr_bits, busy, seed):
    rng = default_rng(seed)
    config = Config(mode=mode, paddr_bits=paddr_bits)
    tables = random_tables(rng, mode, paddr_bits)
    golden_memory = tables.memory.copy()
    requests = random_requests(rng, mode, tables.cr3, 50)
    bench = Bench(config, tables.memory, **random_memory(rng, busy))
    log = []
    for result, (port, access, control) in zip(bench.walk(requests), requests, strict=True):
        golden = walk(golden_memory, mode, control, access, paddr_bits)
        assert_result(result, expected_result(config, golden, control, port), (access, control))
        log += expected_accesses(golden)
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


@MODES
@pytest.mark.parametrize("latency", [1, 2, 5])
@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize("clean", [False, True], ids=["dirty", "clean"])
def test_a_walk_takes_its_memory_latencies_and_one_cycle(mode, latency, page, clean):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW if clean else PERMISSIVE
    path = tables.map(VADDR, 0, flags, page=page, upper=flags)
    bench = Bench(Config(mode=mode), tables.memory, latency=lambda: latency)
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
    bench = Bench(Config(mode=mode), tables.memory, pause=lambda: 20)
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
    bench = Bench(Config(mode=mode), tables.memory, ready=lambda: next(pattern))
    bench.walk([(0, Access(VADDR, WRITE), Control(tables.cr3))])
    accesses = expected_accesses(walked)
    assert bench.memory.log == accesses
    assert bench.trace.cycles("answer")[0] == 4 + 5 * (len(accesses) - 1) + 2


def updates_of(mode):
    """Return which exchange of a walk that has to update every entry loses, one per level."""
    return [(mode, number) for number in range(len(mode.levels))]


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

    bench = Bench(Config(mode=mode), tables.memory, before=another_agent)
    result, = bench.walk([(1, access, control)])
    golden = walk(lost[0], mode, control, access)  # a walk of what the other writer left
    assert_result(result, expected_result(bench.config, golden, control, 1), change)
    assert (tables.memory.frames == lost[0].frames).all()
    before = 2 * number + 2  # reads and exchanges down to the one lost
    assert bench.memory.log[before:] == expected_accesses(golden)
    assert bench.trace.total("event_restart") == bench.trace.total("event_start") == 1


def test_exchanges_may_be_lost_any_number_of_times():
    tables = Tables(X86_64)
    path = tables.map(VADDR, 0x7000, Entry.P | Entry.RW)
    left = [5]

    def another_agent(access):
        if access[0] == "exchange" and left[0]:
            left[0] -= 1
            tables.write(path[-1], tables.read(path[-1]) ^ Entry.PWT)

    bench = Bench(Config(), tables.memory, before=another_agent)
    result, = bench.walk([(0, Access(VADDR, WRITE), Control(tables.cr3))])
    assert (result["fault"], result["translation"]["memory_type"]) == (0, 1)
    assert tables.read(path[-1]) == 0x7000 | Entry.P | Entry.RW | Entry.PWT | Entry.A | Entry.D
    assert bench.trace.total("event_restart") == 5


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

    bench = Bench(Config(mode=mode), tables.memory, before=refuse_once)
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
    bench = Bench(Config(mode=mode), tables.memory)
    bench.walk([(0, Access(VADDR, kind), Control(tables.cr3)) for kind in AccessKind])
    assert {access[0] for access in bench.memory.log} == {"read"}


@MODES
@pytest.mark.parametrize("kind", AccessKind)
def test_a_denied_access_leaves_its_leaf_as_it_was(mode, kind):
    tables = Tables(mode)
    flags = Entry.P | Entry.RW
    *upper, leaf = tables.map(VADDR, 0x7000, flags, upper=flags)
    bench = Bench(Config(mode=mode), tables.memory)
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
    results = Bench(Config(mode=mode), tables.memory).walk(
        [(0, Access(VADDR), control) for control in controls])
    translations = [result["translation"] for result in results]
    assert [one["frame"] for one in translations] == [7, 8, 7]
    assert [one["global_page"] for one in translations] == [1, 1, 0]
