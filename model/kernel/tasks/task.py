"""Tasks and their groups: threads, and the processes that they are of. [struct task_struct]"""

from dataclasses import dataclass, field
from typing import Any

from ..process import Process
from .posix_timer import PosixTimer
from .signal_info import SignalInfo
from .signal_rules import DEFAULT, HARMLESS, IGNORE, SigAction, bit

__all__ = ["AltStack", "Task", "TaskGroup"]

SS_DISABLE = 2


@dataclass(slots=True)
class AltStack:
    """A stack for handlers of signals; none at first. [sigaltstack(2)]"""

    start: int = 0
    size: int = 0
    flags: int = SS_DISABLE

    def holds(self, sp: int) -> bool:
        """Return whether a stack pointer lies in it. [__on_sig_stack]"""
        return self.start < sp <= self.start + self.size


@dataclass(slots=True, eq=False)
class TaskGroup:
    """What the threads of a process share beside its ``Process``. [struct signal_struct]

    Members
    -------
    process
        Address space and files.
    parent
        Who waits for it; None for the first, and once its parent has ended.
    pgid, sid
        Its process group and session.
    children
        Those that have not been waited for.
    tasks
        Those that live.
    actions
        What it asks for each signal.
    pending
        Signals for any of its tasks.
    exit_signal
        What its parent gets when it ends, 0 for nothing.
    wait_status
        How it ended, as wait4 stores it; None while it lives.
    stopped, continued
        The signal that stopped it, 0 if it runs; and whether it was continued. ``reported`` says
        whether its parent has been told so by wait4, ``tells`` whether it is still to get SIGCHLD.
    run_time, children_time
        How long it has run, and those that were its children, in nanoseconds.
    nice
        Its nice value, -20 to 19.
    alarm_at, alarm_every
        When SIGALRM is due in nanoseconds since the boot, None for never, and how often then.
    timers
        Those that it has made, by number.
    personality
        As personality(2) has it.
    no_new_privs
        Whether it has given up to get rights by an exec.
    """

    process: Process
    parent: "TaskGroup | None"
    pgid: int
    sid: int
    children: "list[TaskGroup]" = field(default_factory=list)
    tasks: "list[Task]" = field(default_factory=list)
    actions: dict[int, SigAction] = field(default_factory=dict)
    pending: list[SignalInfo] = field(default_factory=list)
    exit_signal: int = 0
    wait_status: int | None = None
    stopped: int = 0
    continued: bool = False
    reported: bool = False
    tells: bool = False
    run_time: int = 0
    children_time: int = 0
    nice: int = 0
    alarm_at: int | None = None
    alarm_every: int = 0
    timers: dict[int, PosixTimer] = field(default_factory=dict)
    personality: int = 0
    no_new_privs: bool = False

    @property
    def pid(self) -> int:
        """The pid, which is the tid of its first task."""
        return self.process.pid

    def action(self, number: int) -> SigAction:
        """Return what is asked for a signal."""
        return self.actions.get(number, SigAction())

    def ignores(self, number: int) -> bool:
        """Return whether a signal has no effect. [sig_handler_ignored]"""
        handler = self.action(number).handler
        return handler == IGNORE or (handler == DEFAULT and number in HARMLESS)


@dataclass(slots=True, eq=False)
class Task:
    """What runs: a thread.

    Members
    -------
    tid, group
        What it is known by, and of which process it is.
    blocked
        The signals that it blocks, a bit each.
    saved_mask
        What it blocked before a call that changes that for its time, None if there is none.
    pending
        Signals for it alone.
    alt_stack
        Where handlers run that ask for it.
    clear_tid, set_tid
        Where 0 is stored when it ends, and its tid before it begins; 0 for nowhere.
    robust_list
        Where its list of locks begins.
    tls
        The entries of the GDT that it has set: base, limit and bits of ``struct user_desc``.
    registers
        Those of a task that does not run, in the form of the processor's ``save``.
    waiting
        What it waits for, None if it can run.
    released
        Whether a parent that waits for this to be a program of its own need not. [vfork_done]
    run_time
        How long it has run in nanoseconds.
    """

    tid: int
    group: TaskGroup
    blocked: int = 0
    saved_mask: int | None = None
    pending: list[SignalInfo] = field(default_factory=list)
    alt_stack: AltStack = field(default_factory=AltStack)
    clear_tid: int = 0
    set_tid: int = 0
    robust_list: int = 0
    tls: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    registers: Any = None
    waiting: Any = None
    released: bool = False
    run_time: int = 0

    @property
    def process(self) -> Process:
        """Its process."""
        return self.group.process

    @property
    def deliverable(self) -> int:
        """The signals that it has to take, a bit each. [recalc_sigpending]"""
        found = 0
        for info in (*self.pending, *self.group.pending):
            found |= bit(info.number)
        return found & ~self.blocked

    def take(self, number: int) -> SignalInfo:
        """Take a pending signal from the queues, its own first. [dequeue_signal]"""
        for queue in (self.pending, self.group.pending):
            for info in queue:
                if info.number == number:
                    queue.remove(info)
                    return info
        raise KeyError(number)
