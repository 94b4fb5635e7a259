"""The option ``--html`` of a verb, and the file that it names."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..html.document import Document
from .files import output_file, output_name
from .output import STDOUT

__all__ = ["add_page", "page_file", "taken_output"]

Show = Callable[[Callable[[], Document], Mapping[str, Any]], None]


def add_page(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument("--html", metavar="FILE", type=output_name,
                        help="write all of it to FILE as one HTML page, which needs no network and "
                             "no script; - is standard output")


@contextmanager
def page_file(path: Path | None) -> Iterator[Show]:
    """Open the file of ``--html`` as ``output_file`` does, and give what writes a page to it.

    That is called with what makes the page, and with the ``conditions`` of the figures in it, which
    are told at its foot. Without a file no page is made.
    """
    if path is None:
        yield lambda _, __: None
        return
    with output_file(path) as write:
        def show(make: Callable[[], Document], known: Mapping[str, Any]) -> None:
            page = make()
            page.note(f"Made by pagewalk {known['version']}.")
            for one in known["inputs"]:
                page.note(f"Read: {one['name']}, SHA-256 {one['sha256']}.")
            write(page.text())

        yield show


def taken_output(args: argparse.Namespace) -> Path | None:
    """Return ``STDOUT`` if figures or a page are written there, where nothing else may be."""
    pages = (args.html, getattr(args, "try_to", None))
    return STDOUT if STDOUT in (args.json, *pages) else None
