"""The engines agree: in every answer, and those with hardware in every cycle and event."""

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Control
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, InvalidateOp, Vector
from pagewalk.sim.engine import create
from pagewalk.sim.engine.command import (
    THROUGH_PORT,
    Op,
    accesses,
    data_accesses,
    exchange,
    invalidation,
    read,
    wait,
)
from pagewalk.sim.engine.memory_model import MemoryModel
from pagewalk.sim.engine.model import ModelEngine

from ..hdl.tables import PERMISSIVE, Tables
from .engine_runs import (
    CONFIGS,
    EVERY,
    HARDWARE,
    VALUES,
    assert_dirty,
    assert_same,
    assert_same_runs,
    simulators,
)
from .random_commands import Commands, random_memory

VECTORS = {
    X86_64: {0, Vector.SS, Vector.GP, Vector.PF, Vector.MC},
    IA32: {0, Vector.PF, Vector.MC},
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "latency", "count", "seed"), [
    ("x86_64-plru4", 1, 320, 1), ("x86_64-plru4", 7, 80, 2), ("x86_64-random1", 2, 160, 3),
    ("ia32-fifo3", 2, 320, 4), ("ia32-lru8", 1, 320, 5), ("ia32-lru8", 7, 80, 6),
], ids=str)
def test_all_simulators_agree_in_every_cycle(name, latency, count, seed):
    rng = default_rng(seed)
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3)
    engines, memories = simulators(config, latency, memory)
    for _ in range(2):  # what the TLBs hold goes over from one run to the next
        assert_same_runs(engines, memories, commands.make(count // 2))


@pytest.mark.slow
@pytest.mark.parametrize("latency", [1, 2, 3, 4])
@pytest.mark.parametrize("name", CONFIGS)
def test_all_simulators_agree_while_another_processor_writes_the_tables(name, latency):
    rng = default_rng([20, latency])
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3)
    engines, memories = simulators(config, latency, memory)
    batch = commands.make_racing(800, longest_wait=latency * (len(config.mode.levels) + 1))
    run = assert_same_runs(engines, memories, batch)
    assert run.events["walk_restart"] > 0  # an exchange came between a read and its update


@pytest.mark.slow
@pytest.mark.parametrize("seed", [10, 11])
@pytest.mark.parametrize("name", CONFIGS)
def test_hardware_answers_as_the_model(name, seed):
    rng = default_rng(seed)
    config = CONFIGS[name]
    engine = create("cxxrtl", config, int(rng.integers(1, 9)))
    model = ModelEngine(config)
    pages, vectors, hits, moved = set(), set(), 0, 0
    for _ in range(8):
        memory, cr3 = random_memory(rng, config)
        commands = Commands(rng, config, memory, cr3).make(400)
        golden_memory = memory.copy()
        golden = model.run(golden_memory, commands).answers
        run = engine.run(memory, commands)
        assert_same(run.answers, golden, VALUES)
        assert_dirty(commands, run.answers, golden)
        assert (memory.frames == golden_memory.frames).all()
        pages.update(golden["page"].tolist())
        vectors.update(golden["vector"][np.isin(commands["op"], THROUGH_PORT)].tolist())
        moved += np.count_nonzero((commands["op"] == Op.DATA) & (golden["value"] != 0))
        hits += sum(count for event, count in run.events.items() if "_hit_" in event)
    # All of it was put to the test.
    assert pages == set(range(len(config.mode.pages)))
    assert vectors == VECTORS[config.mode]
    assert hits
    assert moved


@pytest.mark.slow
@pytest.mark.parametrize("seed", [30, 31])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_stop_is_precise(name, seed):
    """Stopped at every fault, and gone on behind it, engines do what the model does in one go."""
    rng = default_rng(seed)
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3).make(600)
    model = ModelEngine(config)
    engine = create("cxxrtl", config, int(rng.integers(1, 9)))
    whole, stepwise = memory.copy(), memory.copy()
    golden = model.run(whole, commands).answers
    answers, done, stops = [], 0, 0
    while done < len(commands):
        run = engine.run(memory, commands[done:], stop_on_fault=True)
        expected = model.run(stepwise, commands[done:], stop_on_fault=True)
        assert (run.done, run.stopped) == (expected.done, expected.stopped)
        assert len(run.answers) == run.done + run.stopped
        of_data = run.stopped and commands["op"][done + run.done] == Op.DATA
        if not (of_data and run.answers["vector"][-1] == Vector.MC):
            assert (memory.frames == stepwise.frames).all()
        answers += [run.answers]
        done += run.done + run.stopped
        stops += run.stopped
    assert_same(np.concatenate(answers), golden, VALUES)
    assert (memory.frames == whole.frames).all()
    assert stops > 10


@pytest.mark.slow
@pytest.mark.parametrize(("name", "latency", "seed"), [
    ("x86_64-plru4", 1, 40), ("x86_64-random1", 3, 41), ("ia32-fifo3", 2, 42), ("ia32-lru8", 1, 43),
])
def test_all_simulators_stop_in_the_same_cycle(name, latency, seed):
    rng = default_rng(seed)
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3).make(160)
    engines, memories = simulators(config, latency, memory)
    done = 0
    while done < len(commands):
        run = assert_same_runs(engines, memories, commands[done:], stop_on_fault=True)
        done += run.done + run.stopped


