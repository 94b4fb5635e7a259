"""``pagewalk fpga``: area and clock of the MMU, or of a component, in an FPGA."""

import argparse
from dataclasses import asdict
from typing import Any, NamedTuple

from ...hdl.config import Config
from ..errors import InputError
from ..fpga.chip import DEVICES, Chip
from ..fpga.component import WHOLE, Design, design
from ..fpga.figures import figures
from ..fpga.measure import Measurement, measure
from ..fpga.peer import PEERS_DEVICE, PEERS_ROUTER
from ..fpga.placement import ROUTERS
from ..fpga.tables import TABLES, MeasuredTable, table_text
from .common import AGREED, Verbs, add_verb, json_file, output_file, progress_bar, whole
from .conditions import conditions
from .files import output_name
from .fpga_tables import measured_table, measurement_table, path_table, peer_table
from .output import STDOUT, printing
from .whole_config import add_config, config_of

__all__ = ["add"]

MOST_SEEDS = 100


class _Order(NamedTuple):
    """What is to be measured, found sound."""

    args: argparse.Namespace
    config: Config
    hardware: Design
    chip: Chip


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "fpga", _fpga,
                      "Synthesize, place and route the MMU: its area and clock in an FPGA.")
    tables = parser.add_mutually_exclusive_group()
    for name, table in TABLES.items():
        tables.add_argument(f"--{name}", action="store_const", const=name, dest="table",
                            help=f"measure a table instead: {table.title}")
    parser.add_argument("-o", metavar="TABLE.csv", type=output_name, dest="output",
                        help="write that table to a file, too; for it, only --jobs and --no-place "
                             "of the options below count")
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says what is measured, and how."""
    parser.add_argument("--component", metavar="NAME", default=WHOLE,
                        help="a component alone, as it is in the MMU: the name of its file in "
                             "hdl/, such as tlb or walker, or its path, such as data.tlb "
                             "(%(default)s)")
    parser.add_argument("--device", choices=DEVICES, default=PEERS_DEVICE,
                        help="the FPGA (%(default)s)")
    parser.add_argument("--router", type=int, choices=ROUTERS, default=PEERS_ROUTER,
                        help="router of nextpnr (%(default)s)")
    parser.add_argument("--seeds", type=whole(1, MOST_SEEDS), metavar="N", default=1,
                        help="place with the seeds 1 to N, and give the median (%(default)s)")
    parser.add_argument("--jobs", type=whole(1, MOST_SEEDS), metavar="N", default=1,
                        help="place with N seeds at a time (%(default)s)")
    parser.add_argument("--no-place", action="store_false", dest="places",
                        help="place and route nothing: the area alone, in seconds, and the clock "
                             "of what was placed before")
    add_config(parser)


def _fpga(args: argparse.Namespace) -> int:
    if args.table is not None:
        return _table(args, TABLES[args.table])
    if args.output is not None:
        raise InputError("argument -o: there is no table to write; expected one of "
                         f"{', '.join(f'--{name}' for name in TABLES)} with it")
    order = _order(args)
    with json_file(args.json) as write:
        result = _measure(order, "FPGA:")
        write(_figures(order, result))
    with printing(args.json) as console:
        console.print(measurement_table(order.config, order.hardware, order.chip, args.router,
                                        result))
        if result.path is not None:
            console.print()
            console.print(path_table(result.path))
        if (args.component, args.device, args.router) == (WHOLE, PEERS_DEVICE, PEERS_ROUTER):
            console.print()
            console.print(peer_table(result))
    return AGREED


def _table(args: argparse.Namespace, table: MeasuredTable) -> int:
    """Measure a table; show it and write it."""
    if args.output == STDOUT:
        raise InputError("argument -o: standard output is where the table is shown; expected a "
                         "file name")
    parser = argparse.ArgumentParser()
    _add_options(parser)
    results: dict[str, Measurement] = {}
    written: list[dict[str, Any]] = []
    with json_file(args.json) as write, output_file(args.output or STDOUT) as write_table:
        rows = table.rows()
        for number, row in enumerate(rows, 1):
            order = _order(parser.parse_args(row.words.split(), argparse.Namespace(json=args.json)))
            order.args.jobs, order.args.places = args.jobs, args.places
            result = results[row.name] = _measure(
                order, f"FPGA, {number} of {len(rows)}: {row.name}:")
            written.append({**asdict(row), **_figures(order, result)})
        write({"rows": written, **conditions(args)})
        if args.output is not None:
            write_table(table_text(table, rows, results))
    with printing(args.json) as console:
        console.print(measured_table(table, rows, results))
        if args.table != "peers":
            console.print()
            console.print(peer_table())
    return AGREED


def _order(args: argparse.Namespace) -> _Order:
    """Return what ``args`` ask for; raise ``InputError`` for what cannot be built."""
    config = config_of(args)
    try:
        hardware = design(config, args.component)
    except ValueError as error:
        raise InputError(f"argument --component: {error}") from None
    return _Order(args, config, hardware, DEVICES[args.device])


def _measure(order: _Order, doing: str) -> Measurement:
    args = order.args
    with progress_bar(doing) as move:
        return measure(order.hardware, order.chip, args.router, range(1, args.seeds + 1),
                       jobs=args.jobs, told=move, places=args.places)


def _figures(order: _Order, result: Measurement) -> dict[str, Any]:
    args = order.args
    return {"device": args.device, "seeds": args.seeds,
            **figures(order.hardware, order.chip, args.router, result),
            **conditions(args, order.config)}
