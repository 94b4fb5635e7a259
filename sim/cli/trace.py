"""``pagewalk trace``: a memory trace of the user's on the TLBs of a configuration."""

import argparse
from contextlib import ExitStack
from typing import Any

import numpy as np

from ...hdl.config import Config
from ...hdl.shapes import page_name
from ...model.physical.memory_map import MemoryMapError
from ...model.x86 import MODES, PagingMode
from ..backing.frame_list import frame_list
from ..backing.frame_supply import FrameSupply
from ..backing.page_source import TouchedPages, TracePageSource
from ..backing.trace_pages import TracePages
from ..errors import InputError
from ..functional.compiled_function import FAST
from ..trace.convert_runs import convert
from ..trace.trace_error import FORMATS
from ..trace.trace_file import TraceFile
from .common import (
    AGREED,
    DEFAULTS,
    MISMATCH,
    Verbs,
    add_geometry,
    add_verb,
    hardware_config,
    json_file,
    natural,
    output_file,
    positive,
    progress_bar,
)
from .conditions import conditions
from .files import file_name, output_name
from .output import print_error, printing
from .trace_tables import tlb_table, walk_table

__all__ = ["add"]

MIB = 1 << 20
MOST_MEMORY = 1 << 20  # Mbytes: what 1 Tbyte of frames takes of this computer is 60 Gbytes
DEFAULT_MEMORY = {"ia32": 3072}
OTHER_MEMORY = 16384
TIMINGS = ("none",)
NO_NUMBA = ("pagewalk: numba is not installed, so that this takes about 50 times as long; "
            "pip install pagewalk[fast]")


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "trace", _trace,
                      "Play a memory trace on the TLBs and walk caches of a configuration: hits, "
                      "misses, walks and page-table references, as the hardware has them.")
    parser.add_argument("trace", metavar="TRACE", type=file_name,
                        help="the trace, packed with gzip, xz, zstd or zip or not at all: "
                             + "; ".join(f"{name}, {what}" for name, what in FORMATS.items()))
    parser.add_argument("--format", choices=FORMATS, metavar="FORMAT",
                        help=f"the format of the trace: {', '.join(FORMATS)} (told by its content)")
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="only the first N accesses; fetches and data have their own runs, "
                             "which stand where they begin")
    parser.add_argument("--convert", metavar="OUT.npz", type=output_name,
                        help="write the trace as runs within a page, which are read much quicker, "
                             "and do no more")
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="the paging mode (%(default)s)")
    parser.add_argument("--timing", choices=TIMINGS, default="none",
                        help="what is found out beside counts: nothing, so that there are no "
                             "cycles (%(default)s)")
    parser.add_argument("--csv", metavar="FILE", type=output_name,
                        help="write the figures as a line of names and a line of values")
    parser.add_argument("--stats", metavar="FILE", type=output_name, dest="stats_to",
                        help="write the figures as gem5 does: name, value, # comment")
    parser.add_argument("--curve", metavar="FILE", type=output_name,
                        help="write the misses of fully associative LRU TLBs of every size, for "
                             "each port and page size, as CSV")
    _add_translations(parser)
    add_geometry(parser)


