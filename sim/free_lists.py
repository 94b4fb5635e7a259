"""A strict reader of a zone's free lists, as read from a machine's memory before and after.

The file is an ``.npz`` archive of the arrays ``before_NAME`` and ``after_NAME``:

- ``free`` (N, 6): node, zone, order, migrate type, position, page frame number; in list order.
- ``pcp`` (N, 5): node, zone, list, position, page frame number, for the lists of one CPU.
- ``pageblock`` (N, 2): first page frame number, and 4 bits of which the lower 3 are the type. A
  pageblock that zones share is there once, or once for each of them.
- ``zone``: text, the tuple (node, zone, name, start, spanned, present, managed, and the
  watermarks min, low, high, promo) for each zone; all but the name are numbers, pages.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from ..model.physical.page import MAX_ORDER, MIGRATE_TYPES
from ..model.physical.pcp import LISTS
from .errors import InputError

__all__ = ["FreeLists", "Snapshot", "ZoneRow", "read_free_lists"]

ARCHIVE = "free lists before and after (.npz)"
COLUMNS = {
    "free": ("node", "zone", "order", "migrate type", "position", "page"),
    "pcp": ("node", "zone", "list", "position", "page"),
    "pageblock": ("page", "bits"),
}
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
    zones
        The zones; lists name a zone by its position here.
    free, pcp
        Page frame numbers in list order, by (zone, order, migrate type) and by (zone, list).
    pageblocks
        The migrate types of each zone's pageblocks, by zone and first page frame number.
    """

    zones: list[ZoneRow]
    free: Lists
    pcp: Lists
    pageblocks: list[dict[int, int]]


@dataclass(frozen=True, slots=True)
class FreeLists:
    """The free pages of a machine before and after, and the order of its pageblocks."""

    path: Path
    before: Snapshot
    after: Snapshot
    pageblock_order: int
    sparse: bool


class _FieldError(Exception):
    """What is wrong with one field; the file's name is yet to be added."""


def read_free_lists(path: str | Path) -> FreeLists:
    """Return the free lists of the file at ``path``; raise ``InputError``."""
    try:
        arrays = _read(Path(path))
        rows = arrays["before_pageblock"][:, 0]
        before, after = _snapshot(arrays, "before"), _snapshot(arrays, "after")
        if [(row.node, row.zone, row.start, row.spanned) for row in before.zones] != [
                (row.node, row.zone, row.start, row.spanned) for row in after.zones]:
            raise _FieldError("after_zone has other zones than before_zone; expected the same")
        return FreeLists(Path(path), before, after, _pageblock_order(rows),
                         sparse=len(np.unique(rows)) == len(rows))
    except _FieldError as error:
        raise InputError(" ".join(f"{path}: {error}".splitlines())) from None


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # Opened here, for numpy leaves the file open when it raises.
        with path.open("rb") as file:
            if not is_zipfile(file):
                raise _FieldError(f"is not a whole .npz archive; expected {ARCHIVE}")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                names = [f"{when}_{name}" for when in ("before", "after")
                         for name in (*COLUMNS, "zone")]
                missing = [name for name in names if name not in archive.files]
                if missing:
                    raise _FieldError(f"{missing[0]} is missing; expected {ARCHIVE}")
                return {name: _checked(name, archive[name]) for name in names}
    except _FieldError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # a damaged archive raises whatever zipfile, zlib or numpy meet
        reason = str(error) or type(error).__name__
    raise _FieldError(f"cannot be read: {reason}; expected {ARCHIVE}")


