"""A row of a table of measurements: what is measured, and what it is compared with."""

from dataclasses import dataclass

__all__ = ["TableRow"]


@dataclass(frozen=True, slots=True)
class TableRow:
    """Something to be measured.

    Members
    -------
    name : str
        What the row is called, different from all others of its table.
    words : str
        The words of the command line that ask for it. Of an option that stands twice in them the
        last one counts.
    over : str
        What it is compared with, the name of an earlier row or of another MMU; empty for nothing.
    """

    name: str
    words: str
    over: str = ""
