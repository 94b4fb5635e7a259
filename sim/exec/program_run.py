"""Running a program and all that it starts to the end: turns of tasks, faults, calls, signals."""

import signal
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ...model.kernel.calls.syscalls import SystemCalls
from ...model.kernel.oom import OomKilled
from ...model.kernel.process import Process
from ...model.kernel.tasks.signal_info import SiginfoCode, SignalInfo
from ...model.kernel.tasks.task import Task, TaskGroup
from ...model.kernel.vfs.stream import WouldBlock
from ...model.x86 import Vector
from .call_abi import ABIS
from .call_context import GroupExited, ProgramReplaced, TaskExited
from .call_table import CallTable
from .fault_signals import signal_of_exception, signal_of_fault
from .futex_family import release_locks
from .poll_family import MASKED_CALLS
from .program_machine import ProgramFailed, Signalled
from .program_world import ProgramWorld
from .run_observer import RunObserver
from .scheduler import Scheduler, WaitsForEver, has_expired, is_interrupted
from .signal_delivery import deliver_signals, force_signal
from .stop import Called, CallKind, Raised
from .task_wait import TaskWait
from .thrashing import ThrashWatch

__all__ = ["ProgramEnd", "ProgramRun"]

QUANTUM = 200_000  # instructions of a turn
KILLED = 128  # is added to the number of a signal, as shells do
UNDEFINED = 6
INT_BYTES, INT80_ERROR = 2, 0x80 << 3 | 2  # the gate of the IDT
OUT_OF_MEMORY = ", as there was no memory left"


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended.

    Members
    -------
    status
        Its exit status as a shell has it: 128 more than the number of a signal that killed it.
    signal
        The number of that signal, None if it ended itself.
    where
        What is known of the place, as text.
    """

    status: int
    signal: int | None = None
    where: str = ""


class ProgramRun:
    """Runs the program of a world, once.

    Parameters
    ----------
    world
        The machine with the program.
    limit
        The most instructions that it may take, None for any number.
    quantum
        The instructions of a turn, after which another task has its own.
    observer
        Is told what happens.

    Members
    -------
    table
        The calls, and their counts.
    """

    def __init__(self, world: ProgramWorld, limit: int | None = None,
                 quantum: int = QUANTUM, observer: RunObserver | None = None) -> None:
        self.table = CallTable()
        self._observer = observer if observer is not None else RunObserver()
        self._world, self._context = world, world.context
        self._machine, self._cpu = world.machine, world.machine.cpu
        self._limit, self._quantum = limit, quantum
        self._abi = ABIS[self._context.word_bytes == 8]
        self._scheduler = Scheduler(self._context.tasks, self._context.clock)
        self._first = self._context.tasks.first.group
        self._end: ProgramEnd | None = None
        self._thrash_watch = ThrashWatch(world.kernel.state)
        self._context.calls.broken_pipe = self._broken_pipe

    def run(self) -> ProgramEnd:
        """Run the program, and all processes that it starts, to their end.

        Once the program has ended, those that wait for what nobody will do are ended, too. Raise
        ``ProgramFailed`` for what keeps it from going on that is not its own: a machine check, a
        wait without end, no instructions left.
        """
        try:
            while (task := self._scheduler.choose()) is not None:
                self._turn(task)
                self._thrash_watch.look(self._cpu.instructions)
        except WaitsForEver as error:
            if self._end is None:
                raise ProgramFailed(str(error)) from None
        assert self._end is not None, "no task is left"
        return self._end

    def _broken_pipe(self, process: Process) -> None:
        context = self._context
        context.tasks.send_task(context.task, SignalInfo(
            signal.SIGPIPE, pid=process.pid, uid=process.credentials.uid))

    # ---- a turn

    def _turn(self, task: Task) -> None:
        """Run a task until its turn is over, it has to wait, or it ends."""
        kernel, group = self._world.kernel, task.group
        if kernel.processes.get(group.pid) is not group.process:
            self._ended(group, GroupExited(signal.SIGKILL, OUT_OF_MEMORY))
            return
        try:
            self._world.switch(task)
            self._begin(task)
            end = self._cpu.instructions + self._quantum
            while (task.waiting is None and not group.stopped
                   and self._cpu.instructions < end):
                self._step(end - self._cpu.instructions)
                self._scheduler.ring()
                self._signals(None)
        except OomKilled:
            self._ended(group, GroupExited(signal.SIGKILL, OUT_OF_MEMORY))
        except TaskExited as ended:
            self._task_ended(task, ended.status)
        except GroupExited as ended:
            self._ended(group, ended)

    def _begin(self, task: Task) -> None:
        """Do what is to be done before a task goes on: end what it waited for."""
        self._context.tasks.tell_continued(task.group)
        if task.set_tid:
            address, task.set_tid = task.set_tid, 0
            with self._entered():
                self._context.calls.user.copy_to_user(address, task.tid.to_bytes(4, "little"))
        wait: TaskWait | None = task.waiting
        if wait is None:
            self._signals(None)
        elif wait.blocked.ready():
            self._finish(wait, expired=False)
        elif has_expired(task, self._context.clock.uptime):
            self._finish(wait, expired=True)
        elif is_interrupted(task):
            self._interrupt(task, wait)

    def _finish(self, wait: TaskWait, *, expired: bool) -> None:
        """Go on with a call that need not wait any more."""
        task = self._context.task
        task.waiting = None
        try:
            with self._entered():
                result = (self.table.expired(wait) if expired
                          else self.table.go_on(self._context, wait))
        except WouldBlock as blocked:
            task.waiting = TaskWait(wait.name, wait.arguments, blocked, wait.deadline)
            return
        self._answer(wait.name, result)
        self._signals(None)

    def _interrupt(self, task: Task, wait: TaskWait) -> None:
        """End a call for a signal. What was moved already is its result."""
        task.waiting = None
        if wait.blocked.cancel is not None:
            with self._entered():
                wait.blocked.cancel()
        if wait.blocked.done:
            self._answer(wait.name, wait.blocked.done)
            self._signals(None)
        else:
            self._observer.result(task, wait.name, None)
            self._signals(wait)

    def _entered(self) -> AbstractContextManager[SystemCalls]:
        """Enter the kernel for the task that runs."""
        return self._world.entry.system_call(self._world.number(self._context.task.process))

    def _signals(self, wait: TaskWait | None) -> None:
        """Have the task take its signals; they end what it waits for."""
        task = self._context.task
        if task.waiting is not None or not (task.deliverable or wait is not None):
            return
        self._observer.signals(task)
        with self._entered():
            number = self._abi.number_of[wait.name] if wait is not None else 0
            deliver_signals(self._context, wait, number)

    # ---- steps

    def _step(self, most: int) -> None:
        """Run until the kernel has something to do, and do it."""
        before, task = self._cpu.instructions, self._context.task
        stop = self._machine.run_program(self._instructions(most))
        task.run_time += self._cpu.instructions - before
        task.group.run_time += self._cpu.instructions - before
        if isinstance(stop, Called):
            self._call(stop.kind)
        elif isinstance(stop, Signalled):
            if stop.signal == signal.SIGKILL:
                raise GroupExited(signal.SIGKILL, OUT_OF_MEMORY)
            force_signal(self._context.task, signal_of_fault(self._cpu, stop))
        elif isinstance(stop, Raised):
            self._raised(stop.vector)

    def _instructions(self, most: int) -> int:
        """Return how many instructions to run now; raise ``ProgramFailed`` if none are left."""
        if self._limit is not None:
            left = self._limit - self._cpu.instructions
            if left <= 0:
                raise ProgramFailed(f"its {self._limit} instructions are used up")
            most = min(left, most)
        return self._scheduler.time_left(most)

    def _raised(self, vector: int) -> None:
        force_signal(self._context.task, signal_of_exception(self._cpu, vector))

    def _call(self, kind: CallKind) -> None:
        """Carry out a call, and give the program its result."""
        if kind is not self._abi.kind:
            self._other_call(kind)
            return
        context = self._context
        name, arguments = self._abi.take(self._cpu)
        self._observer.call(context.task, name, arguments)
        try:
            with self._entered():
                result = self.table.call(context, name, arguments)
        except ProgramReplaced:
            self._observer.result(context.task, name, 0)
            return
        except WouldBlock as blocked:
            limit = blocked.timeout
            context.task.waiting = TaskWait(
                name, arguments, blocked, None if limit is None else context.clock.uptime + limit)
            return
        self._answer(name, result)

    def _answer(self, name: str, result: int) -> None:
        """Give the task the result of a call, after which it blocks what it did before."""
        task = self._context.task
        self._observer.result(task, name, result)
        if name in MASKED_CALLS and task.saved_mask is not None:
            task.blocked, task.saved_mask = task.saved_mask, None
        self._abi.answer(self._cpu, result)

    def _other_call(self, kind: CallKind) -> None:
        """Deal with an instruction that programs of this mode have no use for.

        SYSCALL is undefined with 32 bits. The kernel has no 32-bit calls for 64-bit programs, so
        that the gate of INT 80h is not theirs. [CONFIG_IA32_EMULATION]
        """
        if kind is not CallKind.INT80:
            self._raised(UNDEFINED)
            return
        self.table.made["int 0x80"] += 1
        self.table.missing["int 0x80"] += 1
        self._cpu.pc -= INT_BYTES
        force_signal(self._context.task, SignalInfo(
            signal.SIGSEGV, SiginfoCode.KERNEL, trap=int(Vector.GP), error=INT80_ERROR,
            where=f" at instruction {self._cpu.pc:#x}: INT 80h, which 64-bit programs do not have"))

    # ---- ends

    def _task_ended(self, task: Task, status: int) -> None:
        """End a task, and its process with the last one."""
        with self._entered():
            release_locks(self._context)
        if len(task.group.tasks) == 1:
            self._ended(task.group, GroupExited(status << 8))
        else:
            self._observer.ended(task, status << 8)
            self._context.tasks.end_task(task)

    def _ended(self, group: TaskGroup, ended: GroupExited) -> None:
        """End a process; what becomes of the first is what becomes of the program."""
        status = ended.wait_status
        if group is self._first:
            number = status & 0x7F
            self._end = (ProgramEnd(KILLED + number, number, ended.where) if number
                         else ProgramEnd(status >> 8))
        for task in group.tasks:
            self._observer.ended(task, status)
        self._world.end_process(group, status)