def _checked(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Return the array as text or ``int64``; raise unless shape, type and values will do."""
    columns = COLUMNS.get(name.partition("_")[2])
    if columns is None:
        if array.ndim != 1 or array.dtype.kind != "U" or not len(array):
            raise _FieldError(f"{name} is {array.dtype} of shape {array.shape}; expected one text "
                              f"for each zone")
        return array
    if array.ndim != 2 or array.shape[1] != len(columns) or array.dtype.kind not in "iu":
        raise _FieldError(f"{name} is {array.dtype} of shape {array.shape}; expected rows of the "
                          f"whole numbers {', '.join(columns)}")
    for column, values in zip(columns, array.T, strict=True):
        limit = LIMITS.get(column, MAX_PFN)
        wrong = values[(values < 0) | (values >= limit)]
        if len(wrong):
            raise _FieldError(f"{name}: {column} is {wrong[0]}; expected 0 to {limit - 1}")
    return array.astype(np.int64)


def _snapshot(arrays: dict[str, NDArray[Any]], when: str) -> Snapshot:
    zones = _zones(f"{when}_zone", arrays[f"{when}_zone"])
    return Snapshot(
        zones,
        _lists(f"{when}_free", arrays[f"{when}_free"], zones),
        _lists(f"{when}_pcp", arrays[f"{when}_pcp"], zones),
        _pageblocks(f"{when}_pageblock", arrays[f"{when}_pageblock"], zones),
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
            raise _FieldError(f"{name} holds {text[:80]!r}; expected (node, zone, name, start, "
                              f"spanned, present, managed, min, low, high, promo)")
        zone = ZoneRow(*values)
        if not (0 <= zone.start < zone.end <= MAX_PFN and zone.managed >= 0):
            raise _FieldError(f"{name}: zone {zone.name} spans {zone.spanned} pages from "
                              f"{zone.start}; expected some below page {MAX_PFN}")
        for other in zones:
            if zone.start < other.end and other.start < zone.end:
                raise _FieldError(f"{name}: zones {other.name} and {zone.name} overlap; expected "
                                  f"zones apart from each other")
        zones.append(zone)
    return zones


def _lists(name: str, rows: Rows, zones: list[ZoneRow]) -> Lists:
    """Return the pages of each list, checked to be all of it and the zone's own."""
    places = {(zone.node, zone.zone): place for place, zone in enumerate(zones)}
    lists: Lists = {}
    for node, index, *rest, position, pfn in rows.tolist():
        place = places.get((node, index))
        if place is None:
            raise _FieldError(f"{name} names zone {index} of node {node}; expected one of the "
                              f"field zone")
        if not zones[place].start <= pfn < zones[place].end:
            raise _FieldError(f"{name} holds page {pfn:#x}; expected one of zone "
                              f"{zones[place].name}, from {zones[place].start:#x} to "
                              f"{zones[place].end - 1:#x}")
        pages = lists.setdefault((place, *rest), [])
        if position != len(pages):
            raise _FieldError(f"{name} holds position {position} of a list; expected "
                              f"{len(pages)}, as positions count from 0")
        pages.append(pfn)
    return lists


def _pageblock_order(rows: NDArray[np.int64]) -> int:
    """Return log2 of the pages from one pageblock to the next."""
    steps = np.diff(np.unique(rows))
    size = int(steps.min()) if len(steps) else 0
    if size.bit_count() != 1 or not 2 <= size < 1 << MAX_ORDER or (rows % size).any():
        raise _FieldError(f"before_pageblock has rows {size} pages apart; expected a power of 2 "
                          f"up to {1 << (MAX_ORDER - 1)}")
    return size.bit_length() - 1


def _pageblocks(name: str, rows: Rows, zones: list[ZoneRow]) -> list[dict[int, int]]:
    """Return the types of each zone's pageblocks by their first page.

    Where there are several rows for a pageblock they are those of the zones in it, in turn. There
    may be none where there is no memory.
    """
    order = _pageblock_order(rows[:, 0])
    known: dict[int, list[int]] = {}
    for pfn, bits in rows.tolist():
        if bits & TYPE_BITS >= MIGRATE_TYPES:
            raise _FieldError(f"{name}: type is {bits & TYPE_BITS} at page {pfn:#x}; expected at "
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
