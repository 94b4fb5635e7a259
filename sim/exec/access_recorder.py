"""Writing the accesses of a run to a file, in the format of ``sim.trace.access_record``."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import IO

import numpy as np

from ..errors import InputError, writing
from ..trace.access_record import RECORD, TraceHeader, header_bytes, trailer_bytes
from .fill_state import FillState

__all__ = ["AccessRecorder", "recorder_of"]

CAPACITY = 1 << 14  # of the buffer, in records


class AccessRecorder:
    """A file that the hooks of ``Fills`` write records to, through a buffer.

    Until ``finish`` the file has no trailer, and readers say so: a run that is killed leaves what
    it has written until then.

    Parameters
    ----------
    file
        Where records go, opened without a buffer.
    name
        What it is called in messages.

    Members
    -------
    records
        How many there are in the file, once it is finished.
    """

    def __init__(self, file: IO[bytes], name: str) -> None:
        self._file, self._name = file, name
        self._buffer = np.zeros(CAPACITY, RECORD)
        self.records = 0

    def begin(self, header: TraceHeader, state: FillState) -> None:
        """Empty the file, write the header, and have all accesses recorded from now on."""
        if S_ISREG(os.fstat(self._file.fileno()).st_mode):
            self._file.truncate(0)
        self._write(header_bytes(header))
        state.record_file, state.record_capacity = self._file.fileno(), CAPACITY
        state.record_buffer = self._buffer.ctypes.data

    def finish(self, state: FillState, library: ctypes.CDLL) -> None:
        """Write what is in the buffer, and the trailer; nothing is recorded any more."""
        library.fills_flush(ctypes.byref(state))
        state.record_buffer = None
        self.check(state)
        self.records = int(state.records_written)
        self._write(trailer_bytes(self.records, state.instructions))

    def check(self, state: FillState) -> None:
        """Raise ``InputError`` if records could not be written."""
        if state.record_error:
            raise self._failed(os.strerror(state.record_error))

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise self._failed(error.strerror) from None

    def _failed(self, reason: str | None) -> InputError:
        return InputError(f"argument --record: {self._name} cannot be written: {reason}; expected "
                          "a file with room for 16 bytes an access")


@contextmanager
def recorder_of(path: Path | None) -> Iterator[AccessRecorder | None]:
    """Open the file of ``--record``, empty; None for none. Raise ``InputError``.

    What was in it stays, or it goes again if it is new, should the block end before ``begin``.
    """
    if path is None:
        yield None
        return
    is_new = not os.path.lexists(path)
    with writing(path):
        file = path.open("ab", buffering=0)
    is_new = is_new and S_ISREG(os.fstat(file.fileno()).st_mode)
    try:
        with file:
            yield AccessRecorder(file, str(path))
    finally:
        with suppress(OSError):
            if is_new and not path.stat().st_size:
                path.unlink()
