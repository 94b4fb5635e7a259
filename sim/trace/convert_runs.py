"""Writing a trace as runs within a page, an ``.npz`` archive that is read much quicker."""

import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import numpy as np

from ...model.x86 import PAGE_SHIFT
from ..errors import writing
from .trace_file import TraceFile

__all__ = ["convert"]

COLUMNS = {"va": "<u8", "kind": "u1", "count": "<u4", "space": "<u4"}
COPY = 1 << 20
LARGEST = (1 << 32) - 1


def convert(trace: TraceFile, path: Path,
            progress: Callable[[int], None] = lambda _: None) -> None:
    """Write the runs of ``trace`` to ``path``, in bounded memory; raise ``InputError``.

    Nothing is left of the file if the trace turns out to be unsound.
    """
    with writing(path), ExitStack() as files:
        archive = files.enter_context(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED,
                                                      compresslevel=6))
        files.push(lambda kind, *_: path.unlink() if kind is not None else None)
        columns = {name: files.enter_context(tempfile.TemporaryFile()) for name in COLUMNS}
        count, has_spaces = 0, False
        for runs in trace.runs():
            values = {"va": runs.page << np.uint64(PAGE_SHIFT), "kind": runs.kind,
                      "count": np.minimum(runs.count, LARGEST),
                      "space": np.zeros(len(runs.page)) if runs.space is None else runs.space}
            has_spaces |= runs.space is not None
            for name, dtype in COLUMNS.items():
                columns[name].write(values[name].astype(dtype).tobytes())
            count += len(runs.page)
            progress(trace.totals.accesses)
        for name, dtype in COLUMNS.items():
            if name != "space" or has_spaces:
                _add(archive, name, dtype, count, columns[name])
        if trace.totals.instructions is not None:
            with tempfile.TemporaryFile() as one:
                one.write(np.array([trace.totals.instructions], "<u8").tobytes())
                _add(archive, "instructions", "<u8", 1, one)


def _add(archive: zipfile.ZipFile, name: str, dtype: str, count: int, column: IO[bytes]) -> None:
    """Add an array whose values are in a file."""
    column.seek(0)
    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": dtype if dtype != "u1" else "|u1", "fortran_order": False,
                     "shape": (count,)})
        while block := column.read(COPY):
            member.write(block)
