"""The walk against an x86 emulator that runs beside it: every field, and every entry afterwards."""

from collections import Counter
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.x86 import IA32, LA57, X86_64

from ...oracle.bins import bins_of, unmet
from ...oracle.cases import Case, make_case, random_cases, shapes
from ...oracle.outcomes import by_model, by_unicorn, difference
from ...oracle.unicorn_oracle import UnicornOracle

COUNT = 8000
oracle_of = cache(UnicornOracle)


def disagreement(case: Case) -> str:
    """Return what walk and emulator differ in; empty if in nothing."""
    golden, _ = by_model(case)
    emulated = by_unicorn(oracle_of(case.mode), case)
    return difference(case, golden, emulated, ("walk", "emulator"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("mode", [IA32, X86_64, LA57], ids=lambda mode: mode.name)
def test_walk_and_emulator_agree_on_every_case(mode, seed):
    counts = Counter()
    for case in random_cases(mode, seed, COUNT):
        assert not (wrong := disagreement(case)), wrong
        counts.update(bins_of(case, by_model(case)[1]))
    assert unmet(mode, counts) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", [IA32, X86_64, LA57], ids=lambda mode: mode.name)
@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_walk_and_emulator_agree_on_tables_of_any_shape(mode, data):
    case = make_case(data.draw(shapes(mode)), data.draw(st.integers(0, 2**32 - 1), "seed"))
    assert not (wrong := disagreement(case)), wrong
