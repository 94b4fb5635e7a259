"""Whose turn it is: tasks run round robin, each for a number of instructions."""

import signal

from ...model.kernel.tasks.signal_info import SiginfoCode, SignalInfo
from ...model.kernel.tasks.signal_rules import bit
from ...model.kernel.tasks.task import Task
from ...model.kernel.tasks.task_table import TaskTable
from .program_clock import ProgramClock
from .task_wait import Restart, TaskWait, restart_of

__all__ = ["Scheduler", "WaitsForEver", "has_expired", "is_interrupted"]


class WaitsForEver(Exception):
    """All tasks wait for what none of them will do."""


def is_interrupted(task: Task) -> bool:
    """Return whether a signal ends what a task waits for. [signal_pending_state]"""
    wait: TaskWait | None = task.waiting
    if wait is not None and restart_of(wait) is Restart.DEADLY:
        return bool(task.deliverable & bit(signal.SIGKILL))
    return bool(task.deliverable)


def has_expired(task: Task, now: int) -> bool:
    """Return whether a task has waited as long as it may."""
    deadline = task.waiting.deadline
    return deadline is not None and deadline <= now


class Scheduler:
    """Chooses which task runs next, and lets time pass when all wait.

    Parameters
    ----------
    tasks
        The tasks.
    clock
        What their time limits are measured by.
    """

    def __init__(self, tasks: TaskTable, clock: ProgramClock) -> None:
        self._tasks = tasks
        self._clock = clock
        self._next = 0  # the place of the task to be asked first
        self._last: Task | None = None

    def choose(self) -> Task | None:
        """Return the task that runs next, None if there is none; raise ``WaitsForEver``."""
        tasks = self._tasks.tasks
        while tasks:
            self.ring()
            if self._last in tasks:
                self._next = tasks.index(self._last) + 1
            for step in range(len(tasks)):
                task = tasks[(self._next + step) % len(tasks)]
                if self._can_run(task):
                    self._last = task
                    self._next = tasks.index(task)
                    return task
            self._idle()
        return None

    def _can_run(self, task: Task) -> bool:
        wait: TaskWait | None = task.waiting
        if task.group.stopped:
            return False
        return (wait is None or wait.blocked.ready() or has_expired(task, self._clock.uptime)
                or is_interrupted(task))

    def _deadlines(self) -> list[int]:
        found = [task.waiting.deadline for task in self._tasks.tasks
                 if task.waiting is not None and task.waiting.deadline is not None
                 and not task.group.stopped]
        return found + [one.alarm_at for one in self._tasks.groups.values()
                        if one.alarm_at is not None] + [
            timer.at for one in self._tasks.groups.values() for timer in one.timers.values()
            if timer.at is not None]

    def _idle(self) -> None:
        """Let time pass until a task can run; raise ``WaitsForEver`` if none ever can."""
        deadlines = self._deadlines()
        if not deadlines:
            waits = ", ".join(
                f"task {task.tid} is stopped" if task.group.stopped
                else f"task {task.tid} in {task.waiting.name}" for task in self._tasks.tasks)
            raise WaitsForEver(f"all wait for what none of them will do: {waits}")
        self._clock.slept += max(0, min(deadlines) - self._clock.uptime)

    def time_left(self, most: int) -> int:
        """Return how many instructions may run before a time limit, at least 1, at most so many.

        """
        left = min((at - self._clock.uptime for at in self._deadlines()), default=most)
        return max(1, min(left, most))

    def ring(self) -> None:
        """Send the alarms that are due. [it_real_fn]"""
        for group in list(self._tasks.groups.values()):
            if group.alarm_at is not None and group.alarm_at <= self._clock.uptime:
                group.alarm_at = (group.alarm_at + group.alarm_every if group.alarm_every
                                  else None)
                self._tasks.send_group(group, SignalInfo(signal.SIGALRM, SiginfoCode.KERNEL))
            for timer in group.timers.values():
                self._tasks.ring(group, timer, self._clock.uptime)
