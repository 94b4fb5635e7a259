"""``pagewalk verilog``: the MMU as Verilog."""

import argparse
from contextlib import ExitStack

from ...hdl.verilog import check_names, port_list, to_verilog
from ..errors import InputError
from .common import AGREED, Verbs, add_verb, json_file, output_file
from .conditions import conditions
from .files import output_name
from .output import STDOUT
from .whole_config import add_config, config_of

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "verilog", _verilog, "Write the MMU as Verilog with flat ports.")
    parser.add_argument("-o", metavar="OUT.v", type=output_name, dest="output",
                        help="the file to write (standard output)")
    names = parser.add_argument_group("names")
    names.add_argument("--name", default="pagewalk_mmu", help="name of the module (%(default)s)")
    names.add_argument("--clock", metavar="NAME", default="clk",
                       help="name of the clock (%(default)s)")
    names.add_argument("--reset", metavar="NAME", default="rst",
                       help="name of the reset, synchronous and active high (%(default)s)")
    add_config(parser)


def _verilog(args: argparse.Namespace) -> int:
    config = config_of(args)
    if args.output is None and args.json == STDOUT:
        raise InputError("argument --json: standard output is where the Verilog goes; expected -o")
    try:
        check_names(config, args.name, clock=args.clock, reset=args.reset)
    except ValueError as error:
        raise InputError(error) from None
    with ExitStack() as stack:  # files are opened first: Yosys takes its time
        write_text = stack.enter_context(output_file(args.output or STDOUT))
        write = stack.enter_context(json_file(args.json))
        text = to_verilog(config, args.name, clock=args.clock, reset=args.reset)
        write_text(text)
        write({"name": args.name, "clock": args.clock, "reset": args.reset, "mode": args.mode,
               "no_1g_pages": args.no_1g_pages,
               "ports": [port._asdict() for port in port_list(text)],
               **conditions(args, config)})
    return AGREED
