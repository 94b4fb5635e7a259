"""Any words in any order: an exit code, at most one line of error, never a traceback."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pagewalk.model.x86 import IA32
from pagewalk.sim.cli import fpga, run, vcd_option, verilog
from pagewalk.sim.cli.dispatch import command_parser
from pagewalk.sim.cli.exit_codes import EXIT_CODES
from pagewalk.sim.cli.main import main
from pagewalk.sim.cli.parser import verbs_of
from pagewalk.sim.engine.model import ModelEngine
from pagewalk.sim.image import Image

from ..fpga.netlists import MEASURED

DATA = Path(__file__).parents[2] / "data"

VERBS = verbs_of(command_parser())
OPTIONS = sorted({option for verb in VERBS.values() for option in verb._option_string_actions})
BEGINNINGS = [
    ["cosim", "stack", "--accesses", "9", "--pages", "9"], ["replay", "i.npz"], ["image", "i.npz"],
    ["conform", "v.npz", "--limit", "9"], ["buddy", "t.gz", "f.npz", "--limit", "9"],
    *([verb] for verb in VERBS), []]
VALUES = [
    "0", "1", "2", "4", "9", "40", "-1", "3.5", "", "many", "0x10", "½", "५", "9" * 99, "ia32",
    "x86_64", "lru", "model", "cxxrtl", "pcp", "always", "zipf", "\x1b[31m", "\udcff", "a\nb",
    "a\0b", "i.npz", "v.npz", "t.gz", "f.npz", "empty", "folder", "folder/x", "none", "-", "--",
    ".", "/dev/null", "/dev/full", "/dev/zero"]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A folder with files of all sorts; engines, Yosys and the long runs are left out."""
    folder = tmp_path_factory.mktemp("words")
    Image.shipped(IA32).cut(limit=20).save(folder / "i.npz")
    for name, source in (("v.npz", "vectors-ia32.npz"), ("f.npz", "i686-A.freelists.npz"),
                         ("t.gz", "i686-A.trace-buddy.txt.gz")):
        shutil.copy(DATA / source, folder / name)
    (folder / "empty").touch()
    (folder / "folder").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(folder))  # there are programs named as words here are: x86_64
        for name in "create", "_recorded":
            patch.setattr(vcd_option, name, lambda _first, config, *_, **__: ModelEngine(
                config.mode, config.physical_bits))
        patch.setattr(verilog, "to_verilog", lambda *_, **__: "module x(\n);\n")
        patch.setattr(fpga, "measure", lambda *_, **__: MEASURED)
        patch.setattr(run, "replay_shipped", lambda *_: {})
        patch.setattr(run, "run_swapping", lambda *_: {})
        yield folder


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(beginning=st.sampled_from(BEGINNINGS),
       more=st.lists(st.sampled_from(OPTIONS) | st.sampled_from(VALUES), max_size=4))
@example(beginning=["image", "i.npz"], more=["--json", "i.npz"])
@example(beginning=["exec"], more=["x86_64", "0"])
@example(beginning=["replay", "i.npz"], more=["--json", "-", "--view", "\x1b[31m"])
def test_any_words_are_taken_or_refused_in_one_line(beginning, more, quick):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.chdir(quick), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        kept = {path.name: path.read_bytes() for path in quick.glob("*.*")}
        try:
            code = main([*beginning, *more])
        except SystemExit as end:  # after help
            code = end.code
        if "-o" not in more:
            assert {name: Path(name).read_bytes() for name in kept} == kept
        for name, content in kept.items():
            Path(name).write_bytes(content)
    assert code in EXIT_CODES
    assert "\x1b" not in out.getvalue()
    if code in (2, 3):
        line, end, rest = err.getvalue().partition("\n")
        assert (line.isprintable(), end, rest) == (True, "\n", "")
        assert line.startswith("pagewalk: error: ")
