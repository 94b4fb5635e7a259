"""``pagewalk boot``: a recorded boot of Linux, every access of the whole machine."""

import argparse
from functools import partial
from pathlib import Path

from rich.table import Table

from ..boot.boot_result import BootResult
from ..boot.log_checks import load_log
from ..boot.replay_log import replay_log
from ..errors import InputError
from ..report import mismatch_report
from ..uncut import Uncut
from .common import (
    AGREED,
    MISMATCH,
    Verbs,
    add_engine,
    add_geometry,
    add_latency,
    add_ports,
    add_verb,
    hardware_config,
    json_file,
    positive,
    progress_bar,
)
from .conditions import conditions
from .files import file_name
from .output import printing
from .vcd_option import engine_maker

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "boot", _boot,
                      "Replay a recorded boot of Linux: every access of the whole machine, with "
                      "the kernel's own stores to page tables and invalidations.")
    parser.add_argument("log", metavar="LOG.ltr.xz", type=file_name, help="a recorded boot")
    add_engine(parser)
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="only the first N translations")
    add_latency(parser)
    add_ports(parser)
    add_geometry(parser, paddr_bits=None)


def _boot(args: argparse.Namespace) -> int:
    log = load_log(args.log)
    if args.paddr_bits not in (None, log.paddr_bits):
        raise InputError(f"argument --paddr-bits: {args.paddr_bits} is not what {args.log} was "
                         f"recorded with; expected {log.paddr_bits}")
    args.paddr_bits = log.paddr_bits
    config = hardware_config(args, log.mode)
    with json_file(args.json) as write, engine_maker(args) as make:
        known = conditions(args, config, [args.log])
        engine = make(config)
        with progress_bar() as move:
            result = replay_log(log, engine, config=config, limit=args.limit,
                                progress=partial(move, Path(args.log).name))
        write({"engine": args.engine, **result.as_json(), **known})
    with printing(args.json) as console:
        console.print(mismatch_report(result.mode, result.first), soft_wrap=True)
        console.print(_table(args.engine, result))
    return AGREED if result.agreed else MISMATCH


def _table(engine: str, result: BootResult) -> Uncut:
    """Return what the replay found as a table."""
    rows = {
        "translations": f"{result.total:,}",
        "mismatches": f"{result.mismatches:,}",
        **{f"  in {kind}": f"{count:,}" for kind, count in result.mismatches_by_kind.items()},
        "spurious faults": f"{result.spurious_faults:,}",
    }
    if result.cycles:
        misses = sum(count for name, count in result.events.items() if name.endswith("_miss"))
        rows |= {
            "TLB misses": f"{misses:,}",
            "page-table reads": f"{sum(_counts(result, 'walk_read_')):,}",
            "A/D updates": f"{result.events['walk_update']:,}",
            "cycles": f"{result.cycles:,}",
        }
    rows |= {
        "seconds": f"{result.seconds:.1f}",
        "translations per second": f"{result.translations_per_second:,.0f}",
    }
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    table.add_column(f"{result.mode.name}, {engine}", justify="right", no_wrap=True)
    for name, value in rows.items():
        table.add_row(name, value)
    return Uncut(table)


def _counts(result: BootResult, prefix: str) -> list[int]:
    """Return the counts of the events whose names begin with ``prefix``."""
    return [count for name, count in result.events.items() if name.startswith(prefix)]
