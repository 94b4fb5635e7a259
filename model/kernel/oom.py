"""What happens when no memory is left: the process that has most is killed. [mm/oom_kill.c]"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .process import Process
from .process_table import ProcessTable

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
    """Return the process that has most memory, the first of equals; None if there is none."""
    return max(processes, key=lambda one: one.badness, default=None)


class OomKiller:
    """Kills processes for their memory.

    Parameters
    ----------
    processes
        Those that may be killed.

    Members
    -------
    kills
        The processes that were killed, oldest first.
    """

    def __init__(self, processes: ProcessTable) -> None:
        self.kills: list[OomKill] = []
        self._processes = processes
        self._disabled = False

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Let nobody be killed for memory that is lacking meanwhile. [oom_killer_disable]"""
        before, self._disabled = self._disabled, True
        try:
            yield
        finally:
            self._disabled = before

    def kill(self) -> bool:
        """Kill the process that has most memory; return whether one was.

        A process that the kernel works for is not ended here, under the feet of that work: raise
        ``OomKilled``, and ``Kernel.acting`` ends it. [out_of_memory]
        """
        processes = self._processes
        victim = select_bad_process(processes.by_pid.values())
        if victim is None or self._disabled:
            return False
        kill = OomKill(victim.pid, victim.name, victim.badness)
        self.kills.append(kill)
        if victim in processes.actors:
            raise OomKilled(kill)
        processes.exit(victim)
        return True
