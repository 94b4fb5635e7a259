"""A sheet of exercises as a page; answers, if they are asked for, show when they are opened."""

from collections.abc import Mapping
from typing import Any

from .document import Document

__all__ = ["quiz_page"]


def quiz_page(figures: Mapping[str, Any]) -> Document:
    """Return a page of the figures of ``pagewalk quiz``."""
    page = Document(f"Exercises from seed {figures['seed']}")
    for exercise in figures["exercises"]:
        number = exercise["number"]
        page.heading(f"{number}. {exercise['title']}")
        page.lines(f"What is given in exercise {number}", exercise["given"].split("\n"))
        for question in exercise["questions"]:
            page.paragraph(f"{question['name']}) {question['prompt']}")
            if "answer" in question:
                answer = Document(question["name"]).paragraph(question["answer"])
                if question["why"]:
                    answer.paragraph(question["why"])
                page.folded(f"Answer to {question['name']}", answer)
    return page
