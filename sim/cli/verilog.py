"""``pagewalk verilog``: the MMU as Verilog."""

import argparse
from contextlib import ExitStack

from ...hdl.config import RANGES
from ...hdl.verilog import check_names, port_list, to_verilog
from ...model.x86 import MODES
from ..errors import InputError
from .common import (
    AGREED,
    DEFAULTS,
    Verbs,
    add_geometry,
    add_verb,
    hardware_config,
    json_file,
    output_file,
    whole,
)
from .conditions import conditions
from .files import output_name
from .output import STDOUT

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "verilog", _verilog, "Write the MMU as Verilog with flat ports.")
    parser.add_argument("-o", metavar="OUT.v", type=output_name, dest="output",
                        help="the file to write (standard output)")
    names = parser.add_argument_group("names")
    names.add_argument("--name", default="pagewalk_mmu", help="name of the module (%(default)s)")
    names.add_argument("--ports", metavar="NAME,...", default=",".join(DEFAULTS.ports),
                       help="names of the request ports, with a TLB for each (%(default)s)")
    names.add_argument("--clock", metavar="NAME", default="clk",
                       help="name of the clock (%(default)s)")
    names.add_argument("--reset", metavar="NAME", default="rst",
                       help="name of the reset, synchronous and active high (%(default)s)")
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="paging mode (%(default)s)")
    parser.add_argument("--no-1g-pages", action="store_true",
                        help="x86_64, la57: without 1-Gbyte pages, PS is reserved in a PDPTE")
    geometry = add_geometry(parser)
    geometry.add_argument("--tag-bits", type=whole(*RANGES["tag_bits"]), metavar="N",
                          default=DEFAULTS.tag_bits,
                          help="bits of the tag that an answer has from its request "
                               "(%(default)s)")


def _verilog(args: argparse.Namespace) -> int:
    mode = MODES[args.mode]
    if args.no_1g_pages:
        if mode.without_1g_pages() == mode:
            raise InputError(f"--no-1g-pages: {mode.name} has none; expected --mode x86_64 or la57")
        mode = mode.without_1g_pages()
    config = hardware_config(
        args, mode, ports=tuple(args.ports.split(",")), tag_bits=args.tag_bits)
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
