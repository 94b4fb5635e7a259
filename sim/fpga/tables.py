"""The tables that are measured by one command: their rows, their columns, and what is in them."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .component import WHOLE
from .features import feature_rows
from .measure import Measurement
from .peer import PEERS, peer_rows
from .standard import standard_rows
from .table_row import TableRow

__all__ = ["TABLES", "MeasuredTable", "path_text", "table_text"]

Results = Mapping[str, Measurement]  # by the names of rows
AREA = {"LUT4": "lut4", "FF": "ff", "LUT RAM": "dpr16x4", "block RAM": "bram"}


@dataclass(frozen=True, slots=True)
class MeasuredTable:
    """A table of measurements.

    Members
    -------
    title : str
        What the help of the command line says of it.
    columns : tuple of str
        Headings.
    rows : callable
        Returns what is measured, a line each.
    cells : callable
        Returns the cells of a row, as many as there are columns, of the row and of the measurements
        of all rows. The cell of a clock is empty where nothing was placed.
    """

    title: str
    columns: tuple[str, ...]
    rows: Callable[[], list[TableRow]]
    cells: Callable[[TableRow, Results], tuple[str, ...]]


def table_text(table: MeasuredTable, rows: list[TableRow], results: Results) -> str:
    """Return a table as comma-separated values, with a line for each of ``rows``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.cells(row, results) for row in rows)
    return text.getvalue()


def path_text(result: Measurement) -> str:
    """Return the components that the critical path leads through, in its order."""
    return " -> ".join(name or WHOLE for name in result.path.components()) if result.path else ""


def _standard_cells(row: TableRow, results: Results) -> tuple[str, ...]:
    result = results[row.name]
    path = result.path
    times = (f"{path.logic_ns:.1f}", f"{path.routing_ns:.1f}") if path else ("", "")
    return (row.name, *_area(result), _mhz(result.fmax_mhz), *times, path_text(result))


def _feature_cells(row: TableRow, results: Results) -> tuple[str, ...]:
    """Return the figures of a feature, and how much more or less they are than without it."""
    result = results[row.name]
    cells = (row.name, *_area(result), _mhz(result.fmax_mhz))
    if not row.over:
        return (*cells, *[""] * (len(AREA) + 2))
    base = results[row.over]
    more = (f"{_count(result, name) - _count(base, name):+d}" for name in AREA)
    faster = (f"{result.fmax_mhz - base.fmax_mhz:+.1f}"
              if result.fmax_mhz is not None and base.fmax_mhz is not None else "")
    return (*cells, *more, faster, row.over)


def _peer_cells(row: TableRow, results: Results) -> tuple[str, ...]:
    """Return the figures of this MMU, those of a peer, and how many times the peer's ours are."""
    ours, peer = results[row.name], next(peer for peer in PEERS if peer.name == row.over)
    faster = (f"{ours.fmax_mhz / peer.fmax_mhz:.2f}"
              if ours.fmax_mhz is not None and peer.fmax_mhz is not None else "")
    return (row.name, f"{ours.cells['lut4']}", f"{ours.cells['ff']}", _mhz(ours.fmax_mhz),
            peer.name, f"{peer.lut4}", f"{peer.ff}", _mhz(peer.fmax_mhz),
            f"{ours.cells['lut4'] / peer.lut4:.2f}", faster)


def _area(result: Measurement) -> list[str]:
    return [f"{_count(result, name)}" for name in AREA]


def _count(result: Measurement, name: str) -> int:
    return result.cells.get(AREA[name], 0)  # an iCE40 has no LUT RAM


def _mhz(clock: float | None) -> str:
    return "" if clock is None else f"{clock:.1f}"


TABLES = {
    "standard": MeasuredTable(
        "standard configurations with both routers, and each component of one of them",
        ("configuration", *AREA, "MHz", "logic ns", "routing ns", "critical path"),
        standard_rows, _standard_cells),
    "features": MeasuredTable(
        "for each paging mode, what every feature of the hardware adds or takes",
        ("configuration", *AREA, "MHz", *(f"{name} more" for name in (*AREA, "MHz")),
         "than"),
        feature_rows, _feature_cells),
    "peers": MeasuredTable(
        "configurations beside those of other MMUs, with the ratios",
        ("ours", "LUT4", "FF", "MHz", "best peer", "its LUT4", "its FF", "its MHz", "LUT4 ratio",
         "MHz ratio"),
        peer_rows, _peer_cells),
}
"""Every table by the option of ``pagewalk fpga`` that asks for it."""