PLAIN = CONFIGS["ia32-lru8"]
VADDR, NOWHERE = 0x0123_4567, 0x7_0000_0000


@pytest.fixture
def tables():
    """Tables in which the PDE for ``VADDR`` has no accessed flag yet."""
    tables = Tables(IA32)
    tables.path = tables.map(VADDR, 0x9000, upper=PERMISSIVE & ~Entry.A)
    control = Control(tables.cr3, cr4=0, efer=0)
    tables.access = accesses(control, VADDR)
    tables.flush = invalidation(control, InvalidateOp.INVPCID_ALL)
    return tables


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_another_processor_reads_and_exchanges_entries(name, tables):
    pde, pte = tables.path
    before = [tables.read(pte), tables.read(pde)]
    commands = np.concatenate([
        read([pte, pde]), exchange([pte, pde], [0x1_2345_6789, 7]), read([pte, pde]),
        read(NOWHERE), exchange(NOWHERE, 1), wait(2)])
    answers = create(name, PLAIN).run(tables.memory, commands).answers
    assert answers["value"].tolist() == [*before, *before, 0x2345_6789, 7, 0, 0, 0]
    assert answers["fault"].tolist() == [0] * 6 + [1, 1, 0]
    assert answers["vector"].tolist() == [0] * 6 + [Vector.MC] * 2 + [0]
    assert not any(answers[field].any() for field in ("paddr", "vaddr", "error", "page"))
    assert [tables.read(pte), tables.read(pde)] == [0x2345_6789, 7]


@pytest.mark.slow
@pytest.mark.parametrize("name", HARDWARE)
def test_another_processor_waits_for_no_answer(name, tables):
    commands = np.concatenate([
        tables.access, wait(3), read(tables.path), wait(0), exchange(NOWHERE, 0), wait(1)])
    answers = create(name, PLAIN, latency=20).run(tables.memory, commands).answers
    assert answers["accepted"].tolist() == [0, 3, 4, 5, 6, 7, 8]
    assert answers["answered"][1:].tolist() == answers["accepted"][1:].tolist()
    assert answers["answered"][0] == 2 + 3 * 20  # PDE, its A flag, PTE


@pytest.mark.slow
@pytest.mark.parametrize("name", HARDWARE)
def test_an_exchange_before_the_update_of_a_flag_makes_the_walk_start_over(name, tables):
    latency, pde = 4, tables.path[0]
    entry = tables.read(pde)
    written = entry | 1 << 9
    engine = create(name, PLAIN, latency)
    # The walk reads the PDE in cycle 1, and in that cycle comes first; so it does in cycle 5, in
    # which it sets the flag.
    for turn in range(1, latency + 2):
        tables.write(pde, entry)
        commands = np.concatenate([
            tables.flush, tables.access,
            *[wait(turn - 1)] * (turn > 1), exchange(pde, written)])
        run = engine.run(tables.memory, commands)
        *_, exchanged = run.answers
        assert exchanged["accepted"] - run.answers["accepted"][1] == turn
        too_late = turn > latency
        assert run.events["walk_restart"] == (not too_late)
        assert exchanged["value"] == (entry | Entry.A if too_late else entry)
        assert tables.read(pde) == (written if too_late else written | Entry.A)
        assert not run.answers["fault"].any()


@pytest.mark.slow
@pytest.mark.parametrize("name", HARDWARE)
def test_a_long_wait_is_no_stall(name, tables):
    cycles = 3 * MemoryModel().stall_limit
    run = create(name, PLAIN).run(tables.memory, np.concatenate([wait(cycles), tables.access]))
    assert run.answers["accepted"].tolist() == [cycles - 1, cycles]


def test_commands_keep_every_bit_of_entries_on_both_sides_of_the_sign_bit():
    entries = [(1 << 63) + 1, (1 << 60) + 1]
    assert exchange([0, 8], entries)["new"].tolist() == entries


@pytest.fixture
def pages():
    """Tables that map one page at ``VADDR``, none behind it, and one where there is no memory."""
    tables = Tables(IA32)
    page = VADDR & -4096
    tables.memory.add([0x9, 0xA])
    tables.map(page, 0x9000)
    tables.map(page + 0x2000, 0x8000_0000)
    tables.control = Control(tables.cr3, cr4=0, efer=0)
    tables.page = page
    return tables


def store(tables, offset, value, **options):
    return data_accesses(tables.control, tables.page + offset, AccessKind.WRITE, value, **options)


