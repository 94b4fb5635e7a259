"""What counts as a difference, and how programs that show one are made shorter."""

from dataclasses import replace

import numpy as np
import pytest

from .compare import Difference, first_difference, minimised
from .generate import random_program
from .native import RunnerError
from .program import STATUS, Arg, Base, Outcome, Program, Step

SHOWN = Outcome(status=(4, 0, 8, 8, 0), mappings=())


def same(program):
    """A run in which all comes to the same."""
    outcomes = [SHOWN if step.name == "show" else Outcome() for step in program.steps]
    return outcomes, list(outcomes)


def wrong_after(*names):
    """Runs whose model is wrong after these steps, in their order; they raise on ``exit``."""
    def run(program):
        native, model = same(program)
        left = list(names)
        for index, step in enumerate(program.steps):
            if step.name == "exit":
                raise RunnerError("The runner has ended")
            if not left:
                model[index] = replace(model[index], result=5)
            elif step.name == left[0]:
                left.pop(0)
        return native, model
    return run


@pytest.mark.parametrize(("field", "value"), [
    ("result", 1), ("signal", (11, 1, 0)), ("minor", 1), ("major", 1), ("skipped", True),
    ("broken", "BrokenMm")])
def test_any_field_of_any_step_counts(field, value):
    program = Program.parse("load(0)\nload(0)\nload(0)")
    assert first_difference(program, same) is None

    def run(program):
        native, model = same(program)
        return native, [*model[:1], replace(model[1], **{field: value}), model[2]]
    found = first_difference(program, run)
    assert (found.index, found.field, found.kind) == (1, field, ("load", field))


def test_figures_count_by_how_they_differ_from_those_at_the_start():
    program = Program.parse("show()\nshow()\n[1] show()")

    more = [replace(SHOWN, status=tuple(kb + 100 for kb in SHOWN.status))] * 3
    assert first_difference(program, lambda _: (more, [SHOWN] * 3)) is None
    for number, name in enumerate(STATUS):
        other = replace(SHOWN, status=tuple(
            kb + 4 * (at == number) for at, kb in enumerate(SHOWN.status)))
        assert first_difference(program, lambda _, other=other: (
            more, [SHOWN, SHOWN, other])).kind == ("show", name)


def test_a_short_program_is_left():
    program = random_program(np.random.default_rng(3), files=False, length=60)
    steps = [*program.steps, Step(0, "munmap"), Step(0, "show"), Step(0, "brk"), Step(0, "load")]
    program = replace(program, steps=tuple(step for step in steps if step.name != "exit"))
    run = wrong_after("munmap", "brk")
    found = minimised(first_difference(program, run), run)
    assert [step.name for step in found.program.steps[:2]] == ["munmap", "brk"]
    assert len(found.program.steps) == 3
    assert isinstance(found, Difference)


def test_arguments_become_simple():
    program = Program.parse("mmap(arena+0x7123, 0x5000, 3, 0x22, 99, 0)\nload(0)")

    def run(program):
        native, model = same(program)
        length = program.steps[0].args[1].value if program.steps[0].name == "mmap" else 0
        return native, [*model[:-1], replace(model[-1], result=length & 0x4000)]
    found = minimised(first_difference(program, run), run)
    assert str(found.program.steps[0]) == "[0] mmap(arena+0x0, 0x4000, 0x0, 0x0, 0x63, 0x0)"


def test_steps_that_go_leave_the_arena_in_place_of_their_results():
    program = Program.parse("mmap(0)\nload(result 0+0x8)\nmmap(1)\nload(result 2+0x10)")
    assert program.without({0}).steps == (
        Step(0, "load", (Arg(8, Base.ARENA),)), Step(0, "mmap", (Arg(1),)),
        Step(0, "load", (Arg(0x10, Base.RESULT + 1),)))


def test_a_program_that_ends_the_runner_is_not_shorter():
    program = Program.parse("munmap()\n[1] load(0)\n[1] exit()")
    found = Difference(program, 1, "result", Outcome(), Outcome(5))
    assert minimised(found, wrong_after("munmap")).program.steps[-1].name != "exit"
