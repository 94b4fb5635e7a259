"""Engines under a memory model: latencies, back-pressure and bus errors, resets and barriers."""

import numpy as np
import pytest
from numpy.random import default_rng

from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, AccessKind, Entry, InvalidateOp, Vector
from pagewalk.sim.engine import create
from pagewalk.sim.engine.answer import ANSWER, Loss
from pagewalk.sim.engine.command import (
    THROUGH_PORT,
    accesses,
    barrier,
    data_accesses,
    exchange,
    invalidation,
    read,
    reset,
    set_control,
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
    assert_same,
    assert_same_runs,
    simulators,
)
from .random_commands import Commands, random_memory

pytestmark = pytest.mark.slow

MODELS = {  # each with one, two or three ports
    "x86_64-plru4": MemoryModel((1, 9), request_stall=0.3, answer_stall=0.3, error_rate=.1, seed=1),
    "x86_64-random1": MemoryModel((1, 60), seed=2),
    "ia32-fifo3": MemoryModel((1, 5), request_stall=0.4, answer_stall=0.6, error_rate=0.1, seed=3),
    "x86_64-pool3": MemoryModel((1, 30), request_stall=0.2, error_rate=0.05, seed=5),
    "ia32-lru8": MemoryModel(2, request_stall=0.6, answer_stall=0.2, seed=4),
    "ia32-misses3": MemoryModel((1, 9), request_stall=0.2, answer_stall=0.4, seed=6),
}


@pytest.mark.parametrize("name", MODELS)
def test_all_simulators_agree_in_every_cycle_whatever_memory_does(name):
    model = MODELS[name]
    rng = default_rng([50, model.seed])
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3)
    engines, memories = simulators(config, model, memory)
    errors = lost = cancelled = 0
    for _ in range(2):  # the randomness goes on from one run to the next, and so do late responses
        run = assert_same_runs(engines, memories, commands.make_unsettled(80))
        errors += len(run.bus_errors)
        lost += np.count_nonzero(run.answers["lost"] == Loss.BY_RESET)
        cancelled += np.count_nonzero(run.answers["lost"] == Loss.BY_CANCEL)
    assert (errors > 0) == (model.error_rate > 0)
    assert lost > 0
    assert (cancelled > 0) == config.cancel


@pytest.mark.parametrize("name", CONFIGS)
def test_all_simulators_stop_in_the_same_cycle_at_what_is_unexpected(name):
    rng = default_rng(60)
    config = CONFIGS[name]
    memory, cr3 = random_memory(rng, config)
    commands = Commands(rng, config, memory, cr3).make(80)
    commands["expect_fault"] = rng.random(len(commands)) < 0.7
    model = MemoryModel((1, 5), request_stall=0.2, answer_stall=0.2, error_rate=0.01, seed=6)
    engines, memories = simulators(config, model, memory)
    done = stops = 0
    while done < len(commands):
        run = assert_same_runs(engines, memories, commands[done:], stop_on_unexpected=True)
        unexpected = (run.answers["fault"] != 0) & (
            commands["expect_fault"][done:done + run.done] == 0) & np.isin(
            commands["op"][done:done + run.done], THROUGH_PORT)
        assert run.stopped == unexpected.any()
        assert run.done == len(run.answers)
        assert run.done > 0
        done += run.done
        stops += run.stopped
    assert stops > 3


@pytest.mark.parametrize("seed", [70, 71])
@pytest.mark.parametrize("name", CONFIGS)
def test_back_pressure_and_latency_change_no_answer(name, seed):
    rng = default_rng(seed)
    config = CONFIGS[name]
    engine = create("cxxrtl", config, MemoryModel(
        (1, 20), request_stall=rng.random() / 2, answer_stall=rng.random() / 2, seed=seed))
    for _ in range(4):
        memory, cr3 = random_memory(rng, config)
        commands = Commands(rng, config, memory, cr3).make(400)
        golden_memory = memory.copy()
        golden = ModelEngine(config).run(golden_memory, commands)
        assert_same(engine.run(memory, commands).answers, golden.answers, VALUES)
        assert (memory.frames == golden_memory.frames).all()


PLAIN = CONFIGS["ia32-lru8"]
THREE = CONFIGS["ia32-fifo3"]
VADDR = 0x0123_4567