def load(tables, offset, **options):
    return data_accesses(tables.control, tables.page + offset, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_data_of_every_size_are_where_they_were_stored(name, pages):
    value = 0xFEDC_BA98_7654_3210
    offsets = {1: 0xFFF, 2: 0x7FE, 4: 0x004, 8: 0x3F8}
    commands = np.concatenate([
        *(store(pages, offset, value, size=size) for size, offset in offsets.items()),
        *(load(pages, offset, size=size) for size, offset in offsets.items()),
        store(pages, 0x3FB, 0xEE, size=1), load(pages, 0x3F8)])
    answers = create(name, PLAIN).run(pages.memory, commands).answers
    values = [value & (1 << 8 * size) - 1 for size in offsets]
    assert answers["value"].tolist() == [
        *[0] * 4, *values, value >> 24 & 0xFF, value & ~(0xFF << 24) | 0xEE << 24]
    assert answers["paddr"][:4].tolist() == [0x9000 + offset for offset in offsets.values()]
    assert not answers["fault"].any()
    frame = bytearray(4096)
    for size, offset in offsets.items():
        frame[offset:offset + size] = value.to_bytes(8, "little")[:size]
    frame[0x3FB] = 0xEE
    assert pages.memory.read_bytes(0x9000, 4096) == frame


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_fault_moves_no_data_and_nothing_after_it(name, pages):
    engine = create(name, PLAIN, latency=3)
    commands = np.concatenate([
        store(pages, 0, 1), store(pages, 0x1000, 2), store(pages, 0, 3), load(pages, 0)])
    run = engine.run(pages.memory, commands, stop_on_fault=True)
    assert (run.done, run.stopped, len(run.answers)) == (1, True, 2)
    assert run.answers[-1][["vector", "error", "vaddr", "value"]].item() == (
        Vector.PF, 2, pages.page + 0x1000, 0)
    assert pages.memory.read(0x9000, 8) == 1
    pages.map(pages.page + 0x1000, 0xA000)
    run = engine.run(pages.memory, commands[1:], stop_on_fault=True)
    assert (run.done, run.stopped) == (3, False)
    assert run.answers["value"].tolist() == [0, 1, 3]
    assert pages.memory.read(0xA000, 8) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_without_a_stop_only_the_fault_moves_no_data(name, pages):
    commands = np.concatenate([store(pages, 0x1000, 2), store(pages, 0, 3), load(pages, 0)])
    run = create(name, PLAIN).run(pages.memory, commands)
    assert (run.done, run.stopped) == (3, False)
    assert run.answers["value"].tolist() == [0, 0, 3]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_data_where_there_is_no_memory_are_a_machine_check(name, pages):
    commands = np.concatenate([
        load(pages, 0), load(pages, 0x2008), store(pages, 0, 7), load(pages, 0)])
    engine = create(name, PLAIN)
    run = engine.run(pages.memory, commands, stop_on_fault=True)
    assert (run.done, run.stopped) == (1, True)
    answer = run.answers[-1]
    assert answer[["fault", "vector", "error", "vaddr"]].item() == (
        1, Vector.MC, 0, pages.page + 0x2008)
    assert answer[["paddr", "value", "page", "memory_type"]].item() == (0, 0, 0, 0)
    assert pages.memory.read(0x9000, 8) == 0  # the store was squashed
    run = engine.run(pages.memory, commands[2:], stop_on_fault=True)
    assert run.answers["value"].tolist() == [0, 7]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_stop_holds_back_what_goes_through_other_ports(name, pages):
    config, ports = CONFIGS["ia32-fifo3"], [2, 0, 1]
    warm = np.concatenate([store(pages, 0, 1, port=port) for port in ports])
    peer = exchange(0x9000, 5)
    for later in (store(pages, 0, 3, port=0), accesses(pages.control, pages.page + 8, 1, port=1),
                  peer, invalidation(pages.control, InvalidateOp.INVPCID_ALL)):
        engine = create(name, config, latency=5)
        assert not engine.run(pages.memory, warm).answers["fault"].any()
        before = pages.memory.frames.copy()
        commands = np.concatenate([store(pages, 0x1000, 2, port=2), later])
        run = engine.run(pages.memory, commands, stop_on_fault=True)
        assert (run.done, run.stopped) == (0, True)
        assert (pages.memory.frames == before).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_a_run_does_not_stop_for_another_processor(name, pages):
    commands = np.concatenate([load(pages, 0), read(NOWHERE)])
    run = create(name, PLAIN).run(pages.memory, commands, stop_on_fault=True)
    assert (run.done, run.stopped) == (2, False)
    assert run.answers["fault"].tolist() == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(("offset", "size"), [(0, 0), (0, 3), (0, 16), (4, 8), (1, 2)])
def test_data_of_a_wrong_size_or_not_aligned(name, pages, offset, size):
    good = store(pages, 0, 7)
    commands = np.concatenate([good, load(pages, offset, size=size)])
    engine = create(name, PLAIN)
    with pytest.raises(ValueError, match=(
            rf"^Data must be 1, 2, 4 or 8 bytes at a multiple of that, not {size} "
            rf"at {pages.page + offset:#x} in command 1$")):
        engine.run(pages.memory, commands)
    assert pages.memory.read(0x9000, 8) == 0
    assert engine.run(pages.memory, good).done == 1
