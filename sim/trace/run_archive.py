"""Runs of accesses within a page in an ``.npz`` archive: read in pieces, and written.

The arrays are ``va``, the linear address of the page (u64); ``kind``, 0 for fetches, 1 for loads, 2
for loads and stores that begin with a store (u8); ``count``, how many accesses (u32). Archives that
are written here also have ``space``, the number of an address space (u32), if there are several,
and ``instructions``, how many there were (one u64), if that is known.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import PAGE_BYTES, PAGE_SHIFT
from .binary_records import read_whole
from .page_runs import RUN_KINDS, PageRuns, TraceTotals
from .trace_error import FORMATS, TraceError

__all__ = ["archive_runs", "is_run_archive"]

CHUNK = 1 << 19  # runs
ARRAYS = ("va", "kind", "count")
MOST_HEADER = 1 << 14


def is_run_archive(path: str | Path) -> bool:
    """Return whether a file is an archive of numpy arrays, whichever they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


class _Column:
    """One array of the archive, read in pieces."""

    def __init__(self, path: str | Path, archive: zipfile.ZipFile, name: str,
                 files: ExitStack) -> None:
        self.file = files.enter_context(archive.open(f"{name}.npy"))
        self._path, self._name = path, name
        shape, fortran, self.dtype = self._header(self.file)
        if len(shape) != 1 or fortran or self.dtype.kind not in "iu":
            raise TraceError(path, f"{name} has shape {shape} and type {self.dtype}",
                             "one dimension of whole numbers")
        self.length: int = shape[0]

    def _header(self, file: IO[bytes]) -> tuple[Any, bool, np.dtype[Any]]:
        try:
            version = np.lib.format.read_magic(cast(Any, file))
            read = (np.lib.format.read_array_header_1_0 if version == (1, 0)
                    else np.lib.format.read_array_header_2_0)
            return read(cast(Any, file), max_header_size=MOST_HEADER)
        except ValueError as error:
            raise TraceError(self._path, f"{self._name} is no array: {error}",
                             FORMATS["npz"]) from None

    def take(self, count: int) -> NDArray[Any]:
        """Return the next ``count`` values."""
        data = read_whole(cast(Any, self.file), count * self.dtype.itemsize)
        if len(data) < count * self.dtype.itemsize:
            raise TraceError(self._path, f"{self._name} ends before its {self.length} values",
                             FORMATS["npz"])
        return np.frombuffer(data, self.dtype, count)


def archive_runs(path: str | Path, totals: TraceTotals) -> Iterator[PageRuns]:
    """Yield the runs in an archive, and count them in ``totals``; raise ``TraceError``."""
    try:
        with ExitStack() as files:
            archive = files.enter_context(zipfile.ZipFile(path))
            yield from _runs(path, archive, totals, files)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise TraceError(path, f"cannot be unpacked: {error}", FORMATS["npz"]) from None


def _runs(path: str | Path, archive: zipfile.ZipFile, totals: TraceTotals,
          files: ExitStack) -> Iterator[PageRuns]:
    names = archive.namelist()
    for name in ARRAYS:
        if f"{name}.npy" not in names:
            raise TraceError(path, f"{name} is missing", FORMATS["npz"])
    has_space = "space.npy" in names
    columns = [_Column(path, archive, name, files) for name in (*ARRAYS, *["space"] * has_space)]
    length = columns[0].length
    for name, column in zip((*ARRAYS, "space"), columns, strict=False):
        if column.length != length:
            raise TraceError(path, f"{name} has {column.length} values", f"{length}, as va has")
    totals.instructions = _instructions(path, archive, files)
    counted = 0
    for done in range(0, length, CHUNK):
        values = [column.take(min(CHUNK, length - done)) for column in columns]
        _check(path, values, done)
        runs = PageRuns(values[0].astype(np.uint64) >> np.uint64(PAGE_SHIFT),
                        values[1].astype(np.uint8), values[2].astype(np.int64),
                        values[3].astype(np.int64) if has_space else None)
        accesses = int(runs.count.sum())
        totals.accesses += accesses
        totals.translations += accesses
        totals.runs += len(runs.count)
        counted += int(runs.count[runs.kind == 0].sum())
        if "instructions.npy" not in names:
            totals.instructions = counted
        yield runs


def _check(path: str | Path, values: list[NDArray[Any]], done: int) -> None:
    """Raise ``TraceError`` for the first value that no run has."""
    va, kind, count = values[:3]
    rules = (("va", va, va % PAGE_BYTES != 0, f"a multiple of {PAGE_BYTES}"),
             ("kind", kind, (kind < 0) | (kind >= RUN_KINDS), "0, 1 or 2"),
             ("count", count, count < 1, "at least 1"),
             *((("space", values[3], values[3] < 0, "at least 0"),) if len(values) > 3 else ()))
    for name, array, wrong, expected in rules:
        if wrong.any():
            at = int(np.argmax(wrong))
            raise TraceError(path, f"{name} of run {done + at} is {array[at]}", expected)


def _instructions(path: str | Path, archive: zipfile.ZipFile, files: ExitStack) -> int:
    if "instructions.npy" not in archive.namelist():
        return 0
    column = _Column(path, archive, "instructions", files)
    if column.length != 1:
        raise TraceError(path, f"instructions has {column.length} values", "one")
    return int(column.take(1)[0])
