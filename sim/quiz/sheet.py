"""A sheet of exercises: which there are, and how one becomes text and figures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np

from .buddy_exercise import buddy_exercise, zone_exercise
from .exercise import Exercise, MakeExercise, Question
from .fault_exercise import fault_exercise
from .lru_exercise import lists_exercise, replacement_exercise
from .rights_exercise import rights_exercise
from .table_exercise import table_exercise
from .tlb_exercise import sets_exercise, tlb_exercise
from .walk_exercise import walk_exercise

__all__ = ["TOPICS", "Sheet", "make_sheet", "sheet_figures", "sheet_text"]

WIDTH = 100

TOPICS: dict[str, tuple[MakeExercise, MakeExercise]] = {
    "walk": (table_exercise, walk_exercise),
    "tlb": (tlb_exercise, sets_exercise),
    "buddy": (zone_exercise, buddy_exercise),
    "faults": (fault_exercise, rights_exercise),
    "lru": (lists_exercise, replacement_exercise),
}
"""What makes an exercise of each topic: of a real machine, and with ``toy`` of a small one."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Exercises, and the seed that they come from."""

    seed: int
    toy: bool
    exercises: tuple[Exercise, ...]

    def questions(self) -> Iterator[tuple[str, Question]]:
        """Yield each question and its name: the number of its exercise, and a letter."""
        for number, exercise in enumerate(self.exercises, 1):
            for at, question in enumerate(exercise.questions):
                yield question_name(number, at), question


def question_name(exercise: int, question: int) -> str:
    """Return the name of a question: ``2c`` for the third one of the second exercise."""
    return f"{exercise}{chr(ord('a') + question)}"


def make_sheet(seed: int, topics: Sequence[str], *, toy: bool, count: int) -> Sheet:
    """Return ``count`` exercises of each topic. An exercise depends on its topic and number, too.

    So a sheet of one topic has what a sheet of all topics has of it.
    """
    names = [*TOPICS]
    return Sheet(seed, toy, tuple(
        TOPICS[topic][toy](np.random.default_rng([seed, names.index(topic), number]))
        for topic in topics for number in range(count)))


def sheet_text(sheet: Sheet, *, answers: bool) -> Iterator[str]:
    """Yield the lines of a sheet, with the answers if they are asked for."""
    for number, exercise in enumerate(sheet.exercises, 1):
        if number > 1:
            yield ""
        yield f"{number}. {exercise.title} ({exercise.topic}, seed {sheet.seed})"
        yield ""
        yield from exercise.given.split("\n")
        yield ""
        for at, question in enumerate(exercise.questions):
            yield from _wrapped(f"{question_name(number, at)}) {question.prompt}")
            if answers:
                yield f"    answer: {question.answer}"
                yield from _wrapped(f"    {question.why}" if question.why else "")


def _wrapped(text: str) -> list[str]:
    return wrap(text, WIDTH, subsequent_indent="    ")


def sheet_figures(sheet: Sheet, *, answers: bool) -> dict[str, Any]:
    """Return a sheet for ``--json``, with the answers if they are asked for."""
    return {"toy": sheet.toy, "exercises": [
        {"number": number, "topic": exercise.topic, "title": exercise.title,
         "given": exercise.given, "questions": [
             {"name": question_name(number, at), "prompt": question.prompt}
             | ({"answer": question.answer, "also": [*question.also], "why": question.why}
                if answers else {})
             for at, question in enumerate(exercise.questions)]}
        for number, exercise in enumerate(sheet.exercises, 1)]}
