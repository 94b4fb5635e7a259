"""The files that a command line names: what names one, and how figures and texts are written."""

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import combinations
from pathlib import Path
from stat import S_ISREG
from typing import Any

from ..errors import InputError, writing
from .output import STDOUT, print_text

__all__ = ["check_outputs", "file_name", "json_file", "output_file", "output_name"]

# In a verb's arguments.
INPUTS = ("image", "program", "vectors", "trace", "free_lists", "swap", "log", "dump", "toy",
          "grade", "frames", "requests")
OUTPUTS = {"json": "--json", "record": "--record", "follow_to": "--follow-to", "moodle": "--moodle",
           "gradescope": "--gradescope", "output": "-o", "convert": "--convert", "csv": "--csv",
           "stats_to": "--stats", "curve": "--curve", "vcd": "--vcd", "html": "--html",
           "try_to": "--try"}


def file_name(text: str) -> str:
    """Return the name of an input; raise ``ArgumentTypeError`` for what names no file."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a file name, not {text!r}")
    return text


def output_name(text: str) -> Path:
    """Return the path of an output, ``STDOUT`` for ``-``; raise as ``file_name`` does."""
    path = Path(file_name(text))
    return path.absolute() if path == STDOUT and text != "-" else path  # as for ./-


def check_outputs(args: argparse.Namespace) -> None:
    """Raise ``InputError`` if an output would be written over an input, or over another output.

    An image may be cut in place.
    """
    inputs = [path for name in INPUTS if (path := getattr(args, name, None)) is not None]
    outputs = {option: path for name, option in OUTPUTS.items()
               if (path := getattr(args, name, None)) is not None}
    for option, path in outputs.items():
        if option != "-o" and any(_is_same(path, one) for one in inputs):
            raise InputError(f"argument {option}: {path} is an input; expected another file")
    for (option, path), (other, taken) in combinations(outputs.items(), 2):
        if _is_same(path, taken):
            raise InputError(f"argument {option}: {path} is the file of {other}; expected another")


def _is_same(one: str | Path, other: str | Path) -> bool:
    """Return whether two names are of one file, there or not; a device is nobody's own."""
    one, other = Path(one), Path(other)
    with suppress(OSError):
        return one.samefile(other) and one.is_file()
    with suppress(OSError):  # the folder of the process may be gone
        return one.absolute() == other.absolute()
    return False


@contextmanager
def json_file(
    path: Path | None, *, indent: int | None = 2
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Open the file of ``--json``, and give a function that writes figures to it.

    It is opened before the work is done, as ``output_file`` says. With ``indent`` None all figures
    are in one line, which is written much quicker.
    """
    if path is None:
        yield lambda _: None
        return
    with output_file(path) as write:
        yield lambda figures: write(json.dumps(figures, indent=indent) + "\n")


@contextmanager
def output_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Open the file ``path``, and give a function that writes a text to it, in place of all in it.

    It is opened before the work is done, so that a file that cannot be written is found at once.
    What was in it stays until there is something to write: if the work fails, the file is as it
    was, or is not there. A new one that cannot be written whole goes, too. ``STDOUT`` is standard
    output. Raise ``InputError``.
    """
    if path == STDOUT:
        yield print_text
        return
    is_new = not os.path.lexists(path)
    with writing(path):
        file = path.open("a", encoding="utf-8")

    def write(text: str) -> None:
        nonlocal is_new
        with writing(path):
            if S_ISREG(os.fstat(file.fileno()).st_mode):
                file.truncate(0)
            file.write(text)
            file.flush()
        is_new = False

    try:
        yield write
    finally:
        if is_new:
            with suppress(OSError):
                path.unlink()
        with writing(path):  # which closing does, too, after a write that failed
            file.close()
