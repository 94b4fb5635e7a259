"""What can be wrong with a file of physical memory: one line of what, where, what was expected."""

from pathlib import Path

from ..errors import InputError

__all__ = ["BadMemoryFile", "CutMemoryFile", "MemoryFileError", "OtherMemoryFile"]


class MemoryFileError(InputError):
    """A file of physical memory that cannot be used.

    Parameters
    ----------
    path
        The file.
    what
        What is wrong, and at which byte or field.
    expected
        What should be there.
    """

    def __init__(self, path: str | Path, what: str, expected: str) -> None:
        super().__init__(f"{path}: {what}; expected {expected}")


class OtherMemoryFile(MemoryFileError):
    """A file of another kind, or of another processor, or packed in a way that is not read here."""


class CutMemoryFile(MemoryFileError):
    """A file that ends before what its headers tell of."""


class BadMemoryFile(MemoryFileError):
    """A file whose headers or data contradict themselves."""
