"""A strict reader of a zone's free lists, as read from a machine's memory before and after.

The file is an ``.npz`` archive of the arrays ``before_NAME`` and ``after_NAME``:

- ``free`` (N, 6): node, zone, order, migrate type, position, page frame number; in list order.
- ``pcp`` (N, 5): node, zone, list, position, page frame number, for the lists of one CPU.
- ``pageblock`` (N, 2): first page frame number, and 4 bits of which the lower 3 are the type. A
  pageblock that zones share is there once, or once for each of them.
- ``zone``: text, the tuple (node, zone, name, start, spanned, present, managed, and the
  watermarks min, low, high, promo) for each zone; all but the name are numbers, pages. Zones
  that span nothing are passed over.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...model.physical.page import MAX_ORDER, MIGRATE_TYPES
from ...model.physical.pcp import LISTS
from ..archive import Field, FieldError, Fields, Format
from ..errors import InputError

__all__ = ["FreeLists", "Snapshot", "ZoneRow", "read_free_lists"]

COLUMNS = {
    "free": ("node", "zone", "order", "migrate type", "position", "page"),
    "pcp": ("node", "zone", "list", "position", "page"),
    "pageblock": ("page", "bits"),
}
MOMENTS = ("before", "after")
FORMAT = Format(
    "free lists before and after (.npz)",
    {f"{when}_{name}": field for when in MOMENTS for name, field in (
        ("zone", Field(f"zone {when}", "U")),
        ("free", Field(f"free block {when}", "<i8", columns=6)),
        ("pcp", Field(f"per-CPU block {when}", "<i8", columns=5)),
        ("pageblock", Field(f"pageblock {when}", "<i8", columns=2)),
    )},
    may_be_empty=tuple(f"{what} {when}" for what in ("free block", "per-CPU block")
                       for when in MOMENTS),
)
LIMITS = {"order": MAX_ORDER, "migrate type": MIGRATE_TYPES, "list": LISTS, "bits": 16}
TYPE_BITS = 7
MAX_PFN = 1 << 26  # 256 GiB

Rows = NDArray[np.int64]
Lists = dict[tuple[int, ...], list[int]]


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """One zone; ``start`` is a page frame number, the other numbers from there on are pages."""

    node: int
    zone: int
    name: str
    start: int
    spanned: int
    present: int
    managed: int
    wmark_min: int
    wmark_low: int
    wmark_high: int
    wmark_promo: int

    @property
    def end(self) -> int:
        """The page frame number after the last that the zone spans."""
        return self.start + self.spanned


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The free pages of a machine at one moment.

    Members
    -------
    zones : list of ZoneRow
        The zones; the other members name a zone by its position here.
    free : dict
        The free lists of the buddy allocator: page frame numbers in list order, by (zone, order,
        migrate type).
    pcp : dict
        The per-CPU lists: page frame numbers in list order, by (zone, list).
    pageblocks : list of dict
        By zone, the migrate type of each pageblock, by its first page frame number.
    """

    zones: list[ZoneRow]
    free: Lists
    pcp: Lists
    pageblocks: list[dict[int, int]]


@dataclass(frozen=True, slots=True)
class FreeLists:
    """The free pages of a machine before and after the events of a trace.

    ``pageblock_order`` is log2 of the pages of a pageblock. ``sparse`` says that a pageblock has
    one migrate type, also where zones share it. [CONFIG_SPARSEMEM]
    """

    path: Path
    before: Snapshot
    after: Snapshot
    pageblock_order: int
    sparse: bool


def read_free_lists(path: str | Path) -> FreeLists:
    """Return the free lists of the file at ``path``; raise ``InputError``."""
    fields = FORMAT.read(path)
    try:
        _check_limits(fields)
        rows = fields["before_pageblock"][:, 0]
        before, after = (_snapshot(fields, when) for when in MOMENTS)
        spans = [[(zone.node, zone.zone, zone.start, zone.spanned) for zone in snapshot.zones]
                 for snapshot in (before, after)]
        if spans[0] != spans[1]:
            raise FieldError("after_zone has other zones than before_zone; expected the same")
        return FreeLists(Path(path), before, after, _pageblock_order(rows),
                         sparse=len(np.unique(rows)) == len(rows))
    except FieldError as error:
        raise InputError(f"{path}: {error}") from None


