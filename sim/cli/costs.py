"""The options for costs that a run of a workload assumes, beside the cycles that it measures."""

import argparse

from ..cosim.assumed_costs import USUAL_COSTS, AssumedCosts
from .common import whole

__all__ = ["add_costs", "assumed_costs"]

MOST = 10**12  # a thousand seconds in ns, or at 1 GHz


def add_costs(parser: argparse.ArgumentParser) -> None:
    """Add the options that ``assumed_costs`` takes."""
    group = parser.add_argument_group(
        "assumed costs", "Only the cycles of the MMU are measured. These are added to them:")
    group.add_argument("--fault-cost", metavar="CYCLES", type=whole(0, MOST),
                       default=USUAL_COSTS.fault_cycles,
                       help="what the kernel's own work on a page fault costs (%(default)s)")
    group.add_argument("--disk-seek", metavar="NS", type=whole(0, MOST),
                       default=USUAL_COSTS.seek_ns,
                       help="what a seek of the disk costs (%(default)s)")
    group.add_argument("--disk-page", metavar="NS", type=whole(0, MOST),
                       default=USUAL_COSTS.page_ns,
                       help="what a page costs that is read or written (%(default)s)")
    group.add_argument("--clock", metavar="MHZ", type=whole(1, MOST),
                       default=USUAL_COSTS.clock_mhz,
                       help="cycles in a microsecond (%(default)s)")


def assumed_costs(args: argparse.Namespace) -> AssumedCosts:
    """Return the costs that the arguments ask for."""
    return AssumedCosts(fault_cycles=args.fault_cost, seek_ns=args.disk_seek,
                        page_ns=args.disk_page, clock_mhz=args.clock)
