"""An exercise: what is given, what is asked, and what counts as right."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Exercise", "MakeExercise", "Question"]

MOST_LETTERS = 200
"""Of an answer: beyond all that is right."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is asked.

    Members
    -------
    prompt
        The question.
    answer
        What is right: a number, or words.
    also
        What is right as well.
    why
        How one gets there.
    """

    prompt: str
    answer: str
    also: tuple[str, ...] = ()
    why: str = ""

    @property
    def is_number(self) -> bool:
        """Whether the answer is a decimal number."""
        return self.answer.isdecimal()

    def accepts(self, given: str) -> bool:
        """Return whether an answer is right.

        Numbers may be decimal or, with 0x, hexadecimal. Blanks, commas and case do not matter.
        """
        return _plain(given) in {_plain(right) for right in (self.answer, *self.also)}


@dataclass(frozen=True, slots=True)
class Exercise:
    """What is ``given``, as lines of text, and the questions about it."""

    topic: str
    title: str
    given: str
    questions: tuple[Question, ...]


MakeExercise = Callable[[np.random.Generator], Exercise]
"""Makes an exercise of random numbers."""


def _plain(text: str) -> str:
    """Return an answer in one form: small letters, words with a blank between, numbers decimal."""
    words = re.sub(r"[\s,]+", " ", text[:MOST_LETTERS].casefold()).split()
    return " ".join(_number(word) for word in words)


def _number(word: str) -> str:
    if re.fullmatch(r"0x[0-9a-f]+", word):
        return str(int(word, 16))
    return str(int(word)) if re.fullmatch(r"[0-9]+", word) else word
