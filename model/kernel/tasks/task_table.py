"""The tasks of a machine: who is whose child, who ends, who waits, who gets which signal.

[kernel/fork.c, kernel/exit.c, kernel/signal.c]
"""

import errno
import signal
from collections.abc import Callable, Collection

from ...address_space.errors import SysError
from ..process import INIT_PID, Process
from .posix_timer import PosixTimer
from .signal_info import CldCode, SiginfoCode, SignalInfo
from .signal_rules import IGNORE, STOPPING, SigFlag, bit
from .task import Task, TaskGroup

__all__ = ["TaskTable"]

FIRST_REALTIME = 32


class TaskTable:
    """The tasks, at first that of one program.

    Parameters
    ----------
    process
        The process of that program.

    Members
    -------
    first
        Its task.
    tasks
        Those that live, in the order in which they run.
    groups
        The processes by pid, those among them that have ended and were not waited for.
    """

    def __init__(self, process: Process) -> None:
        self.tasks: list[Task] = []
        self.groups: dict[int, TaskGroup] = {}
        self.first = self._add(TaskGroup(process, None, process.pid, INIT_PID), process.pid)

    def _add(self, group: TaskGroup, tid: int) -> Task:
        task = Task(tid, group)
        group.tasks.append(task)
        self.tasks.append(task)
        self.groups[group.pid] = group
        return task

    def by_tid(self, tid: int) -> Task:
        """Return a task; raise ``SysError(ESRCH)``."""
        for task in self.tasks:
            if task.tid == tid:
                return task
        raise SysError(errno.ESRCH)

    # ---- beginning and ending

    def fork(self, parent: Task, process: Process, exit_signal: int, *,
             shares_actions: bool = False, of_parent: bool = False) -> Task:
        """Return the task of a child, whose process is made already. [copy_process]

        It may have what is asked for signals in common with its parent, and be a child of that
        one's parent. [CLONE_SIGHAND, CLONE_PARENT]
        """
        above = parent.group
        actions = above.actions if shares_actions else dict(above.actions)
        kin = above.parent if of_parent else above
        if of_parent:
            exit_signal = above.exit_signal
        group = TaskGroup(process, kin, above.pgid, above.sid, actions=actions,
                          exit_signal=exit_signal, nice=above.nice,
                          personality=above.personality, no_new_privs=above.no_new_privs)
        if kin is not None:
            kin.children.append(group)
        child = self._add(group, process.pid)
        child.blocked, child.tls = parent.blocked, dict(parent.tls)
        return child

    def thread(self, parent: Task, tid: int) -> Task:
        """Return a new task of the same process."""
        child = self._add(parent.group, tid)
        child.blocked, child.tls = parent.blocked, dict(parent.tls)
        return child

    def end_task(self, task: Task) -> None:
        """Have a task no more, which is not the last of its process."""
        task.group.tasks.remove(task)
        self.tasks.remove(task)

    def end_group(self, group: TaskGroup, wait_status: int) -> None:
        """End a process with all its tasks; its parent is told. [do_exit, exit_notify]"""
        for task in list(group.tasks):
            task.released = True
            self.end_task(task)
        group.wait_status, group.alarm_at = wait_status, None
        group.timers.clear()
        for child in group.children:
            child.parent = None
            if child.wait_status is not None:
                del self.groups[child.pid]
        group.children.clear()
        self._notify(group)

    def _notify(self, group: TaskGroup) -> None:
        """Tell a parent of an end, unless it wants to know of none. [do_notify_parent]"""
        parent, status = group.parent, group.wait_status
        assert status is not None, "it has ended"
        if parent is None:
            del self.groups[group.pid]
            return
        action = parent.action(signal.SIGCHLD)
        forgets = group.exit_signal == signal.SIGCHLD and (
            action.handler == IGNORE or action.flags & SigFlag.NOCLDWAIT)
        number = status & 0x7F
        code = CldCode.KILLED if number else CldCode.EXITED
        if group.exit_signal and not (forgets and action.handler == IGNORE):
            self.send_group(parent, SignalInfo(
                group.exit_signal, code, pid=group.pid, uid=group.process.credentials.uid,
                status=number or status >> 8))
        if forgets:
            self.reap(group)

    def stop(self, group: TaskGroup, number: int) -> None:
        """Stop a process for a signal; its parent is told. [do_signal_stop]"""
        group.stopped, group.continued, group.reported = number, False, False
        self._tell_change(group, CldCode.STOPPED, number)

    def _continue(self, group: TaskGroup) -> None:
        """Let a process go on that is stopped. [prepare_signal]"""
        if group.stopped:
            group.stopped, group.continued, group.reported = 0, True, False
            group.tells = True

    def tell_continued(self, group: TaskGroup) -> None:
        """Tell the parent of a process that goes on, which does so itself. [get_signal]"""
        if group.tells:
            group.tells = False
            self._tell_change(group, CldCode.CONTINUED, signal.SIGCONT)

    def _tell_change(self, group: TaskGroup, code: int, status: int) -> None:
        """Send SIGCHLD to a parent that wants it. [do_notify_parent_cldstop]"""
        parent = group.parent
        if parent is None:
            return
        action = parent.action(signal.SIGCHLD)
        if action.handler != IGNORE and not action.flags & SigFlag.NOCLDSTOP:
            self.send_group(parent, SignalInfo(
                signal.SIGCHLD, code, pid=group.pid, uid=group.process.credentials.uid,
                status=status))

    def reap(self, group: TaskGroup) -> None:
        """Have a process no more that has ended. [release_task]"""
        if group.parent is not None:
            group.parent.children.remove(group)
            group.parent.children_time += group.run_time + group.children_time
        del self.groups[group.pid]

    def waited_for(self, group: TaskGroup, pid: int) -> list[TaskGroup]:
        """Return the children that wait4 means by ``pid``; raise ``SysError(ECHILD)``."""
        found = [child for child in group.children
                 if pid == -1 or child.pid == pid
                 or child.pgid == (group.pgid if pid == 0 else -pid)]
        if not found:
            raise SysError(errno.ECHILD)
        return found

    # ---- signals

    def send_group(self, group: TaskGroup, info: SignalInfo) -> None:
        """Send a signal to a process, for any of its tasks. [group_send_sig_info]"""
        self._prepare(group, info.number)
        blocked = all(task.blocked & bit(info.number) for task in group.tasks)
        _queue(group.pending, group, info, blocked=blocked)

    def send_task(self, task: Task, info: SignalInfo) -> None:
        """Send a signal to one task. [send_sig_info with PIDTYPE_PID]"""
        self._prepare(task.group, info.number)
        _queue(task.pending, task.group, info, blocked=bool(task.blocked & bit(info.number)))

    def ring(self, group: TaskGroup, timer: PosixTimer, now: int) -> None:
        """Send the signal of a timer that is due; one that waits still is sent no second time.

        [posix_timer_event]
        """
        times = timer.ring(now)
        if not times or not timer.signal:
            return
        waits = [info for queue in (group.pending, *(task.pending for task in group.tasks))
                 for info in queue if info.code == SiginfoCode.TIMER and info.pid == timer.number]
        if waits:
            timer.overrun += times
            return
        timer.overrun = times - 1
        info = SignalInfo(timer.signal, SiginfoCode.TIMER, pid=timer.number, uid=timer.overrun,
                          value=timer.value)
        to = [task for task in group.tasks if task.tid == timer.tid]
        if to:
            self.send_task(to[0], info)
        else:
            self.send_group(group, info)

    def _prepare(self, group: TaskGroup, number: int) -> None:
        """Have SIGCONT take back what stops, and the other way round. [prepare_signal]"""
        if number == signal.SIGCONT:
            _drop(group, STOPPING)
            self._continue(group)
        elif number in STOPPING:
            _drop(group, {signal.SIGCONT})
        elif number == signal.SIGKILL:
            group.stopped = 0

    def kill(self, sender: TaskGroup, pid: int, make: Callable[[], SignalInfo] | None) -> None:
        """Send a signal to those that kill(2) means by ``pid``; with None only look for them.

        Raise ``SysError(ESRCH)``.
        """
        if pid > 0:
            found = [self.groups[pid]] if pid in self.groups else []
        elif pid == -1:
            found = [group for group in self.groups.values() if group is not sender]
        else:
            pgid = sender.pgid if pid == 0 else -pid
            found = [group for group in self.groups.values() if group.pgid == pgid]
        if not found:
            raise SysError(errno.ESRCH)
        for group in found:
            if make is not None and group.wait_status is None:
                self.send_group(group, make())


def _drop(group: TaskGroup, numbers: Collection[int]) -> None:
    """Take signals out of the queues of a process and its tasks. [flush_sigqueue_mask]"""
    for queue in (group.pending, *(task.pending for task in group.tasks)):
        queue[:] = [info for info in queue if info.number not in numbers]


def _queue(queue: list[SignalInfo], group: TaskGroup, info: SignalInfo, *, blocked: bool) -> None:
    """Add a signal to a queue, unless it has no effect or is there. [__send_signal_locked]"""
    if not blocked and group.ignores(info.number):
        return
    if info.number < FIRST_REALTIME and any(one.number == info.number for one in queue):
        return
    queue.append(info)
