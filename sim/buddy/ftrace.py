"""A strict reader of page allocator events in the text of ftrace, as the kernel prints them.

The file is plain, gzipped or packed with xz. The traced program wrote two marks into it: one after
the free lists had been read, one before they were read again. Only the events between the two are
read.
"""

import gzip
import lzma
import re
import zlib
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ...model.physical.fallback import Fallback
from ...model.physical.page import MAX_ORDER, MIGRATE_PCPTYPES, MIGRATE_TYPES, MigrateType
from ..errors import InputError

__all__ = ["TRACE", "Event", "Kind", "read_trace"]

FIRST_MARK, LAST_MARK = "SNAP_BEFORE_END", "SNAP_AFTER"
TRACE = "the events of a kernel in the text of ftrace, gzipped or not"

GZIP, XZ = b"\x1f\x8b", b"\xfd7zXZ\0"  # how a packed file begins

# What a trace may have: hours of a busy kernel have less, and a file that unpacks to more is none.
MOST_BYTES, MOST_LINES, LONGEST_LINE = 512 << 20, 8_000_000, 10_000


class Kind(Enum):
    """The events of the page allocator, and the fields that each prints. [kmem.h of the kernel]

    ``types`` says which migrate types the event may have: those below it.
    """

    ALLOC = "mm_page_alloc", "order migratetype gfp_flags", MIGRATE_PCPTYPES
    ALLOC_ZONE_LOCKED = (
        "mm_page_alloc_zone_locked", "order migratetype percpu_refill", MigrateType.ISOLATE)
    ALLOC_EXTFRAG = "mm_page_alloc_extfrag", (
        "alloc_order fallback_order pageblock_order alloc_migratetype fallback_migratetype "
        "fragmenting change_ownership"), MIGRATE_PCPTYPES
    FREE = "mm_page_free", "order"
    FREE_BATCHED = "mm_page_free_batched", "order"
    PCPU_DRAIN = "mm_page_pcpu_drain", "order migratetype"

    def __init__(self, event: str, fields: str, types: int = MIGRATE_TYPES) -> None:
        self.event = event
        self.types = types
        self.fields = ("pfn", *fields.split())
        self.pattern = re.compile(r"page=\S+ pfn=(?:0x)?([0-9a-f]+)" + "".join(
            rf" {name}=" + (r"\S.*" if name == "gfp_flags" else r"(\d{1,9})")
            for name in self.fields[1:]))


KINDS = {kind.event: kind for kind in Kind}
LINE = re.compile(r"\s*\S.*-\d+\s+(?:\([-\d\s]+\)\s+)?\[\d+\]\s+(?:\S+\s+)?\d+\.\d+: (\w+): (.*)")
LOST = re.compile(r"CPU:\d+ \[LOST \d+ EVENTS\]")


class Event(NamedTuple):
    """One event: what happened to the block of ``order`` at page ``pfn``.

    ``migratetype`` is -1 for an event without one; ``fallback`` is what ``ALLOC_EXTFRAG`` tells,
    with ``order`` and ``migratetype`` those of the request. ``line`` counts from 1.
    """

    line: int
    kind: Kind
    pfn: int
    order: int
    migratetype: int = -1
    fallback: Fallback | None = None


def read_trace(path: str | Path) -> list[Event]:
    """Return the page allocator's events between the marks of the trace at ``path``, in order.

    Requests that failed are left out, as events of other sorts are. Raise ``InputError`` for a
    file that is not such a trace, or has lost events between the marks.
    """
    events: list[Event] = []
    inside = begun = False
    for number, line in _lines(path):
        if line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            if LOST.match(line) and not inside:
                continue
            what = "tells that events were lost" if LOST.match(line) else f"is {line[:60]!r}"
            expected = "an event" if begun else TRACE
            raise InputError(f"{path}: line {number} {what}; expected {expected}")
        begun = True
        name, details = match.groups()
        if name == "tracing_mark_write":
            if inside and details == LAST_MARK:
                return events
            inside = inside or details == FIRST_MARK
        elif inside and name in KINDS:
            event = _event(path, number, KINDS[name], details)
            if event.pfn:  # a failed request shows page 0
                events.append(event)
    mark = LAST_MARK if inside else FIRST_MARK
    raise InputError(f"{path}: has no mark {mark}; expected {TRACE}, "
                     f"with marks {FIRST_MARK} and {LAST_MARK}")


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of the file at ``path`` with their numbers; raise ``InputError``."""
    try:
        with Path(path).open("rb") as file, _unpacked(file) as text:
            size, number = 0, 0
            while line := text.readline(LONGEST_LINE + 1):
                size, number = size + len(line), number + 1
                if len(line) > LONGEST_LINE:
                    raise InputError(f"{path}: line {number} has more than {LONGEST_LINE} bytes; "
                                     f"expected {TRACE}")
                if size > MOST_BYTES or number > MOST_LINES:
                    raise InputError(f"{path}: has more than {MOST_BYTES} bytes or {MOST_LINES} "
                                     f"lines, unpacked; expected {TRACE}")
                yield number, line.decode().rstrip("\r\n")
    except (OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError,
            UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{path}: cannot be read: {reason}; expected {TRACE}") from None


def _unpacked(file: BinaryIO) -> BinaryIO | gzip.GzipFile | lzma.LZMAFile:
    """Return what reads the text of a file that is open at its beginning, packed or not."""
    start = file.read(len(XZ))
    file.seek(0)
    if start.startswith(GZIP):
        return gzip.open(file)
    return lzma.open(file) if start.startswith(XZ) else file


def _event(path: str | Path, number: int, kind: Kind, details: str) -> Event:
    """Return the event that ``details`` tell of; raise ``InputError``."""
    match = kind.pattern.fullmatch(details)
    if match is None:
        raise InputError(f"{path}: line {number}, {kind.event}: {details[:80]!r}; expected page, "
                         f"{', '.join(kind.fields)}")
    pfn = int(match[1], 16)
    values = dict(zip([name for name in kind.fields[1:] if name != "gfp_flags"],
                      map(int, match.groups()[1:]), strict=True))
    for name, value in values.items():
        limit = MAX_ORDER if name.endswith("order") else kind.types
        if value >= limit:
            raise InputError(f"{path}: line {number}, {kind.event}: {name} is {value}; "
                             f"expected at most {limit - 1}")
    order = values.get("order", values.get("fallback_order", 0))
    if pfn & ((1 << order) - 1):
        raise InputError(f"{path}: line {number}, {kind.event}: pfn is {pfn:#x}; expected a "
                         f"multiple of the {1 << order} pages of order {order}")
    if kind is Kind.ALLOC_EXTFRAG:
        fallback = Fallback(pfn, values["alloc_order"], values["fallback_order"],
                            values["alloc_migratetype"], values["fallback_migratetype"],
                            bool(values["change_ownership"]))
        return Event(number, kind, pfn, fallback.alloc_order, fallback.alloc_migratetype, fallback)
    return Event(number, kind, pfn, values["order"], values.get("migratetype", -1))
