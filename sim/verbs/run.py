"""``pagewalk run``: the main job, on the page tables that come with the package."""

import argparse

from ..report import make_console
from ..run import replay_shipped, sample_walks
from .common import (
    DEFAULTS,
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

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "run", _run,
                      "Walk real Linux page tables in Amaranth's simulator, in both paging modes.")
    parser.add_argument("--limit", metavar="N", type=positive, default=1500,
                        help="probes for each mode (%(default)s)")
    add_latency(parser)
    add_geometry(parser)


def _run(args: argparse.Namespace) -> int:
    config = hardware_config(args, DEFAULTS.mode)
    console = make_console()
    with json_file(args.json) as write:
        for picture in sample_walks():
            console.print(picture, soft_wrap=True)
        with progress_bar() as move:
            results = replay_shipped(config, args.latency, args.limit, move)
        write({name: result.as_json() for name, result in results.items()})
    return show_results(results)
