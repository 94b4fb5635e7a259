"""Exercises as questions for Moodle.

[docs.moodle.org, "Moodle XML format"; "Embedded Answers (Cloze) question type"]

An exercise with several questions is one question of type cloze, with a field for each; one with a
single question is of type numerical if its answer is a decimal number, else of type shortanswer.
"""

import re
from html import escape
from xml.etree import ElementTree as Xml

from .exercise import Exercise, Question
from .sheet import Sheet

__all__ = ["moodle_xml"]


def moodle_xml(sheet: Sheet) -> str:
    """Return the file that Moodle imports: a category, and a question for each exercise."""
    quiz = Xml.Element("quiz")
    category = Xml.SubElement(quiz, "question", type="category")
    _text(category, "category", f"$course$/top/pagewalk, seed {sheet.seed}"
          + (", toy" if sheet.toy else ""))
    for number, exercise in enumerate(sheet.exercises, 1):
        _add(quiz, f"{number}. {exercise.title} (seed {sheet.seed})", exercise)
    Xml.indent(quiz)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(quiz, "unicode") + "\n"


def _text(parent: Xml.Element, name: str, text: str, form: str | None = None) -> None:
    """Add an element with a text inside, as Moodle has them."""
    attributes = {} if form is None else {"format": form}
    Xml.SubElement(Xml.SubElement(parent, name, attributes), "text").text = text


def _add(quiz: Xml.Element, name: str, exercise: Exercise) -> None:
    """Add the question for an exercise."""
    given = f"<pre>{_outside(escape(exercise.given))}</pre>"
    prompts = [f"<p>{_outside(escape(one.prompt))}" for one in exercise.questions]
    only = exercise.questions[0] if len(exercise.questions) == 1 else None
    kind = "cloze" if only is None else "numerical" if only.is_number else "shortanswer"
    question = Xml.SubElement(quiz, "question", type=kind)
    _text(question, "name", name)
    if only is None:
        prompts = [f"{prompt} {_field(one)}" for prompt, one in
                   zip(prompts, exercise.questions, strict=True)]
    _text(question, "questiontext", given + "".join(f"{prompt}</p>" for prompt in prompts),
          "html")
    why = "".join(f"<p>{escape(one.why)}</p>" for one in exercise.questions if one.why)
    _text(question, "generalfeedback", why, "html")
    Xml.SubElement(question, "penalty").text = "0.3333333"
    Xml.SubElement(question, "hidden").text = "0"
    if only is None:
        return
    Xml.SubElement(question, "defaultgrade").text = "1"
    if kind == "shortanswer":
        Xml.SubElement(question, "usecase").text = "0"
    for right in _right(only):
        answer = Xml.SubElement(question, "answer", fraction="100",
                                format="moodle_auto_format")
        Xml.SubElement(answer, "text").text = right.replace("*", "\\*")  # which is a wildcard
        if kind == "numerical":
            Xml.SubElement(answer, "tolerance").text = "0"


def _right(question: Question) -> list[str]:
    """Return all forms of a right answer; a number in hexadecimal may be given in decimal."""
    forms = [question.answer, *question.also]
    decimal = [re.sub(r"0x[0-9a-f]+", lambda found: str(int(found[0], 16)), one) for one in forms]
    return [*dict.fromkeys([*forms, *decimal])]


def _field(question: Question) -> str:
    """Return the field of an embedded question."""
    if question.is_number:
        return f"{{1:NUMERICAL:={question.answer}:0}}"
    return "{1:SHORTANSWER:" + "~".join(f"={_inside(one)}" for one in _right(question)) + "}"


def _inside(text: str) -> str:
    """Return a text for a field, where some letters need a backslash."""
    return re.sub(r'([}#~/"\\*])', r"\\\1", escape(text, quote=False))


def _outside(html: str) -> str:
    """Return HTML in which no brace can begin a field."""
    return html.replace("{", "&#123;").replace("}", "&#125;")
