import gzip
import lzma

import pytest

from pagewalk.model.physical.fallback import Fallback
from pagewalk.sim.buddy import ftrace
from pagewalk.sim.buddy.ftrace import Event, Kind, read_trace
from pagewalk.sim.errors import InputError

from ..kernel_traces import MARKS, line, page_line, recorded, trace_file, write_trace

ALLOC = page_line("mm_page_alloc", 0x61BE, order=0, migratetype=1,
                  gfp_flags="GFP_HIGHUSER_MOVABLE|__GFP_ZERO")
LOCKED = page_line("mm_page_alloc_zone_locked", 0x6200, order=9, migratetype=2, percpu_refill=1)
FREE = page_line("mm_page_free", 0x61BE, order=1)
BATCHED = page_line("mm_page_free_batched", 0x61BF, order=0)
DRAIN = page_line("mm_page_pcpu_drain", 0x100000, order=0, migratetype=3)
EXTFRAG = page_line("mm_page_alloc_extfrag", 0x1000, alloc_order=2, fallback_order=7,
                    pageblock_order=9, alloc_migratetype=0, fallback_migratetype=1,
                    fragmenting=1, change_ownership=0)


@pytest.fixture
def trace(tmp_path):
    """Write lines between the marks; return the file."""
    return lambda *lines, **options: write_trace(tmp_path / "t.gz", lines, **options)


def test_every_event_is_read(trace):
    assert read_trace(trace(ALLOC, LOCKED, FREE, BATCHED, DRAIN, EXTFRAG)) == [
        Event(4, Kind.ALLOC, 0x61BE, 0, 1),
        Event(5, Kind.ALLOC_ZONE_LOCKED, 0x6200, 9, 2),
        Event(6, Kind.FREE, 0x61BE, 1),
        Event(7, Kind.FREE_BATCHED, 0x61BF, 0),
        Event(8, Kind.PCPU_DRAIN, 0x100000, 0, 3),
        Event(9, Kind.ALLOC_EXTFRAG, 0x1000, 2, 0, Fallback(0x1000, 2, 7, 0, 1, False)),
    ]


def test_only_what_is_between_the_marks_counts(trace):
    first, last = MARKS
    other = line("tracing_mark_write", "SNAP_BEFORE")
    assert read_trace(trace(DRAIN, *MARKS, FREE, marks=[])) == []
    with pytest.raises(InputError, match=r"has no mark SNAP_AFTER; "):
        read_trace(trace(DRAIN, other, FREE, marks=[first]))
    assert [event.kind for event in read_trace(trace(
        ALLOC, first, DRAIN, other, FREE, last, LOCKED, marks=[]))] == [Kind.PCPU_DRAIN, Kind.FREE]


def test_events_of_other_sorts_and_failed_requests_are_left_out(trace):
    failed = page_line("mm_page_alloc", 0, order=4, migratetype=0, gfp_flags="GFP_KERNEL")
    assert read_trace(trace(line("kmalloc", "call_site=foo ptr=0 bytes"), failed)) == []


@pytest.mark.parametrize("text", [
    "          <idle>-0       [000] d.s3.     1.000001: mm_page_free: page=0 pfn=0x10 order=0",
    "kworker/u2:1-7 [003] 1.000001: mm_page_free: page=(____ptrval____) pfn=0x10 order=0",
    " a b-12 (   12) [000] .... 1.000001: mm_page_free: page=ffffea00 pfn=0x10 order=0",
])
def test_lines_of_other_set_ups_are_read(trace, text):
    assert read_trace(trace(text)) == [Event(4, Kind.FREE, 0x10, 0)]


@pytest.mark.parametrize(("text", "message"), [
    ("what is this", "line 4 is 'what is this'; expected an event"),
    ("", "line 4 is ''; expected an event"),
    ("CPU:0 [LOST 12 EVENTS]", "line 4 tells that events were lost; expected an event"),
    (FREE.replace("pfn=0x61be ", ""),
     "line 4, mm_page_free: 'page=00000000c0ffee00 order=1'; expected page, pfn, order"),
    (FREE + " migratetype=1", "line 4, mm_page_free: "),
    (FREE.replace("order=1", "order=-1"), "line 4, mm_page_free: "),
    (FREE.replace("61be", "61bg"), "line 4, mm_page_free: "),
    (FREE.replace("order=1", "order=11"),
     "line 4, mm_page_free: order is 11; expected at most 10"),
    (DRAIN.replace("type=3", "type=5"),
     "line 4, mm_page_pcpu_drain: migratetype is 5; expected at most 4"),
    (EXTFRAG.replace("fallback_order=7", "fallback_order=12"),
     "line 4, mm_page_alloc_extfrag: fallback_order is 12; expected at most 10"),
    (FREE.replace("61be", "61bf"),
     "line 4, mm_page_free: pfn is 0x61bf; expected a multiple of the 2 pages of order 1"),
    (LOCKED.replace("type=2", "type=4"),
     "line 4, mm_page_alloc_zone_locked: migratetype is 4; expected at most 3"),
    (EXTFRAG.replace("alloc_migratetype=0", "alloc_migratetype=3"),
     "line 4, mm_page_alloc_extfrag: alloc_migratetype is 3; expected at most 2"),
    (ALLOC.replace(" gfp_flags=GFP_HIGHUSER_MOVABLE|__GFP_ZERO", ""), "line 4, mm_page_alloc: "),
])
def test_a_line_that_is_no_event_is_refused(trace, text, message):
    path = trace(text)
    with pytest.raises(InputError) as error:
        read_trace(path)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)


