"""What happens when no memory is left: the process that has most is killed. [mm/oom_kill.c]"""

from collections.abc import Iterable
from dataclasses import dataclass

from .process import Process

__all__ = ["OomKill", "OomKilled", "select_bad_process"]


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
