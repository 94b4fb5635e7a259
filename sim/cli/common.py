"""What verbs share: options, the file of ``--json``, the progress bar, the way to a result."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

from rich import progress

from ...hdl.config import INDEXES, ORDERS, RANGES, RULES, Config
from ...hdl.replacement import POLICIES
from ...model.x86 import PagingMode
from ..engine import ENGINES
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
from .vcd_option import add_vcd, engine_maker

__all__ = ["AGREED", "DEFAULTS", "MISMATCH", "Progress", "Verb", "Verbs", "add_engine",
           "add_geometry", "add_image", "add_latency", "add_ports", "add_verb", "compare",
           "hardware_config", "json_file", "natural", "output_file", "positive", "progress_bar",
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
    """Add the options that choose the engine, and have it write waveforms."""
    parser.add_argument("--engine", choices=ENGINES, default="cxxrtl",
                        help="what translates: the golden model without hardware, a model that has "
                             "the hardware's cycles, too, Amaranth's "
                             "simulator, or the hardware compiled to C++, which needs g++; "
                             "verilator needs Verilator, too, and is the quickest (%(default)s)")
    add_vcd(parser)


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
    _add_flags(group)
    _add_wiring(group)
    group.add_argument("--paddr-bits", type=whole(*RANGES["paddr_bits"]), metavar="N",
                       default=paddr_bits, help="bits of a physical address, MAXPHYADDR "
                       + ("(%(default)s)" if paddr_bits else "(that of the recording)"))
    return group


def add_ports(parser: argparse.ArgumentParser) -> None:
    """Add which request ports there are, and whether the mode has 1-Gbyte pages."""
    parser.add_argument("--no-1g-pages", action="store_true",
                        help="x86_64, la57: without 1-Gbyte pages, PS is reserved in a PDPTE")
    parser.add_argument("--ports", metavar="NAME,...", default=",".join(DEFAULTS.ports),
                        help="names of the request ports, with a TLB for each (%(default)s)")


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


def _add_flags(group: Any) -> None:
    """Add when and how accessed and dirty flags are set."""
    group.add_argument("--accessed", choices=RULES["accessed"], default=DEFAULTS.accessed,
                       help="when entries get their accessed flags: on use, or only on "
                            "success of the whole translation (%(default)s)")
    group.add_argument("--ad", choices=RULES["ad"], default=DEFAULTS.ad,
                       help="what sets accessed and dirty flags: compare-and-exchange, a plain "
                            "write, or software after a page fault (%(default)s)")


def _add_wiring(group: Any) -> None:
    """Add what is at the ports beside requests and answers."""
    group.add_argument("--tag-bits", type=whole(*RANGES["tag_bits"]), metavar="N",
                       default=DEFAULTS.tag_bits,
                       help="bits of the tag that an answer has from its request "
                            "(%(default)s)")
    group.add_argument("--access-bytes", type=whole(*RANGES["access_bytes"]), metavar="N",
                       default=DEFAULTS.access_bytes,
                       help="with a size in each request, of at most N bytes, and an access "
                         "that crosses a page translated in both; 0 for none (%(default)s)")
    group.add_argument("--cancel", action="store_true",
                       help="with an input for each port that cancels requests")
    group.add_argument("--memory-response", choices=RULES["memory_response"],
                       default=DEFAULTS.memory_response,
                       help="when a response of page-table memory counts: in its cycle, or in "
                            "the next one, out of a register (%(default)s)")
    group.add_argument("--rights", action="store_true",
                       help="with the rights of its page in each answer")
    group.add_argument("--probes", action="store_true",
                       help="with a purpose in each request: to check or to probe an access")
    group.add_argument("--checks", action="store_true",
                       help="with an output that tells operations that raise #GP")
    group.add_argument("--invalidation", choices=RULES["invalidation"],
                       default=DEFAULTS.invalidation,
                       help="how an invalidation is asked for: offered until it is accepted, or "
                            "by a pulse that is answered by being busy (%(default)s)")
    group.add_argument("--dropped", action="store_true",
                       help="with an output that says what the TLBs drop")


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


def hardware_config(args: argparse.Namespace, mode: PagingMode) -> Config:
    """Return the hardware's parameters; raise ``InputError`` for what cannot be built.

    They are those of ``add_geometry``, and of ``add_ports`` if the verb has these. The engine, if
    the verb has one, must know them.
    """
    if getattr(args, "no_1g_pages", False):
        if mode.without_1g_pages() == mode:
            raise InputError(f"--no-1g-pages: {mode.name} has none; expected --mode x86_64 or la57")
        mode = mode.without_1g_pages()
    ports = tuple(args.ports.split(",")) if "ports" in args else DEFAULTS.ports
    others = {field.name: getattr(args, field.name) for field in fields(Config)
              if field.name not in ("mode", "ports")}
    try:
        config = Config(mode=mode, ports=ports, **others)
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
    args: argparse.Namespace, mode: PagingMode, work: Callable[[Engine, Config, Progress], Result],
    *, source: str,
) -> int:
    """Let ``work`` compare the answers of the engine that ``args`` asks for; return an exit code.

    ``source`` is the file that it takes the expected answers from.

    ``work`` is called with the engine, its parameters, and a function to report progress to. Its
    result is written to the file of ``--json`` and shown.
    """
    config = hardware_config(args, mode)
    with json_file(args.json) as write, engine_maker(args) as make:
        known = conditions(args, config, [source])
        engine = make(config)
        with progress_bar() as move:
            result = work(engine, config, partial(move, mode.name))
        write({"engine": args.engine, **result.as_json(), **known})
    return show_results(args, {f"{mode.name}, {args.engine}": result})


def show_results(args: argparse.Namespace, results: Mapping[str, Result]) -> int:
    """Show the mismatches and a table with a column for each result; return an exit code."""
    with printing(args.json) as console:
        for result in results.values():
            console.print(mismatch_report(result.mode, result.first))
        console.print(result_table(results))
    return AGREED if all(result.agreed for result in results.values()) else MISMATCH
