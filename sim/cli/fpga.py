"""``pagewalk fpga``: area and clock of the MMU, or of a component, in an FPGA."""

import argparse
from typing import Any, NamedTuple

from ...hdl.config import Config
from ..errors import InputError
from ..fpga.chip import DEVICES, Chip
from ..fpga.component import WHOLE, Design, design
from ..fpga.figures import figures, table_text
from ..fpga.measure import Measurement, measure
from ..fpga.peer import PEERS_DEVICE, PEERS_ROUTER
from ..fpga.placement import ROUTERS
from ..fpga.standard import standard_rows
from .common import AGREED, Verbs, add_verb, json_file, output_file, progress_bar, whole
from .conditions import conditions
from .files import output_name
from .fpga_tables import measurement_table, path_table, peer_table, standard_table
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
    parser.add_argument("--standard", action="store_true",
                        help="measure the standard table instead, a list of configurations and "
                             "components; of the other options only --jobs counts")
    parser.add_argument("-o", metavar="TABLE.csv", type=output_name, dest="output",
                        help="with --standard: write the table to a file, too")
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
    add_config(parser)


def _fpga(args: argparse.Namespace) -> int:
    if args.standard:
        return _standard(args)
    if args.output is not None:
        raise InputError("argument -o: there is no table to write; expected --standard with it")
    order = _order(args)
    with json_file(args.json) as write:
        result = _measure(order, "FPGA:")
        write(_figures(order, result))
    with printing(args.json) as console:
        console.print(measurement_table(order.config, order.hardware, order.chip, args.router,
                                        result))
        console.print()
        console.print(path_table(result.path))
        if (args.component, args.device, args.router) == (WHOLE, PEERS_DEVICE, PEERS_ROUTER):
            console.print()
            console.print(peer_table(result))
    return AGREED


def _standard(args: argparse.Namespace) -> int:
    """Measure the standard table; show it and write it."""
    if args.output == STDOUT:
        raise InputError("argument -o: standard output is where the table is shown; expected a "
                         "file name")
    parser = argparse.ArgumentParser()
    _add_options(parser)
    rows, orders = standard_rows(), {}
    for row in rows:
        words = argparse.Namespace(json=args.json)
        orders[row.name] = _order(parser.parse_args(
            [*row.words.split(), "--jobs", f"{args.jobs}"], words))
    results: dict[str, Measurement] = {}
    with json_file(args.json) as write, output_file(args.output or STDOUT) as write_table:
        for name, order in orders.items():
            results[name] = _measure(order, f"FPGA: {name}:")
        write({"rows": [{"name": row.name, "words": row.words,
                         **_figures(orders[row.name], results[row.name])} for row in rows],
               **conditions(args)})
        if args.output is not None:
            write_table(table_text(results))
    with printing(args.json) as console:
        console.print(standard_table(results))
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
                       jobs=args.jobs, told=move)


def _figures(order: _Order, result: Measurement) -> dict[str, Any]:
    args = order.args
    return {"device": args.device, "seeds": args.seeds,
            **figures(order.hardware, order.chip, args.router, result),
            **conditions(args, order.config)}
