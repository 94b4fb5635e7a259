"""What a tour consists of: steps, each with the state before and after it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

__all__ = ["Act", "Block", "Tour", "TourStep", "chosen_lines"]


@dataclass(frozen=True, slots=True)
class Block:
    """A text of several lines and what it is: the name of a file of ``/proc``, as a rule."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class TourStep:
    """One step of a tour.

    Members
    -------
    title, sentence
        What was done, and what that led to.
    events
        System calls and page faults, a line each, in the order in which they came.
    before, after
        The state of the model, in the same blocks.
    """

    title: str
    sentence: str
    events: tuple[str, ...]
    before: tuple[Block, ...]
    after: tuple[Block, ...]


Act = tuple[str, Callable[[], str]]
"""The title of a step, and what takes it and returns the sentence about it."""


class Tour(ABC):
    """A run of the model in a few steps; each object makes it once.

    Members
    -------
    events
        What has happened in this step, as lines.
    """

    def __init__(self) -> None:
        self.events: list[str] = []

    @abstractmethod
    def acts(self) -> Sequence[Act]:
        """Return the steps, to be taken in this order."""

    @abstractmethod
    def blocks(self) -> tuple[Block, ...]:
        """Return the state as it is now."""

    def close(self) -> None:  # not abstract: most tours hold nothing that is to be given back
        """Give back what the tour holds outside of the model."""
        return

    def steps(self) -> Generator[TourStep, None, None]:
        """Take the steps, and yield each when it is taken."""
        try:
            for title, act in self.acts():
                before = self.blocks()
                self.events.clear()
                sentence = act()
                yield TourStep(title, sentence, tuple(self.events), before, self.blocks())
        finally:
            self.close()


def chosen_lines(text: str, *names: str) -> str:
    """Return the lines of a text that begin with one of ``names``, in the order of the text."""
    return "".join(line for line in text.splitlines(keepends=True) if line.startswith(names))
