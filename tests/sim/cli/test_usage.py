"""Usage: numbers of every option, the verbs, the version and the exit codes."""

import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from pagewalk.sim.cli.dispatch import command_parser
from pagewalk.sim.cli.exit_codes import EXIT_CODES
from pagewalk.sim.cli.main import main
from pagewalk.sim.cli.parser import verbs_of

DATA = Path(__file__).parents[2] / "data"
DOCS = Path(__file__).parents[3] / "docs"
VERBS = verbs_of(command_parser())
TRACE, LISTS = DATA / "i686-A.trace-buddy.txt.gz", DATA / "i686-A.freelists.npz"

NUMBERS = [  # verb, option, one below the lowest value, and the bounds
    ("replay", "--entries", 0, "from 1 to 4096"),
    ("replay", "--walk-cache", -1, "from 0 to 256"),
    ("replay", "--l2-entries", -1, "from 0 to 65536"),
    ("replay", "--l2-ways", 0, "from 1 to 16"),
    ("replay", "--paddr-bits", 31, "from 32 to 52"),
    ("replay", "--latency", 0, "from 1 to 10000"),
    ("replay", "--limit", 0, "from 1"),
    ("conform", "--limit", 0, "from 1"),
    ("boot", "--limit", 0, "from 1"),
    ("boot", "--paddr-bits", 31, "from 32 to 52"),
    ("run", "--limit", 0, "from 1"),
    ("image", "--limit", 0, "from 1"),
    ("buddy", "--limit", 0, "from 1"),
    ("buddy", "--high-fraction", 0, "from 1"),
    ("cosim", "--memory", 0, "from 1"),
    ("cosim", "--pages", 0, "from 1"),
    ("cosim", "--accesses", 0, "from 1"),
    ("cosim", "--seed", -1, "from 0"),
    ("cosim", "--fault-cost", -1, "from 0 to 1000000000000"),
    ("cosim", "--disk-seek", -1, "from 0 to 1000000000000"),
    ("cosim", "--disk-page", -1, "from 0 to 1000000000000"),
    ("cosim", "--clock", 0, "from 1 to 1000000000000"),
    ("run", "--fault-cost", -1, "from 0 to 1000000000000"),
    ("verilog", "--entries", 0, "from 1 to 4096"),
    ("verilog", "--tag-bits", 0, "from 1 to 64"),
]


@pytest.mark.parametrize(("verb", "option", "low", "span"), NUMBERS)
def test_what_is_no_whole_number_gets_the_words_of_one_that_is_too_low(verb, option, low, span,
                                                                       refused):
    for text in (str(low), "3.5", "", "many", "0x10", "1e3", "+4", " 4", "½", "५", "1_0"):
        message = refused(verb, f"{option}={text}")
        assert message.startswith(f"argument {option}: expected a whole number {span}")
        assert message.endswith(f", not {text!r}")


def test_a_number_of_more_digits_than_python_converts_is_refused(refused):
    for verb, option, _, span in NUMBERS:
        assert refused(verb, option, "9" * 5000).startswith(
            f"argument {option}: expected a whole number {span}")


@pytest.mark.parametrize(("words", "option", "verb"), [
    (["--engine", "model", "replay", "x"], "--engine", "replay"),
    (["--json", "-", "image", "x"], "--json", "image"),
    (["--limit=3", "conform", "x"], "--limit", "conform"),
    (["-o", "x.v", "verilog"], "-o", "verilog"),
    (["--seed", "3"], "--seed", "cosim"),
])
def test_an_option_before_the_verb_is_told_where_it_belongs(words, option, verb, refused):
    assert refused(*words) == (f"argument {option}: stands before the verb; expected it behind, as "
                               f"in 'pagewalk {verb} {option}'")


@pytest.mark.parametrize(("words", "wrong"), [
    (["--nonsense", "replay", "x"], "--nonsense"),
    (["--seed", "replay", "x"], "--seed"),
    (["image", "x", "y", "-z"], "y -z"),
])
def test_what_no_verb_takes_is_named(words, wrong, refused):
    assert refused(*words) == (
        f"unrecognized arguments: {wrong}; expected what pagewalk VERB --help lists")


def test_no_verb_names_the_verbs(refused):
    assert refused() == (
        "the following arguments are required: VERB; expected one of "
        "run, cosim, exec, trace, replay, conform, boot, buddy, image, dump, walk, step, tour, "
        "quiz, verilog, fpga")


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--version"])
    assert capsys.readouterr().out == f"pagewalk {version('pagewalk')}\n"


def test_help_tells_all_exit_codes(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    codes = capsys.readouterr().out.partition("Exit codes:")[2]
    assert re.findall(r"\d+", codes) == ["0", "1", "2", "3", "130", "141"]
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^  {code} +{meaning}$", codes, re.MULTILINE)


def test_the_reference_tells_all_exit_codes():
    text = (DOCS / "reference" / "command-line.rst").read_text(encoding="utf-8")
    assert re.findall(r"^   \* - (\d+)$", text, re.MULTILINE) == [*map(str, EXIT_CODES)]


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_fits_80_columns(verb, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match=r"^0$"):
        main([verb, "--help"] if verb else ["--help"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 5
    assert max(map(len, lines)) < 80


@pytest.mark.parametrize("verb", [["run"], ["replay", "x"], ["conform", "x"], ["boot", "x"],
                                  ["cosim", "thrash"]],
                         ids=lambda words: words[0])
def test_a_latency_that_no_run_would_end_with_is_refused(verb, refused):
    for latency in ("10001", "1000000000000"):
        assert refused(*verb, "--latency", latency) == (
            f"argument --latency: expected a whole number from 1 to 10000, not '{latency}'")


@pytest.mark.parametrize("words", [
    ["replay", "ENDLESS"], ["conform", "ENDLESS"], ["boot", "ENDLESS"], ["image", "ENDLESS"],
    ["buddy", "ENDLESS", LISTS], ["buddy", TRACE, "ENDLESS"],
], ids=["replay", "conform", "boot", "image", "buddy trace", "buddy lists"])
@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_an_input_without_an_end_is_refused(words, kind, refused, tmp_path):
    path = tmp_path / "endless"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    message = refused(*(path if word == "ENDLESS" else word for word in words))
    assert message.startswith(f"{path}: is a pipe or a device; expected a file: ")
