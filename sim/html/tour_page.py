"""A tour as a page: each step with the state before and after it, and what has changed in it."""

from collections.abc import Mapping
from typing import Any

from .document import Document

__all__ = ["tour_page"]

Figures = Mapping[str, Any]


def tour_page(figures: Figures) -> Document:
    """Return a page of the figures of ``pagewalk tour``."""
    about = figures["about"]
    page = Document(f"{about[0].upper()}{about[1:]}")
    page.paragraph("Each step shows the state before and after it. Lines that the step has changed "
                   "are marked; what it left alone is folded.")
    for number, step in enumerate(figures["steps"], 1):
        _step(page, number, step)
    return page


def _step(page: Document, number: int, step: Figures) -> None:
    page.heading(f"{number}. {step['title']}").paragraph(step["sentence"])
    if step["events"]:
        page.lines(f"What happened in step {number}", step["events"])
    before = {block["name"]: block["text"] for block in step["before"]}
    for block in step["after"]:
        name, new = block["name"], block["text"].splitlines()
        if name not in before:
            page.heading(f"{name}, after", 3).lines(f"{name}, after step {number}", new)
            continue
        old = before.pop(name).splitlines()
        if old == new:
            same = Document(name).lines(f"{name}, in step {number}", new)
            page.folded(f"{name}: unchanged", same)
            continue
        for when, lines, others in (("before", old, new), ("after", new, old)):
            page.heading(f"{name}, {when}", 3)
            page.lines(f"{name}, {when} step {number}", lines or ["(nothing)"],
                       [at for at, line in enumerate(lines) if line not in others])
    for name in before:
        page.paragraph(f"{name}: gone.")
