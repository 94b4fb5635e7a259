"""The tables that ``pagewalk fpga`` shows."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from ...hdl.config import Config
from ..fpga.chip import TARGET_MHZ, Chip
from ..fpga.component import WHOLE, Design
from ..fpga.critical_path import CriticalPath
from ..fpga.measure import Measurement
from ..fpga.peer import PEERS
from ..fpga.table_row import TableRow
from ..fpga.tables import MeasuredTable, path_text
from ..uncut import Uncut
from .conditions import config_as_json

__all__ = ["measured_table", "measurement_table", "path_table", "peer_table"]

LABELS = {"lut4": "LUT4", "ff": "flip-flops", "carry": "carry cells", "dpr16x4": "LUT RAM, 16 x 4",
          "bram": "block RAM"}


def measurement_table(config: Config, hardware: Design, chip: Chip, router: int,
                      result: Measurement) -> Uncut:
    """Return what was measured, how, and what came of it."""
    rows = {
        "configuration": ", ".join(
            f"{name} {'+'.join(value) if isinstance(value, list) else value}"
            for name, value in config_as_json(config).items()),
        "flow": chip.family.synthesis + (
            f"; router{router}, out of context, every port registered, target {TARGET_MHZ} MHz"
            if result.placements else ""),
        **{LABELS[resource]: f"{count}" for resource, count in result.cells.items()},
        "flip-flops by component": ", ".join(
            f"{name or WHOLE} {count}" for name, count in result.registers.items()),
        **_clock_rows(result),
    }
    table = _table(f"{hardware.path} on {chip.title}", "")
    for label, value in rows.items():
        table.add_row(label, value)
    return Uncut(table)


def _clock_rows(result: Measurement) -> dict[str, str]:
    """Return what the placements tell, nothing if there are none."""
    path = result.path
    if path is None:
        return {}
    return {
        "Fmax, median": f"{result.fmax_mhz:.1f} MHz",
        "Fmax, best": f"{result.best_mhz:.1f} MHz",
        "by seed": ", ".join(f"{placed.fmax_mhz:.1f}" for placed in result.placements),
        "critical path": f"{path.logic_ns + path.routing_ns:.1f} ns: {path.logic_ns:.1f} ns "
                         f"logic, {path.routing_ns:.1f} ns routing",
        "through": path_text(result),
    }


def path_table(path: CriticalPath) -> Uncut:
    """Return the stations of a critical path, with the time that has passed when each is left."""
    table = _table("component", "signal", "ns", "logic", "routing")
    total = 0.0
    for station in path.stations:
        total += station.logic_ns + station.routing_ns
        table.add_row(station.component or WHOLE, station.signal, f"{total:.1f}",
                      f"{station.logic_ns:.1f}", f"{station.routing_ns:.1f}")
    return Uncut(table)


def peer_table(result: Measurement | None = None) -> Uncut:
    """Return the other MMUs, after this one if it is given."""
    table = _table("other MMUs, measured in the same way", "from", "LUT4", "FF", "MHz")
    if result is not None:
        table.add_row("this", "", f"{result.cells['lut4']}", f"{result.cells['ff']}",
                      _clock(result.fmax_mhz))
    for peer in PEERS:
        table.add_row(peer.name, peer.source, f"{peer.lut4}", f"{peer.ff}",
                      _clock(peer.fmax_mhz))
    return Uncut(table)


def _clock(mhz: float | None) -> str:
    return "not placed" if mhz is None else f"{mhz:.1f}"


def measured_table(measured: MeasuredTable, rows: Sequence[TableRow],
                   results: Mapping[str, Measurement]) -> Uncut:
    """Return one of the tables that are measured by one command."""
    table = _table(*measured.columns)
    for row in rows:
        table.add_row(*measured.cells(row, results))
    return Uncut(table)


def _table(*columns: str) -> Table:
    """Return an empty table; columns of figures are set to the right."""
    texts = ("component", "signal", "from", "critical path", "than", "best peer", "")
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(columns):
        is_text = number == 0 or column in texts
        table.add_column(column, justify="left" if is_text else "right", no_wrap=True)
    return table
