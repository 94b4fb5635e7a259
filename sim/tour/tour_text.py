"""A step of a tour as text and as figures."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from .tour_step import Block, TourStep

__all__ = ["step_figures", "step_text"]

WIDTH = 100


def step_text(number: int, step: TourStep) -> Iterator[str]:
    """Yield the lines of a step, the first of which has the number 1.

    After the first step a block that has not changed is not shown again.
    """
    yield f"{number}. {step.title}"
    yield ""
    yield from wrap(step.sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
    yield ""
    if step.events:
        yield from (f"    {line}" for line in step.events)
        yield ""
    before = {block.name: block for block in step.before}
    for block in step.after:
        old = before.get(block.name)
        if old is not None and old.text == block.text and number > 1:
            yield f"{block.name}: as before"
        elif old is not None and old.text != block.text:
            yield from _block(old, "before")
            yield from _block(block, "after")
        else:
            yield from _block(block, "" if old is not None else "after")
    for name in before.keys() - {block.name for block in step.after}:
        yield f"{name}: gone"
    yield ""


def _block(block: Block, when: str) -> Iterator[str]:
    yield f"{block.name}{', ' * bool(when)}{when}:"
    yield from (f"    {line}".rstrip() for line in block.text.splitlines() or ["(nothing)"])


def step_figures(step: TourStep) -> dict[str, Any]:
    """Return a step for ``--json``."""
    return {"title": step.title, "sentence": step.sentence, "events": [*step.events],
            **{when: [{"name": block.name, "text": block.text} for block in blocks]
               for when, blocks in (("before", step.before), ("after", step.after))}}
