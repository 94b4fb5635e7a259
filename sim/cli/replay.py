"""``pagewalk replay``: every probe of a memory image."""

import argparse

from ...hdl.config import Config
from ...model.x86 import MODES
from ..engine.base import Engine
from ..errors import InputError
from ..image import Image
from ..replay import replay
from ..result import Result
from .common import (
    Progress,
    Verbs,
    add_engine,
    add_geometry,
    add_image,
    add_latency,
    add_ports,
    add_verb,
    compare,
)

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "replay", _replay,
                      "Translate the probes of a memory image and compare every answer.")
    add_image(parser)
    add_engine(parser)
    parser.add_argument("--mode", choices=MODES, help="refuse an image of another paging mode")
    add_latency(parser)
    add_ports(parser)
    add_geometry(parser)


def _replay(args: argparse.Namespace) -> int:
    image = Image.load(args.image)
    if args.mode not in (None, image.mode.name):
        raise InputError(f"{image.path}: frame_data holds entries of {image.mode.name} paging; "
                         f"expected {args.mode}, as --mode says")
    image.select(args.view)

    def work(engine: Engine, config: Config, progress: Progress) -> Result:
        return replay(image, engine, views=args.view, config=config, limit=args.limit,
                      progress=progress)

    return compare(args, image.mode, work, source=args.image)
