"""What happens when no memory is left: the process that has most is killed. [mm/oom_kill.c]"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .process import Process
from .process_table import ProcessTable
from .swap.errors import SwapIoError

__all__ = ["OomKill", "OomKilled", "OomKiller", "select_bad_process"]


@dataclass(frozen=True, slots=True)
class OomKill:
    """A process that was killed for its memory; ``pages`` is what it had. [oom_kill_process]"""

    pid: int
    name: str
    pages: int

    def __str__(self) -> str:
        """Return it as the kernel prints it, but for the counts of kinds of pages."""
        return f"Out of memory: Killed process {self.pid} ({self.name}) pages:{self.pages}"


class OomKilled(Exception):
    """A system call that did not return, as its process was killed for its memory."""

    def __init__(self, kill: OomKill) -> None:
        super().__init__(str(kill))
        self.kill = kill


def select_bad_process(processes: Iterable[Process]) -> Process | None:
    """Return the process that has most memory, the last of equals; None if there is none.

    ``processes`` come in the order of their making. [oom_evaluate_task]
    """
    chosen, points = None, 0
    for process in processes:
        badness = process.badness
        if chosen is None or badness >= points:
            chosen, points = process, badness
    return chosen


class OomKiller:
    """Kills processes for their memory.

    Parameters
    ----------
    processes
        Those that may be killed.

    Members
    -------
    enabled
        Whether anybody may be killed now.
    kills
        The processes that were killed, oldest first.
    """

    def __init__(self, processes: ProcessTable) -> None:
        self.kills: list[OomKill] = []
        self._processes = processes
        self.enabled = True

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Let nobody be killed for memory that is lacking meanwhile. [oom_killer_disable]"""
        before, self.enabled = self.enabled, False
        try:
            yield
        finally:
            self.enabled = before

    def kill(self, write_error: SwapIoError | None) -> bool:
        """Kill the process that has most memory; return whether one was.

        A process that the kernel works for is not ended here, under the feet of that work: raise
        ``OomKilled``, and ``Kernel.acting`` ends it. Nobody is killed if it is a swap device that
        fails for which there is no memory: raise ``write_error``, which it failed with.
        [out_of_memory]
        """
        if not self.enabled:
            return False
        if write_error is not None:
            raise write_error
        processes = self._processes
        victim = select_bad_process(processes.by_pid.values())
        if victim is None:
            return False
        kill = OomKill(victim.pid, victim.name, victim.badness)
        self.kills.append(kill)
        if victim in processes.actors:
            raise OomKilled(kill)
        processes.exit(victim)
        return True
