"""What verbs share: options, the file of ``--json``, the progress bar, the way to a result."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich import progress

from ...hdl.config import INDEXES, ORDERS, RANGES, RULES, Config
from ...hdl.replacement import POLICIES
from ...model.x86 import PagingMode
from ..engine import ENGINES, create
from ..engine.base import Engine
from ..engine.memory_model import MOST_LATENCY
from ..engine.timing import timed_geometry
from ..errors import InputError
from ..report import make_console, mismatch_report, result_table
from ..result import Result
from .conditions import conditions
from .exit_codes import AGREED, MISMATCH
from .files import file_name, json_file, output_file, output_name
from .output import printing

__all__ = ["AGREED", "DEFAULTS", "MISMATCH", "Progress", "Verb", "Verbs", "add_engine",
           "add_geometry", "add_image", "add_latency", "add_verb", "compare", "hardware_config",
           "json_file", "natural", "output_file", "positive", "progress_bar",
           "show_results", "whole"]

DEFAULTS = Config()

MOST_DIGITS = 40  # of a number on the command line: beyond all that can be counted

BAR_COLUMNS = 70  # what a progress bar with long words and numbers takes

Verbs = Any  # argparse has no public name for the type
Verb = Callable[[argparse.Namespace], int]
Progress = Callable[[int, int], None]  # called with how much is done, and how much there is


def add_verb(verbs: Verbs, name: str, run: Verb, summary: str) -> argparse.ArgumentParser:
    """Add the verb ``name`` with the options that all verbs have; ``run`` is called for it."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    parser.add_argument("--json", metavar="FILE", type=output_name,
                        help="write the figures to FILE; - is standard output, but for exec, and "
                             "what is shown beside them goes to standard error")
    return parser


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the engine."""
    parser.add_argument("--engine", choices=ENGINES, default="cxxrtl",
                        help="what translates: the golden model without hardware, a model that has "
                             "the hardware's cycles, too, Amaranth's "
                             "simulator, or the hardware compiled to C++, which needs g++; "
                             "verilator needs Verilator, too, and is the quickest (%(default)s)")


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a memory image and choose among its probes."""
    parser.add_argument("image", metavar="IMAGE.npz", type=file_name, help="a memory image")
    parser.add_argument("--view", metavar="NAME", action="append",
                        help="only the view NAME; may be given more than once")
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="only N probes, with the same share for every sort of probe")


def add_geometry(
    parser: argparse.ArgumentParser, *, paddr_bits: int | None = DEFAULTS.paddr_bits
) -> Any:
    """Add the parameters of the hardware that ``hardware_config`` takes; return their group.

    ``paddr_bits`` is the default of MAXPHYADDR, None if the input says what it must be.
    """
    group = parser.add_argument_group("geometry")
    _add_ports(group)
    _add_walks(group)
    group.add_argument("--paddr-bits", type=whole(*RANGES["paddr_bits"]), metavar="N",
                       default=paddr_bits, help="bits of a physical address, MAXPHYADDR "
                       + ("(%(default)s)" if paddr_bits else "(that of the recording)"))
    return group


def _add_ports(group: Any) -> None:
    """Add the parameters of the request ports and their TLBs."""
    group.add_argument("--entries", type=whole(*RANGES["entries"]), metavar="N",
                       default=DEFAULTS.entries,
                       help="entries of each TLB (%(default)s)")
    group.add_argument("--ways", type=whole(*RANGES["ways"]), metavar="N", default=DEFAULTS.ways,
                       help="entries of a set of each TLB, 0 for fully associative ones "
                            "(%(default)s)")
    group.add_argument("--large-entries", type=whole(*RANGES["large_entries"]), metavar="N",
                       default=DEFAULTS.large_entries,
                       help="with --ways, entries of each TLB for large pages (%(default)s)")
    group.add_argument("--index", choices=INDEXES, default=DEFAULTS.index,
                       help="with --ways, what bits of the page number select a set (%(default)s)")
    group.add_argument("--hit-latency", type=whole(*RANGES["hit_latency"]), metavar="N",
                       default=DEFAULTS.hit_latency,
                       help="cycles from a request to the answer of a hit (%(default)s)")
    group.add_argument("--misses", type=whole(*RANGES["misses"]), metavar="N",
                       default=DEFAULTS.misses,
                       help="requests of a port that may wait for walks at once (%(default)s)")
    group.add_argument("--order", choices=ORDERS, default=DEFAULTS.order,
                       help="with --misses, whether answers come in the order of the requests, or "
                            "each at once, told by its tag (%(default)s)")


