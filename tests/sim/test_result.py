import json
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.physical.memory import PhysicalMemory
from pagewalk.model.x86 import IA32
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.base import Run
from pagewalk.sim.result import Difference, Mismatch, Result


def difference(field, wrong, count=20):
    """Return a difference at the positions ``wrong`` of ``count``, each expecting its position."""
    expected = np.arange(count)
    return Difference.where(field, np.isin(expected, wrong), expected, expected + 100)


def test_a_difference_has_the_values_at_its_positions():
    one = difference("x", [3, 7])
    assert (one.rows.tolist(), one.expected.tolist(), one.got.tolist()) == (
        [3, 7], [3, 7], [103, 107])


@given(st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(0, 19))))
def test_an_item_counts_once_and_once_per_field(wrong):
    result = Result(IA32, "probes", 5)
    item = np.arange(20) // 4
    result.add_differences([difference(name, sorted(rows)) for name, rows in wrong.items()], item)
    items = {name: {row // 4 for row in rows} for name, rows in wrong.items() if rows}
    assert result.mismatches_by_field == {name: len(of_name) for name, of_name in items.items()}
    assert result.mismatches == len(set().union(*items.values())) == result.mismatched_items
    assert result.agreed == (not items)


def test_the_first_differences_come_in_the_order_of_the_answers():
    result = Result(IA32, "probes", 20)
    found = [difference("a", [2, 9]), difference("b", [0, 2])]
    assert result.add_differences(found, np.arange(20)) == [
        (0, "b", 0, 100), (2, "a", 2, 102), (2, "b", 2, 102), (9, "a", 9, 109)]


def test_of_an_item_the_first_answer_of_each_field_is_returned():
    result = Result(IA32, "probes", 5)
    assert result.add_differences([difference("a", [5, 6, 9])], np.arange(20) // 4) == [
        (5, "a", 5, 105), (9, "a", 9, 109)]


def test_no_more_are_returned_than_there_is_room_for():
    result = Result(IA32, "probes", 20)
    found = [difference("a", range(20)), difference("b", range(20))]
    assert len(result.add_differences(found, np.arange(20))) == 10
    result.first += [Mismatch("here", "a", 0, 1)] * 8
    assert len(result.add_differences(found, np.arange(20))) == 2
    assert result.mismatches_by_field == {"a": 40, "b": 40}


def test_frames_that_differ_are_mismatches_of_their_own():
    memory = PhysicalMemory()
    memory.add([9, 4, 7])
    memory.write(0x7018, 8, 5)
    memory.write(0x9FF8, 8, 6)
    result = Result(IA32, "probes", 2, mismatches=1)
    result.add_frames("here", memory, np.zeros_like(memory.frames))
    assert result.mismatches_by_field == {"frames": 2}
    assert (result.mismatches, result.mismatched_items) == (3, 1)
    assert result.first == [Mismatch("here", "frames", 0, 6, paddr=0x9FF8),
                            Mismatch("here", "frames", 0, 5, paddr=0x7018)]


def test_frames_that_are_right_are_no_mismatch():
    memory = PhysicalMemory()
    memory.add([9, 4, 7])
    result = Result(IA32, "probes", 2)
    result.add_frames("here", memory, memory.frames.copy())
    assert result.agreed
    assert result.mismatches_by_field == {}


def test_runs_are_summed_and_figures_are_json():
    result = Result(IA32, "probes", 3, mismatches_by_field=Counter(paddr=2), seconds=1.23456)
    for cycles in 10, 5:
        result.add_run(Run(np.zeros(1, ANSWER), cycles, {"flush": 2, "walk_end": cycles}))
    assert json.loads(json.dumps(result.as_json())) == {
        "mode": "ia32", "total": 3, "mismatches": 0, "mismatches_by_field": {"paddr": 2},
        "accesses": 0, "cycles": 15, "seconds": 1.235, "events": {"flush": 4, "walk_end": 15}}
