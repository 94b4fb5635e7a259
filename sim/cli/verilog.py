"""``pagewalk verilog``: the MMU as Verilog."""

import argparse
from contextlib import ExitStack
from pathlib import Path

from ...hdl.module_names import check_module_name
from ...hdl.verilog import port_list, to_verilog
from ...model.x86 import MODES, X86_64
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
)
from .conditions import conditions
from .output import STDOUT, print_text

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "verilog", _verilog, "Write the MMU as Verilog with flat ports.")
    parser.add_argument("-o", metavar="OUT.v", type=Path, dest="output",
                        help="the file to write (standard output)")
    parser.add_argument("--name", default="pagewalk_mmu", help="name of the module (%(default)s)")
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="paging mode (%(default)s)")
    parser.add_argument("--no-1g-pages", action="store_true",
                        help="x86_64: without 1-Gbyte pages, PS is reserved in a PDPTE")
    add_geometry(parser)


def _verilog(args: argparse.Namespace) -> int:
    mode = MODES[args.mode]
    if args.no_1g_pages:
        if mode is not X86_64:
            raise InputError(f"--no-1g-pages: {mode.name} has none; expected --mode x86_64")
        mode = mode.without_1g_pages()
    config = hardware_config(args, mode)
    if args.output is None and args.json == STDOUT:
        raise InputError("argument --json: standard output is where the Verilog goes; expected -o")
    try:
        check_module_name(args.name)
    except ValueError as error:
        raise InputError(error) from None
    with ExitStack() as stack:  # files are opened first: Yosys takes its time
        write_text = print_text if args.output is None else stack.enter_context(
            output_file(args.output))
        write = stack.enter_context(json_file(args.json))
        text = to_verilog(config, name=args.name)
        write_text(text)
        write({"name": args.name, "mode": args.mode,
               "no_1g_pages": args.no_1g_pages,
               "ports": [port._asdict() for port in port_list(text)],
               **conditions(args, config)})
    return AGREED
