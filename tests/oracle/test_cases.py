"""Cases can be made again from what they print, and their bins notice what was not met."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from pagewalk.model.x86 import IA32, X86_64

from .bins import all_bins, bins_of, unmet
from .cases import Shape, make_case, random_cases
from .outcomes import by_model, difference

MODES = pytest.mark.parametrize("mode", [IA32, X86_64], ids=lambda mode: mode.name)


@MODES
def test_a_case_is_made_again_by_what_it_prints(mode):
    for case in random_cases(mode, seed=1, count=50):
        call, *_ = str(case).splitlines()
        assert eval(call, {"Shape": Shape, "make_case": make_case}) == case


@MODES
def test_the_same_seed_makes_the_same_cases_and_another_seed_others(mode):
    assert random_cases(mode, 1, 50) == random_cases(mode, 1, 50)
    assert random_cases(mode, 1, 50) != random_cases(mode, 2, 50)


@MODES
def test_outcomes_differ_in_any_field_and_in_any_entry(mode):
    names = "one", "other"
    for case in random_cases(mode, seed=2, count=20):
        outcome, _ = by_model(case)
        assert difference(case, outcome, outcome, names) == ""
        answer = outcome.answer
        for field, wrong in [("vector", answer.vector ^ 3), ("error_code", answer.error_code ^ 8),
                             ("cr2", None if answer.cr2 else 1), ("paddr", answer.paddr ^ 1)]:
            other = replace(outcome, answer=replace(answer, **{field: wrong}))
            text = difference(case, outcome, other, names)
            assert text.startswith(str(case))
            assert text.splitlines()[-1].startswith(f"{field}: ")
        for paddr, entry in case.entries.items():
            memory = outcome.memory.copy()
            memory.write(paddr, mode.entry_bytes, entry ^ 1 << 8 * mode.entry_bytes - 1)
            text = difference(case, outcome, replace(outcome, memory=memory), names)
            assert text.splitlines()[-1].startswith(f"entry at {paddr:#x} afterwards: ")


@MODES
def test_a_difference_reads_well(mode):
    case = next(case for case in random_cases(mode, 3, 100) if by_model(case)[1].fault is None)
    outcome, _ = by_model(case)
    other = replace(outcome, answer=replace(outcome.answer, vector=14, cr2=0x1000))
    *_, vector, cr2 = difference(case, outcome, other, ("walk", "emulator")).splitlines()
    assert vector == "vector: 0x0 (walk), 0xe (emulator)"
    assert cr2 == "cr2: left alone (walk), 0x1000 (emulator)"


@MODES
def test_each_bin_is_missed_if_no_case_was_in_it(mode):
    counts = Counter()
    for case in random_cases(mode, seed=4, count=200):
        counts.update(bins_of(case, by_model(case)[1]))
    met = set(counts)
    assert unmet(mode, counts) == [name for name in all_bins(mode) if name not in met]
    assert unmet(mode, Counter()) == all_bins(mode)
    assert len(set(all_bins(mode))) == len(all_bins(mode))
    with pytest.raises(AssertionError, match="no bin"):
        unmet(mode, Counter(["no bin"]))


@MODES
def test_cases_only_reach_tables_that_are_there(mode):
    for case in random_cases(mode, seed=5, count=500):
        memory = case.memory()
        _, walk = by_model(case)
        assert all(step.paddr >> 12 in memory for step in walk.steps)
        assert np.count_nonzero(memory.frames) <= len(case.entries)
