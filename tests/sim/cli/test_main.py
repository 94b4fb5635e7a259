import json
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

from pagewalk.hdl.toolchain import ToolFailed, ToolMissing
from pagewalk.model.x86 import IA32
from pagewalk.sim.cli import vcd_option
from pagewalk.sim.cli.main import main
from pagewalk.sim.engine.answer import ANSWER
from pagewalk.sim.engine.base import EngineStalled, Run
from pagewalk.sim.engine.model import ModelEngine
from pagewalk.sim.image import UNMAPPED, Image

COMMAND = [sys.executable, "-c",
           "import sys; from pagewalk.sim.cli.main import main; sys.exit(main())"]


@pytest.fixture
def ia32(tmp_path):
    Image.shipped(IA32).cut(limit=40).save(tmp_path / "ia32.npz")
    return tmp_path / "ia32.npz"


@pytest.fixture
def wrong(arrays, write_image):
    """An image with one wrong record."""
    arrays["probe_pa"][np.flatnonzero(arrays["probe_pa"] != UNMAPPED)[0]] ^= 1 << 20
    return write_image(arrays, "wrong.npz")


# What works


def test_replay_agrees(pagewalk, small, tmp_path):
    small.save(tmp_path / "x.npz")
    code, out, err = pagewalk("replay", tmp_path / "x.npz", "--engine", "model")
    assert (code, err) == (0, "")
    assert out.split()[:2] == [f"{small.mode.name},", "model"]
    assert "agreements" in out
    assert "cycles" not in out


def test_replay_writes_the_figures(pagewalk, ia32, tmp_path):
    file = tmp_path / "figures.json"
    code, _, _ = pagewalk("replay", ia32, "--engine", "model", "--limit", 30, "--json", file)
    figures = json.loads(file.read_text())
    assert code == 0
    assert (figures["total"], figures["mismatches"], figures["mismatches_by_field"]) == (30, 0, {})
    assert figures["engine"] == "model"
    assert figures["cycles"] == 0
    assert figures["seconds"] > 0


def test_replay_takes_the_mode_of_the_image(pagewalk, ia32):
    assert pagewalk("replay", ia32, "--engine", "model", "--mode", "ia32")[0] == 0


def test_a_mismatch_is_exit_1_and_a_walk(pagewalk, wrong, tmp_path):
    file = tmp_path / "figures.json"
    code, out, err = pagewalk("replay", wrong, "--engine", "model", "--json", file)
    assert (code, err) == (1, "")
    assert "field paddr: expected 0x" in out
    assert "physical address 0x" in out
    assert "  in paddr" in out
    assert json.loads(file.read_text())["mismatches_by_field"] == {"paddr": 1}


def test_geometry_reaches_the_engine(pagewalk, ia32, monkeypatch):
    seen = []

    def create(name, config, latency):
        seen.append((name, config.mode, config.entries, config.walk_cache, config.policy,
                     config.paddr_bits, config.l2_entries, config.l2_ways, config.l2_policy,
                     config.prefetch, latency))
        return ModelEngine(config.mode)

    monkeypatch.setattr(vcd_option, "create", create)
    pagewalk("replay", ia32, "--engine", "amaranth", "--entries", 6, "--walk-cache", 3,
             "--policy", "lru", "--paddr-bits", 36, "--latency", 9, "--l2-entries", 64,
             "--l2-ways", 2, "--l2-policy", "fifo", "--prefetch", "next")
    pagewalk("replay", ia32)
    assert seen == [("amaranth", IA32, 6, 3, "lru", 36, 64, 2, "fifo", "next", 9),
                    ("cxxrtl", IA32, 32, 8, "plru", 40, 0, 4, "plru", "none", 1)]


def test_image_lists_and_cuts(pagewalk, shipped, tmp_path):
    path, out_path, file = tmp_path / "x.npz", tmp_path / "cut.npz", tmp_path / "x.json"
    shipped.save(path)
    view = shipped.views[0].name
    code, out, _ = pagewalk("image", path, "--json", file)
    assert code == 0
    assert view in out
    assert json.loads(file.read_text())["views"][view]["probes"] == 2500
    assert pagewalk("image", path, "--view", view, "--limit", 50, "-o", out_path)[0] == 0
    assert len(Image.load(out_path).views[0].probes) == 50


