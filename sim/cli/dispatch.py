"""The verbs of the ``pagewalk`` command, and what becomes of what goes wrong in them."""

import argparse
import io
import sys
from collections.abc import Sequence

from ...hdl.toolchain import ToolFailed, ToolMissing
from ..cosim.machine import AccessFailed
from ..engine.base import EngineStalled
from ..errors import InputError
from . import (
    boot,
    buddy,
    conform,
    cosim,
    dump,
    fpga,
    image,
    quiz,
    replay,
    run,
    step,
    tour,
    trace,
    verilog,
    walk,
)
from . import exec as exec_verb
from .exit_codes import BAD_INPUT, INTERRUPTED, MISMATCH, PIPE_CLOSED, TOOL_MISSING
from .files import check_outputs
from .output import discard_output, notes_on_stderr, one_line, print_error, require_output
from .parser import check_order, new_parser, verbs_of
from .vcd_option import check_vcd

__all__ = ["VERBS", "command_parser", "dispatch"]

VERBS = (run, cosim, exec_verb, trace, replay, conform, boot, buddy, image, dump, walk, step,
         tour, quiz, verilog, fpga)
"""The verbs in the order in which help lists them."""


def dispatch(argv: Sequence[str] | None) -> int:
    """Run the command line ``argv``, or that of the process for None; return the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # pictures in a locale that cannot draw them
    try:
        require_output()
        parser = command_parser()
        words = sys.argv[1:] if argv is None else [*argv]
        check_order(parser, words)
        args = parser.parse_args(words)
        if args.verb is None:
            raise InputError("the following arguments are required: VERB; expected one of "
                             + ", ".join(verbs_of(parser)))
        check_outputs(args)
        check_vcd(args)
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
    print_error("pagewalk: error:", one_line(message))
    return code


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command, with that of each verb."""
    parser, verbs = new_parser()
    for verb in VERBS:
        verb.add(verbs)
    return parser