def _add_walks(group: Any) -> None:
    """Add the parameters of what all ports share, and the policy of the TLBs."""
    group.add_argument("--walk-cache", type=whole(*RANGES["walk_cache"]), metavar="N",
                       default=DEFAULTS.walk_cache,
                       help="entries of the walk cache's lowest level, 0 for none (%(default)s)")
    group.add_argument("--walkers", type=whole(*RANGES["walkers"]), metavar="N",
                       default=DEFAULTS.walkers,
                       help="page-table walks under way at once (%(default)s)")
    group.add_argument("--walk-stages", type=whole(*RANGES["walk_stages"]), metavar="N",
                       default=DEFAULTS.walk_stages,
                       help="2 for a walker with a faster clock, in more cycles (%(default)s)")
    group.add_argument("--policy", choices=POLICIES, default=DEFAULTS.policy,
                       help="replacement policy of the TLBs (%(default)s)")
    group.add_argument("--l2-entries", type=whole(*RANGES["l2_entries"]), metavar="N",
                       default=DEFAULTS.l2_entries,
                       help="entries of the second-level TLB, 0 for none (%(default)s)")
    group.add_argument("--l2-ways", type=whole(*RANGES["l2_ways"]), metavar="N",
                       default=DEFAULTS.l2_ways,
                       help="entries of each of its sets (%(default)s)")
    group.add_argument("--l2-policy", choices=POLICIES, default=DEFAULTS.l2_policy,
                       help="replacement policy of its sets (%(default)s)")
    group.add_argument("--prefetch", choices=RULES["prefetch"], default=DEFAULTS.prefetch,
                       help="what is walked ahead for it: the page after one that was walked, or "
                            "none (%(default)s)")


def add_latency(parser: argparse.ArgumentParser) -> None:
    """Add the latency of page-table memory."""
    parser.add_argument("--latency", type=whole(1, MOST_LATENCY), metavar="N", default=1,
                        help="cycles that page-table memory takes (%(default)s)")


def whole(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """Return what argparse calls to get a number from ``lowest`` to ``highest``, if there is one.

    A text that is no such number is refused in the same words, whatever is wrong with it.
    """
    span = f"from {lowest}" if highest is None else f"from {lowest} to {highest}"

    def number(text: str) -> int:
        if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS:
            value = int(text)
            if value >= lowest and (highest is None or value <= highest):
                return value
        shown = text if len(text) <= MOST_DIGITS else f"{text[:MOST_DIGITS]}..."
        raise argparse.ArgumentTypeError(f"expected a whole number {span}, not {shown!r}")

    return number


positive, natural = whole(1), whole(0)
"""Types for argparse: a number of 1 or more, and one of 0 or more."""


def hardware_config(
    args: argparse.Namespace, mode: PagingMode, **more: Any
) -> Config:
    """Return the hardware's parameters; raise ``InputError`` for what cannot be built.

    They are those of ``add_geometry``, and ``more``. The engine, if the verb has one, must know
    them.
    """
    try:
        config = Config(mode=mode, entries=args.entries, walk_cache=args.walk_cache,
                      policy=args.policy, paddr_bits=args.paddr_bits,
                      ways=args.ways, large_entries=args.large_entries, index=args.index,
                      hit_latency=args.hit_latency, l2_entries=args.l2_entries,
                      l2_ways=args.l2_ways, l2_policy=args.l2_policy,
                      prefetch=args.prefetch, walkers=args.walkers,
                      walk_stages=args.walk_stages, misses=args.misses, order=args.order,
                      **more)
        if getattr(args, "engine", None) == "timing":
            timed_geometry(config)
    except ValueError as error:
        raise InputError(error) from None
    return config


@contextmanager
def progress_bar(doing: str = "replaying") -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar if stderr is a terminal; give a function ``move(what, done, total)``.

    The bar shows the words ``doing`` and ``what``, and ``done`` of ``total``. There is none on a
    terminal that is too narrow for it.
    """
    console = make_console(stderr=True, live=True)
    with progress.Progress(
        "{task.description}", progress.BarColumn(bar_width=None), progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(), console=console, transient=True,
        disable=not console.is_terminal or console.width < BAR_COLUMNS,
    ) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(
            task, description=f"{doing} {what}", completed=done, total=total)


def compare(
    args: argparse.Namespace, mode: PagingMode, work: Callable[[Engine, int, Progress], Result],
    *, source: str,
) -> int:
    """Let ``work`` compare the answers of the engine that ``args`` asks for; return an exit code.

    ``source`` is the file that it takes the expected answers from.

    ``work`` is called with the engine, its MAXPHYADDR, and a function to report progress to. Its
    result is written to the file of ``--json`` and shown.
    """
    config = hardware_config(args, mode)
    with json_file(args.json) as write:
        known = conditions(args, config, [source])
        engine = create(args.engine, config, latency=args.latency)
        with progress_bar() as move:
            result = work(engine, config.physical_bits, partial(move, mode.name))
        write({"engine": args.engine, **result.as_json(), **known})
    return show_results(args, {f"{mode.name}, {args.engine}": result})


def show_results(args: argparse.Namespace, results: Mapping[str, Result]) -> int:
    """Show the mismatches and a table with a column for each result; return an exit code."""
    with printing(args.json) as console:
        for result in results.values():
            console.print(mismatch_report(result.mode, result.first))
        console.print(result_table(results))
    return AGREED if all(result.agreed for result in results.values()) else MISMATCH
