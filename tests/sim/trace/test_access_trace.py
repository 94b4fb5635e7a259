"""Tests of reading recorded accesses: whole files, and what is wrong with others."""

import io

import numpy as np
import pytest

from pagewalk.model.x86 import AccessKind
from pagewalk.sim.errors import InputError
from pagewalk.sim.trace.access_record import (
    FIXED,
    RECORD,
    TRAILER,
    RecordFlag,
    TraceHeader,
    header_bytes,
    kinds,
    pages,
    trailer_bytes,
)
from pagewalk.sim.trace.access_trace import (
    AccessTrace,
    BadRecord,
    CutTrace,
    NoAccessTrace,
    OtherTraceVersion,
)

HEADER = TraceHeader("x86_64", "each", "prögram", ("a", "b c"), "1.2")


def some(count, seed=1):
    rng = np.random.default_rng(seed)
    records = np.zeros(count, RECORD)
    flags = sum(rng.integers(0, 2, count).astype(np.uint64) * np.uint64(flag)
                for flag in RecordFlag)
    records["access"] = (rng.integers(0, 1 << 52, count, np.uint64) << np.uint64(12)
                         | rng.integers(0, 3, count).astype(np.uint64) | flags)
    records["space"], records["task"] = rng.integers(0, 1 << 32, (2, count), np.uint32)
    return records


def file_of(records, header=HEADER):
    return header_bytes(header) + records.tobytes() + trailer_bytes(len(records), 77)


def read(data, most=1 << 16):
    trace = AccessTrace(io.BytesIO(data), "file")
    found = [records.copy() for records in trace.chunks(most)]
    return trace, np.concatenate([np.zeros(0, RECORD), *found])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 100])
@pytest.mark.parametrize("most", [1, 2, 3, 10, 1 << 16])
def test_what_was_written_is_read(count, most, tmp_path):
    records = some(count)
    trace, found = read(file_of(records), most)
    assert (found == records).all()
    assert (trace.header, trace.records, trace.instructions) == (HEADER, count, 77)
    path = tmp_path / "file"
    path.write_bytes(file_of(records))
    assert (AccessTrace.map(path) == records).all()


class Trickle(io.RawIOBase):
    """A stream that gives a few bytes at a time and cannot seek, as a pipe."""

    def __init__(self, data):
        self._data = io.BytesIO(data)

    def read(self, size=-1):
        return self._data.read(min(size, 5))


def test_a_pipe_is_read():
    records = some(50)
    trace = AccessTrace(Trickle(file_of(records)), "pipe")
    assert (np.concatenate([one.copy() for one in trace.chunks(7)]) == records).all()


def test_kinds_and_pages():
    records = np.array([(0xFFFF_8000_0000_1000 | 2, 0, 0), (0x7000 | 0x31, 0, 0)], RECORD)
    assert kinds(records).tolist() == [AccessKind.FETCH, AccessKind.WRITE]
    assert pages(records).tolist() == [0xFFFF_8000_0000_1000, 0x7000]


def test_a_file_that_is_cut_anywhere_says_so(tmp_path):
    whole, path = file_of(some(3)), tmp_path / "cut"
    for size in range(8, len(whole)):
        with pytest.raises(CutTrace, match=r"^file: ends "):
            read(whole[:size])
        path.write_bytes(whole[:size])
        with pytest.raises(CutTrace, match=r": ends "):
            AccessTrace.map(path)


def test_what_a_cut_file_has_is_read_first():
    records = some(20)
    trace = AccessTrace(io.BytesIO(file_of(records)[:-40]), "file")
    found = []
    with pytest.raises(CutTrace, match=r"^file: ends behind 19 records without a trailer: it was "
                                       r"not written to its end$"):
        found.extend(trace.chunks(4))
    assert (np.concatenate(found) == records[:19]).all()


@pytest.mark.parametrize("data", [b"", b"text", b"text and more", b"\x7fELF" * 20])
def test_files_that_are_none(data):
    with pytest.raises(NoAccessTrace, match=r"^file: begins with .*, expected 50 57 41 43 43 45 "):
        read(data)


@pytest.mark.parametrize(("field", "value", "error"), [
    ("version", 2, OtherTraceVersion), ("record_bytes", 24, OtherTraceVersion),
    ("header_bytes", 16, NoAccessTrace), ("header_bytes", 1 << 31, NoAccessTrace),
    ("text_bytes", 1 << 30, NoAccessTrace), ("text_bytes", 3, NoAccessTrace),
])
def test_headers_that_are_wrong(field, value, error):
    data = bytearray(file_of(some(2)))
    fixed = np.frombuffer(bytes(data[:FIXED.itemsize]), FIXED).copy()
    fixed[field] = value
    data[:FIXED.itemsize] = fixed.tobytes()
    with pytest.raises(error, match=r"^file: "):
        read(bytes(data))


@pytest.mark.parametrize("header", [
    TraceHeader("arm", "each", "a"), TraceHeader("x86_64", "some", "a"),
    TraceHeader("ia32", "fast", 5), TraceHeader("ia32", "fast", "a", (1,))])
def test_texts_that_are_wrong(header):
    with pytest.raises(NoAccessTrace, match=r"^file: its header is not readable"):
        read(file_of(some(1), header))


@pytest.mark.parametrize("bits", [3, 14, 0x80, 0x800])
def test_a_record_of_an_unknown_kind(bits):
    records = some(9)
    records["access"][5] = 0x1000 | bits
    with pytest.raises(BadRecord, match=rf"^file: record 5 is of kind {bits:#x}, expected "):
        read(file_of(records), 2)


@pytest.mark.parametrize("more", [b"x", b"x" * 100])
def test_more_behind_the_end(more):
    with pytest.raises(BadRecord, match=r"^file: behind 4 records is a trailer for 4, or more"):
        read(file_of(some(4)) + more)


def test_a_trailer_that_counts_others():
    data = file_of(some(4))[:-TRAILER.itemsize] + trailer_bytes(5, 0)
    with pytest.raises(BadRecord, match=r"^file: behind 4 records is a trailer for 5"):
        read(data)


def test_all_are_bad_input():
    assert all(issubclass(one, InputError)
               for one in (NoAccessTrace, OtherTraceVersion, CutTrace, BadRecord))
