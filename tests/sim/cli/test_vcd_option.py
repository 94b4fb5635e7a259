"""``--vcd``: refused before any work where it cannot be, and a whole file whatever ends the run."""

import re
from pathlib import Path

import pytest

from pagewalk.model.x86 import IA32
from pagewalk.sim.cli import vcd_option
from pagewalk.sim.engine.amaranth import AmaranthEngine
from pagewalk.sim.engine.base import EngineStalled
from pagewalk.sim.image import Image

from ..waveform import Waveform

VERBS = [["replay", "x"], ["conform", "x"], ["boot", "x"], ["cosim", "thrash"], ["exec", "true"]]
HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "waveform.rst"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "ia32.npz"
    Image.shipped(IA32).cut(limit=20).save(path)
    return path


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: words[0])
@pytest.mark.parametrize("engine", ["model", "timing", "cxxrtl", "verilator", None])
def test_another_engine_is_refused_before_its_input_is_read(verb, engine, refused, tmp_path):
    name, *rest = verb
    option = ["--engine", engine] if engine else []
    assert refused(name, *option, "--vcd", tmp_path / "x.vcd", *rest) == (
        f"argument --vcd: the engine {engine or 'cxxrtl'} writes no waveforms; expected "
        "--engine amaranth")
    assert not (tmp_path / "x.vcd").exists()


def test_standard_output_is_refused(refused):
    assert refused("replay", "x", "--engine", "amaranth", "--vcd", "-") == (
        "argument --vcd: standard output takes no waveforms; expected a file name")


@pytest.mark.parametrize("place", ["", "none/x.vcd"])
def test_a_place_that_cannot_be_written_is_refused_before_the_run(place, refused, image, tmp_path,
                                                                   monkeypatch):
    monkeypatch.setattr(vcd_option, "_recorded", lambda *_: pytest.fail("began to simulate"))
    assert refused("replay", image, "--engine", "amaranth", "--vcd", tmp_path / place).startswith(
        f"{tmp_path / place}: cannot be written: ")


def test_waveforms_do_not_go_over_an_input(refused, image):
    assert refused("replay", image, "--engine", "amaranth", "--vcd", image) == (
        f"argument --vcd: {image} is an input; expected another file")


def test_input_that_is_refused_leaves_what_was_there(refused, tmp_path):
    (tmp_path / "old").write_text("kept")
    for name in "old", "new":
        refused("cosim", "huge", "--memory", "2", "--engine", "amaranth", "--vcd", tmp_path / name)
    assert (tmp_path / "old").read_text() == "kept"
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_replay_is_recorded_in_place_of_what_was_there(pagewalk, image, tmp_path):
    path = tmp_path / "x.vcd"
    path.write_text("long " * 999_999)
    code, out, _ = pagewalk("replay", image, "--engine", "amaranth", "--vcd", path)
    cycles = int(re.search(r"cycles +([\d,]+)", out)[1].replace(",", ""))
    assert code == 0
    assert cycles <= Waveform(path).cycles <= cycles + 10  # one between two runs


@pytest.mark.slow
def test_a_disk_that_gets_full_is_one_line(refused, image):
    assert refused("replay", image, "--engine", "amaranth", "--vcd", "/dev/full") == (
        "/dev/full: cannot be written: No space left on device; expected a file name")


@pytest.mark.slow
@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (EngineStalled("x"), 1)])
def test_the_file_is_whole_whatever_ends_the_run(error, code, refused, image, tmp_path,
                                                 monkeypatch):
    run, calls = AmaranthEngine.run, []

    def ended(engine, *words, **options):
        calls.append(run(engine, *words, **options))
        if len(calls) == 2:
            raise error
        return calls[-1]

    monkeypatch.setattr(AmaranthEngine, "run", ended)
    refused("replay", image, "--engine", "amaranth", "--vcd", tmp_path / "x.vcd", code=code)
    assert Waveform(tmp_path / "x.vcd").cycles == calls[0].cycles + 1 + calls[1].cycles


@pytest.mark.slow
def test_the_names_that_the_how_to_tells_are_in_the_file(pagewalk, image, tmp_path):
    code, *_ = pagewalk("replay", image, "--engine", "amaranth", "--limit", 5, "--vcd",
                        tmp_path / "x.vcd")
    assert code == 0
    names = Waveform(tmp_path / "x.vcd").names
    scopes = {name.rpartition(".")[0] for name in names} | {".".join(name.split(".")[:count])
                                                            for name in names for count in range(9)}
    told = re.findall(r"``(bench[\w.$*\[\]]*)``", HOWTO.read_text(encoding="utf-8"))
    assert len(told) > 10
    missing = [name for name in told if name not in names and name not in scopes]
    assert missing == []
