"""The cycles that a miss takes are those that the documentation says, and below the bars."""

from pathlib import Path

import pytest

from .miss_cycles import CASES, CONFIGS, MODES, column

PAGE = Path(__file__).parents[2] / "docs/reference/timing.rst"


def documented():
    """Return the cells of the table by case, paging mode and configuration."""
    lines = PAGE.read_text().splitlines()
    begin = next(number for number, line in enumerate(lines) if "- a request finds" in line)
    cells = []
    for line in lines[begin:]:
        if not line.startswith("   "):
            break
        cells.append(line.split("- ", 1)[1])
    width = 2 + len(CONFIGS)
    head, *rows = [cells[first:first + width] for first in range(0, len(cells), width)]
    assert head[2:] == [*CONFIGS]
    return {(case, mode): dict(zip(CONFIGS, formulas, strict=True))
            for case, mode, *formulas in rows}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("config", CONFIGS)
def test_the_cycles_of_misses_are_those_of_the_table(mode, config):
    """At latencies of 1, 4, 10 and 100, exactly."""
    table = documented()
    assert len(table) == len(CASES) * len(MODES)
    assert column(MODES[mode], CONFIGS[config]) == [
        table[case, mode][config] for case in CASES]


def plus(formula, rest):
    """Return whether a formula is not above ``aL + rest``, as (a, is it)."""
    slope, _, constant = formula.partition("L + ")
    return int(slope or 1), int(constant) <= rest


def test_walks_take_at_most_two_cycles_more_in_two_stages_than_the_bars_for_one():
    """Bars: a level a latency and three cycles; with the last table, a latency and four."""
    for (case, mode), formulas in documented().items():
        levels = len(MODES[mode].levels)
        for config, extra in (("one stage", 0), ("two stages", 2), ("one stage, misses", 0),
                              ("walkers, misses", 2)):
            if case == "nothing is cached":
                assert plus(formulas[config], 3 + extra) == (levels, True)
            elif case == "the walk cache has the last table":
                assert plus(formulas[config], 4 + extra) == (1, True)
            elif case == "the second-level TLB has the page":
                assert int(formulas[config]) <= 1 + 4  # the miss is known in cycle 1
