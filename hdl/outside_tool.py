"""How outside tools are run, and what can be wrong with them."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

__all__ = ["ToolFailed", "ToolMissing", "last_words", "run_tool", "work_folder"]

GRACE_SECONDS = 2  # for a tool to remove its temporary files after SIGTERM


class ToolMissing(Exception):
    """A tool is not installed; the message names it and the command that installs it."""


class ToolFailed(Exception):
    """A tool ran and failed; the message has the end of what it printed."""


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a temporary folder, which goes with all that is in it; raise ``ToolFailed``."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="pagewalk-")
    except OSError as error:
        raise ToolFailed(f"No temporary folder can be made: {error.strerror}; set TMPDIR to a "
                         "folder that can be written") from None
    with folder as name:
        yield Path(name)


def run_tool(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None,
             until: Callable[[str], bool] = lambda _line: False) -> tuple[int | None, str]:
    """Run a program in ``folder``, where its temporary files go; return exit code and output.

    The output is that on both streams. At the first line that ``until`` holds for the program is
    ended, and the exit code is None. However the call ends, by Ctrl-C for example, the program and
    what it has started end, too. Raise ``ToolFailed`` if it cannot be started.
    """
    environment = {**(os.environ if environment is None else environment), "TMPDIR": str(folder)}
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8", errors="replace", process_group=0)
    except OSError as error:
        raise ToolFailed(f"{command[0]} cannot be started: {error.strerror}") from None
    with process:
        try:
            assert process.stdout is not None
            output = _read(process.stdout, until)
            return (None, "") if output is None else (process.wait(), output)
        finally:
            _end(process)


def _read(stream: IO[str], until: Callable[[str], bool]) -> str | None:
    """Return all lines of ``stream``; None if it has one that ``until`` holds for."""
    lines = []
    for line in stream:
        if until(line):
            return None
        lines.append(line)
    return "".join(lines)


def _end(process: subprocess.Popen[str]) -> None:
    """End a program and what it has started, if it runs."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def last_words(output: str) -> str:
    """Return what a tool printed in the end; of a traceback only the error."""
    output = output.strip()
    if "Traceback (most recent call last)" in output:
        return output.splitlines()[-1]
    return output[-2000:]
