"""Which libraries are kept and loaded, and what is said when they are not.

A small program takes the place of g++: what it "compiles" is a library that comes with Python.
"""

import _ctypes
import os
import threading
import time

import pytest

from pagewalk.hdl import user_cache
from pagewalk.hdl.outside_tool import ToolFailed, ToolMissing
from pagewalk.sim.engine import build
from pagewalk.sim.engine.build import build_library
from pagewalk.sim.engine.recipe import (
    GCC,
    BuildRecipe,
    BuildStep,
    Tool,
    compile_library,
    plain_recipe,
)

COMPILER = """\
#!/bin/sh
if [ "$1" = --version ]; then echo "a compiler for tests"; exit; fi
echo compiled >>LOG
for last; do :; done
/bin/cp LIBRARY "$last"
"""
REMEDY = "set XDG_CACHE_HOME to a folder of your own that can be written"
EACH_RUN = "; until then each run compiles the hardware anew"


def install(folder, library):
    """Make ``library`` what g++ makes."""
    compiler = folder / "bin" / "g++"
    compiler.write_text(COMPILER.replace("LOG", str(folder / "log")).replace("LIBRARY", library))
    compiler.chmod(0o755)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of kept libraries; g++ is one of ours."""
    (tmp_path / "bin").mkdir()
    install(tmp_path, _ctypes.__file__)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pagewalk"


@pytest.fixture
def compilations(tmp_path):
    """Return how often g++ was called."""
    log = tmp_path / "log"
    return lambda: len(log.read_text().split()) if log.exists() else 0


def make(design="design", first=lambda _: None, tools=(GCC,)):
    """Build a library for an engine, in two steps of which ``first`` is one."""
    return build_library(BuildRecipe(
        {"harness.cc": "harness", "mmu.il": design},
        (BuildStep("somebody writes it as C++", first),
         BuildStep("g++ compiles it", lambda folder: compile_library(folder, "harness.cc"))),
        ("options",), tools, "cxxrtl"))


STEPS = ["step 1 of 2, after 0 s: somebody writes it as C++",
         "step 2 of 2, after 0 s: g++ compiles it"]


def compiled_in(cache):
    return f"the hardware is compiled for the engine cxxrtl; it stays in {cache}"


def kept_in(cache):
    path, = cache.glob("*.so")
    return path


def test_a_compilation_is_announced_and_kept_for_the_user_alone(cache, compilations, caplog):
    make()
    make()
    assert compilations() == 1
    assert caplog.messages == [compiled_in(cache), *STEPS]
    assert cache.stat().st_mode & 0o777 == 0o700
    assert kept_in(cache).stat().st_mode & 0o777 == 0o600
    assert sorted(path.suffix for path in cache.iterdir()) == [".lock", ".so"]


@pytest.mark.parametrize("change", ["owner", "group", "everyone", "link"])
def test_what_another_may_have_put_there_is_not_loaded(
        change, cache, compilations, tmp_path, monkeypatch):
    make()
    path = kept_in(cache)
    if change == "link":
        path.rename(tmp_path / "elsewhere.so")
        path.symlink_to(tmp_path / "elsewhere.so")
    elif change == "owner":
        monkeypatch.setattr(build, "is_trusted_file", lambda _: False)
    else:
        path.chmod(0o660 if change == "group" else 0o606)
    make()
    assert compilations() == 2
    if change != "owner":
        make()
        assert compilations() == 2


@pytest.mark.parametrize("kind", ["file", "below a file", "stranger", "open"])
def test_without_a_cache_each_run_compiles_and_says_what_helps(
        kind, cache, compilations, caplog, monkeypatch):
    if kind == "below a file":
        cache.parent.touch()
        reason = "cannot be used: Not a directory"
    elif kind == "file":
        cache.parent.mkdir()
        cache.touch()
        reason = "is not a folder"
    else:
        make()
        caplog.clear()
        cache.chmod(0o777 if kind == "open" else 0o755)
        reason = "can be written by every user"
    if kind == "stranger":
        monkeypatch.setattr(user_cache, "_trusted_users", lambda: {os.getuid() + 1})
        reason = "belongs to another user"
    before = compilations()
    make()
    make()
    assert compilations() == before + 2
    assert caplog.messages == [f"{cache} {reason}; {REMEDY}{EACH_RUN}", *STEPS] * 2


def test_a_disk_that_is_full_costs_the_keeping_alone(cache, compilations, caplog, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build, "_keep", full)
    make()
    assert compilations() == 1
    assert caplog.messages == [
        compiled_in(cache), *STEPS, f"{cache} cannot be written: No space left on device; {REMEDY}"]


@pytest.mark.usefixtures("cache")
def test_what_cannot_be_loaded_is_told(tmp_path):
    install(tmp_path, __file__)
    with pytest.raises(ToolFailed, match=r"^what g\+\+ made cannot be loaded: .*; set TMPDIR to a"):
        make()


def test_designs_are_compiled_side_by_side(cache, compilations):
    make("one")
    with user_cache.locked(kept_in(cache).with_suffix(".lock"), "compiles the first"):
        make("two")
    assert compilations() == 2


def test_who_waits_for_the_same_design_says_so_and_compiles_nothing(
        cache, compilations, caplog, monkeypatch):
    monkeypatch.setattr(user_cache, "PATIENCE_SECONDS", 0.02)
    begun = threading.Event()

    def slow(*_):
        begun.set()
        time.sleep(0.2)

    thread = threading.Thread(target=make, kwargs={"first": slow})
    thread.start()
    assert begun.wait(10)
    make()
    thread.join()
    assert compilations() == 1
    assert caplog.messages == [
        compiled_in(cache), STEPS[0],
        "waiting for another run of pagewalk, which compiles the same hardware", STEPS[1]]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.usefixtures("cache")
def test_without_a_compiler_what_is_kept_is_loaded(kept, compilations, tmp_path):
    if kept:
        make()
    (tmp_path / "bin" / "g++").unlink()
    if kept:
        make()
        assert compilations() == 1
    else:
        with pytest.raises(ToolMissing, match=r"^g\+\+ is missing: install it with '"):
            make()


def test_without_compiler_and_cache_the_compiler_is_what_is_missing(cache, tmp_path):
    (tmp_path / "bin" / "g++").unlink()
    cache.parent.touch()
    with pytest.raises(ToolMissing, match=r"^g\+\+ is missing"):
        make()


def test_a_library_without_hardware_is_kept_and_takes_no_words(cache, compilations, caplog):
    for _ in range(2):
        build_library(plain_recipe({"plain.cc": "plain", "layout.h": "layout"}))
    assert compilations() == 1
    build_library(plain_recipe({"plain.cc": "plain", "layout.h": "another"}))
    assert compilations() == 2
    assert caplog.messages == []
    assert len(list(cache.glob("*.so"))) == 2


def test_a_library_without_hardware_needs_a_compiler_too(cache, tmp_path):
    (tmp_path / "bin" / "g++").unlink()
    with pytest.raises(ToolMissing, match=r"^g\+\+ is missing: install it with "):
        build_library(plain_recipe({"plain.cc": "plain"}))
    assert not cache.exists()


def test_each_tool_counts_and_so_does_its_version(cache, compilations, tmp_path):
    other = Tool("other")
    with pytest.raises(ToolMissing, match=r"^other is missing: install it with '.*install other'$"):
        make(tools=(GCC, other))
    assert compilations() == 0
    for version in ("one", "one", "two"):
        path = tmp_path / "bin" / "other"
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)
        make(tools=(GCC, other))
    assert compilations() == 2
    assert len(list(cache.glob("*.so"))) == 2
    path.unlink()
    make(tools=(GCC, other))
    assert compilations() == 2
