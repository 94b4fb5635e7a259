"""The option ``--vcd``: every signal of the hardware, in every cycle, as a file."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import TextIO

from ...hdl.config import Config
from ..engine import create
from ..engine.base import Engine, WaveformFailed
from ..errors import InputError, writing
from .files import output_name
from .output import STDOUT

__all__ = ["VCD_SIZE", "Begin", "add_vcd", "check_vcd", "engine_maker", "waveform_file"]

Begin = Callable[[Callable[[TextIO], AbstractContextManager[None]]], None]

VCD_SIZE = "about 4 Mbytes for each 1,000 cycles, more if the hardware is larger"


def add_vcd(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file."""
    parser.add_argument("--vcd", metavar="FILE", type=output_name,
                        help="with --engine amaranth: write all signals of the hardware to FILE, "
                             f"for a waveform viewer; {VCD_SIZE}")


def check_vcd(args: argparse.Namespace) -> None:
    """Raise ``InputError`` if the file is asked for of an engine that cannot write it."""
    if getattr(args, "vcd", None) is None:
        return
    if args.vcd == STDOUT:
        raise InputError("argument --vcd: standard output takes no waveforms; expected a file name")
    if getattr(args, "engine", "amaranth") != "amaranth":
        raise InputError(f"argument --vcd: the engine {args.engine} writes no waveforms; expected "
                         "--engine amaranth")


@contextmanager
def engine_maker(args: argparse.Namespace) -> Iterator[Callable[[Config], Engine]]:
    """Open the file of ``--vcd``, and give what makes the engine that ``args`` asks for, once.

    The waveforms of all its runs go to the file; see ``waveform_file``.
    """
    if args.vcd is None:
        yield lambda config: create(args.engine, config, latency=args.latency)
        return
    with waveform_file(args.vcd) as begin:
        yield lambda config: _recorded(begin, config, args.latency)


def _recorded(begin: Begin, config: Config, latency: int) -> Engine:
    """Return an engine in Amaranth's simulator that writes its signals to a file."""
    from ..engine.amaranth import AmaranthEngine

    engine = AmaranthEngine(config, latency)
    begin(engine.write_vcd)
    return engine


@contextmanager
def waveform_file(path: Path) -> Iterator[Begin]:
    """Open the file ``path``, and give a function that begins to write waveforms to it.

    It is called once, with what takes a file and returns the block in which they are written. That
    ends with this one, whatever ends this: the file is whole. It is opened before the work is done,
    but what was in it stays until waveforms begin. Raise ``InputError`` for one that cannot be
    written.
    """
    is_new = not os.path.lexists(path)
    with writing(path):
        file = path.open("a", encoding="utf-8")
    try:
        with ExitStack() as recording:
            def begin(write: Callable[[TextIO], AbstractContextManager[None]]) -> None:
                nonlocal is_new
                if S_ISREG(os.fstat(file.fileno()).st_mode):
                    file.truncate(0)
                recording.enter_context(write(file))
                is_new = False

            yield begin
    except WaveformFailed as error:
        raise InputError(f"{path}: cannot be written: {error}; expected a file name") from None
    finally:
        if is_new:
            with suppress(OSError):
                path.unlink()
        with suppress(OSError):  # that of a write that has failed
            file.close()
