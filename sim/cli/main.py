"""The ``pagewalk`` command.

Exit codes: 0 all agreed; 1 a mismatch was found; 2 bad usage or bad input, or output that cannot be
written; 3 a needed tool is missing or does not work; 130 interrupted; 141 nobody reads the output
any more. What goes wrong is said in one line on stderr that starts ``pagewalk: error:``, except for
141.
"""

import argparse
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from ...hdl.toolchain import ToolFailed, ToolMissing
from ..cosim.machine import AccessFailed
from ..engine.base import EngineStalled
from ..errors import InputError
from . import buddy, conform, cosim, image, replay, run, verilog
from .common import MISMATCH
from .conditions import release
from .output import discard_output, notes_on_stderr, printing, require_output

__all__ = ["main"]

VERBS = (run, cosim, replay, conform, buddy, image, verilog)
"""The verbs in the order in which help lists them."""

BAD_INPUT, TOOL_MISSING = 2, 3
INTERRUPTED = 130  # what a shell says of a program that SIGINT ended ...
PIPE_CLOSED = 141  # ... and of one that SIGPIPE ended


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv``, by default that of the process; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # pictures in a locale that cannot draw them
    try:
        require_output()
        args = _parser().parse_args(argv)
        if args.verb is None:
            raise InputError("the following arguments are required: VERB; expected one of "
                             + ", ".join(verb.__name__.rpartition(".")[2] for verb in VERBS))
        with notes_on_stderr():
            code: int = args.run(args)
        return code
    except InputError as error:
        return _failed(error, BAD_INPUT)
    except (ToolMissing, ToolFailed) as error:
        return _failed(error, TOOL_MISSING)
    except (EngineStalled, AccessFailed) as error:
        return _failed(error, MISMATCH)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        discard_output()  # nobody reads on
        return PIPE_CLOSED


def _failed(message: object, code: int) -> int:
    if sys.stderr is not None:  # or `print` would take standard output in its place
        with suppress(OSError):  # nobody can be told; the exit code still says what it was
            print("pagewalk: error:", " ".join(str(message).splitlines()), file=sys.stderr)
            sys.stderr.flush()
    return code


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help, of which argparse would not say that it could not be written."""
        if file is sys.stdout:
            with printing():
                file.write(message)
        else:
            super()._print_message(message, file)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pagewalk",
        description="An x86 MMU in Amaranth HDL, checked against real Linux page tables.",
        epilog="Exit codes: 0 agreed, 1 mismatch, 2 bad usage or input, 3 a tool is missing, "
               "130 interrupted, 141 whoever read the output reads no more.",
    )
    parser.add_argument("--version", action="version", version=f"pagewalk {release()}",
                        help="show the version and exit")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb")
    for verb in VERBS:
        verb.add(verbs)
    return parser
