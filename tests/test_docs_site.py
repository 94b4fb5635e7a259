"""What the pages of the documentation say in code, commands and diagrams is true.

``make docs`` runs their code too, in Sphinx; these tests do without it.
"""

import doctest
import re
import shlex
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from textwrap import dedent

import pytest

from pagewalk.sim.cli.dispatch import command_parser
from pagewalk.sim.workloads.catalog import WORKLOADS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8")
         for path in sorted(DOCS.rglob("*.rst")) if "api" not in path.parts}
COMMANDS = sorted({line for text in PAGES.values()
                   for line in re.findall(r"^   \$ (.+)$", text, re.MULTILINE)})


def _load(name):
    """Return an extension of the documentation that does without Sphinx."""
    spec = spec_from_file_location(name, DOCS / "extensions" / f"{name}.py")
    module = sys.modules[name] = module_from_spec(spec)  # its dataclasses look there
    spec.loader.exec_module(module)
    return module


scenes = _load("timing_scenes")
BLOCK = re.compile(
    r"^\.\. (testcode|testoutput|testcleanup)::\n\n((?:   .*\n|\n)+)", re.MULTILINE)
CODE = [name for name, text in PAGES.items() if BLOCK.search(text) or ">>> " in text]


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_the_code_of_a_page_prints_what_stands_below_it(name, capsys):
    flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL  # those of Sphinx
    session = doctest.DocTestParser().get_doctest(PAGES[name], {}, name, name, 0)
    assert not doctest.DocTestRunner(optionflags=flags).run(session).failed
    names = {}
    for kind, text in BLOCK.findall(PAGES[name]):
        if kind == "testoutput":
            assert doctest.OutputChecker().check_output(
                dedent(text).strip() + "\n", capsys.readouterr().out, flags)
        else:
            exec(dedent(text), names)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("pagewalk ")])
def test_a_command_shown_is_one_that_the_command_line_takes(line):
    args = command_parser().parse_args(shlex.split(line)[1:])
    assert callable(args.run)


def test_only_known_commands_are_shown():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    verbs = {line.split()[1] for line in COMMANDS if line.startswith("pagewalk ")}
    assert verbs >= {"image", "replay", "cosim", "verilog"}
    for line in COMMANDS:
        program, *arguments = line.split()
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.MULTILINE), line
        else:
            assert program in ("pagewalk", ".venv/bin/python", "valgrind"), line


def test_the_page_about_workloads_has_a_row_for_each():
    rows = re.findall(r"^   \* - ``(\w+)``$", PAGES["howto/workload.rst"], re.MULTILINE)
    assert rows == list(WORKLOADS)


@pytest.mark.slow  # Yosys
def test_the_code_for_verilog_makes_the_module_that_it_names():
    text, = re.findall(r"code-block:: python\n\n((?:   .*\n|\n)+)", PAGES["howto/verilog.rst"])
    names = {}
    exec(dedent(text), names)
    assert "module dma_mmu(" in names["text"]


# What docs/reference/timing.rst says of each scene: for each port, the cycles from acceptance to
# answer of each request.
LATENCIES = {
    "hit": {"data": [1, 1, 1]},
    "miss": {"data": [2 + 4]},
    "registered": {"data": [2 + 4 * 2]},
    "walk-cache": {"data": [2 + 1]},
    "latency": {"data": [2 + 3 + 3]},
    "hit-under-miss": {"data": [2 + 3, 1, 2 + 3 + 3, 1]},
    "crossing": {"data": [1, 2, 1]},
    "update": {"data": [2 + 4]},
    "ports": {"fetch": [1, 1, 1], "data": [2 + 2 * 2]},
    "fault": {"data": [2 + 1, 1]},
    "invalidation": {"data": [1, 2 + 2]},
    "invalidation-pulse": {"data": [1, 2 + 2]},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LATENCIES)
def test_a_scene_takes_the_cycles_that_the_page_says(name):
    recording = scenes.record(scenes.SCENES[name])
    for port, expected in LATENCIES[name].items():
        assert [end - start for start, end in recording.accesses(port)] == expected


def test_every_scene_is_shown_and_its_cycles_are_known():
    text = PAGES["reference/timing.rst"]
    shown = re.findall(r"^\.\. timing-diagram:: (\S+)$", text, re.MULTILINE)
    assert sorted(shown) == sorted(scenes.SCENES) == sorted(LATENCIES)


def test_the_flags_are_updated_in_the_scene_of_the_update():
    recording = scenes.record(scenes.SCENES["update"])
    assert len(recording.events("walk.update")) == 2


def test_a_fault_keeps_requests_out_for_the_next_two_cycles():
    recording = scenes.record(scenes.SCENES["fault"])
    (_, second), (fault, _) = recording.transfers("data.req"), recording.transfers("data.rsp")
    assert second == fault + 3
    assert recording.events("data.stall") == [*range(2, second)]


def test_an_invalidation_comes_before_the_request_offered_with_it():
    recording = scenes.record(scenes.SCENES["invalidation"])
    (accepted,), requests = recording.transfers("invalidate"), recording.transfers("data.req")
    assert requests == [1, accepted + 2]  # the drop is carried out in between
    assert recording.events("flush") == [accepted]
    assert recording.events("data.miss") == [requests[1] + 1]


def test_a_pulse_is_busy_from_the_next_cycle_until_requests_are_accepted():
    recording = scenes.record(scenes.SCENES["invalidation-pulse"])
    strobe, = recording.cycles("invalidate.strobe")
    busy = recording.cycles("invalidate_busy")
    assert busy == [strobe + 1, strobe + 2]
    assert recording.events("flush") == busy[:1]
    assert recording.transfers("data.req") == [1, busy[-1] + 1]
