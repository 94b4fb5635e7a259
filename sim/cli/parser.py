"""The parser of the command line: its help, and how it says what is wrong."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ..errors import InputError
from .conditions import release
from .exit_codes import EXIT_CODES
from .output import printing

__all__ = ["check_order", "new_parser", "verbs_of"]


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments"):
            message += "; expected what pagewalk VERB --help lists"
        raise InputError(message)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help, of which argparse would not say that it could not be written."""
        if file is sys.stdout:
            with printing():
                file.write(message)
        else:
            super()._print_message(message, file)


def new_parser() -> tuple[argparse.ArgumentParser, Any]:
    """Return the parser of the command, and what ``add_verb`` adds verbs to."""
    parser = _Parser(
        prog="pagewalk",
        description="An x86 MMU in Amaranth HDL, checked against real Linux page tables.",
        epilog="Exit codes:\n" + "\n".join(
            f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pagewalk {release()}",
                        help="show the version and exit")
    return parser, parser.add_subparsers(title="verbs", metavar="VERB", dest="verb")


def verbs_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of the verbs by their names, in the order of help."""
    verbs, = (action for action in parser._actions
              if isinstance(action, argparse._SubParsersAction))
    return dict(verbs.choices)


def check_order(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Raise ``InputError`` if ``words`` begin with an option of a verb.

    The parser would take the option's value for the verb.
    """
    option = words[0].partition("=")[0] if words else ""
    verbs = verbs_of(parser)
    named = next((word for word in words if word in verbs), None)
    knowing = [name for name, verb in verbs.items() if option in verb._option_string_actions]
    if option in parser._option_string_actions or named not in (None, *knowing) or not knowing:
        return
    raise InputError(f"argument {option}: stands before the verb; expected it behind, as in "
                     f"'pagewalk {named or knowing[0]} {option}'")
