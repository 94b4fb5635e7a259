"""Options of verbs that open physical memory: where a raw file has what, and registers."""

import argparse
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...model.mmu.control import REGISTER_WIDTHS
from ...model.x86 import MODES, PAGE_BYTES
from ..errors import InputError
from ..mapping.root_search import find_roots, mode_of_root
from ..memory_file.cpu_state import CpuState
from ..memory_file.frame_file import FrameFile
from ..memory_file.open_memory import open_memory
from ..memory_file.piece_map import MemoryPiece
from .common import MOST_DIGITS, natural
from .output import print_error

__all__ = ["add_memory_options", "add_registers", "bits", "opened_memory", "processors",
           "small_inputs"]

REGISTERS = ("cr3", "cr4", "cr0", "efer")
MOST_HASHED = 1 << 30  # bytes of an input whose hash is told


def bits(width: int) -> Callable[[str], int]:
    """Return what argparse calls to get a number of ``width`` bits, with 0x or decimal."""
    def number(text: str) -> int:
        digits = text[2:] if text[:2].lower() == "0x" else text
        base = 16 if digits != text else 10
        known = r"[0-9a-fA-F]+" if base == 16 else r"[0-9]+"
        if re.fullmatch(known, digits) and len(digits) <= MOST_DIGITS:
            value = int(digits, base)
            if value >> width == 0:
                return value
        shown = text if len(text) <= MOST_DIGITS else f"{text[:MOST_DIGITS]}..."
        raise argparse.ArgumentTypeError(
            f"expected a number of {width} bits, such as 0x1000 or 4096, not {shown!r}")

    return number


def place(text: str) -> MemoryPiece:
    """Return where a raw file has some memory, from ``START-END@OFFSET``, END not included."""
    parts = re.fullmatch(r"([0-9a-zA-Z]+)-([0-9a-zA-Z]+)@([0-9a-zA-Z]+)", text)
    if parts:
        start, end, offset = (bits(52)(part) for part in parts.groups())
        if start < end and start % PAGE_BYTES == 0:
            return MemoryPiece(start, end, offset)
    raise argparse.ArgumentTypeError(
        "expected START-END@OFFSET, such as 0x100000000-0x140000000@0xc0000000, START a multiple "
        f"of {PAGE_BYTES}, not {text[:MOST_DIGITS]!r}")


def add_memory_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what of a file of memory is meant."""
    parser.add_argument("--map", metavar="START-END@OFFSET", type=place, action="append",
                        default=[], dest="places",
                        help="a raw file has the physical addresses from START to END at OFFSET; "
                             "may be given more than once (all of it from address 0 on)")
    parser.add_argument("--view", metavar="NAME",
                        help="the view of a memory image (the first)")
    parser.add_argument("--cpu", metavar="N", type=natural,
                        help="only the processor N of those whose registers the file has")
    add_registers(parser)


def add_registers(parser: argparse.ArgumentParser) -> None:
    """Add the registers and the paging mode, in place of those of a file."""
    group = parser.add_argument_group("registers, in place of those in the file")
    for name in REGISTERS:
        group.add_argument(f"--{name}", metavar="VALUE", type=bits(REGISTER_WIDTHS[name]),
                           help=f"the value of {name.upper()}")
    group.add_argument("--mode", choices=MODES,
                       help="the paging mode of --cr3 (that of the file, or the one in which CR3 "
                            "is the root of sound page tables)")


def opened_memory(path: str, args: argparse.Namespace) -> FrameFile:
    """Return the memory in the file ``path``; raise ``InputError``."""
    return open_memory(path, places=args.places, view_name=args.view)


def processors(file: FrameFile, args: argparse.Namespace) -> list[CpuState]:
    """Return the processors that are meant: those of the options, of the file, or a found root.

    Raise ``InputError`` if there are none.
    """
    if args.cr3 is not None:
        return [_given(file, args)]
    if args.mode is not None:
        raise InputError("argument --mode: is the mode of --cr3, which is missing; expected both")
    cpus = [*file.cpus]
    if args.cpu is not None:
        if args.cpu >= len(cpus):
            raise InputError(f"argument --cpu: is {args.cpu}; expected less than {len(cpus)}, the "
                             f"number of processors whose registers {file.path} has")
        cpus = [cpus[args.cpu]]
    if not cpus:
        cpus = [_found(file)]
    cpus = [_changed(cpu, args) for cpu in cpus]
    return [cpu for cpu in cpus if cpu.paging] or cpus


def _given(file: FrameFile, args: argparse.Namespace) -> CpuState:
    """Return the processor that ``--cr3`` and the other options tell of."""
    number = args.cpu or 0
    if args.mode is None and number < len(file.cpus) and file.cpus[number].mode is not None:
        known = file.cpus[number]
        return _changed(CpuState("CR3", known.control), args)
    mode = MODES[args.mode] if args.mode is not None else mode_of_root(file, args.cr3)
    if mode is None:
        raise InputError(f"argument --cr3: {args.cr3:#x} is the root of sound page tables in no "
                         f"mode; expected another value, or --mode, one of {', '.join(MODES)}")
    return _changed(CpuState.in_mode("CR3", mode, args.cr3), args)


def _found(file: FrameFile) -> CpuState:
    """Return a processor with the most plausible CR3, and say so on standard error."""
    roots = find_roots(file)
    if not roots:
        raise InputError(f"{file.path}: has no registers, and no page tables were found in it; "
                         "expected memory of an x86 machine, or --cr3")
    print_error(f"pagewalk: {file.path} has no registers; of {len(roots)} plausible values of CR3 "
                f"{roots[0].cr3:#x} is taken. --search lists them, --cr3 "
                "takes another.")
    return CpuState.in_mode("CR3", roots[0].mode, roots[0].cr3)


def _changed(cpu: CpuState, args: argparse.Namespace) -> CpuState:
    values: dict[str, Any] = {name: getattr(args, name) for name in REGISTERS
                              if getattr(args, name) is not None}
    return replace(cpu, control=replace(cpu.control, **values)) if values else cpu


def small_inputs(*paths: str) -> list[str]:
    """Return those of the files that are small enough to be hashed for ``--json``."""
    return [path for path in paths if Path(path).stat().st_size <= MOST_HASHED]