VERBS = ("run", "trace", "replay", "conform", "boot", "buddy", "image", "step", "tour", "quiz",
         "verilog", "fpga")


@pytest.mark.parametrize("arguments", [[], *([verb] for verb in VERBS)], ids=str)
def test_help_is_exit_0(arguments, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main([*arguments, "--help"])
    assert capsys.readouterr().out.startswith(" ".join(["usage: pagewalk", *arguments]))


def test_help_lists_the_verbs_in_order(capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    words = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert [word for word in words if word in VERBS] == list(VERBS)


# Bad usage


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "the following arguments are required: VERB"),
    (["stroll"], "argument VERB: invalid choice: 'stroll'"),
    (["replay"], "the following arguments are required: IMAGE.npz"),
    (["replay", "x", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["replay", "x", "--engine", "qemu"], "argument --engine: invalid choice: 'qemu'"),
    (["replay", "x", "--policy", "best"], "argument --policy: invalid choice: 'best'"),
    (["replay", "x", "--mode", "pae"], "argument --mode: invalid choice: 'pae'"),
    (["replay", "x", "--entries", "many"],
     "argument --entries: expected a whole number from 1 to 4096, not 'many'"),
    (["replay", "x", "--limit", "0"], "argument --limit: expected a whole number from 1, not '0'"),
    (["replay", "x", "--limit", "-3"], "argument --limit: expected a whole number from 1"),
    (["replay", "x", "--latency", "0"], "argument --latency: expected a whole number from 1"),
])
def test_bad_usage_is_one_line(arguments, message, refused):
    assert refused(*arguments).startswith(message)


@pytest.mark.parametrize(("arguments", "message"), [
    (["--entries", "0"], "argument --entries: expected a whole number from 1 to 4096, not '0'"),
    (["--entries", "3"], "Entry count must be a power of two for policy 'plru', not 3"),
    (["--walk-cache", "-1"],
     "argument --walk-cache: expected a whole number from 0 to 256, not '-1'"),
    (["--paddr-bits", "64"],
     "argument --paddr-bits: expected a whole number from 32 to 52, not '64'"),
])
def test_geometry_that_cannot_be_built_is_refused(arguments, message, refused, ia32):
    assert refused("replay", ia32, *arguments) == message


def test_32_bit_paging_has_no_1g_pages_to_leave_out(refused):
    assert refused("verilog", "--mode", "ia32", "--no-1g-pages") == (
        "--no-1g-pages: ia32 has none; expected --mode x86_64 or la57")


# Bad input


@pytest.mark.parametrize("verb", ["replay", "image"])
def test_a_missing_file_is_named(verb, refused, tmp_path):
    path = tmp_path / "none.npz"
    assert refused(verb, path).startswith(f"{path}: cannot be read: No such file or directory;")


@pytest.mark.parametrize("verb", ["replay", "image"])
def test_a_truncated_image_is_refused(verb, refused, ia32):
    ia32.write_bytes(ia32.read_bytes()[:-100])
    assert refused(verb, ia32) == (
        f"{ia32}: is not a whole .npz archive; expected a memory image (.npz)")


def test_an_image_without_frames_is_refused(refused, arrays, write_image):
    del arrays["frame_data"]
    path = write_image(arrays)
    assert refused("replay", path).startswith(f"{path}: frame_data is missing; expected (N, 512) ")


def test_a_probe_array_of_the_wrong_length_is_refused(refused, arrays, write_image):
    arrays["probe_size"] = arrays["probe_size"][1:]
    path = write_image(arrays)
    assert refused("replay", path) == (
        f"{path}: probe_size has 299 values; expected 300, as many as probe_va")


def test_an_image_of_the_other_mode_is_refused(refused, ia32):
    assert refused("replay", ia32, "--mode", "x86_64") == (
        f"{ia32}: frame_data holds entries of ia32 paging; expected x86_64, as --mode says")


@pytest.mark.parametrize("verb", ["replay", "image"])
def test_an_unknown_view_is_refused(verb, refused, ia32):
    assert refused(verb, ia32, "--view", "none") == (
        f"{ia32}: view_name has no 'none'; expected one of i686-B/s1/cur")


