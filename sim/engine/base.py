"""What an engine is: commands in, answers out, both as numpy records.

``engine.create`` makes one, and takes a ``MemoryModel`` or the latency of page-table memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...hdl.config import Config
from ...model.physical.memory import PhysicalMemory
from .memory_model import MemoryModel

__all__ = ["BUS_ERROR", "Engine", "EngineStalled", "Run", "WaveformFailed", "check_stops",
           "stall_limit"]


class EngineStalled(Exception):
    """The hardware made no progress for so long that it never will."""


class WaveformFailed(Exception):
    """The file that signals are written to cannot be written any more; the reason in words."""


BUS_ERROR = np.dtype([("cycle", "<u8"), ("paddr", "<u8")])
"""The record of a bus error: when the MMU took the response, and the address of the access."""


@dataclass(frozen=True, slots=True)
class Run:
    """Answers (N,) of dtype ``ANSWER`` in the order of the commands, and what the run cost.

    ``cycles`` counts clock cycles, 0 for the model; ``events`` counts cycles in which each bit of
    the MMU's ``events`` port was set, by flat name, empty for the model. ``bus_errors``, of dtype
    ``BUS_ERROR``, are those that a ``MemoryModel`` brought about by chance, in the order of time;
    what comes from an address without memory is not among them.

    ``stopped`` says that a fault stopped the run, so that the commands behind those answered were
    not begun. With ``precise``, as ``stop_on_fault`` stops, that fault is the last answer.
    """

    answers: NDArray[np.void]
    cycles: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    stopped: bool = False
    precise: bool = True
    bus_errors: NDArray[np.void] = field(default_factory=lambda: np.zeros(0, BUS_ERROR))

    @property
    def done(self) -> int:
        """Number of commands that are done, so that a next run would begin behind them.

        They are all that are answered; but the one whose fault stopped a run precisely is not done.
        """
        return len(self.answers) - (self.stopped and self.precise)


def check_stops(stop_on_fault: bool, stop_on_unexpected: bool) -> None:
    """Raise ``ValueError`` if a run is to stop in both ways."""
    if stop_on_fault and stop_on_unexpected:
        raise ValueError("A run stops on every fault or on unexpected ones, not on both")


def stall_limit(config: Config, model: MemoryModel) -> int:
    """Return the cycles without progress after which an engine of an MMU gives up.

    Before it accepts a command an MMU may have to go through its sets, a sweep of the second level
    in two cycles each, before which another may be under way.
    """
    second_level = config.l2_entries // config.l2_ways
    return model.stall_limit + 2 * (config.sets + 2 * second_level)


class Engine(Protocol):
    """Something that carries out commands against page tables in a physical memory.

    ``config`` has the parameters of the MMU that it is, or whose answers it gives.
    """

    @property
    def config(self) -> Config: ...

    def run(
        self,
        memory: PhysicalMemory,
        commands: NDArray[np.void],
        *,
        stop_on_fault: bool = False,
        stop_on_unexpected: bool = False,
    ) -> Run:
        """Carry out ``commands`` (N,) of dtype ``COMMAND`` in order, on page tables in ``memory``.

        TLB contents persist from one call to the next, even if ``memory`` is another one:
        invalidate between them, as software would. Raise ``EngineStalled``, and ``ValueError`` or
        ``IndexError`` for commands that ``intake.check_commands`` refuses, before any is begun.

        With ``stop_on_fault`` the run ends at the first fault of an access, precisely: commands
        before it are done, of later ones there is no trace. For this no command is offered before
        all accesses through ports other than its own are answered, nor with a hit latency of 2
        before those through its own. The exception is #MC of the
        data themselves, which comes when the next access through the port may have been
        translated; that access has no other effect than flags in page tables and TLB entries.

        With ``stop_on_unexpected``, which excludes the other, nothing waits. After the cycle in
        which an access without ``expect_fault`` is answered with a fault, no command is begun any
        more, and one on offer is withdrawn; what was accepted by then is done, and the run ends
        when it is answered. ``Run.answers`` has all commands whose turn was over, which are done;
        the fault is any of them, and there may be further ones behind it. The model, which has
        no cycles, takes many accesses in a row as accepted together.
        """
        ...
