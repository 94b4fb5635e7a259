"""``pagewalk buddy``: the page allocator events of a real kernel."""

import argparse

from rich.table import Table
from rich.text import Text

from ..buddy.findings import BuddyResult
from ..buddy.free_lists import read_free_lists
from ..buddy.ftrace import TRACE, read_trace
from ..buddy.replay_events import replay_events
from ..buddy.replay_requests import replay_requests
from ..buddy.same_machine import check_same_machine
from ..errors import InputError, check_ends
from .common import AGREED, MISMATCH, Verbs, add_verb, json_file, positive
from .conditions import conditions
from .files import file_name
from .output import printing

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "buddy", _buddy,
                      "Replay the page allocator events of a real kernel and compare every page.")
    parser.add_argument("trace", metavar="TRACE.txt.gz", type=file_name,
                        help="kmem events in the text of ftrace; plain or packed with xz, too")
    parser.add_argument("free_lists", metavar="FREELISTS.npz", type=file_name,
                        help="free lists before and after")
    parser.add_argument("--level", choices=("buddy", "pcp"), default="buddy",
                        help="what is replayed: the calls of the buddy allocator, or only the "
                             "requests, so that the per-CPU lists in front of it must refill and "
                             "drain as the kernel's do (%(default)s)")
    parser.add_argument("--high-fraction", metavar="N", type=positive,
                        help="what vm.percpu_pagelist_high_fraction was, for --level pcp")
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="only the first N events, and no look at the lists at the end")


def _buddy(args: argparse.Namespace) -> int:
    if args.high_fraction and args.level != "pcp":
        raise InputError("argument --high-fraction: is for per-CPU lists; expected --level pcp")
    with json_file(args.json) as write:
        check_ends(args.trace, TRACE)
        events, lists = read_trace(args.trace), read_free_lists(args.free_lists)
        check_same_machine(events, lists)
        if args.level == "pcp":
            result = replay_requests(events, lists, args.limit,
                                     high_fraction=args.high_fraction or 0)
        else:
            result = replay_events(events, lists, args.limit)
        write(result.as_json() | conditions(args, inputs=(args.trace, args.free_lists)))
    with printing(args.json) as console:
        for mismatch in result.first:
            console.print(Text(f"Mismatch at {mismatch.place}, field {mismatch.field}: "
                               f"expected {mismatch.expected}, got {mismatch.got}",
                               style="bold red"))
        console.print(_table(result))
    return AGREED if result.agreed else MISMATCH


def _table(result: BuddyResult) -> Table:
    """Return what the replay found as a table."""
    figures = result.as_json()
    rows = {
        "events" if result.level == "buddy" else "requests": f"{result.total:,}",
        "  allocations": f"{result.allocations:,}",
        "  frees": f"{result.frees:,}",
        "mismatches": f"{result.mismatches:,}",
        **{f"  in {name}": f"{count:,}" for name, count in result.mismatches_by_field.items()},
        "lists at the end": "compared" if result.complete else "not compared",
        "seconds": f"{result.seconds:.3f}",
        "events per second": f"{figures['events_per_second']:,.0f}",
    }
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    for name, value in rows.items():
        table.add_row(name, value)
    return table
