"""Answers of the model next to a solver that reads the sheet as a student does."""

from collections import Counter

import pytest

from pagewalk.sim.quiz.sheet import TOPICS, make_sheet, sheet_text

from .solvers import SOLVERS

KINDS = [(topic, toy) for topic in TOPICS for toy in (False, True)]


def wrong_answers(topic, toy, seeds):
    wrong, found = [], Counter()
    for seed in seeds:
        exercise, = make_sheet(seed, [topic], toy=toy, count=1).exercises
        expected = [question.answer for question in exercise.questions]
        found.update(expected)
        solved = SOLVERS[topic][toy](exercise.given,
                                     [question.prompt for question in exercise.questions])
        if solved != expected:
            wrong.append((seed, solved, expected))
    return wrong, found


@pytest.mark.parametrize(("topic", "toy"), KINDS)
def test_answers_are_those_of_a_solver_that_knows_the_text_alone(topic, toy):
    assert wrong_answers(topic, toy, range(10))[0] == []


@pytest.mark.slow
@pytest.mark.parametrize(("topic", "toy"), KINDS)
def test_answers_of_1000_seeds_are_those_of_the_solver(topic, toy):
    wrong, found = wrong_answers(topic, toy, range(1000))
    assert wrong == []
    assert len(found) > 8, found  # of kinds of answers: no exercise is always the same


@pytest.mark.slow
def test_all_that_can_become_of_an_access_is_asked_about():
    assert {"zeros", "new", "copy", "reuse", "maperr", "accerr", "none", "0x4", "0x6", "0x7",
            } <= {*wrong_answers("faults", False, range(200))[1]}
    codes = {*wrong_answers("walk", False, range(1000))[1]}
    assert {f"fault {code:#x}" for code in (0, 1, 2, 3, 4, 5, 6, 7, 9, 11, 0xD, 0xF, 0x14, 0x15,
                                            0x1D)} <= codes
    assert {"fault pde", "fault pte"} <= {*wrong_answers("walk", True, range(50))[1]}


def test_a_sheet_of_one_topic_has_what_a_sheet_of_all_has():
    every = make_sheet(5, [*TOPICS], toy=True, count=2).exercises
    assert every[2:4] == make_sheet(5, ["tlb"], toy=True, count=2).exercises
    assert len({exercise.given for exercise in every}) == 10
    assert make_sheet(6, ["tlb"], toy=True, count=1).exercises[0] != every[2]


@pytest.mark.parametrize("toy", [False, True])
def test_lines_fit_and_answers_are_shown_on_request_alone(toy):
    sheet = make_sheet(5, [*TOPICS], toy=toy, count=2)
    lines = [*sheet_text(sheet, answers=False)]
    assert max(map(len, lines)) <= 106  # a page of the dump is the widest
    assert not any("answer:" in line for line in lines)
    shown = [line.split(": ", 1)[1] for line in sheet_text(sheet, answers=True)
             if line.startswith("    answer: ")]
    assert shown == [question.answer for _, question in sheet.questions()]
    assert [line.split(")")[0] for line in lines if line[:1].isdigit() and ") " in line[:5]] == [
        name for name, _ in sheet.questions()]
