"""Probes, rights, cancels and refusals before the referee: what is right passes, nothing else."""

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32, LA57, X86_64, Entry, Purpose
from pagewalk.sim.engine import create
from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.answer import PAGE_RIGHTS, Loss
from pagewalk.sim.engine.command import Op
from pagewalk.sim.referee import IllegalAnswer, Referee

from .attack import Attack, attack

TINY = {"entries": 2, "walk_cache": 1, "rights": True, "probes": True, "checks": True}
SIMULATED = {
    "tag": Config(cancel=True, misses=3, order="tag", walkers=2, ports=("a", "b", "c"), **TINY),
    "request": Config(mode=IA32, cancel=True, hit_latency=0, **TINY),
    "fault": Config(mode=LA57, ad="fault", hit_latency=2, **TINY),
    "success": Config(mode=X86_64.without_1g_pages(), accessed="success", walkers=3, **TINY),
    "write": Config(mode=IA32, ad="write", accessed="success", l2_entries=16, l2_ways=2, **TINY),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SIMULATED)
@pytest.mark.parametrize("seed", [1, 2])
def test_what_the_simulator_does_is_permitted(name, seed):
    config = SIMULATED[name]
    found, _, _ = attack(config, seed, 1500, length=400, make_engine=AmaranthEngine)
    print(found)
    assert found.accesses > 150


def by_the_model(config, seed):
    """Return a referee, commands, and the answers of the golden model, which caches nothing."""
    software = Attack(config, seed)
    referee = Referee(config, software.memory, software.control)
    commands = software.program(2500)
    commands = commands[commands["op"] != Op.RESET]
    answers = create("model", config).run(software.memory, commands).answers
    answers["accepted"] = answers["answered"] = np.arange(len(answers))
    return referee, commands, answers


ALL = Config(**TINY, cancel=True)


@pytest.mark.slow
@pytest.mark.parametrize("config", [ALL, *(SIMULATED[name] for name in ("fault", "success"))],
                         ids=["use", "fault", "success"])
def test_what_the_model_answers_is_permitted(config):
    referee, commands, answers = by_the_model(config, 7)
    referee.judge(commands, answers)
    assert referee.findings.stale == 0
    assert referee.findings.refused > 5
    assert set(commands["purpose"]) == {*Purpose}


def row_of(chosen):
    rows = np.flatnonzero(chosen)
    return rows[len(rows) // 2]


@pytest.mark.slow
@pytest.mark.parametrize("field", PAGE_RIGHTS)
def test_a_wrong_right_is_caught(field):
    referee, commands, answers = by_the_model(ALL, 6)
    told = (commands["op"] == Op.ACCESS) & (answers["fault"] == 0) & (answers["page"] == 0)
    if field == "dirty":  # which may be told late, but not out of nothing
        told &= answers["dirty"] == 0
    answers[field][row_of(told & (commands["cr0"] >> 31 != 0))] ^= 1
    with pytest.raises(IllegalAnswer, match="was answered"):
        referee.judge(commands, answers)


@pytest.mark.slow
@pytest.mark.parametrize("refused", [False, True])
def test_a_wrong_refusal_is_caught(refused):
    referee, commands, answers = by_the_model(ALL, 7)
    row = row_of((commands["op"] == Op.INVALIDATE) & (answers["fault"] == refused))
    answers["fault"][row] ^= 1
    with pytest.raises(IllegalAnswer, match="was answered by vector"):
        referee.judge(commands, answers)


@pytest.mark.slow
def test_only_a_lookup_may_find_nothing_where_there_is_something():
    for purpose in Purpose:
        referee, commands, answers = by_the_model(ALL, 8)
        row = row_of((commands["purpose"] == purpose) & (commands["op"] == Op.ACCESS)
                     & (answers["fault"] == 0) & (commands["cr0"] >> 31 != 0))
        for name in ("paddr", "page", "memory_type", *PAGE_RIGHTS):
            answers[name][row] = 0
        answers["fault"][row] = 1
        if purpose is Purpose.LOOKUP:
            referee.judge(commands, answers)
            continue
        with pytest.raises(IllegalAnswer, match="was answered"):
            referee.judge(commands, answers)


@pytest.mark.slow
@pytest.mark.parametrize(("config", "flag"), [
    (ALL, Entry.A), (SIMULATED["fault"], Entry.A), (SIMULATED["fault"], Entry.D)],
    ids=["A lost", "A by hardware", "D by hardware"])
def test_a_wrong_flag_in_memory_is_caught(config, flag):
    referee, commands, answers = by_the_model(config, 9)
    seen = (commands["op"] == Op.READ) | (commands["op"] == Op.EXCHANGE)
    wrong = seen & ((answers["value"] & flag != 0) == (config is ALL))
    answers["value"][wrong] ^= np.uint64(flag)
    with pytest.raises(IllegalAnswer, match="Entry at"):
        referee.judge(commands, answers)


@pytest.mark.slow
def test_what_was_cancelled_may_have_set_flags_until_the_next_invalidation():
    referee, commands, answers = by_the_model(ALL, 10)
    asked = commands["op"] == Op.ACCESS
    rng = np.random.default_rng(1)
    lost = asked & (rng.random(len(asked)) < 0.2)
    kept = {name: answers[name].copy() for name in ("accepted", "answered")}
    answers[lost] = 0
    for name, values in kept.items():
        answers[name] = values
    answers["lost"][lost] = Loss.BY_CANCEL
    referee.judge(commands, answers)
    # The last ones may still be at work.
    last = np.flatnonzero(commands["op"] == Op.INVALIDATE)[-1]
    assert referee.findings.cancelled == np.count_nonzero(lost[:last]) > 50
