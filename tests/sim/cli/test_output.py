"""Standard output that is closed, full or a pipe without a reader; what a terminal is sent."""

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from pagewalk.model.x86 import IA32
from pagewalk.sim.cli import image as image_verb
from pagewalk.sim.cli.main import main
from pagewalk.sim.cli.output import one_line
from pagewalk.sim.image import Image

DATA = Path(__file__).parents[2] / "data"

COMMAND = [sys.executable, "-c",
           "import sys; from pagewalk.sim.cli.main import main; sys.exit(main())"]

VERBS = {
    "run": ["run", "--limit", "20"],
    "cosim": ["cosim", "zipf", "--engine", "model", "--accesses", "50"],
    "replay": ["replay", "IMAGE", "--engine", "model"],
    "conform": ["conform", DATA / "vectors-ia32.npz", "--engine", "model", "--limit", "20"],
    "boot": ["boot", DATA / "boot" / "pge.ltr.xz", "--engine", "model", "--limit", "20"],
    "buddy": ["buddy", DATA / "i686-A.trace-buddy.txt.gz", DATA / "i686-A.freelists.npz",
              "--limit", "100"],
    "image": ["image", "IMAGE"],
    "verilog": ["verilog", "--mode", "ia32", "--entries", "2", "--walk-cache", "0"],
    "figures alone": ["image", "IMAGE", "--json", "-"],
    "version": ["--version"],
    "help": ["--help"],
    "help of a verb": ["replay", "--help"],
}


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "ia32.npz"
    Image.shipped(IA32).cut(limit=40).save(path)
    return path


@pytest.fixture
def shell(image):
    """Run the command with a redirection of the shell; return exit code, stdout and stderr."""

    def run(arguments, redirection):
        words = [*COMMAND, *(str(image if word == "IMAGE" else word) for word in arguments)]
        # What is buffered is written as the interpreter ends, and that may fail as well.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(["sh", "-c", f'"$@" {redirection}', "sh", *words], check=False,
                              capture_output=True, text=True, env=env)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("redirection", "reason"), [
    (">/dev/full", "No space left on device"), (">&-", "it is closed")], ids=["full", "closed"])
def test_output_that_cannot_be_written_is_bad_input(verb, redirection, reason, shell):
    assert shell(VERBS[verb], redirection) == (2, "", (
        f"pagewalk: error: standard output: cannot be written: {reason}; "
        "expected a place to write to\n"))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["image", "replay", "help"])
def test_a_pipe_that_nobody_reads_is_what_a_shell_says_of_it(verb, image):
    reader, writer = os.pipe()
    os.close(reader)
    words = [str(image if word == "IMAGE" else word) for word in VERBS[verb]]
    done = subprocess.run([*COMMAND, *words], stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_the_exit_code_stays_when_nobody_can_be_told(redirection, shell):
    assert shell(["replay", "/nowhere.npz"], redirection) == (2, "", "")
    assert shell(VERBS["replay"], redirection)[0] == 0


def test_a_caller_without_standard_output_gets_the_exit_code(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["--help"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# Lines that a terminal can show


@pytest.mark.parametrize(("text", "line"), [
    ("a\nb\r\nc\td", "a b  c d"),
    (" a \n", "a"),
    ("\x1b[31mred\x07\x00\x9b", r"\x1b[31mred\x07\x00\x9b"),
    ("\udcff \u202e", r"\udcff \u202e"),
    ("modulé …", "modulé …"),
])
def test_a_message_is_one_line_without_escape_sequences(text, line):
    assert one_line(text) == line


def test_a_message_has_an_end():
    line = one_line("first " + "x" * 100_000 + " last")
    assert len(line) < 1100
    assert line.startswith("first ")
    assert line.endswith(" last")


@pytest.mark.parametrize("name", ["\x1b[31mred", "a\rb", "x" * 50_000, "\udcff"])
@pytest.mark.parametrize("words", [["image"], ["walk"], ["cosim"], ["cosim", "zipf", "--swap"]])
def test_no_name_gets_escape_sequences_or_much_text_into_an_error(words, name, refused):
    if words == ["walk"]:
        words = []
    message = refused(*words, name)
    assert message.isprintable()
    assert len(message) < 1200


# What is said of work that takes long


def test_notes_are_lines_on_standard_error_while_a_verb_runs(monkeypatch, capsys):
    log = logging.getLogger("pagewalk")

    def busy(*_, **__):
        log.warning("first\nuse")
        return 0

    monkeypatch.setattr(image_verb, "_image", busy)
    before = list(log.handlers)
    assert main(["image", "x"]) == 0
    assert log.handlers == before
    assert capsys.readouterr() == ("", "pagewalk: first use\n")


@pytest.mark.parametrize("stream", [None, "full"])
def test_notes_that_cannot_be_shown_change_nothing(stream, monkeypatch):
    def busy(*_, **__):
        logging.getLogger("pagewalk").warning("first use")
        return 0

    monkeypatch.setattr(image_verb, "_image", busy)
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stderr", full if stream else None)
        assert main(["image", "x"]) == 0
        monkeypatch.undo()
        with suppress(OSError):
            full.close()
