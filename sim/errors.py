"""Errors in what the user gave, which the command line reports in one line."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG

__all__ = ["InputError", "check_ends", "writing"]


class InputError(Exception):
    """Bad input: one line that names the file, the field and what was expected.

    The command line prints it without a traceback and exits with 2.
    """


def check_ends(path: str | Path, expected: str) -> None:
    """Raise ``InputError`` if ``path`` is a pipe or a device, which may have no end to read to.

    What cannot be opened at all, as a directory or a name without a file, is left to the reader.
    """
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return
    if not (S_ISREG(mode) or S_ISDIR(mode)):
        raise InputError(f"{path}: is a pipe or a device; expected a file: {expected}")


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise ``InputError`` if what the block does with ``path`` fails: to open or to write it.

    What it has made of a file that was not there goes.
    """
    is_new = False
    try:
        is_new = not Path(path).is_symlink() and not Path(path).exists()
        yield
    except (OSError, ValueError) as error:
        if is_new:
            with suppress(OSError, ValueError):
                Path(path).unlink()
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be written: {reason}; expected a file name") from None
