"""The ``pagewalk`` command.

Exit codes: 0 all agreed; 1 a mismatch was found; 2 bad usage or bad input; 3 a needed tool is
missing or does not work. What goes wrong is said in one line on stderr that starts
``pagewalk: error:``.
"""

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from ..hdl.config import Config
from ..hdl.replacement import POLICIES
from ..hdl.toolchain import ToolFailed, ToolMissing
from ..hdl.verilog import port_list, to_verilog
from ..model.x86 import MODES, PagingMode
from .engine import ENGINES, create
from .engine.base import EngineStalled
from .errors import InputError, writing
from .image import Image
from .replay import replay
from .report import (
    image_summary,
    image_table,
    make_console,
    mismatch_report,
    result_table,
)
from .run import replay_shipped, sample_walks

__all__ = ["main"]

AGREED, MISMATCH, BAD_INPUT, TOOL_MISSING = range(4)
DEFAULTS = Config()
INTERRUPTED = 130  # what a shell says of a program that SIGINT ended ...
PIPE_CLOSED = 141  # ... and of one that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default that of the process; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # pictures in a locale that cannot draw them
    try:
        args = _parser().parse_args(argv)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except InputError as error:
        return _failed(error, BAD_INPUT)
    except (ToolMissing, ToolFailed) as error:
        return _failed(error, TOOL_MISSING)
    except EngineStalled as error:
        return _failed(error, MISMATCH)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Nobody reads on: keep the interpreter from flushing, and complaining, as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def _failed(message: object, code: int) -> int:
    print("pagewalk: error:", " ".join(str(message).splitlines()), file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pagewalk",
        description="An x86 MMU in Amaranth HDL, checked against real Linux page tables.",
        epilog="Exit codes: 0 agreed, 1 mismatch, 2 bad usage or input, 3 a tool is missing.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_run(verbs)
    _add_replay(verbs)
    _add_image(verbs)
    _add_verilog(verbs)
    return parser


Verbs = Any  # argparse has no public name for the type
Verb = Callable[[argparse.Namespace], int]


def _add_verb(verbs: Verbs, name: str, run: Verb, summary: str) -> argparse.ArgumentParser:
    """Add the verb ``name``, which ``run`` carries out, with the options that all verbs have."""
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=summary, description=summary)
    parser.set_defaults(run=run)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to FILE")
    return parser


def _add_image_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE.npz", help="a memory image")
    parser.add_argument("--view", metavar="NAME", action="append",
                        help="only the view NAME; may be given more than once")
    parser.add_argument("--limit", metavar="N", type=_positive,
                        help="only N probes, with the same share for every sort of probe")


def _add_geometry(parser: argparse.ArgumentParser) -> None:
    """Add the parameters of the hardware that ``_config`` takes."""
    group = parser.add_argument_group("geometry")
    group.add_argument("--entries", type=int, metavar="N", default=DEFAULTS.entries,
                       help="entries of each TLB (%(default)s)")
    group.add_argument("--policy", choices=POLICIES, default=DEFAULTS.policy,
                       help="replacement policy of the TLBs (%(default)s)")
    group.add_argument("--paddr-bits", type=int, metavar="N", default=DEFAULTS.paddr_bits,
                       help="bits of a physical address, MAXPHYADDR (%(default)s)")


def _add_latency(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--latency", type=_positive, metavar="N", default=1,
                        help="cycles that page-table memory takes (%(default)s)")


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def _config(args: argparse.Namespace, mode: PagingMode) -> Config:
    """Return the hardware's parameters; raise ``InputError`` for what cannot be built."""
    try:
        return Config(mode=mode, entries=args.entries, policy=args.policy,
                      paddr_bits=args.paddr_bits)
    except ValueError as error:
        raise InputError(error) from None