@pytest.mark.parametrize("arguments", [["replay", "--engine", "model", "--json"],
                                       ["image", "--json"], ["image", "-o"]])
def test_a_file_that_cannot_be_written_is_refused(arguments, refused, ia32, tmp_path):
    verb, *options = arguments
    for path, reason in (tmp_path, "Is a directory"), (tmp_path / "no" / "x", "No such file"):
        message = refused(verb, ia32, *options, path)
        assert message.startswith(f"{path}: cannot be written: {reason}")


def test_a_name_with_a_line_break_stays_one_line(refused, tmp_path):
    refused("replay", tmp_path / "a\nb.npz")


# What else can happen


class Broken:
    def __init__(self, error):
        self.error = error

    def run(self, *_):
        raise self.error


@pytest.mark.parametrize(("error", "code"), [
    (ToolMissing("g++ is missing: install it with 'apt-get install g++'"), 3),
    (ToolFailed("g++ failed:\nno space left"), 3),
    (EngineStalled("No answer after 1000 cycles"), 1),
    (KeyboardInterrupt(), 130),
])
def test_what_ends_a_replay_is_one_line(error, code, refused, ia32, monkeypatch, tmp_path):
    monkeypatch.setattr(vcd_option, "create", lambda *_, **__: Broken(error))
    words = str(error).split("\n")[0] or "interrupted"
    assert refused("replay", ia32, "--json", tmp_path / "x", code=code).startswith(words)


@pytest.mark.parametrize("error", [OSError("our own"), ValueError("our own")])
def test_a_mistake_of_ours_is_not_blamed_on_the_user(error, ia32, monkeypatch, tmp_path):
    monkeypatch.setattr(vcd_option, "create", lambda *_, **__: Broken(error))
    with pytest.raises(type(error), match="our own"):
        main(["replay", str(ia32), "--json", str(tmp_path / "x.json")])


@pytest.mark.slow
def test_a_closed_pipe_is_no_traceback(ia32):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, "image", ia32], stdout=writer, stderr=subprocess.PIPE,
                          check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def run_on_a_terminal(arguments, **environment):
    """Run the command with a terminal for all of its streams; return what it shows."""
    ours, theirs = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "120", **environment}
    keep = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    with subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                          env=keep | environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # how Linux says that nobody holds the other end any more
                break
            if not chunk:
                break
            shown += chunk
        process.wait()
    os.close(ours)
    return shown.decode()


@pytest.mark.slow
def test_a_terminal_gets_colours_and_progress_unless_told_not_to(wrong):
    arguments = ["replay", wrong, "--engine", "model"]
    assert "\x1b[1;31mMismatch" in run_on_a_terminal(arguments)
    assert "replaying" in run_on_a_terminal(arguments)
    assert "\x1b[1;31m" not in run_on_a_terminal(arguments, NO_COLOR="1")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["replay", "cosim", "image", "help", "usage"])
def test_no_color_gives_a_terminal_no_escape_sequences(verb, wrong):
    arguments = {
        "replay": ["replay", wrong, "--engine", "model"],
        "cosim": ["cosim", "zipf", "--engine", "model", "--accesses", "50"],
        "image": ["image", wrong],
        "help": ["--help"],
        "usage": ["replay", "--nonsense"],
    }[verb]
    for colour in ({}, {"FORCE_COLOR": "1"}, {"CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1"}):
        shown = run_on_a_terminal(arguments, NO_COLOR="1", **colour)
        assert shown
        assert "\x1b" not in shown


@pytest.mark.slow
def test_a_locale_without_the_characters_gets_a_picture_all_the_same(wrong):
    done = subprocess.run([*COMMAND, "replay", wrong, "--engine", "model"], capture_output=True,
                          env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=False)
    assert (done.returncode, done.stderr) == (1, b"")
    assert b"physical address 0x" in done.stdout


def test_hardware_that_never_answers_right_is_a_mismatch(pagewalk, ia32, monkeypatch):
    class Zeroes:
        def run(self, _memory, commands):
            return Run(np.zeros(len(commands), ANSWER), cycles=1)

    monkeypatch.setattr(vcd_option, "create", lambda *_, **__: Zeroes())
    code, out, _ = pagewalk("replay", ia32)
    assert code == 1
    assert "in model_paddr" in out
    assert "cycles per translation" in out
