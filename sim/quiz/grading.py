"""A student's answers, graded against the sheet.

[gradescope-autograders.readthedocs.io, "Autograder Specifications", of results.json]
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, check_ends
from .sheet import Sheet

__all__ = ["Grade", "grade", "gradescope_results", "read_answers"]

NOUN = 'an object such as {"1a": "0x1f"}'
MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Grade:
    """What became of one question; ``given`` is None if it was left out."""

    name: str
    prompt: str
    given: str | None
    right: bool
    answer: str

    def words(self, *, answers: bool) -> str:
        """Return the outcome in words, with the right answer if it is to be told."""
        told = f"; right is {self.answer}" if answers and not self.right else ""
        if self.given is None:
            return f"no answer{told}"
        given = "".join(letter if letter.isprintable() else " " for letter in self.given[:60])
        return f"{given}: {'right' if self.right else 'wrong'}{told}"


def read_answers(path: str, sheet: Sheet) -> dict[str, str]:
    """Return the answers in a file, by the names of their questions; raise ``InputError``."""
    check_ends(path, NOUN)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"{path}: is longer than {MOST_BYTES} bytes; expected {NOUN}")
        found: Any = json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read: {reason}; expected {NOUN}") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: is {json.dumps(found)[:40]}; expected {NOUN}")
    names = [name for name, _ in sheet.questions()]
    for name, value in found.items():
        if name not in names:
            raise InputError(f"{path}: {name[:40]!r} is no question of this sheet; expected "
                             f"{names[0]} to {names[-1]}")
        if type(value) not in (int, str):
            raise InputError(f"{path}: {name}: is {json.dumps(value)[:40]}; expected a number or "
                             "words")
    return {name: str(value) for name, value in found.items()}


def grade(sheet: Sheet, answers: Mapping[str, str]) -> list[Grade]:
    """Return the grade of each question of a sheet."""
    return [Grade(name, question.prompt, given := answers.get(name),
                  given is not None and question.accepts(given), question.answer)
            for name, question in sheet.questions()]


def gradescope_results(grades: list[Grade], *, answers: bool) -> dict[str, Any]:
    """Return what Gradescope reads as ``results.json``: a test for each question, of one point."""
    return {"score": sum(one.right for one in grades), "tests": [
        {"name": one.prompt, "number": one.name, "score": int(one.right), "max_score": 1,
         "status": "passed" if one.right else "failed", "output": one.words(answers=answers)}
        for one in grades]}
