"""What can be wrong with a trace of accesses: one line of what, where, what was expected."""

from pathlib import Path

from ..errors import InputError

__all__ = ["FORMATS", "TraceError"]

FORMATS = {
    "lackey": "what 'valgrind --tool=lackey --trace-mem=yes' prints",
    "text": "lines of an address, r, w or x, and a process or nothing",
    "champsim": "64-byte records of ChampSim",
    "champsim96": "96-byte records of ChampSim, with an address space",
    "drmemtrace": "12-byte records of DynamoRIO's drmemtrace",
    "npz": "an .npz of runs within a page, with va, kind and count",
    "exec": "what 'pagewalk exec --record' writes",
}
"""The formats of traces that are read, by name."""


class TraceError(InputError):
    """A trace that cannot be used.

    Parameters
    ----------
    path
        The file.
    what
        What is wrong, and in which line or record.
    expected
        What should be there.
    """

    def __init__(self, path: str | Path, what: str, expected: str) -> None:
        super().__init__(f"{path}: {what}; expected {expected}")
