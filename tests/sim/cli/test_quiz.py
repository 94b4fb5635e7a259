"""``pagewalk quiz``: sheets, grades, files, and what is refused."""

import json
from xml.etree import ElementTree as Xml

import pytest

from pagewalk.sim.cli.main import main
from pagewalk.sim.quiz.sheet import TOPICS, make_sheet


@pytest.fixture
def run(capsys):
    """Run ``pagewalk quiz`` and return its exit code, output and errors."""
    def call(*words):
        code = main(["quiz", *map(str, words)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


@pytest.fixture
def right():
    """All right answers of the small sheet of two topics."""
    sheet = make_sheet(7, ["tlb", "lru"], toy=True, count=2)
    return {name: question.answer for name, question in sheet.questions()}


SHEET = ("--seed", 7, "--topic", "tlb", "--topic", "lru", "--toy", "--count", 2)


def test_a_seed_makes_one_sheet_of_all_topics(run):
    code, out, err = run("--seed", 3, "--toy")
    assert (code, err) == (0, "")
    assert run("--seed", 3, "--toy")[1] == out != run("--seed", 4, "--toy")[1]
    assert [line.split("(")[1].split(",")[0] for line in out.splitlines()
            if line.endswith(", seed 3)")] == [*TOPICS]


def test_figures_have_the_answers_on_request_alone(run, right, tmp_path):
    file = tmp_path / "sheet.json"
    assert run(*SHEET, "--json", file)[0] == 0
    figures = json.loads(file.read_text())
    asked = [one for each in figures["exercises"] for one in each["questions"]]
    assert [one["name"] for one in asked] == [*right]
    assert {*asked[0]} == {"name", "prompt"}
    assert (figures["seed"], figures["toy"]) == (7, True)
    assert run(*SHEET, "--answers", "--json", file)[0] == 0
    asked = [one for each in json.loads(file.read_text())["exercises"] for one in each["questions"]]
    assert {one["name"]: one["answer"] for one in asked} == right


def test_right_answers_get_all_points(run, right, tmp_path):
    answers, results = tmp_path / "answers.json", tmp_path / "results.json"
    answers.write_text(json.dumps(right))
    code, out, _ = run(*SHEET, "--grade", answers, "--gradescope", results)
    assert (code, out.splitlines()[-1]) == (0, "4 of 4 right")
    graded = json.loads(results.read_text())
    assert graded["score"] == 4
    assert [(one["number"], one["score"], one["max_score"], one["status"])
            for one in graded["tests"]] == [(name, 1, 1, "passed") for name in right]


def test_wrong_and_missing_answers_get_none(run, right, tmp_path):
    answers, results = tmp_path / "answers.json", tmp_path / "results.json"
    answers.write_text(json.dumps({"1a": right["1a"].lower(), "2a": "HHHH\x1b[31m",
                                   "3a": int(right["3a"])}))
    code, out, _ = run(*SHEET, "--grade", answers, "--gradescope", results, "--answers")
    assert code == 0
    assert out.splitlines() == [
        f"1a  {right['1a'].lower()}: right",
        f"2a  HHHH [31m: wrong; right is {right['2a']}",
        f"3a  {right['3a']}: right",
        f"4a  no answer; right is {right['4a']}",
        "2 of 4 right",
    ]
    tests = json.loads(results.read_text())["tests"]
    assert [one["status"] for one in tests] == ["passed", "failed", "passed", "failed"]
    assert right["4a"] in tests[3]["output"]
    run(*SHEET, "--grade", answers, "--gradescope", results)
    assert right["4a"] not in results.read_text().split('"4a"')[1]


def test_the_file_for_moodle_has_a_question_for_each_exercise(run, tmp_path):
    file = tmp_path / "quiz.xml"
    assert run(*SHEET, "--moodle", file)[0] == 0
    assert [one.attrib["type"] for one in Xml.parse(file).getroot()] == [
        "category", "shortanswer", "shortanswer", "numerical", "numerical"]


@pytest.mark.parametrize(("words", "message"), [
    ((), "the following arguments are required: --seed"),
    (("--seed", "-1"), ("argument --seed: expected a whole number from 0 to 18446744073709551615, "
                       "not '-1'")),
    (("--seed", 1, "--count", 0), ("argument --count: expected a whole number from 1 to 100, not "
                                  "'0'")),
    (("--seed", 1, "--topic", "paging"), ("argument --topic: invalid choice: 'paging' (choose from "
                                         "'walk', 'tlb', 'buddy', 'faults', 'lru')")),
    (("--seed", 1, "--gradescope", "x"), ("argument --gradescope: has no answers to grade; "
                                           "expected --grade, too")),
])
def test_bad_words_are_refused(run, words, message):
    assert run(*words) == (2, "", f"pagewalk: error: {message}\n")


@pytest.mark.parametrize(("text", "message"), [
    ("", ("cannot be read: Expecting value: line 1 column 1 (char 0); expected an object such as "
         '{"1a": "0x1f"}')),
    ("[1]", 'is [1]; expected an object such as {"1a": "0x1f"}'),
    ('{"9z": 1}', "'9z' is no question of this sheet; expected 1a to 4a"),
    ('{"1a": [1]}', "1a: is [1]; expected a number or words"),
    ('{"1a": 1.5}', "1a: is 1.5; expected a number or words"),
    ('{"1a": true}', "1a: is true; expected a number or words"),
    ("[" * 100_000, ("cannot be read: maximum recursion depth exceeded while decoding a JSON array "
                    'from a unicode string; expected an object such as {"1a": "0x1f"}')),
    ("\xff", None), ("9" * 5000, None), ("x" * (1 << 20) + "y", None),
])
def test_bad_answers_are_refused(run, text, message, tmp_path):
    file = tmp_path / "answers.json"
    file.write_bytes(text.encode("latin-1"))
    code, out, err = run(*SHEET, "--grade", file)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"pagewalk: error: {file}: ")
    assert message is None or err == f"pagewalk: error: {file}: {message}\n"


def test_a_file_is_not_written_over_the_answers(run, tmp_path):
    file = tmp_path / "answers.json"
    file.write_text("{}")
    code, _, err = run(*SHEET, "--grade", file, "--gradescope", file)
    assert (code, err) == (2, (f"pagewalk: error: argument --gradescope: {file} is an input; "
                              "expected another file\n"))
    assert file.read_text() == "{}"
    assert run(*SHEET, "--grade", tmp_path / "none.json")[0] == 2
