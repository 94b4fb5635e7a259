"""Where a verb finds page tables to walk: toy tables, a memory image, or another file of memory."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ...model.mmu.control import Control
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PagingMode
from ..errors import InputError
from ..explain.toy_tables import ToyTables
from ..mapping.table_tree import require_mode
from ..memory_file.file_memory import FileMemory
from .files import file_name
from .memory_options import REGISTERS, opened_memory, processors

__all__ = ["TableSource", "add_source", "table_source"]


@dataclass(frozen=True, slots=True)
class TableSource:
    """The paging mode, the registers, and what makes a new memory with the tables as they are."""

    mode: PagingMode
    control: Control
    new_memory: Callable[[], PhysicalMemory]


def add_source(parser: argparse.ArgumentParser, *, required: bool, verb: str) -> None:
    """Add the options that name the file; ``verb`` says what is done with it."""
    source = parser.add_mutually_exclusive_group(required=required)
    source.add_argument("--image", "--dump", metavar="FILE", type=file_name,
                        help=f"{verb} in a memory image (.npz), or in any file that 'dump' reads")
    source.add_argument("--toy", metavar="FILE.toml", type=file_name,
                        help=f"{verb} in page tables written by hand; examples/tables has some")


def table_source(args: argparse.Namespace) -> TableSource:
    """Return what the options of ``add_source`` and ``add_memory_options`` name.

    Raise ``InputError``.
    """
    if args.toy is not None:
        toy = ToyTables(args.toy)
        _refuse(args, "places", "view", "cpu", "mode")
        given = {name: getattr(args, name) for name in REGISTERS}
        control = replace(toy.control, **{name: value for name, value in given.items()
                                          if value is not None})
        source = TableSource(toy.mode, control, toy.memory)
    else:
        file = opened_memory(args.image, args)
        cpu = processors(file, args)[0]
        source = TableSource(require_mode(file, cpu), cpu.control, partial(FileMemory, file))
    if args.pkru is None:
        return source
    return replace(source, control=replace(source.control, pkru=args.pkru))


def _refuse(args: argparse.Namespace, *names: str) -> None:
    """Raise ``InputError`` for options that toy tables have no use for."""
    for name in names:
        if getattr(args, name) not in (None, []):
            option = {"places": "map"}.get(name, name)
            raise InputError(f"argument --{option}: is not for toy tables; expected --image")
