"""Page tables that change under the MMU's feet: every answer must be one that is permitted."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.mmu.walk import Control
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, X86_64, Entry, InvalidateOp
from pagewalk.sim.engine import create
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.command import Op, accesses, exchange, invalidation, wait
from pagewalk.sim.referee import IllegalAnswer, Referee

from .churn import PORTS, Churn

MODES = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)
LENGTH = 20_000  # commands of a program


def small(mode, **parameters):
    """Return hardware with few entries, so that they are replaced all the time."""
    return Config(mode=mode, entries=8, walk_cache=4, **parameters)


def judged(mode, engine, seed, accesses, length=LENGTH, **churn_parameters):
    """Run programs until there were so many ``accesses``; return findings and counted events."""
    churn = Churn(mode, seed, **churn_parameters)
    referee = Referee(mode, churn.memory, churn.control)
    events = {}
    while referee.findings.accesses < accesses:
        commands, single = churn.program(length)
        run = engine.run(churn.memory, commands)
        permitted = referee.judge(commands, run.answers)
        assert (permitted[single] == 1).all(), f"seed {seed}: more than one answer is left"
        assert len(single) > 0
        for name, count in run.events.items():
            events[name] = events.get(name, 0) + count
    return referee.findings, events


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(("seed", "latency", "with_global"), [
    (1, 1, True), (2, 3, True), (3, 2, False)])
def test_random_programs_get_permitted_answers(mode, seed, latency, with_global, request):
    wanted = request.config.getoption("--accesses")
    findings, events = judged(mode, create("cxxrtl", small(mode), latency), seed, wanted // 3,
                              with_global=with_global)
    print(f"{mode.name}, seed {seed}: {findings}")
    # Stale answers, lost exchanges, hits in every cache: the programs reach what they are for.
    assert findings.stale > findings.accesses // 500
    assert events["walk_restart"] > findings.accesses // 5000
    assert sum(findings.permitted[number] for number in findings.permitted if number > 1) > (
        findings.accesses // 50)
    assert all(count for name, count in events.items() if "hit" in name)
    assert findings.observed > findings.accesses // 20


@pytest.mark.slow
@MODES
def test_the_simulator_gets_permitted_answers(mode):
    findings, _ = judged(mode, create("amaranth", small(mode), 2), seed=4, accesses=1000,
                         length=1500)
    assert findings.stale


def test_the_model_as_an_engine_gets_permitted_answers():
    """The golden walk, which has no TLB, may answer too; it is never stale."""
    churn = Churn(X86_64, 5)
    referee = Referee(X86_64, churn.memory, churn.control)
    commands, _ = churn.program(3000)
    answers = create("model", small(X86_64)).run(churn.memory, commands).answers
    answers["accepted"] = answers["answered"] = np.arange(len(answers))
    referee.judge(commands, answers)
    assert referee.findings.stale == 0


@pytest.mark.parametrize("op", [InvalidateOp.INVLPG, InvalidateOp.INVPCID_ADDRESS],
                         ids=lambda op: op.name)
@pytest.mark.parametrize(("vaddr", "is_dropped"), [(1 << 60, False), (1 << 47, False), (0, True)],
                         ids=["1<<60", "1<<47", "0"])
def test_tables_may_stay_cached_over_an_operation_that_is_none(op, vaddr, is_dropped):
    """A walk cache that keeps its entries then answers with a leaf that the root no longer maps."""
    memory, control = PhysicalMemory(), Control(0x1000)
    memory.add(range(1, 5))
    for table in range(1, 5):
        memory.write(table << 12, 8, (table + 1) << 12 | Entry.P | Entry.A)
    commands = np.concatenate([
        accesses(control, 0), exchange(0x1000, 0), invalidation(control, op, vaddr=vaddr),
        exchange(0x4000, 0x9000 | Entry.P | Entry.A), accesses(control, 0)])
    answers = np.zeros(len(commands), ANSWER)
    answers["accepted"] = answers["answered"] = 2 * np.arange(len(commands))
    answers["paddr"][[0, 4]] = 0x5000, 0x9000
    answers["value"][[1, 3]] = 0x2000 | Entry.P | Entry.A, 0x5000 | Entry.P | Entry.A
    referee = Referee(X86_64, memory, control)
    if is_dropped:
        with pytest.raises(IllegalAnswer, match="was answered"):
            referee.judge(commands, answers)
    else:
        referee.judge(commands, answers)
        assert referee.findings.stale == 1


def without(commands, wanted):
    """Return commands in which an invalidation is lost: the hardware never hears of it."""
    heard = commands.copy()
    lost = (commands["op"] == Op.INVALIDATE) & (commands["invalidate"] == wanted)
    assert lost.any()
    heard[lost] = wait(1)
    return heard


@pytest.mark.slow
@pytest.mark.parametrize("op", InvalidateOp, ids=lambda op: op.name)
def test_an_invalidation_left_out_is_caught(op):
    churn = Churn(X86_64, 6, with_global=op in (
        InvalidateOp.INVPCID_ALL, InvalidateOp.INVLPG, InvalidateOp.MOV_CR4))
    referee = Referee(X86_64, churn.memory, churn.control)
    commands, _ = churn.program(5 * LENGTH)
    run = create("cxxrtl", small(X86_64)).run(churn.memory, without(commands, op))
    with pytest.raises(IllegalAnswer, match=r"was answered .*; permitted are"):
        referee.judge(commands, run.answers)


def spoiled(mode, seed, spoil):
    """Judge a run after ``spoil(commands, answers)``."""
    churn = Churn(mode, seed)
    referee = Referee(mode, churn.memory, churn.control)
    commands, _ = churn.program(3000)
    answers = create("cxxrtl", small(mode)).run(churn.memory, commands).answers
    spoil(commands, answers)
    referee.judge(commands, answers)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(("field", "bit"), [
    ("paddr", 1), ("paddr", 1 << 31), ("fault", 1), ("error", 1), ("error", 8), ("vector", 3),
    ("vector", 14), ("page", 1), ("memory_type", 1)])
def test_a_wrong_field_of_an_answer_is_caught(mode, field, bit):
    def spoil(commands, answers):
        wanted = answers["fault"] == (field in ("error", "vector"))
        rows = np.flatnonzero((commands["op"] == Op.ACCESS) & wanted)
        row = rows[len(rows) // 2]
        answers[field][row] ^= bit
        if field == "fault":
            answers["vector"][row] = 14

    with pytest.raises(IllegalAnswer, match="was answered"):
        spoiled(mode, 7, spoil)


@pytest.mark.slow
@MODES
@pytest.mark.parametrize(("flags", "present"), [
    (Entry.A, True), (Entry.D, True), (Entry.D, False), (Entry.RW, True)],
    ids=["A lost", "D lost", "D out of nothing", "another bit"])
@pytest.mark.parametrize("op", [Op.READ, Op.EXCHANGE])
def test_a_wrong_entry_in_memory_is_caught(mode, flags, present, op):
    """At least one entry that was seen tells: not every flag has to be set, or clear, by then."""
    def spoil(commands, answers):
        rows = (commands["op"] == op) & ((answers["value"] & flags != 0) == present)
        assert rows.any()
        answers["value"][rows] ^= np.uint64(flags)

    with pytest.raises(IllegalAnswer, match="Entry at"):
        spoiled(mode, 8, spoil)


@pytest.mark.slow
def test_programs_use_every_port_and_operation():
    commands, _ = Churn(X86_64, 9).program(20_000)
    assert set(commands["port"][commands["op"] == Op.ACCESS]) == set(range(PORTS))
    assert set(commands["invalidate"][commands["op"] == Op.INVALIDATE]) == set(InvalidateOp)
