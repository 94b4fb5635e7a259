"""``pagewalk tour``: the kernel model at work, with its state before and after each step."""

import argparse
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext

from ..errors import InputError
from ..html.tour_page import tour_page
from ..tour.topics import TOURS
from ..tour.tour_text import step_figures, step_text
from .common import AGREED, Verbs, add_verb, json_file
from .conditions import conditions
from .output import printing
from .page_file import add_page, page_file, taken_output

__all__ = ["add"]

END_KEYS = (b"q", b"\x04", b"")  # q, Ctrl-D, and the end of the terminal


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "tour", _tour,
                      "Short runs of the kernel model, told step by step, with its state in the "
                      "formats of Linux.")
    add_page(parser)
    parser.add_argument("topic", metavar="TOPIC", choices=TOURS, nargs="?",
                        help=f"one of {', '.join(TOURS)}")
    parser.add_argument("--list", action="store_true", help="say what each tour is about")
    parser.add_argument("--step", action="store_true",
                        help="wait for a key after each step; q ends the tour")


def _tour(args: argparse.Namespace) -> int:
    if args.list == (args.topic is not None):
        raise InputError("argument TOPIC: expected one of " + ", ".join(TOURS)
                         + ", or --list alone")
    if args.list and args.html is not None:
        raise InputError("argument --html: is for a tour; expected a TOPIC")
    if args.step and not (sys.stdin is not None and sys.stdin.isatty()):
        raise InputError("argument --step: standard input is no terminal; expected one, for keys")
    return _list(args) if args.list else _run(args)


def _list(args: argparse.Namespace) -> int:
    with json_file(args.json) as write:
        write({"topics": {name: topic.about for name, topic in TOURS.items()}} | conditions(args))
    with printing(args.json) as console:
        for name, topic in TOURS.items():
            console.print(f"{name:<8}{topic.about}")
    return AGREED


def _run(args: argparse.Namespace) -> int:
    topic, steps_shown = TOURS[args.topic], []
    with json_file(args.json) as write, page_file(args.html) as show:
        try:
            tour = topic.make()
        except OSError as error:
            raise InputError(f"the swap file of the tour: {error.strerror or error}; expected "
                             "room in the folder for temporary files") from None
        with (closing(tour.steps()) as steps, printing(taken_output(args)) as console,
              _keys() if args.step else nullcontext(lambda: True) as goes_on):
            console.print(f"{topic.about[0].upper()}{topic.about[1:]}\n")
            for number, step in enumerate(steps, 1):
                for line in step_text(number, step):
                    console.print(line)
                steps_shown.append(step_figures(step))
                if not goes_on():
                    break
        figures = {"topic": args.topic, "about": topic.about, "steps": steps_shown}
        known = conditions(args)
        write(figures | known)
        show(lambda: tour_page(figures), known)
    return AGREED


@contextmanager
def _keys() -> Iterator[Callable[[], bool]]:
    """Give what waits for a key of the terminal, and returns whether the tour is to go on.

    Meanwhile the terminal gives each key at once, and does not show it.
    """
    terminal = sys.stdin.fileno()
    usual = termios.tcgetattr(terminal)

    def goes_on() -> bool:
        sys.stdout.flush()
        return os.read(terminal, 1) not in END_KEYS

    try:
        tty.setcbreak(terminal, termios.TCSADRAIN)
        yield goes_on
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, usual)
