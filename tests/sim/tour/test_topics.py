"""Every tour: its files are what the model has, it is quick, and each run is the same."""

import time

import pytest

from pagewalk.sim.tour.topics import TOURS
from pagewalk.sim.tour.tour_text import step_figures, step_text

from .witness import check_blocks

OTHERS = {"pagesets of /proc/zoneinfo", "/proc/slabinfo", "slabs", "/proc/swaps", "/proc/vmstat",
          "pkmap_count", "kmap_local", "TLB", "owed"}


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOURS)
def test_files_say_what_the_model_has(topic):
    tour = TOURS[topic].make()
    known = tour.blocks()
    assert {*check_blocks(tour, known)} <= OTHERS
    titles = []
    for step in tour.steps():
        assert step.before == known
        assert {*check_blocks(tour, step.after)} <= OTHERS
        known = step.after
        titles.append(step.title)
        if hasattr(tour, "kernel"):
            tour.kernel.check()
    assert titles == [title for title, _ in tour.acts()]
    assert len({*titles}) == len(titles) > 5


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOURS)
def test_two_runs_are_the_same_and_take_a_few_seconds(topic):
    start = time.process_time()
    first = [step_figures(step) for step in TOURS[topic].make().steps()]
    assert time.process_time() - start < 10
    assert first == [step_figures(step) for step in TOURS[topic].make().steps()]


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOURS)
def test_the_text_has_all_that_changed(topic):
    for number, step in enumerate(TOURS[topic].make().steps(), 1):
        lines = [*step_text(number, step)]
        text = "\n".join(lines)
        assert lines[0] == f"{number}. {step.title}"
        assert " ".join(step.sentence.split()) in " ".join(text.split())
        for line in step.events:
            assert f"    {line}" in lines
        before = {block.name: block.text for block in step.before}
        for block in step.after:
            if before.get(block.name) != block.text or number == 1:
                assert all(f"    {line}".rstrip() in lines for line in block.text.splitlines())
            else:
                assert f"{block.name}: as before" in lines
