"""A strict reader of arrays in an xz stream: a line of JSON that lists them, then their bytes.

The line is checked before anything after it is unpacked, and nothing is unpacked that it does not
list: a file that lies about itself can take no more memory than it may ask for.
"""

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..archive import FieldError
from ..errors import InputError, check_ends

__all__ = ["Arrays", "read_arrays"]

Arrays = dict[str, NDArray[Any]]

MAGIC = b"\xfd7zXZ\x00"
MOST_BYTES = 256 << 20
"""What all arrays may take in memory; the longest recording at hand takes 40 Mbytes."""

MOST_HEADER_BYTES = 64 << 10
MOST_DECODER_BYTES = 256 << 20  # liblzma takes the dictionary at once; `xz -9` asks for 64 Mbytes
PIECE_BYTES = 1 << 20


def read_arrays(path: str | Path, form: str, dtypes: Mapping[str, str], noun: str) -> Arrays:
    """Return the arrays of the file ``path``, whose ``format`` is ``form``.

    It must hold the arrays in ``dtypes``, which gives the type of each, and no others; they are
    little-endian and of one dimension. ``noun`` is what error messages call the file. Raise
    ``InputError``, also for arrays of more than 256 Mbytes, a pipe or a device.
    """
    check_ends(path, noun)
    try:
        with Path(path).open("rb") as file:
            return _read(_Stream(file), form, dtypes)
    except FieldError as error:
        reason = str(error)
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
    reason = " ".join(reason.splitlines())
    raise InputError(f"{path}: {reason}" + ("" if "; expected" in reason else f"; expected {noun}"))


def _read(stream: "_Stream", form: str, dtypes: Mapping[str, str]) -> Arrays:
    arrays = {}
    for name, dtype, length in _listed(stream.line(), form, dtypes):
        array = np.empty(length, dtype)  # whose pages the system provides as they are filled
        got = stream.fill(array.data.cast("B")) if length else 0
        if got < array.nbytes:
            raise FieldError(f"ends early, after {got // array.itemsize} values of {name}; "
                             f"expected {length}, as its first line says")
        arrays[name] = array
    stream.finish()
    return arrays


def _listed(line: bytes, form: str, dtypes: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """Return name, type and length of each array that the first ``line`` lists, once checked."""
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        raise FieldError("its first line is not JSON") from None
    if not isinstance(header, dict) or header.get("format") != form:
        found = header.get("format", "nothing") if isinstance(header, dict) else "nothing"
        raise FieldError(f"format holds {_short(found)}; expected {form}")
    rows = header.get("arrays")
    if not isinstance(rows, list) or not all(
            isinstance(row, list) and len(row) == 3 and isinstance(row[0], str) for row in rows):
        raise FieldError("arrays is not a list of [name, type, length]")
    names = [row[0] for row in rows]
    for name in dtypes:
        if names.count(name) != 1:
            state = "missing" if name not in names else "listed twice"
            raise FieldError(f"{name} is {state} in its first line; expected it once")
    total = 0
    for name, dtype, length in rows:
        if name not in dtypes:
            raise FieldError(f"arrays lists {_short(name)}; expected {', '.join(dtypes)}")
        if dtype != dtypes[name]:
            raise FieldError(f"{name} is of type {_short(dtype)}; expected {dtypes[name]}")
        if not isinstance(length, int) or isinstance(length, bool) or length < 0:
            raise FieldError(f"{name} has length {_short(length)}; expected a whole number")
        total += length * np.dtype(dtype).itemsize
        if total > MOST_BYTES:
            raise FieldError(f"{name} has length {length}; expected at most {MOST_BYTES} bytes, "
                             "all arrays together")
    return [(name, dtype, length) for name, dtype, length in rows]


def _short(value: object) -> str:
    """Return a value of the first line as error messages show it."""
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


class _Stream:
    """The bytes in an xz stream, unpacked as they are asked for. Raise ``FieldError``."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._unpacker = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_DECODER_BYTES)
        self._ahead = b""  # unpacked, not yet asked for
        start = file.read(len(MAGIC))
        if start != MAGIC:
            raise FieldError("is not an xz file")
        file.seek(0)

    def line(self) -> bytes:
        """Return what comes before the first line feed, which is left out."""
        while b"\n" not in self._ahead:
            piece = self._unpack(MOST_HEADER_BYTES + 1 - len(self._ahead))
            if not piece:
                what = f"of at most {MOST_HEADER_BYTES} bytes"
                raise FieldError(f"has no first line {what}")
            self._ahead += piece
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line

    def fill(self, buffer: memoryview) -> int:
        """Fill ``buffer``, as far as the stream goes; return how many bytes there were."""
        start = self._ahead[:len(buffer)]
        self._ahead = self._ahead[len(start):]
        buffer[:len(start)] = start
        done = len(start)
        while done < len(buffer):
            piece = self._unpack(min(PIECE_BYTES, len(buffer) - done))
            if not piece:
                break
            buffer[done:done + len(piece)] = piece
            done += len(piece)
        return done

    def finish(self) -> None:
        """Check that the stream ends here, and the file with it."""
        if self._ahead or self._unpack(1):
            raise FieldError("goes on after the arrays; expected its end there")
        if not self._unpacker.eof:
            raise FieldError("ends early, before the end of its xz stream")
        if self._unpacker.unused_data or self._file.read(1):
            raise FieldError("goes on after its xz stream; expected its end there")

    def _unpack(self, most: int) -> bytes:
        """Return from 1 to ``most`` bytes more, or none at the end of the stream or the file."""
        while most > 0 and not self._unpacker.eof:
            data = self._file.read(PIECE_BYTES) if self._unpacker.needs_input else b""
            if self._unpacker.needs_input and not data:
                break
            try:
                piece = self._unpacker.decompress(data, most)
            except lzma.LZMAError as error:
                raise FieldError(f"is damaged: {error}") from None
            if piece:
                return piece
        return b""
