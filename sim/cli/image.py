"""``pagewalk image``: what is in a memory image, or a cut of it."""

import argparse

from ..errors import InputError
from ..image import Image
from ..report import image_summary, image_table
from .common import AGREED, Verbs, add_image, add_verb, json_file
from .conditions import conditions
from .files import output_name
from .output import STDOUT, printing

__all__ = ["add"]


def add(verbs: Verbs) -> None:
    """Add the verb to the command line."""
    parser = add_verb(verbs, "image", _image,
                      "List the views of a memory image, or cut a smaller image from it.")
    add_image(parser)
    parser.add_argument("-o", metavar="OUT.npz", type=output_name, dest="output",
                        help="write the views and probes chosen, and the page tables that their "
                             "walks read, to OUT.npz")


def _image(args: argparse.Namespace) -> int:
    if args.output == STDOUT:
        raise InputError("argument -o: standard output takes no archive; expected a file name")
    image = Image.load(args.image)
    known = conditions(args, inputs=[args.image])  # before -o may write to the same file
    if args.view is not None or args.limit is not None:
        image = image.cut(args.view, args.limit)
    with json_file(args.json) as write:
        if args.output is not None:
            image.save(args.output)
        write(image_summary(image) | known)
    with printing(args.json) as console:
        console.print(image_table(image))
    return AGREED
