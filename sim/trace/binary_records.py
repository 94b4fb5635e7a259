"""Records of one size in a stream, many at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .trace_error import TraceError

__all__ = ["binary_records", "read_whole"]

CHUNK = 1 << 18  # records


def read_whole(stream: BinaryIO, size: int) -> bytes:
    """Return so many bytes, fewer only at the end."""
    parts, missing = [], size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def binary_records(path: str | Path, stream: BinaryIO, record: np.dtype[np.void],
                   expected: str) -> Iterator[tuple[NDArray[np.void], int]]:
    """Yield the records of a stream, some at a time, and the number of the first, from 0.

    Raise ``TraceError`` if the last one is cut.
    """
    done = 0
    while data := read_whole(stream, CHUNK * record.itemsize):
        whole, rest = divmod(len(data), record.itemsize)
        if whole:
            yield np.frombuffer(data, record, whole), done
        done += whole
        if rest:
            raise TraceError(path, f"ends within record {done}, after {rest} of "
                             f"{record.itemsize} bytes", expected)
