"""The course: each command of its lessons is run, and prints what stands below it."""

import doctest
import re
import shlex
from pathlib import Path

import pytest

from pagewalk.sim.cli.main import main

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "docs" / "course").glob("*.rst"))
COMMAND = re.compile(r"^( +)\$ pagewalk (.+)\n((?:\1.*\n|\n(?=\1))*)", re.MULTILINE)


def commands(text):
    """Yield each command of a page, and what it should print, ``...`` for any lines."""
    for indent, words, below in COMMAND.findall(text):
        printed, _, further = below.partition(f"{indent}$ ")
        yield words, "\n".join(line.removeprefix(indent) for line in printed.splitlines())
        if further:
            yield from commands(f"{indent}$ {further}")


@pytest.mark.slow
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_the_commands_of_a_lesson_print_what_stands_below_them(path, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "100")
    checker = doctest.OutputChecker()
    for words, expected in commands(path.read_text(encoding="utf-8")):
        assert main(shlex.split(words)) == 0
        printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
        assert checker.check_output(
            expected.strip("\n") + "\n", printed.strip("\n") + "\n", doctest.ELLIPSIS), words


def test_every_lesson_has_exercises_with_what_to_expect():
    lessons = [path.read_text(encoding="utf-8") for path in LESSONS if path.stem != "index"]
    assert len(lessons) == 6
    for text in lessons:
        _, exercises, below = text.partition("\nExercises\n---------\n")
        assert exercises
        assert "What to expect:" in below
        assert below.count("   $ pagewalk ") >= 1
        assert len([*commands(text)]) >= 4


def test_a_command_ends_where_the_next_one_begins():
    page = "   $ pagewalk a b\n   one\n\n   two\n   $ pagewalk c\n   ...\n\nWords.\n"
    assert [*commands(page)] == [("a b", "one\n\ntwo"), ("c", "...")]
