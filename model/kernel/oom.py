"""What happens when no memory is left: the process that has most is killed. [mm/oom_kill.c]"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..physical.out_of_memory import OutOfMemory
from .panic import DeadlockedOnMemory
from .process import Process
from .process_table import ProcessTable
from .swap.errors import SwapIoError

__all__ = ["OomKill", "OomKilled", "OomKiller", "oom_badness", "select_bad_process"]


OOM_SCORE_ADJ_MIN = -1000


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


def oom_badness(process: Process, total_pages: int) -> int | None:
    """Return by how many pages a process is a candidate, None if it must not be killed.

    ``total_pages`` are those of memory and swap together: a process counts a thousandth of them
    more for each point of its ``oom_score_adj``. [oom_badness, oom_unkillable_task]
    """
    if process.is_init or process.oom_score_adj == OOM_SCORE_ADJ_MIN:
        return None
    return process.badness + process.oom_score_adj * (total_pages // 1000)


def select_bad_process(processes: Iterable[Process], total_pages: int = 0) -> Process | None:
    """Return the process that is to be killed, the last of equals; None if there is none.

    That is one that brings back a swap area, or else the one with the highest badness; the first
    process of the machine is left alone. ``processes`` come in the order of their making.
    [oom_evaluate_task, oom_unkillable_task]
    """
    chosen, most = None, 0
    for process in processes:
        if process.is_init:
            continue
        if process.is_oom_origin:
            return process
        points = oom_badness(process, total_pages)
        if points is not None and (chosen is None or points >= most):
            chosen, most = process, points
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

    @contextmanager
    def origin(self, process: Process | None) -> Iterator[None]:
        """Have a process killed before all others meanwhile, or nobody for None.

        [set_current_oom_origin]
        """
        if process is None:
            with self.disabled():
                yield
            return
        process.is_oom_origin = True
        try:
            yield
        finally:
            process.is_oom_origin = False

    def kill(self, error: OutOfMemory, write_error: SwapIoError | None,
             total_pages: int) -> bool:
        """Kill a process for an allocation that failed with ``error``; return whether one was.

        A process that the kernel works for is not ended here, under the feet of that work: raise
        ``OomKilled``, and ``Kernel.acting`` ends it. Nobody is killed if it is a swap device that
        fails for which there is no memory: raise ``write_error``, which it failed with. Raise
        ``DeadlockedOnMemory`` if nobody may be killed. ``total_pages`` is as for ``oom_badness``.
        [out_of_memory]
        """
        if not self.enabled:
            return False
        if write_error is not None:
            raise write_error
        processes = self._processes
        victim = select_bad_process(processes.by_pid.values(), total_pages)
        if victim is None:
            raise DeadlockedOnMemory(error.order, error.gfp, error.refusals) from error
        kill = OomKill(victim.pid, victim.name, victim.badness)
        self.kills.append(kill)
        if victim in processes.actors:
            raise OomKilled(kill)
        processes.exit(victim)
        return True
