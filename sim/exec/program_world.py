"""A machine with one program on it: kernel, processor, standard files, the first instruction."""

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ...model.address_space.exec_arguments import Credentials, ExecArguments
from ...model.kernel.kernel import Kernel
from ...model.kernel.process import Process
from ...model.kernel.tasks.task import Task, TaskGroup
from ...model.kernel.tasks.task_table import TaskTable
from ...model.kernel.usercopy import ERMS
from ...model.kernel.vfs.resolve import FsState
from ...model.x86 import PagingMode
from ..cosim.kernel_entry import KernelEntry
from ..cosim.linux import LinuxKernel
from ..engine.base import Engine
from ..trace.access_record import TraceHeader
from .access_recorder import AccessRecorder
from .call_context import CallContext
from .leftovers import Leftovers, broken_rule, frames_in_use, leftovers
from .page_port import PagePort
from .program_clock import ProgramClock
from .program_machine import ProgramMachine
from .tls_entry import install

__all__ = ["ProgramWorld", "StartState"]


@dataclass(frozen=True, slots=True)
class StartState:
    """What a program starts with.

    Members
    -------
    arguments
        Its file, arguments and environment.
    fs
        Where it is in the file system.
    credentials
        Whose it is.
    streams
        Its standard input, output and error; None for one that it lacks.
    """

    arguments: ExecArguments
    fs: FsState
    credentials: Credentials
    streams: tuple[BinaryIO | None, BinaryIO | None, BinaryIO | None]


class ProgramWorld:
    """A program that is about to run, as the only process of a machine.

    Raise ``SysError`` for a program that cannot be started, ``OutOfMemory``, ``OomKilled``;
    ``ToolMissing`` as ``Cpu``.

    Parameters
    ----------
    kernel
        Has booted, in the mode that the program needs, and has no process yet.
    engine
        Translates, in the same mode.
    start
        What the program starts with.
    clock
        The time that it sees; counts the processor's instructions from now on.
    check
        As for ``Cpu``.
    seed
        Of the random bytes that the program asks for.
    record
        Where all translations are recorded, and what that file begins with; None for nowhere.

    Members
    -------
    machine
        The machine, with the program's registers.
    process
        Its process, also when it has ended.
    context
        What calls work with.
    peak_pages
        The most pages that a process that has ended had in memory.
    """

    PROCESS = 0

    def __init__(self, kernel: Kernel, engine: Engine, start: StartState, clock: ProgramClock, *,
                 mode: PagingMode, check: str = "fast", seed: int = 0,
                 record: tuple[AccessRecorder, TraceHeader] | None = None) -> None:
        self.kernel = kernel
        self._frames_before = frames_in_use(kernel)
        self._linux = LinuxKernel(kernel, [])
        self.machine = ProgramMachine(engine, kernel.state.memory, self._linux, mode, check=check)
        port = PagePort(self.machine, kernel)
        self.entry = KernelEntry(self.machine, self._linux, ERMS, port)
        self._clock, self._seed = clock, seed
        self.peak_pages = 0
        clock.count = lambda: self.machine.cpu.instructions
        self.machine.switch(self.PROCESS)
        self.process = self._linux.processes[self.PROCESS]
        tasks = TaskTable(self.process)
        self._task = tasks.first
        if record is not None:
            self.machine.cpu.begin_record(*record, self._who)
        self.context = self._started(start, tasks)

    def _started(self, start: StartState, tasks: TaskTable) -> CallContext:
        """Give the process its files, and have it run the program."""
        process, cpu = self.process, self.machine.cpu
        process.fs, process.credentials = start.fs, start.credentials
        with self.entry.system_call(self.PROCESS) as calls:
            calls.give_files(process, *start.streams)
            program, arguments, process.exe = calls.program_at(process, start.arguments)
            self.kernel.exec(process, program, arguments)
        process.name = start.arguments.filename.rpartition(b"/")[2][:15].decode(errors="replace")
        assert process.start is not None, "a program was loaded"
        cpu.pc, cpu.sp = process.start.ip, process.start.sp
        return CallContext(calls, cpu, self.kernel.space.word_bytes, self._clock,
                           np.random.default_rng(self._seed), tasks, tasks.first)

    def number(self, process: Process) -> int:
        """Return the number by which the machine knows a process."""
        return self._linux.processes.index(process)

    def switch(self, task: Task) -> None:
        """Let a task run, with its registers."""
        context, before = self.context, self.context.task
        if task is before:
            return
        before.registers = context.cpu.save()
        self.machine.switch(self.number(task.process))
        self.machine.registers.clear()  # those of tasks count
        context.cpu.restore(task.registers)
        install(context.cpu, before, task)
        context.task = task
        self._task = task

    def _who(self) -> tuple[int, int]:
        """Return the numbers of the address space and of the task that the processor is in."""
        process = self.kernel.current
        return 0 if process is None else process.space.number, self._task.tid

    def end_process(self, group: TaskGroup, wait_status: int) -> None:
        """End a process, which may have been killed for its memory already."""
        process = group.process
        self.note_peak(process)
        if self.kernel.processes.get(process.pid) is process:
            with self.kernel.invalidations() as owed:
                self.kernel.exit(process)
            self.machine.invalidate(owed)
        self.context.tasks.end_group(group, wait_status)

    def note_peak(self, process: Process) -> None:
        """Note how many pages a process had in memory at most."""
        space = process.space
        self.peak_pages = max(self.peak_pages, space.hiwater_rss, space.rss)

    def end(self) -> Leftovers:
        """End the processes that are left; return what is wrong with the kernel then."""
        broken = broken_rule(self.kernel)
        self.machine.invalidate(self._linux.exit())
        return leftovers(self.kernel, self._frames_before, broken)
