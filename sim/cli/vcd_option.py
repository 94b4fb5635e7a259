"""The option ``--vcd``: every signal of the hardware, in every cycle, as a file."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from stat import S_ISREG
from typing import Any

from ...hdl.config import Config
from ..engine import create
from ..engine.base import Engine, WaveformFailed
from ..errors import InputError, writing
from .files import output_name
from .output import STDOUT

__all__ = ["add_vcd", "check_vcd", "engine_maker"]


def add_vcd(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the file."""
    parser.add_argument("--vcd", metavar="FILE", type=output_name,
                        help="with --engine amaranth: write all signals of the hardware to FILE, "
                             "for a waveform viewer; about 4 Mbytes for each 1,000 cycles, more "
                             "if the hardware is larger")


def check_vcd(args: argparse.Namespace) -> None:
    """Raise ``InputError`` if the file is asked for of an engine that cannot write it."""
    if getattr(args, "vcd", None) is None:
        return
    if args.vcd == STDOUT:
        raise InputError("argument --vcd: standard output takes no waveforms; expected a file name")
    if args.engine != "amaranth":
        raise InputError(f"argument --vcd: the engine {args.engine} writes no waveforms; expected "
                         "--engine amaranth")


@contextmanager
def engine_maker(args: argparse.Namespace) -> Iterator[Callable[[Config], Engine]]:
    """Open the file of ``--vcd``, and give what makes the engine that ``args`` asks for, once.

    The file is opened before the work is done, but what was in it stays until there is an engine.
    It is whole whatever ends the work. Raise ``InputError`` for one that cannot be written.
    """
    if args.vcd is None:
        yield lambda config: create(args.engine, config, latency=args.latency)
        return
    is_new = not os.path.lexists(args.vcd)
    with writing(args.vcd):
        file = args.vcd.open("a", encoding="utf-8")
    try:
        with ExitStack() as recording:
            def make(config: Config) -> Engine:
                nonlocal is_new
                engine = _recorded(recording, config, args.latency, file)
                is_new = False
                return engine

            yield make
    except WaveformFailed as error:
        raise InputError(f"{args.vcd}: cannot be written: {error}; expected a file name") from None
    finally:
        if is_new:
            with suppress(OSError):
                args.vcd.unlink()
        with suppress(OSError):  # that of a write that has failed
            file.close()


def _recorded(recording: ExitStack, config: Config, latency: int, file: Any) -> Engine:
    """Return an engine that writes its signals to a file until ``recording`` ends."""
    from ..engine.amaranth import AmaranthEngine

    engine = AmaranthEngine(config, latency)
    if S_ISREG(os.fstat(file.fileno()).st_mode):
        file.truncate(0)
    recording.enter_context(engine.write_vcd(file))
    return engine
