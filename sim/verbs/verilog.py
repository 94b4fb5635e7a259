"""``pagewalk verilog``: the MMU as Verilog."""

import argparse
import sys
from pathlib import Path

from ...hdl.verilog import port_list, to_verilog
from ...model.x86 import MODES
from ..errors import InputError, writing
from .common import AGREED, DEFAULTS, Verbs, add_geometry, add_verb, hardware_config, json_file

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "verilog", _verilog, "Write the MMU as Verilog with flat ports.")
    parser.add_argument("-o", metavar="OUT.v", type=Path, dest="output",
                        help="the file to write (standard output)")
    parser.add_argument("--name", default="pagewalk_mmu", help="name of the module (%(default)s)")
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="paging mode (%(default)s)")
    add_geometry(parser)


def _verilog(args: argparse.Namespace) -> int:
    config = hardware_config(args, MODES[args.mode])
    try:
        text = to_verilog(config, name=args.name)
    except ValueError as error:
        raise InputError(error) from None
    if args.output is None:
        sys.stdout.write(text)
    else:
        with writing(args.output):
            args.output.write_text(text, encoding="utf-8")
    with json_file(args.json) as write:
        write({"name": args.name, "mode": args.mode,
               "ports": [port._asdict() for port in port_list(text)]})
    return AGREED
