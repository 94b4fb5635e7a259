"""``pagewalk tour``: text, figures, keys, and what is refused."""

import json
import os
import pty
import subprocess
import sys

import pytest

from pagewalk.sim.cli.main import main
from pagewalk.sim.tour.topics import TOURS

COMMAND = [sys.executable, "-c",
           "import sys; from pagewalk.sim.cli.main import main; sys.exit(main())"]
USAGE = "pagewalk: error: argument TOPIC: expected one of " + ", ".join(TOURS)


@pytest.fixture
def run(capsys):
    """Run ``pagewalk tour`` and return its exit code, output and errors."""
    def call(*words):
        code = main(["tour", *map(str, words)])
        streams = capsys.readouterr()
        return code, streams.out, streams.err

    return call


@pytest.mark.slow
def test_a_tour_says_what_its_steps_say(run, tmp_path):
    file = tmp_path / "tour.json"
    code, out, err = run("fork", "--json", file)
    assert (code, err) == (0, "")
    figures = json.loads(file.read_text())
    steps = [*TOURS["fork"].make().steps()]
    assert figures["topic"] == "fork"
    assert [one["title"] for one in figures["steps"]] == [step.title for step in steps]
    for found, step in zip(figures["steps"], steps, strict=True):
        assert found["sentence"] == step.sentence
        assert found["events"] == [*step.events]
        assert found["before"] == [{"name": one.name, "text": one.text} for one in step.before]
        assert found["after"] == [{"name": one.name, "text": one.text} for one in step.after]
        assert f". {step.title}\n" in out
    assert [line for line in out.splitlines() if line.startswith("7. ")] == [
        "7. The parent writes again"]


def test_the_list_has_every_tour(run, tmp_path):
    code, out, _ = run("--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [*TOURS]
    assert run("--list", "--json", tmp_path / "list.json")[0] == 0
    assert [*json.loads((tmp_path / "list.json").read_text())["topics"]] == [*TOURS]


@pytest.mark.parametrize(("words", "message"), [
    ((), USAGE + ", or --list alone"),
    (("fork", "--list"), USAGE + ", or --list alone"),
    (("fork", "--step"), ("pagewalk: error: argument --step: standard input is no terminal; "
                          "expected one, for keys")),
])
def test_bad_words_are_refused(run, words, message):
    assert run(*words) == (2, "", message + "\n")


def test_an_unknown_topic_is_refused(run):
    code, out, err = run("numa")
    assert (code, out) == (2, "")
    assert err.startswith("pagewalk: error: argument TOPIC: invalid choice: 'numa' (choose from ")


def test_a_swap_file_that_cannot_be_made_is_one_line(run, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryDirectory", _no_room)
    code, _, err = run("swap")
    assert (code, err) == (2, ("pagewalk: error: the swap file of the tour: No space left on "
                               "device; expected room in the folder for temporary files\n"))


def _no_room(**_):
    raise OSError(28, os.strerror(28))


@pytest.mark.slow
@pytest.mark.parametrize(("keys", "steps"), [(7 * " ", 7), ("  q", 3), ("\x04", 1)])
def test_a_step_waits_for_a_key(keys, steps):
    master, slave = pty.openpty()
    with subprocess.Popen([*COMMAND, "tour", "fork", "--step"], stdin=slave, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        first = _first_step(process.stdout)
        assert process.poll() is None
        os.write(master, keys.encode())
        out, err = process.communicate(timeout=60)
    os.close(master)
    os.close(slave)
    assert (process.returncode, err) == (0, "")
    titles = [step.title for step in TOURS["fork"].make().steps()]
    text = first + out
    assert [title for number, title in enumerate(titles, 1) if f"{number}. {title}\n" in text] == (
        titles[:steps])


def _first_step(stream):
    """Return what is printed up to the end of the first step."""
    text = ""
    while "AnonPages" not in text or not text.endswith("\n\n"):
        text += stream.readline()
    return text
