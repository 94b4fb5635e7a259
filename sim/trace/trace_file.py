"""A trace of accesses in a file of any known format, which its content tells."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ..errors import check_ends
from ..packed_stream import LONGEST_MAGIC, PackedError, UnpackedStream, packing, unpacked_blocks
from .access_record import MAGIC, RecordFlag, kinds, pages
from .access_trace import AccessTrace
from .address_text import address_blocks
from .binary_records import read_whole
from .champsim_record import champsim_blocks, champsim_format
from .drmemtrace_record import drmemtrace_blocks, is_drmemtrace
from .lackey_text import is_lackey, lackey_blocks
from .page_runs import AccessBlock, PageRuns, TraceTotals, merged
from .run_archive import archive_runs, is_run_archive
from .trace_error import FORMATS, TraceError

__all__ = ["TraceFile"]

START = 96 * 64 * 8  # bytes by which a format is told: whole records of every size
BUFFER = 1 << 20
LONGEST_FIRST = 1 << 12  # bytes of a first line of text
ZIP = b"PK\x03\x04"
KNOWN = "a trace of one of " + ", ".join(FORMATS)


class TraceFile:
    """A trace, read once, front to back, in bounded memory.

    It may be packed with gzip, xz, zstd or zip, whose members then are one trace after the other.
    Raise ``TraceError`` if the format cannot be told, or the file not be read.

    Parameters
    ----------
    path
        The file.
    name
        The format, one of ``FORMATS``; None to tell it by the content.

    Members
    -------
    format
        The format.
    totals
        What it held, as far as it was read.
    """

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path, self.totals = path, TraceTotals()
        with self._opened() as stream:
            start = _start(path, stream)
        self.format = name or self._format(start)

    def _format(self, start: bytes) -> str:
        if not start:
            raise TraceError(self.path, "is empty", KNOWN)
        if start.startswith(ZIP):
            return "npz"
        if start.startswith(MAGIC):
            return "exec"
        if is_drmemtrace(start):
            return "drmemtrace"
        first = start[:LONGEST_FIRST].split(b"\n")[0]
        if all(32 <= byte < 127 or byte in b"\t\r" for byte in first):
            return "lackey" if is_lackey(start.splitlines()) else "text"
        if found := champsim_format(start):
            return found
        raise TraceError(self.path, f"begins with {start[:8].hex(' ')}", KNOWN)

    def runs(self) -> Iterator[PageRuns]:
        """Yield the runs of accesses in order; raise ``TraceError`` for what is wrong with them.

        A trace without any access is wrong, too, which is known at its end.
        """
        if self.format == "npz":
            for runs in archive_runs(self.path, self.totals):
                if len(runs.count):
                    yield runs
        else:
            with self._opened() as stream:
                for block in self._blocks(stream):
                    runs = merged(block)
                    self.totals.take(block, runs)
                    if len(runs.count):
                        yield runs
        if not self.totals.accesses:
            raise TraceError(self.path, f"has no access in it, as {FORMATS[self.format]}",
                             "at least one")

    def _blocks(self, stream: BinaryIO) -> Iterator[AccessBlock]:
        try:
            if self.format == "lackey":
                yield from lackey_blocks(self.path, stream)
            elif self.format == "text":
                yield from address_blocks(self.path, stream)
            elif self.format == "drmemtrace":
                yield from drmemtrace_blocks(self.path, stream)
            elif self.format == "exec":
                yield from self._recorded(stream)
            else:
                yield from champsim_blocks(self.path, stream, self.format)
        except PackedError as error:
            raise TraceError(self.path, str(error), "a whole file") from None
        except (zipfile.BadZipFile, EOFError) as error:
            raise TraceError(self.path, f"cannot be unpacked: {error}", "a whole zip") from None

    def _recorded(self, stream: BinaryIO) -> Iterator[AccessBlock]:
        """Yield what ``pagewalk exec`` has recorded, but for refused and extra accesses."""
        trace = AccessTrace(stream, str(self.path))
        left_out = np.uint64(RecordFlag.REFUSED | RecordFlag.EXTRA)
        for records in trace.chunks(1 << 18):
            rows = np.flatnonzero(records["access"] & left_out == 0)
            kept = records[rows]
            kind = kinds(kept)
            yield AccessBlock(pages(kept), kind, None, kept["space"].astype(np.int64),
                              0, len(records) - len(rows))
        self.totals.instructions = trace.instructions

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Open the file, and give the bytes of the trace, unpacked."""
        try:
            check_ends(self.path, KNOWN)
            with ExitStack() as files:
                file = files.enter_context(Path(self.path).open("rb"))
                yield _unpacked(self.path, file, files)
        except OSError as error:
            raise TraceError(self.path, f"cannot be read: {error.strerror}", KNOWN) from None


def _unpacked(path: str | Path, file: BinaryIO, files: ExitStack) -> BinaryIO:
    """Return the trace that is in ``file``, unpacked; an archive of arrays stays as it is."""
    start = file.read(LONGEST_MAGIC)
    file.seek(0)
    if kind := packing(start):
        return cast(BinaryIO, io.BufferedReader(UnpackedStream(unpacked_blocks(file, kind)),
                                                BUFFER))
    if start.startswith(ZIP) and not is_run_archive(path):
        try:
            archive = files.enter_context(zipfile.ZipFile(file))
        except zipfile.BadZipFile as error:
            raise TraceError(path, f"cannot be unpacked: {error}", "a whole zip") from None
        return cast(BinaryIO, io.BufferedReader(UnpackedStream(_members(archive)), BUFFER))
    return file


def _members(archive: zipfile.ZipFile) -> Iterator[bytes]:
    """Yield the bytes of all members, one after the other."""
    for name in archive.namelist():
        with archive.open(name) as member:
            while block := member.read(BUFFER):
                yield block


def _start(path: str | Path, stream: BinaryIO) -> bytes:
    """Return the first bytes of a trace."""
    try:
        return read_whole(stream, START)
    except PackedError as error:
        raise TraceError(path, str(error), "a whole file") from None
    except (zipfile.BadZipFile, EOFError) as error:
        raise TraceError(path, f"cannot be unpacked: {error}", "a whole zip") from None
