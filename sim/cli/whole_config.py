"""The options of verbs that take hardware as it comes, with every parameter of it."""

import argparse

from ...hdl.config import Config
from ...model.x86 import MODES
from .common import DEFAULTS, add_geometry, add_ports, hardware_config

__all__ = ["add_config", "config_of"]


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add every parameter of the hardware."""
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="paging mode (%(default)s)")
    add_ports(parser)
    add_geometry(parser)


def config_of(args: argparse.Namespace) -> Config:
    """Return the parameters in ``args``; raise ``InputError`` for what cannot be built."""
    return hardware_config(args, MODES[args.mode])
