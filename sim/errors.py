"""Errors in what the user gave, which the command line reports in one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["InputError", "writing"]


class InputError(Exception):
    """Bad input: one line that names the file, the field and what was expected.

    The command line prints it without a traceback and exits with 2.
    """


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise ``InputError`` if what the block does with ``path`` fails: to open or to write it."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written: {reason}; expected a file name") from None