def _check_limits(fields: Fields) -> None:
    """Raise ``FieldError`` for a number that is too large or negative."""
    for name, array in fields.items():
        for place, column in enumerate(COLUMNS.get(name.partition("_")[2], ())):
            limit = LIMITS.get(column, MAX_PFN)
            wrong = array[(array[:, place] < 0) | (array[:, place] >= limit), place]
            if len(wrong):
                raise FieldError(f"{name}: {column} is {wrong[0]}; expected 0 to {limit - 1}")


def _snapshot(fields: Fields, when: str) -> Snapshot:
    zones = _zones(f"{when}_zone", fields[f"{when}_zone"])
    return Snapshot(
        zones,
        _lists(f"{when}_free", fields[f"{when}_free"], zones),
        _lists(f"{when}_pcp", fields[f"{when}_pcp"], zones),
        _pageblocks(f"{when}_pageblock", fields[f"{when}_pageblock"], zones),
    )


def _zones(name: str, texts: NDArray[np.str_]) -> list[ZoneRow]:
    zones: list[ZoneRow] = []
    for text in texts.tolist():
        try:
            values = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            values = None
        kinds = [type(value) for value in values] if isinstance(values, tuple) else []
        if kinds != [int, int, str, *[int] * 8] or values is None:
            raise FieldError(f"{name} holds {text[:80]!r}; expected (node, zone, name, start, "
                              f"spanned, present, managed, min, low, high, promo)")
        zone = ZoneRow(*values)
        if not (0 <= zone.start <= zone.end <= MAX_PFN and zone.managed >= 0):
            raise FieldError(f"{name}: zone {zone.name} spans {zone.spanned} pages from "
                              f"{zone.start}; expected some below page {MAX_PFN}")
        for other in zones:
            if zone.start < other.end and other.start < zone.end:
                raise FieldError(f"{name}: zones {other.name} and {zone.name} overlap; expected "
                                  f"zones apart from each other")
        zones += [zone] if zone.spanned else []
    if not zones:
        raise FieldError(f"{name} has empty zones only; expected one that spans pages")
    return zones


def _lists(name: str, rows: Rows, zones: list[ZoneRow]) -> Lists:
    """Return the pages of each list, checked to be all of it and the zone's own."""
    places = {(zone.node, zone.zone): place for place, zone in enumerate(zones)}
    lists: Lists = {}
    for node, index, *rest, position, pfn in rows.tolist():
        place = places.get((node, index))
        if place is None:
            raise FieldError(f"{name} names zone {index} of node {node}; expected one of the "
                              f"field zone")
        if not zones[place].start <= pfn < zones[place].end:
            raise FieldError(f"{name} holds page {pfn:#x}; expected one of zone "
                              f"{zones[place].name}, from {zones[place].start:#x} to "
                              f"{zones[place].end - 1:#x}")
        pages = lists.setdefault((place, *rest), [])
        if position != len(pages):
            raise FieldError(f"{name} holds position {position} of a list; expected "
                              f"{len(pages)}, as positions count from 0")
        pages.append(pfn)
    return lists


def _pageblock_order(rows: NDArray[np.int64]) -> int:
    """Return log2 of the pages from one pageblock to the next."""
    steps = np.diff(np.unique(rows))
    size = int(steps.min()) if len(steps) else 0
    if size.bit_count() != 1 or not 2 <= size < 1 << MAX_ORDER or (rows % size).any():
        raise FieldError(f"before_pageblock has rows {size} pages apart; expected a power of 2 "
                          f"up to {1 << (MAX_ORDER - 1)}")
    return size.bit_length() - 1


def _pageblocks(name: str, rows: Rows, zones: list[ZoneRow]) -> list[dict[int, int]]:
    """Return, for each zone, the types of its pageblocks by first page frame number.

    If a pageblock has several rows, they belong to the zones that share it, in the order of the
    zones. A pageblock without memory may have no row.
    """
    order = _pageblock_order(rows[:, 0])
    known: dict[int, list[int]] = {}
    for pfn, bits in rows.tolist():
        if bits & TYPE_BITS >= MIGRATE_TYPES:
            raise FieldError(f"{name}: type is {bits & TYPE_BITS} at page {pfn:#x}; expected at "
                              f"most {MIGRATE_TYPES - 1}")
        known.setdefault(pfn, []).append(bits & TYPE_BITS)
    blocks: list[dict[int, int]] = []
    for zone in zones:
        types: dict[int, int] = {}
        for pfn in range(zone.start >> order << order, zone.end, 1 << order):
            rows_left = known.get(pfn, [])
            types |= {pfn: rows_left[0]} if rows_left else {}
            if len(rows_left) > 1:
                del rows_left[0]
        blocks.append(types)
    return blocks
