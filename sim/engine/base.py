"""What an engine is: commands in, answers out, both as numpy records.

``engine.create`` makes one, and takes the latency of page-table memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...model.physical.memory import PhysicalMemory

__all__ = ["Engine", "EngineStalled", "Run", "stall_limit"]


class EngineStalled(Exception):
    """The hardware made no progress for so long that it never will."""


def stall_limit(latency: int) -> int:
    """Return after how many cycles without any progress an engine gives up.

    ``latency`` is that of page-table memory in cycles. A walk makes at most a few accesses in
    turn, and each of them is progress.
    """
    return 100 + 10 * latency


@dataclass(frozen=True, slots=True)
class Run:
    """Answers (N,) of dtype ``ANSWER`` in the order of the commands, and what the run cost.

    ``cycles`` counts clock cycles, 0 for the model; ``events`` counts cycles in which each bit of
    the MMU's ``events`` port was set, by flat name, empty for the model.

    A run that ``stopped`` did so at the fault that is its last answer; it has no later ones.
    """

    answers: NDArray[np.void]
    cycles: int = 0
    events: Mapping[str, int] = field(default_factory=dict)
    stopped: bool = False

    @property
    def done(self) -> int:
        """Number of commands that are done: the faulting one at which a run stopped is not."""
        return len(self.answers) - self.stopped


class Engine(Protocol):
    """Something that carries out commands against page tables in a physical memory."""

    def run(
        self, memory: PhysicalMemory, commands: NDArray[np.void], *, stop_on_fault: bool = False
    ) -> Run:
        """Carry out ``commands`` (N,) of dtype ``COMMAND`` in order, on page tables in ``memory``.

        TLB contents persist from one call to the next, even if ``memory`` is another one:
        invalidate between them, as software would. Raise ``EngineStalled``, and ``ValueError`` for
        data of a size or at an address that is not permitted.

        With ``stop_on_fault`` the run ends at the first fault of an access, precisely: commands
        before it are done, of later ones there is no trace. For this no command is offered before
        all accesses through ports other than its own are answered. The exception is #MC of the
        data themselves, which comes when the next access through the port may have been
        translated; that access has no other effect than flags in page tables and TLB entries.
        """
        ...
