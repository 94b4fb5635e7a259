"""Writing to standard output, whose failures are the user's to know of."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console

from ..errors import InputError
from ..report import make_console

__all__ = ["STDOUT", "discard_output", "notes_on_stderr", "one_line", "print_error", "print_text",
           "printing", "require_output"]

STDOUT = Path("-")  # what names standard output where a file is expected

MOST_LETTERS = 1000  # of a message

EXPECTED = "expected a place to write to"


@contextmanager
def printing(figures: Path | None = None) -> Iterator[Console]:
    """Give the console of standard output, which all that a verb shows is printed on.

    If ``figures``, the file of ``--json``, is standard output, they are alone there: the console is
    that of standard error, which may be closed or full.

    At the end of the block everything has been written. Raise ``InputError`` if it cannot be, as on
    a full disk, and ``BrokenPipeError`` if whoever read it is gone.
    """
    if figures == STDOUT:
        try:
            yield make_console(stderr=True)
            if sys.stderr is not None:
                sys.stderr.flush()
        except OSError:
            discard_output(sys.stderr)
        return
    require_output()
    try:
        yield make_console()
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise InputError(f"standard output: cannot be written: {error.strerror or error}; "
                         f"{EXPECTED}") from None


def print_text(text: str) -> None:
    """Write ``text`` to standard output; raise as ``printing`` does."""
    with printing():
        sys.stdout.write(text)


def require_output() -> None:
    """Raise ``InputError`` if the process was started without a standard output.

    Its descriptor is free then, and the next file that is opened would take it, and get what other
    programs print.
    """
    if sys.stdout is None:
        raise InputError(f"standard output: cannot be written: it is closed; {EXPECTED}")


@contextmanager
def notes_on_stderr() -> Iterator[None]:
    """Show what the logger ``pagewalk`` is told, a line each on standard error.

    It is told what takes long, such as the first compilation, and what a run does without.
    """
    logger, handler = logging.getLogger("pagewalk"), _Notes()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Notes(logging.Handler):
    """Shows each message as a line on the standard error of the moment, if there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message; if that cannot be done, nobody is told."""
        print_error("pagewalk:", one_line(record.getMessage()))


def print_error(*words: object) -> None:
    """Print a line to standard error; if there is none, or it is full, nobody is told.

    What could not be written would be tried again as the interpreter ends, which then ends with a
    code of its own.
    """
    if sys.stderr is None:  # `print` would take standard output in its place
        return
    try:
        print(*words, file=sys.stderr, flush=True)
    except OSError:
        discard_output(sys.stderr)


def one_line(message: object) -> str:
    """Return a message as one line, of at most about 1,000 characters, that a terminal can show.

    What a file or an argument has in it, such as an escape sequence, is written as Python would.
    """
    text = "".join(letter if letter.isprintable() else " " if letter.isspace() else
                   letter.encode("unicode_escape").decode() for letter in str(message).strip())
    half = MOST_LETTERS // 2
    return text if len(text) <= MOST_LETTERS else f"{text[:half]} ... {text[-half:]}"


def discard_output(stream: TextIO | None = None) -> None:
    """Let what ``stream``, by default standard output, is still to write go nowhere.

    The interpreter complains as it ends otherwise.
    """
    with suppress(OSError, ValueError):  # a stream without a descriptor has nothing to flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
