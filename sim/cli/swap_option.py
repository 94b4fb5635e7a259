"""The swap area of a run: a file that the user gives, or a temporary one."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID

from ...model.kernel.swap.file import MIN_PAGES, SwapFile
from ..errors import InputError

__all__ = ["given_swap", "temporary_swap"]


def given_swap(path: str, expected: str = "what mkswap makes") -> SwapFile:
    """Open the swap file of ``--swap``; raise ``InputError``, ``SwapError``."""
    try:
        return SwapFile(path)
    except OSError as error:
        raise InputError(
            f"argument --swap: {path}: {error.strerror}; expected {expected}") from None


@contextmanager
def temporary_swap(pages: int, argument: str, instead: str) -> Iterator[SwapFile]:
    """Give a swap file that has room for ``pages`` pages and goes afterwards.

    Raise ``InputError`` if it cannot be made: it names the ``argument``, and what may be given
    ``instead``.
    """
    size = max(pages + 1, MIN_PAGES)
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pagewalk-"))
            file = SwapFile.create(Path(folder) / "swap", size, uuid=UUID(int=1))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"argument {argument}: a swap file of {size} pages cannot be made: "
                             f"{reason}; expected {instead}") from None
        yield stack.enter_context(file)