@contextmanager
def _json_file(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Open the file of ``--json`` before the work is done; give what writes the figures to it."""
    if path is None:
        yield lambda figures: None
        return
    with writing(path):
        file = path.open("w", encoding="utf-8")

    def write(figures: dict[str, Any]) -> None:
        with writing(path):
            file.write(json.dumps(figures, indent=2) + "\n")
            file.flush()

    with file:
        yield write


@contextmanager
def _progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar, on a terminal only; give what moves it: ``move(what, done, total)``."""
    console = make_console(stderr=True)
    with Progress("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                  console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda what, done, total: progress.update(
            task, description=f"replaying {what}", completed=done, total=total)


def _add_run(verbs: Verbs) -> None:
    parser = _add_verb(verbs, "run", _run,
                       "Walk real Linux page tables in Amaranth's simulator, in both paging modes.")
    parser.add_argument("--limit", metavar="N", type=_positive, default=1500,
                        help="probes for each mode (%(default)s)")
    _add_latency(parser)
    _add_geometry(parser)


def _run(args: argparse.Namespace) -> int:
    config = _config(args, DEFAULTS.mode)
    console = make_console()
    with _json_file(args.json) as write:
        for picture in sample_walks():
            console.print(picture, soft_wrap=True)
        with _progress_bar() as move:
            results = replay_shipped(config, args.latency, args.limit, move)
        write({name: result.as_json() for name, result in results.items()})
    for name, result in results.items():
        console.print(mismatch_report(MODES[name], result.first), soft_wrap=True)
    console.print(result_table(results))
    return AGREED if all(result.agreed for result in results.values()) else MISMATCH


def _add_replay(verbs: Verbs) -> None:
    parser = _add_verb(verbs, "replay", _replay,
                       "Translate the probes of a memory image and compare every answer.")
    _add_image_arguments(parser)
    parser.add_argument("--engine", choices=ENGINES, default="cxxrtl",
                        help="what translates: no hardware, Amaranth's simulator, or a compiled "
                             "one (%(default)s)")
    parser.add_argument("--mode", choices=MODES, help="refuse an image of another paging mode")
    _add_latency(parser)
    _add_geometry(parser)


def _replay(args: argparse.Namespace) -> int:
    image = Image.load(args.image)
    if args.mode not in (None, image.mode.name):
        raise InputError(f"{image.path}: frame_data holds entries of {image.mode.name} paging; "
                         f"expected {args.mode}, as --mode says")
    image.select(args.view)
    config = _config(args, image.mode)
    with _json_file(args.json) as write:
        engine = create(args.engine, config, latency=args.latency)
        with _progress_bar() as move:
            result = replay(image, engine, views=args.view, limit=args.limit,
                            paddr_bits=config.physical_bits,
                            progress=partial(move, image.mode.name))
        write({"engine": args.engine, **result.as_json()})
    console = make_console()
    console.print(mismatch_report(image.mode, result.first), soft_wrap=True)
    console.print(result_table({f"{image.mode.name}, {args.engine}": result}))
    return AGREED if result.agreed else MISMATCH


def _add_image(verbs: Verbs) -> None:
    parser = _add_verb(verbs, "image", _image,
                       "List the views of a memory image, or cut a smaller image from it.")
    _add_image_arguments(parser)
    parser.add_argument("-o", metavar="OUT.npz", type=Path, dest="output",
                        help="write the views and probes chosen, and the page tables that their "
                             "walks read, to OUT.npz")


def _image(args: argparse.Namespace) -> int:
    image = Image.load(args.image)
    if args.view is not None or args.limit is not None:
        image = image.cut(args.view, args.limit)
    with _json_file(args.json) as write:
        if args.output is not None:
            image.save(args.output)
        write(image_summary(image))
    make_console().print(image_table(image))
    return AGREED


def _add_verilog(verbs: Verbs) -> None:
    parser = _add_verb(verbs, "verilog", _verilog, "Write the MMU as Verilog with flat ports.")
    parser.add_argument("-o", metavar="OUT.v", type=Path, dest="output",
                        help="the file to write (standard output)")
    parser.add_argument("--name", default="pagewalk_mmu", help="name of the module (%(default)s)")
    parser.add_argument("--mode", choices=MODES, default=DEFAULTS.mode.name,
                        help="paging mode (%(default)s)")
    _add_geometry(parser)


def _verilog(args: argparse.Namespace) -> int:
    config = _config(args, MODES[args.mode])
    try:
        text = to_verilog(config, name=args.name)
    except ValueError as error:
        raise InputError(error) from None
    if args.output is None:
        sys.stdout.write(text)
    else:
        with writing(args.output):
            args.output.write_text(text, encoding="utf-8")
    with _json_file(args.json) as write:
        write({"name": args.name, "mode": args.mode,
               "ports": [port._asdict() for port in port_list(text)]})
    return AGREED
