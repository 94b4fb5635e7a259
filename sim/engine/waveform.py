"""Waveforms of a simulation in Amaranth's simulator, written while it runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TextIO

from amaranth.sim import Simulator

from .base import WaveformFailed

__all__ = ["recorded", "telling_failures"]


@contextmanager
def recorded(simulator: Simulator, file: TextIO) -> Iterator[None]:
    """Write each signal and memory of a simulator to ``file`` in the block, as VCD.

    It must not have run before. Members of structures and enumerations are there by name. Whatever
    ends the block, the file has all that was before. Raise ``WaveformFailed`` for what cannot be
    written.
    """
    writer = ExitStack()
    writer.enter_context(simulator.write_vcd(file))
    try:
        yield
    finally:
        with telling_failures():
            writer.close()
            file.flush()


@contextmanager
def telling_failures() -> Iterator[None]:
    """Raise ``WaveformFailed`` if a simulator that is ``recorded`` cannot write in the block."""
    try:
        yield
    except OSError as error:
        raise WaveformFailed(error.strerror or error) from None