def _add_translations(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where translations come from")
    group.add_argument("--thp", choices=("never", "always"), default="never",
                       help="whether a first touch gets a huge page where there is a block for it "
                            "(%(default)s)")
    group.add_argument("--page-size", choices=("4k", "2m", "4m", "1g"), default="4k",
                       help="the size of all pages (%(default)s)")
    group.add_argument("--premap", action="store_true",
                       help="map every page before the trace begins, with A and D set, so that "
                            "there are no faults, and no flags to set")
    group.add_argument("--frames", metavar="FILE", type=file_name,
                       help="take pages and frames from a list of vaddr,paddr[,bytes]")
    group.add_argument("--relocate", action="store_true",
                       help="spread what lies in one page table each over the upper levels")
    group.add_argument("--pcid", action="store_true",
                       help="give each address space a PCID; without, a switch drops all")
    group.add_argument("--memory", metavar="MIB", type=positive,
                       help="the machine's memory in Mbytes (16384; 3072 for ia32)")
    group.add_argument("--fragmentation", metavar="SHARE", type=_share, default=0.0,
                       help="share of the free blocks of a huge page's size that one page in use "
                            "breaks up, from 0 to 1 (%(default)s)")
    group.add_argument("--seed", metavar="N", type=natural, default=0,
                       help="seed of --fragmentation and --relocate (%(default)s)")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, not {text[:40]!r}")
    return value


def _trace(args: argparse.Namespace) -> int:
    mode = MODES[args.mode]
    config = hardware_config(args, mode)
    size = _page_size(args, mode)
    if config.prefetches:
        raise InputError("argument --prefetch: what is walked ahead depends on cycles, which "
                         "--timing none has not; expected none")
    if args.pcid and not mode.has_pcids:
        raise InputError(f"argument --pcid: {mode.name} paging has no PCIDs; expected another "
                         "--mode")
    trace = TraceFile(args.trace, args.format)
    if args.convert is not None:
        with progress_bar("converting") as move:
            convert(trace, args.convert, lambda done: move(trace.format, done, done))
        return AGREED
    return _play(args, config, trace, size)


def _play(args: argparse.Namespace, config: Config, trace: TraceFile, size: int) -> int:
    # Imported when asked for: numba takes a while to load.
    from ..functional.figure_text import figures_csv, figures_stats
    from ..functional.miss_curves import MissCurves
    from ..functional.trace_figures import broken_identities, figures
    from ..functional.trace_run import TraceRun

    if not FAST:
        print_error(NO_NUMBA)
    with ExitStack() as files:
        write = files.enter_context(json_file(args.json))
        writers = [(make, files.enter_context(output_file(path))) for path, make in (
            (args.csv, figures_csv), (args.stats_to, figures_stats)) if path is not None]
        curves = None
        if args.curve is not None:
            curves, write_curve = MissCurves(config), files.enter_context(output_file(args.curve))
        known = conditions(args, config, [args.trace, *[args.frames] * (args.frames is not None)])
        run = TraceRun(config, trace, _pages(args, config, size), premapped=args.premap,
                       pcids=args.pcid, relocate=args.seed if args.relocate else None,
                       curves=curves)
        with progress_bar("playing") as move:
            run.run(args.limit, lambda done: move(trace.format, done, args.limit or done))
        found = figures(run)
        seconds = {"read": run.times.read, "map": run.times.map, "play": run.times.play}
        write({**found, **_setting(args), **known, "seconds": seconds})
        for make, write_text in writers:
            write_text(make(found))
        if curves is not None:
            write_curve(curves.text())
    broken = broken_identities(run)
    with printing(args.json) as console:
        console.print(f"{args.trace}: {trace.format}\n")
        console.print(tlb_table(found))
        console.print()
        console.print(walk_table(found))
        for rule in broken:
            console.print(f"does not hold: {rule}")
    return MISMATCH if broken else AGREED


def _page_size(args: argparse.Namespace, mode: PagingMode) -> int:
    names = [page_name(page) for page in mode.pages]
    if args.page_size not in names:
        raise InputError(f"argument --page-size: {mode.name} has no pages of {args.page_size}; "
                         f"expected one of {', '.join(names)}")
    if args.thp == "always" and args.page_size != "4k":
        raise InputError("argument --thp: is about pages of 4k; expected no --page-size with it")
    if args.frames is not None and (args.thp == "always" or args.page_size != "4k"):
        raise InputError("argument --frames: the list has the sizes of pages; expected neither "
                         "--thp nor --page-size with it")
    return names.index(args.page_size)


def _pages(args: argparse.Namespace, config: Config, size: int) -> TracePages:
    mode, rng = config.mode, np.random.default_rng(args.seed)
    megabytes = args.memory or DEFAULT_MEMORY.get(mode.name, OTHER_MEMORY)
    if megabytes > MOST_MEMORY:
        raise InputError(f"argument --memory: {megabytes} Mbytes are too many; expected at most "
                         f"{MOST_MEMORY}")
    try:
        supply = FrameSupply(mode, config.physical_bits, megabytes * MIB, args.fragmentation, rng)
    except MemoryMapError as error:
        raise InputError(f"argument --memory: {error}; expected more") from None
    source: TracePageSource
    if args.frames is not None:
        source = frame_list(args.frames, mode, config.physical_bits)
    else:
        source = TouchedPages(mode, supply, size, thp=args.thp == "always")
    return TracePages(mode, supply, source)


def _setting(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that are no geometry, for ``--json``."""
    names = ("timing", "thp", "page_size", "premap", "relocate", "pcid", "memory", "fragmentation",
             "limit")
    return {"options": {name: getattr(args, name) for name in names}}

