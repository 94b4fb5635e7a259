"""Reading recorded accesses, in pieces or as one array that the operating system maps."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import AccessKind
from ..errors import InputError
from .access_record import (
    END,
    FIXED,
    KIND_BITS,
    MAGIC,
    RECORD,
    TRAILER,
    TRAILER_MAGIC,
    VERSION,
    RecordFlag,
    TraceHeader,
)

__all__ = ["AccessTrace", "BadRecord", "CutTrace", "NoAccessTrace", "OtherTraceVersion"]

NOUN = "what 'pagewalk exec --record' writes"
LONGEST_HEADER = 16 << 20
CHUNK = 1 << 16
KNOWN = np.uint64(sum(RecordFlag) | ~0xFFF & (1 << 64) - 1)


class NoAccessTrace(InputError):
    """A file that is no trace of accesses."""


class OtherTraceVersion(InputError):
    """A trace of a version of the format that is not known here."""


class CutTrace(InputError):
    """A trace that was not written to its end, or lost it."""


class BadRecord(InputError):
    """A trace with a record of an unknown kind, or one that contradicts itself."""


class AccessTrace:
    """A trace of accesses that is read once, front to back, in bounded memory.

    Raise ``NoAccessTrace``, ``OtherTraceVersion``, ``CutTrace`` for what the header is not.

    Parameters
    ----------
    stream
        Gives the bytes; it need not know how long it is.
    name
        What it is called in messages.

    Members
    -------
    header
        What was recorded.
    records, instructions
        How many records there are, and how many instructions the processor had begun; None before
        the end was reached.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name
        self.records: int | None = None
        self.instructions: int | None = None
        self.header, self._start = self._read_header()

    def _read_header(self) -> tuple[TraceHeader, int]:
        data = self._read(FIXED.itemsize)
        if data[:len(MAGIC)] != MAGIC:
            found = data[:len(MAGIC)].hex(" ") or "nothing"
            raise NoAccessTrace(f"{self._name}: begins with {found}, expected {MAGIC.hex(' ')}: "
                                f"{NOUN}")
        if len(data) < FIXED.itemsize:
            raise CutTrace(f"{self._name}: ends in its header")
        fixed = np.frombuffer(data, FIXED)[0]
        if fixed["version"] != VERSION or fixed["record_bytes"] != RECORD.itemsize:
            raise OtherTraceVersion(
                f"{self._name}: has version {fixed['version']} and records of "
                f"{fixed['record_bytes']} bytes, expected version {VERSION} and "
                f"{RECORD.itemsize} bytes")
        size, text_bytes = int(fixed["header_bytes"]), int(fixed["text_bytes"])
        if not FIXED.itemsize + text_bytes <= size <= LONGEST_HEADER or size % RECORD.itemsize:
            raise NoAccessTrace(f"{self._name}: has a header of {size} bytes with a text of "
                                f"{text_bytes}, expected {NOUN}")
        rest = self._read(size - FIXED.itemsize)
        if len(rest) < size - FIXED.itemsize:
            raise CutTrace(f"{self._name}: ends in its header")
        try:
            return TraceHeader.from_text(rest[:text_bytes]), size
        except ValueError as error:
            raise NoAccessTrace(f"{self._name}: its header is not readable ({error}), expected "
                                f"{NOUN}") from None

    def _read(self, size: int) -> bytes:
        """Return so many bytes, fewer only at the end."""
        found = b""
        while len(found) < size:
            data = self._stream.read(size - len(found))
            if not data:
                break
            found += data
        return found

    def chunks(self, most: int = CHUNK) -> Iterator[NDArray[np.void]]:
        """Yield the records in order, at most ``most`` at a time, of dtype ``RECORD``.

        Raise ``CutTrace`` behind the last record that is there if the trailer is not; ``BadRecord``
        before the records of which one is of an unknown kind.
        """
        done, kept = 0, b""
        while self.records is None:
            data = kept + self._read((most + 2) * RECORD.itemsize - len(kept))
            at_end = len(data) < (most + 2) * RECORD.itemsize
            whole = len(data) // RECORD.itemsize
            records = np.frombuffer(data, RECORD, whole)
            ends = np.flatnonzero(records["access"] == END)
            count = int(ends[0]) if len(ends) else whole if at_end else most
            if count:
                self._check(records[:count], done)
                yield records[:count]
            done, kept = done + count, data[count * RECORD.itemsize:]
            if len(ends) or at_end:
                self._finish(kept + self._read(TRAILER.itemsize + 1 - len(kept)), done)

    def _finish(self, data: bytes, done: int) -> None:
        """Take the trailer, which should be all that is left."""
        if len(data) < TRAILER.itemsize:
            raise CutTrace(f"{self._name}: ends behind {done} records without a trailer: it was "
                           "not written to its end")
        trailer = np.frombuffer(data, TRAILER, 1)[0]
        if len(data) > TRAILER.itemsize or trailer["magic"] != TRAILER_MAGIC or (
                trailer["records"] != done):
            raise BadRecord(f"{self._name}: behind {done} records is a trailer for "
                            f"{trailer['records']}, or more; expected the end")
        self.records, self.instructions = done, int(trailer["instructions"])

    def _check(self, records: NDArray[np.void], first: int) -> None:
        kind = records["access"] & np.uint64((1 << KIND_BITS) - 1)
        unknown = kind >= len(AccessKind)
        unknown |= (records["access"] - kind) & ~KNOWN != 0
        if unknown.any():
            at = int(np.argmax(unknown))
            raise BadRecord(f"{self._name}: record {first + at} is of kind "
                            f"{int(records['access'][at]) & 0xFFF:#x}, expected one of 0, 1 and 2 "
                            f"and flags of {sum(RecordFlag):#x}")

    @staticmethod
    def map(path: str | Path) -> NDArray[np.void]:
        """Return all records of a file as one array that is mapped, not read; none is checked.

        Raise as the constructor, and ``CutTrace`` if the file has no trailer.
        """
        with Path(path).open("rb") as file:
            trace = AccessTrace(file, str(path))
            size = Path(path).stat().st_size - trace._start - TRAILER.itemsize
            with suppress(OSError, ValueError):
                file.seek(trace._start + size)
            if size < 0 or size % RECORD.itemsize:
                raise CutTrace(f"{path}: ends without a trailer: it was not written to its end")
            data = file.read(TRAILER.itemsize)
            if int.from_bytes(data[:8], "little") != END:
                raise CutTrace(f"{path}: ends without a trailer: it was not written to its end")
            trace._finish(data, size // RECORD.itemsize)
            if not size:
                return np.zeros(0, RECORD)
            return np.memmap(path, RECORD, "r", trace._start, size // RECORD.itemsize)
