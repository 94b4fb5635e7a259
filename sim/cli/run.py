"""``pagewalk run``: the main job: real page tables, then a program larger than memory."""

import argparse

from ..cosim.swapping import run_swapping
from ..image import SHIPPED, Image
from ..report import workload_table
from ..run import replay_shipped, sample_walks
from .common import (
    DEFAULTS,
    MISMATCH,
    Verbs,
    add_geometry,
    add_latency,
    add_verb,
    hardware_config,
    json_file,
    positive,
    progress_bar,
    show_results,
)
from .conditions import conditions
from .costs import add_costs, assumed_costs
from .output import printing

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "run", _run,
                      "In Amaranth's simulator: walk real Linux page tables, in both paging modes; "
                      "then run a program larger than memory.")
    parser.add_argument("--limit", metavar="N", type=positive, default=1500,
                        help="probes for each mode (%(default)s)")
    add_latency(parser)
    add_geometry(parser)
    add_costs(parser)


def _run(args: argparse.Namespace) -> int:
    config = hardware_config(args, DEFAULTS.mode)
    with json_file(args.json) as write:
        with printing(args.json) as console:
            for picture in sample_walks():
                console.print(picture)
                console.print()
        with progress_bar() as move:
            results = replay_shipped(config, args.latency, args.limit, move)
        with progress_bar("running") as move:
            runs = run_swapping(config, args.latency, move, assumed_costs(args))
        known = conditions(args, config, map(Image.shipped_path, SHIPPED))
        if known:
            known["config"]["mode"] = [mode.name for mode in SHIPPED]
        write({name: result.as_json() for name, result in results.items()}
              | {"swapping": {name: run.as_json() for name, run in runs.items()}} | known)
    code = show_results(args, results)
    with printing(args.json) as console:
        console.print("\nA program larger than memory, the kernel model behind the hardware:\n")
        console.print(workload_table(runs))
        console.print(f"\nAssumed: {assumed_costs(args)}.")
    return MISMATCH if not all(run.agreed for run in runs.values()) else code
