"""The hardware against an x86 emulator: every field, and every entry afterwards."""

from collections import Counter

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32, LA57, X86_64, InvalidateOp, Vector
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.command import Op, accesses, exchange, invalidation
from pagewalk.sim.engine.cxxrtl import CxxrtlEngine

from ..oracle.bins import bins_of, unmet
from ..oracle.cases import FRAMES, random_cases
from ..oracle.outcomes import Outcome, by_model, by_unicorn, difference
from ..oracle.unicorn_oracle import MAXPHYADDR, Answer, UnicornOracle

COUNT = 8000
HOW = ("accepted", "answered", "hit", "lost")  # how an answer was found; the rest is what it says
VALUES = [name for name in ANSWER.names if name not in HOW]


def commands_of(case):
    """Return what is a case to an engine: tables, the access, what became of the tables.

    The access is made twice, as its answer must be the same when it comes from the TLB.
    """
    control, access, paddrs = case.control, case.access, list(case.entries)
    entries = np.array(list(case.entries.values()), np.uint64)  # of a list numpy may make floats
    return np.concatenate([
        exchange(paddrs, entries),
        accesses(control, [access.vaddr] * 2, access.kind, user=access.user, ac=access.ac),
        invalidation(control, InvalidateOp.INVPCID_ALL),
        exchange(paddrs, 0),  # which also reads them
    ])


def by_hardware(engine, cases):
    """Return the outcomes of ``cases``, each on page tables of its own and with empty TLBs."""
    memory = PhysicalMemory()
    memory.add(FRAMES[engine.config.mode.name])
    batches = [commands_of(case) for case in cases]
    answers = engine.run(memory, np.concatenate(batches)).answers
    assert not memory.frames.any()  # the tables were cleared, and nothing else was written
    ends = np.cumsum([len(batch) for batch in batches])
    parts = zip(cases, batches, np.split(answers, ends[:-1]), strict=True)
    return [outcome_of(case, part[batch["op"] == Op.ACCESS], part[-len(case.entries):]["value"])
            for case, batch, part in parts]


def outcome_of(case, answers, entries):
    answer, again = answers
    assert all(answer[name] == again[name] for name in VALUES), str(case)
    needs_no_walk = not case.shape.is_canonical
    assert answer["hit"] == needs_no_walk, str(case)
    assert again["hit"] == (needs_no_walk or not again["fault"]), str(case)
    memory = case.memory()
    for paddr, entry in zip(case.entries, entries.tolist(), strict=True):
        memory.write(paddr, case.mode.entry_bytes, entry)
    paddr, vaddr, error, vector = (
        int(answer[name]) for name in ("paddr", "vaddr", "error", "vector"))
    assert answer["fault"] == bool(vector)
    return Outcome(Answer(vector, error, vaddr if vector == Vector.PF else None, paddr), memory)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3])
@pytest.mark.parametrize("mode", [IA32, X86_64, LA57], ids=lambda mode: mode.name)
def test_hardware_and_emulator_agree_on_every_case(mode, seed):
    engine = CxxrtlEngine(Config(mode, entries=4, paddr_bits=MAXPHYADDR), latency=1)
    oracle, cases, counts = UnicornOracle(mode), random_cases(mode, seed, COUNT), Counter()
    for case, hardware in zip(cases, by_hardware(engine, cases), strict=True):
        emulated = by_unicorn(oracle, case)
        wrong = difference(case, hardware, emulated, ("hardware", "emulator"))
        assert not wrong, wrong
        counts.update(bins_of(case, by_model(case)[1]))
    assert unmet(mode, counts) == []
