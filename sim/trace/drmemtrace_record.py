"""Records of DynamoRIO's drmemtrace: 12 packed bytes of type, size and address.

[clients/drcachesim/common/trace_entry.h]
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ...model.x86 import AccessKind
from .binary_records import binary_records
from .page_runs import AccessBlock
from .trace_error import FORMATS, TraceError

__all__ = ["RECORD", "RecordType", "drmemtrace_blocks", "is_drmemtrace"]

RECORD = np.dtype([("type", "<u2"), ("size", "<u2"), ("addr", "<u8")])
"""A record; ``addr`` is the version, a thread, a process or a marker's value where ``type`` says
so."""

LAST_VERSION = 32  # far beyond what there is; the first record says which


class RecordType:
    """Types of records, those that are looked at here. [trace_type_t]"""

    READ = 0
    WRITE = 1
    PREFETCH = 2
    PREFETCH_INSTR = 9
    INSTR = 10
    INSTR_RETURN = 16
    INSTR_BUNDLE = 17
    INSTR_FLUSH = 18
    DATA_FLUSH_END = 21
    THREAD = 22
    THREAD_EXIT = 23
    PID = 24
    HEADER = 25
    FOOTER = 26
    HARDWARE_PREFETCH = 27
    MARKER = 28
    INSTR_NO_FETCH = 29
    INSTR_MAYBE_FETCH = 30
    INSTR_SYSENTER = 31
    PREFETCH_READ_L1_NT = 32
    PREFETCH_WRITE_L3_NT = 46
    ENCODING = 47
    INSTR_TAKEN_JUMP = 48
    INSTR_UNTAKEN_JUMP = 49


OTHER, UNKNOWN = 254, 255

_KINDS = np.full(1 << 16, UNKNOWN, np.uint8)
_KINDS[:RecordType.INSTR_UNTAKEN_JUMP + 1] = OTHER
_KINDS[RecordType.READ], _KINDS[RecordType.WRITE] = AccessKind.READ, AccessKind.WRITE
_KINDS[RecordType.INSTR:RecordType.INSTR_RETURN + 1] = AccessKind.FETCH
_KINDS[[RecordType.INSTR_SYSENTER, RecordType.INSTR_TAKEN_JUMP,
        RecordType.INSTR_UNTAKEN_JUMP]] = AccessKind.FETCH
_KINDS[[RecordType.INSTR_BUNDLE, RecordType.INSTR_MAYBE_FETCH]] = UNKNOWN

_PREFETCHES = np.zeros(1 << 16, np.bool_)
_PREFETCHES[RecordType.PREFETCH:RecordType.PREFETCH_INSTR + 1] = True
_PREFETCHES[RecordType.PREFETCH_READ_L1_NT:RecordType.PREFETCH_WRITE_L3_NT + 1] = True
_PREFETCHES[RecordType.HARDWARE_PREFETCH] = True


def is_drmemtrace(start: bytes) -> bool:
    """Return whether the first record is a header with a version."""
    if len(start) < RECORD.itemsize:
        return False
    first = np.frombuffer(start, RECORD, 1)[0]
    return bool(first["type"] == RecordType.HEADER and first["addr"] <= LAST_VERSION)


def drmemtrace_blocks(path: str | Path, stream: BinaryIO) -> Iterator[AccessBlock]:
    """Yield the accesses; a process is an address space, as its records say.

    Prefetches and flushes are skipped, as is an instruction that was not fetched: the further
    rounds of a repeated one. Raise ``TraceError`` for a type that no file has, or a cut record.
    """
    process = 0
    for records, first in binary_records(path, stream, RECORD, FORMATS["drmemtrace"]):
        kind = _KINDS[records["type"]]
        unknown = kind == UNKNOWN
        if unknown.any():
            at = int(np.argmax(unknown))
            raise TraceError(path, f"record {first + at} is of type {records['type'][at]}",
                             f"types from 0 to {RecordType.INSTR_UNTAKEN_JUMP} that files have, "
                             "in " + FORMATS["drmemtrace"])
        spaces, process = _processes(records, process)
        rows = np.flatnonzero(kind <= AccessKind.FETCH)
        skipped = int(np.count_nonzero(_PREFETCHES[records["type"]]))
        yield AccessBlock(
            records["addr"][rows], kind[rows], records["size"][rows].astype(np.int64),
            None if spaces is None else spaces[rows],
            int(np.count_nonzero(kind == AccessKind.FETCH)), skipped)


def _processes(records: NDArray[np.void], process: int) -> tuple[NDArray[np.int64] | None, int]:
    """Return the process of each record, None if it is 0 in all, and that of the last."""
    at = np.flatnonzero(records["type"] == RecordType.PID)
    if not len(at):
        return (np.full(len(records), process) if process else None), process
    named = np.concatenate(([process], records["addr"][at].astype(np.int64) & 0xFFFF_FFFF))
    lengths = np.diff(np.concatenate(([0], at, [len(records)])))
    return np.repeat(named, lengths), int(named[-1])
