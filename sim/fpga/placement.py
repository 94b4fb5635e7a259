"""Place and route with nextpnr, and what its report says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ...hdl.outside_tool import work_folder
from ...hdl.toolchain import run_wasm_tool
from .chip import TARGET_MHZ, Chip
from .kept import kept, recall
from .synthesis import tool_version

__all__ = ["ROUTERS", "Placement", "Stretch", "place_and_route", "placed_before"]

ROUTERS = (1, 2)
KIND = "report"  # of what is kept
WITHIN_CLOCK = "posedge"  # how an end of a path is called that is a clock edge

# What nextpnr prints when it begins something that takes long, and what that is called.
PHASES = {"Packing constants": "packs", "Creating initial analytic placement": "places",
          "Running simulated annealing": "places", "Routing": "routes",
          "Running main router loop": "routes", "Running router2": "routes"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the critical path: ``ns`` nanoseconds of logic or of routing.

    ``net`` is the net that is routed, and empty for logic; ``cell`` the cell at its end.
    """

    kind: str
    ns: float
    net: str
    cell: str


@dataclass(frozen=True, slots=True)
class Placement:
    """A design that was placed and routed.

    Members
    -------
    seed : int
        Seed of the placer.
    fmax_mhz : float
        The clock that it can run at, from flip-flop to flip-flop.
    path : tuple of :class:`Stretch`
        The path that takes longest, in order; empty if no path leads between flip-flops.
    utilization : dict of str to int
        How many cells of each type are used.
    """

    seed: int
    fmax_mhz: float
    path: tuple[Stretch, ...]
    utilization: dict[str, int]


def place_and_route(netlist: str, chip: Chip, router: int, seed: int,
                    watch: Callable[[str], None]) -> Placement:
    """Place and route a netlist whose ports are registered; return what became of it.

    ``watch`` is called with what is being done, such as ``places``. What was made of the same
    before is not made again.

    Raises
    ------
    :exc:`ToolMissing`, :exc:`ToolFailed`
        If nextpnr is missing or fails, for example as the design does not fit.
    """
    arguments = _arguments(chip, router, seed)

    def watch_line(line: str) -> None:
        for begin, phase in PHASES.items():
            if begin in line:
                watch(phase)

    def make() -> str:
        with work_folder() as folder:
            run_wasm_tool(chip.family.tool, arguments, folder, {"netlist.json": netlist},
                          watch_line)
            return (folder / "report.json").read_text(encoding="utf-8")

    return parse_report(kept(KIND, _causes(netlist, chip, arguments), make), seed)


def placed_before(netlist: str, chip: Chip, router: int, seed: int) -> Placement | None:
    """Return what ``place_and_route`` made of the same before, None if it did not."""
    report = recall(KIND, _causes(netlist, chip, _arguments(chip, router, seed)))
    return None if report is None else parse_report(report, seed)


def _arguments(chip: Chip, router: int, seed: int) -> list[str]:
    return [*chip.arguments, *chip.family.arguments, "--json", "netlist.json",
            "--router", f"router{router}", "--freq", str(TARGET_MHZ), "--seed", str(seed),
            "--timing-allow-fail", "--report", "report.json"]


def _causes(netlist: str, chip: Chip, arguments: Sequence[str]) -> list[str]:
    """Return all that a report depends on."""
    return [netlist, *arguments, tool_version(chip.family.tool.package.replace("_", "-"))]


def parse_report(text: str, seed: int) -> Placement:
    """Return what the JSON report of nextpnr says of a placement."""
    report: dict[str, Any] = json.loads(text)
    achieved = [clock["achieved"] for clock in report["fmax"].values()]
    paths = [path["path"] for path in report["critical_paths"]
             if path["from"].startswith(WITHIN_CLOCK) and path["to"].startswith(WITHIN_CLOCK)]
    return Placement(
        seed, min(achieved, default=0.0), _stretches(paths[0]) if paths else (),
        {kind: count["used"] for kind, count in report["utilization"].items() if count["used"]})


def _stretches(path: Sequence[dict[str, Any]]) -> tuple[Stretch, ...]:
    return tuple(
        Stretch("routing" if part["type"] == "routing" else "logic", part["delay"],
                part.get("net", ""), part["to"]["cell"])
        for part in path)
