"""The options of verbs that take hardware as it comes, with every parameter of it."""

import argparse

from ...hdl.config import RANGES, RULES, Config
from ...model.x86 import MODES
from ..errors import InputError
from .common import DEFAULTS, add_geometry, hardware_config, whole

__all__ = ["add_config", "config_of"]


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add every parameter of the hardware that the command line has."""
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="paging mode (%(default)s)")
    parser.add_argument("--no-1g-pages", action="store_true",
                        help="x86_64, la57: without 1-Gbyte pages, PS is reserved in a PDPTE")
    parser.add_argument("--ports", metavar="NAME,...", default=",".join(DEFAULTS.ports),
                        help="names of the request ports, with a TLB for each (%(default)s)")
    geometry = add_geometry(parser)
    geometry.add_argument("--tag-bits", type=whole(*RANGES["tag_bits"]), metavar="N",
                          default=DEFAULTS.tag_bits,
                          help="bits of the tag that an answer has from its request "
                               "(%(default)s)")
    geometry.add_argument("--access-bytes", type=whole(*RANGES["access_bytes"]), metavar="N",
                          default=DEFAULTS.access_bytes,
                          help="with a size in each request, of at most N bytes, and an access "
                               "that crosses a page translated in both; 0 for none (%(default)s)")
    geometry.add_argument("--cancel", action="store_true",
                          help="with an input for each port that cancels requests")
    geometry.add_argument("--accessed", choices=RULES["accessed"], default=DEFAULTS.accessed,
                          help="when entries get their accessed flags: on use, or only on "
                               "success of the whole translation (%(default)s)")
    geometry.add_argument("--ad", choices=RULES["ad"], default=DEFAULTS.ad,
                          help="what sets accessed and dirty flags: compare-and-exchange, a plain "
                               "write, or software after a page fault (%(default)s)")
    geometry.add_argument("--memory-response", choices=RULES["memory_response"],
                          default=DEFAULTS.memory_response,
                          help="when a response of page-table memory counts: in its cycle, or in "
                               "the next one, out of a register (%(default)s)")
    geometry.add_argument("--rights", action="store_true",
                          help="with the rights of its page in each answer")
    geometry.add_argument("--probes", action="store_true",
                          help="with a purpose in each request: to check or to probe an access")
    geometry.add_argument("--checks", action="store_true",
                          help="with an output that tells operations that raise #GP")
    geometry.add_argument("--invalidation", choices=RULES["invalidation"],
                          default=DEFAULTS.invalidation,
                          help="how an invalidation is asked for: offered until it is accepted, or "
                               "by a pulse that is answered by being busy (%(default)s)")
    geometry.add_argument("--dropped", action="store_true",
                          help="with an output that says what the TLBs drop")


def config_of(args: argparse.Namespace) -> Config:
    """Return the parameters in ``args``; raise ``InputError`` for what cannot be built."""
    mode = MODES[args.mode]
    if args.no_1g_pages:
        if mode.without_1g_pages() == mode:
            raise InputError(f"--no-1g-pages: {mode.name} has none; expected --mode x86_64 or la57")
        mode = mode.without_1g_pages()
    return hardware_config(
        args, mode, ports=tuple(args.ports.split(",")), tag_bits=args.tag_bits,
        access_bytes=args.access_bytes, cancel=args.cancel, accessed=args.accessed, ad=args.ad,
        memory_response=args.memory_response, rights=args.rights, probes=args.probes,
        checks=args.checks, dropped=args.dropped, invalidation=args.invalidation)
