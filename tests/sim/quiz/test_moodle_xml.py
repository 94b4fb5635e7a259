"""The file for Moodle, read back by the rules of its format."""

import re
from html import unescape
from xml.etree import ElementTree as Xml

import pytest

from pagewalk.sim.quiz.exercise import Exercise, Question
from pagewalk.sim.quiz.moodle_xml import moodle_xml
from pagewalk.sim.quiz.sheet import TOPICS, Sheet, make_sheet

ODD = r'a<b & "c" } # ~ / \ *'


def questions(sheet):
    quiz = Xml.fromstring(moodle_xml(sheet))
    assert quiz.tag == "quiz"
    category, *found = quiz
    assert category.attrib == {"type": "category"}
    return found


def fields(html):
    """Return type and right answers of each embedded field, with backslashes taken away."""
    found = re.findall(r"\{1:([A-Z]+):((?:[^\\}]|\\.)*)\}", html)
    return [(kind, [re.sub(r"\\(.)", r"\1", unescape(one[1:]))
                    for one in re.split(r"(?<!\\)~", answers)]) for kind, answers in found]


def right(question):
    """Return the right answers of a question of Moodle: a list for each thing asked."""
    kind = question.attrib["type"]
    if kind == "cloze":
        html = question.find("questiontext/text").text
        return [[one.removesuffix(":0") if field == "NUMERICAL" else one for one in answers]
                for field, answers in fields(html)]
    answers = question.findall("answer")
    assert {one.attrib["fraction"] for one in answers} == {"100"}
    assert kind != "numerical" or [one.find("tolerance").text for one in answers] == ["0"]
    assert kind != "shortanswer" or question.find("usecase").text == "0"
    return [[one.find("text").text for one in answers]]


@pytest.mark.parametrize("toy", [False, True])
def test_every_exercise_is_a_question_with_all_right_answers(toy):
    sheet = make_sheet(11, [*TOPICS], toy=toy, count=3)
    kinds = set()
    for exercise, found in zip(sheet.exercises, questions(sheet), strict=True):
        kinds.add(found.attrib["type"])
        text = found.find("questiontext")
        assert text.attrib == {"format": "html"}
        assert exercise.title in found.find("name/text").text
        given, = re.findall(r"<pre>(.*?)</pre>", text.find("text").text, re.DOTALL)
        assert unescape(given) == exercise.given
        for question, answers in zip(exercise.questions, right(found), strict=True):
            assert question.answer == answers[0]
            assert all(question.accepts(one) for one in answers)
    assert kinds == ({"cloze", "numerical", "shortanswer"} if toy else {"cloze"})


def test_a_number_in_hexadecimal_may_be_given_in_decimal():
    sheet = Sheet(1, False, (Exercise("walk", "t", "g", (Question("p", "fault 0x14"),)),))
    assert right(questions(sheet)[0]) == [["fault 0x14", "fault 20"]]


@pytest.mark.parametrize("count", [1, 2])
def test_odd_letters_come_back_as_they_were(count):
    asked = Question(f"{{1:NUMERICAL:=1}} {ODD}", ODD)
    made = Sheet(1, False, (Exercise("walk", ODD, f"{{1:NUMERICAL:=1}} {ODD}", (asked,) * count),))
    found, = questions(made)
    assert found.find("name/text").text == f"1. {ODD} (seed 1)"
    html = found.find("questiontext/text").text
    inside = re.search("<pre>(.*)</pre>", html)[1]
    assert unescape(inside) == made.exercises[0].given
    assert not {*"<>{}"} & {*inside}
    expected = ODD.replace("*", "\\*") if count == 1 else ODD  # the wildcard of a short answer
    assert right(found) == [[expected]] * count
    assert len(fields(html)) == (0 if count == 1 else 2)