@pytest.fixture
def tables():
    """Tables with a page at ``VADDR``, its entries with A and D, and none behind it."""
    tables = Tables(IA32)
    tables.path = tables.map(VADDR, 0x9000)
    tables.control = Control(tables.cr3, cr4=0, efer=0)
    tables.flush = invalidation(tables.control, InvalidateOp.INVPCID_ALL)
    return tables


def mapped(tables, **options):
    return accesses(tables.control, VADDR, **options)


def unmapped(tables, **options):
    return accesses(tables.control, VADDR + 0x1000, **options)


@pytest.mark.parametrize("name", EVERY)
def test_a_barrier_ends_with_the_last_answer(name, tables):
    commands = np.concatenate([
        barrier(), mapped(tables), exchange(0x1_0000_0000, 1), barrier(), wait(1)])
    run = create(name, PLAIN, 20).run(tables.memory, commands)
    assert not any(run.answers[3].item()[0:2])
    if name != "model":
        assert run.answers["accepted"].tolist() == [0, 1, 2, 43, 44]
        assert run.answers["answered"].tolist() == [0, 43, 2, 43, 44]


@pytest.mark.parametrize("name", HARDWARE)
def test_a_reset_empties_the_caches_and_loses_what_is_under_way(name, tables):
    engine = create(name, THREE, 5)
    warm = engine.run(tables.memory, mapped(tables, port=[0, 0, 1]))
    assert warm.answers["hit"].tolist() == [0, 1, 0]
    # The third port walks, the others have answered, or answer in the cycle of the reset.
    commands = np.concatenate([
        mapped(tables, port=2), mapped(tables, port=[1, 0]), reset(), wait(30),
        mapped(tables, port=[0, 0, 1, 2])])
    run = engine.run(tables.memory, commands)
    assert run.answers["lost"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert run.answers["hit"].tolist() == [0, 1, 1, 0, 0, 0, 1, 0, 0]
    assert run.answers["paddr"][5:].tolist() == [0x9567] * 4
    first = dict(zip(ANSWER.names, run.answers[0].item(), strict=True))
    assert {name: value for name, value in first.items() if value} == {
        "answered": 3, "lost": Loss.BY_RESET}
    assert run.answers["answered"][:4].tolist() == [3, 2, 3, 3]


def test_the_model_loses_nothing_at_a_reset(tables):
    run = ModelEngine(IA32).run(tables.memory, np.concatenate([mapped(tables), reset()]))
    assert not run.answers["lost"].any()


@pytest.mark.parametrize("name", HARDWARE)
def test_a_hit_needs_no_walk(name, tables):
    off = Control(tables.cr3, cr0=0, cr4=0, efer=0)
    write, kernel = {"kind": AccessKind.WRITE}, {"user": 0}
    tables.write(tables.path[1], tables.read(tables.path[1]) & ~Entry.D)
    commands = np.concatenate([
        mapped(tables), mapped(tables), mapped(tables, **write), mapped(tables, **write),
        unmapped(tables), unmapped(tables), accesses(off, VADDR + 0x1000, **kernel),
        data_accesses(tables.control, VADDR & -8), tables.flush, mapped(tables)])
    run = create(name, PLAIN, MemoryModel((1, 4), answer_stall=0.5)).run(tables.memory, commands)
    assert run.answers["hit"].tolist() == [0, 1, 0, 1, 0, 0, 1, 1, 0, 0]


@pytest.mark.parametrize("name", EVERY)
def test_expected_faults_stop_no_run(name, tables):
    engine = create(name, PLAIN, 3)
    commands = np.concatenate([
        unmapped(tables, expect_fault=1), mapped(tables), mapped(tables, expect_fault=1),
        data_accesses(tables.control, VADDR + 0x1001, size=1, expect_fault=1),
        read(0x1_0000_0000), unmapped(tables), *[tables.flush] * 30])
    run = engine.run(tables.memory, commands, stop_on_unexpected=True)
    assert run.stopped
    assert run.answers["fault"].tolist()[:6] == [1, 0, 0, 1, 1, 1]
    assert run.done == len(run.answers) == 6
    again = engine.run(tables.memory, commands[run.done:], stop_on_unexpected=True)
    assert (again.stopped, again.done) == (False, 30)


@pytest.mark.parametrize("name", HARDWARE)
def test_what_was_accepted_before_an_unexpected_fault_is_answered(name, tables):
    """The first port faults while the second still walks and the third has answered."""
    latency = 10
    engine = create(name, THREE, latency)
    commands = np.concatenate([
        unmapped(tables, port=0), mapped(tables, port=1), wait(2 * latency),
        accesses(tables.control, VADDR, port=[2, 2, 2])])
    run = engine.run(tables.memory, commands, stop_on_unexpected=True)
    assert (run.stopped, run.done) == (True, 4)
    assert run.answers["vector"].tolist() == [Vector.PF, 0, 0, 0]
    assert run.answers["paddr"].tolist() == [0, 0x9567, 0, 0x9567]
    fault, last = run.answers["answered"][0], run.answers[3]
    assert last["accepted"] <= fault < last["answered"] == run.cycles - 1
    # What was withdrawn is done by the next run.
    run = engine.run(tables.memory, commands[run.done:], stop_on_unexpected=True)
    assert run.answers["hit"].tolist() == [1, 1]


@pytest.mark.parametrize("name", HARDWARE)
def test_a_bus_error_by_chance_is_a_machine_check_and_is_reported(name, tables):
    engine = create(name, PLAIN, MemoryModel(4, error_rate=1))
    run = engine.run(tables.memory, np.concatenate([wait(3), mapped(tables), wait(9)]))
    answer = run.answers[1]
    assert answer[["fault", "vector", "error", "hit"]].item() == (1, Vector.MC, 0, 0)
    assert (answer["accepted"], answer["answered"]) == (3, 9)
    assert run.bus_errors.tolist() == [(8, tables.path[0])]
    run = engine.run(tables.memory, mapped(tables))
    assert run.bus_errors.tolist() == [(5, tables.path[0])]  # cycles are those of the run


@pytest.mark.parametrize("name", HARDWARE)
def test_an_access_that_fails_by_chance_is_not_done(name, tables):
    pde = tables.path[0]
    tables.write(pde, PERMISSIVE & ~Entry.A | tables.read(pde) & -4096)
    before = tables.memory.frames.copy()
    create(name, PLAIN, MemoryModel(error_rate=1)).run(tables.memory, mapped(tables))
    assert (tables.memory.frames == before).all()


@pytest.mark.parametrize("name", EVERY)
def test_absent_frames_below_a_bound_read_as_zero(name):
    config = CONFIGS["x86_64-plru4"]
    tables = Tables(X86_64)
    tables.map(0x12_3000, 0x50_0000)
    control = Control(tables.cr3)
    root = accesses(Control(0x40_0000), 0x12_3000)  # a root table that is absent
    commands = np.concatenate([
        root, data_accesses(control, 0x12_3008), data_accesses(control, 0x12_3008, 1, 7),
        read(0x40_0008), exchange(0x40_0008, 1), read(0x60_0000)])
    for bound in (0, 0x60_0000):
        memory = PhysicalMemory(zero_below=bound)
        memory.load(tables.memory.index()[0], tables.memory.frames[tables.memory.index()[1]])
        answers = create(name, config).run(memory, commands).answers
        expected = [Vector.PF, 0, Vector.MC, 0, Vector.MC, Vector.MC] if bound else [Vector.MC] * 6
        assert answers["vector"].tolist() == expected
        assert not answers["value"].any()
        batch = create(name, config).run(memory, np.repeat(root, 40)).answers
        assert set(batch["vector"].tolist()) == {expected[0]}


@pytest.mark.parametrize("name", EVERY)
def test_registers_are_given_once(name, tables):
    engine = create(name, PLAIN)
    commands = np.concatenate([set_control(tables.control), accesses(None, VADDR)])
    assert engine.run(tables.memory, commands).answers["paddr"].tolist() == [0, 0x9567]
    assert engine.run(tables.memory, commands[1:]).answers["paddr"].tolist() == [0x9567]
    other = set_control(Control(0x1_0000_0000 - 0x1000, cr4=0, efer=0))
    commands = np.concatenate([commands[1:], tables.flush, accesses(None, VADDR + 0x1000), other,
                               tables.flush, accesses(None, VADDR)])
    run = engine.run(tables.memory, commands, stop_on_fault=True)
    assert run.answers["vector"].tolist() == [0, 0, Vector.PF]
    run = engine.run(tables.memory, commands[3:])  # the other registers were not reached
    assert run.answers["vector"].tolist() == [0, 0, Vector.MC]