def test_events_may_be_lost_before_the_mark(trace):
    assert len(read_trace(trace("CPU:0 [LOST 12 EVENTS]", MARKS[0], FREE, MARKS[1], marks=[]))) == 1


def test_a_trace_without_marks_is_refused(trace):
    with pytest.raises(InputError, match=r"has no mark SNAP_BEFORE_END; expected the events "):
        read_trace(trace(FREE, marks=[]))


@pytest.mark.parametrize("damage", [
    lambda path: path.unlink(),
    lambda path: path.write_text("plain text"),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-20]),
    lambda path: path.write_bytes(path.read_bytes()[:40] + b"\x00" * 20),
    lambda path: path.write_bytes(gzip.compress(b"\xff\xfe")),
    lambda path: (path.unlink(), path.mkdir()),
])
def test_a_file_that_is_no_trace_is_refused(trace, damage):
    path = trace(*[FREE] * 100)
    damage(path)
    with pytest.raises(InputError) as error:
        read_trace(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "expected the events of a kernel in the text of ftrace, gzipped" in str(error.value)


@pytest.mark.parametrize("packed", [bytes, gzip.compress, lzma.compress, lambda text: (
    gzip.compress(text[:200]) + gzip.compress(text[200:]))], ids=["plain", "gz", "xz", "two gz"])
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_trace_is_packed_or_not(trace, packed, newline):
    path = trace(ALLOC, FREE)
    events = read_trace(path)
    path.write_bytes(packed(gzip.decompress(path.read_bytes()).replace(b"\n", newline)))
    assert read_trace(path) == events != []


@pytest.mark.parametrize("damage", [
    lambda data: data[:len(data) // 2], lambda data: data[:40] + b"\0" * 9 + data[49:],
    lambda data: data[:6]])
def test_a_damaged_xz_file_is_refused(trace, damage):
    path = trace(*[FREE] * 100)
    path.write_bytes(damage(lzma.compress(gzip.decompress(path.read_bytes()))))
    with pytest.raises(InputError, match=r": cannot be read: .*; expected the events of a kernel"):
        read_trace(path)


@pytest.mark.parametrize("packed", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize(("text", "message"), [
    (b"x" * 2_000_000, "line 1 has more than 10000 bytes; expected the events"),
    (b"# tracer: nop\n" + b"#" * 2_000_000, "line 2 has more than 10000 bytes"),
    (b"#\n" * 50, "has more than 90 bytes or 60 lines, unpacked; expected the events"),
    (b"\n" * 70, "line 1 is ''; expected the events"),
    (b"#\n" * 40, "has more than 90 bytes or 30 lines, unpacked"),
], ids=["a line", "a second line", "bytes", "empty lines", "lines"])
def test_a_file_that_unpacks_to_too_much_is_refused(text, message, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(ftrace, "MOST_BYTES", 90)
    monkeypatch.setattr(ftrace, "MOST_LINES", 30 if "30" in message else 60)
    path = tmp_path / "bomb"
    path.write_bytes(packed(text))
    with pytest.raises(InputError) as error:
        read_trace(path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_number_of_many_digits_is_refused(trace):
    with pytest.raises(InputError, match=r"line 4, mm_page_free: 'page="):
        read_trace(trace(FREE + "0" * 5000))


@pytest.mark.slow
@pytest.mark.parametrize(("boot", "count"), [("amd64-D", 79137), ("i686-A", 28575)])
def test_every_event_of_a_real_trace_is_read(boot, count):
    events, _ = recorded(boot)
    with gzip.open(trace_file(boot), "rt") as file:
        assert sum(": mm_page_" in line for line in file) == len(events) == count
