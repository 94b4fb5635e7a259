"""``pagewalk conform``: access vectors, every field of every answer."""

import argparse

from ...hdl.config import Config
from ..conform import conform
from ..engine.base import Engine
from ..result import Result
from ..vectors import Vectors
from .common import (
    Progress,
    Verbs,
    add_engine,
    add_geometry,
    add_latency,
    add_ports,
    add_verb,
    compare,
    positive,
)
from .files import file_name

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "conform", _conform,
                      "Make the accesses of a file of access vectors and compare every field.")
    parser.add_argument("vectors", metavar="VECTORS.npz", type=file_name, help="access vectors")
    parser.add_argument("--limit", metavar="N", type=positive,
                        help="only N accesses, spread evenly over the file")
    add_engine(parser)
    add_latency(parser)
    add_ports(parser)
    add_geometry(parser)


def _conform(args: argparse.Namespace) -> int:
    vectors = Vectors.load(args.vectors)

    def work(engine: Engine, config: Config, progress: Progress) -> Result:
        return conform(vectors, engine, config=config, limit=args.limit, progress=progress)

    return compare(args, vectors.mode, work, source=args.vectors)
