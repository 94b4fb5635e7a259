"""Calls, faults, signals and ends of a run as lines, written as they happen."""

import os
import signal
from collections.abc import Callable

from ...model.kernel.tasks.signal_info import CldCode, SignalInfo
from ...model.kernel.tasks.signal_rules import IGNORE, bit
from ...model.kernel.tasks.task import Task
from ...model.x86 import ErrorCode
from ..exec.call_context import CallContext
from ..exec.run_observer import RunObserver
from ..exec.signal_delivery import signal_name
from .call_text import CallText
from .fault_text import FaultReport, fault_text

__all__ = ["Follower", "descriptor_writer"]

CLD_NAMES = {CldCode.EXITED: "CLD_EXITED", CldCode.KILLED: "CLD_KILLED",
             CldCode.STOPPED: "CLD_STOPPED", CldCode.CONTINUED: "CLD_CONTINUED"}


class Follower(RunObserver):
    """Writes a line for each, in the form of strace.

    A call is written when it begins, so that a program that hangs shows its last one. What comes
    between that and its result breaks the line, which goes on later. A line names its task if
    there are or were several.

    Parameters
    ----------
    context
        The program.
    write
        Takes a piece of text; nothing may be kept back.
    """

    def __init__(self, context: CallContext, write: Callable[[str], None]) -> None:
        self._context, self._write = context, write
        self._calls: dict[Task, CallText] = {}  # those under way
        self._open: Task | None = None  # whose call the line that was begun is about
        self._several = False

    # ---- lines

    def _line(self, task: Task, text: str) -> None:
        """Write a line, after what was begun is broken."""
        self._break()
        self._write(f"{self._prefix(task)}{text}\n")

    def _break(self) -> None:
        if self._open is not None:
            self._open = None
            self._write("<unfinished ...>\n")

    def _prefix(self, task: Task) -> str:
        self._several = self._several or len(self._context.tasks.tasks) > 1
        return f"[task {task.tid}] " if self._several else ""

    # ---- what happens

    def call(self, task: Task, name: str, arguments: tuple[int, ...]) -> None:
        """Begin the line of a call."""
        self._break()
        call = CallText(task.process, name, arguments, self._context.word_bytes)
        self._calls[task], self._open = call, task
        self._write(self._prefix(task) + call.begin())

    def result(self, task: Task, name: str, result: int | None) -> None:
        """End the line of a call, or write that it goes on before."""
        call = self._calls.pop(task, None)
        if call is None:
            return
        if self._open is not task:
            self._break()
            self._write(f"{self._prefix(task)}<... {name} resumed> ")
        self._open = None
        self._write(call.end(result) + "\n")

    def fault(self, report: FaultReport) -> None:
        """Write a page fault, with the instruction if it is the program's."""
        is_user = report.error_code & ErrorCode.US
        self._line(self._context.task,
                   fault_text(report, self._context.cpu.pc if is_user else None))

    def signals(self, task: Task) -> None:
        """Write the signals that a task takes now."""
        mask = task.deliverable
        for info in (*task.pending, *task.group.pending):
            if mask & bit(info.number) and task.group.action(info.number).handler != IGNORE:
                self._signal(task, info)

    def _signal(self, task: Task, info: SignalInfo) -> None:
        told = f"si_code={info.code}"
        if info.number == signal.SIGCHLD:
            told = (f"si_code={CLD_NAMES.get(info.code, info.code)}, si_pid={info.pid}, "
                    f"si_status={info.status}")
        elif info.address is not None:
            told += f", si_addr={info.address:#x}"
        elif info.pid:
            told += f", si_pid={info.pid}"
        self._line(task, f"--- {signal_name(info.number)} {{{told}}} ---")

    def ended(self, task: Task, wait_status: int) -> None:
        """Write the end of a task."""
        if task in self._calls:
            self.result(task, self._calls[task].name, None)
        number = wait_status & 0x7F
        how = (f"killed by {signal_name(number)}" if number
               else f"exited with {wait_status >> 8}")
        self._line(task, f"+++ {how} +++")


def descriptor_writer(descriptor: int) -> Callable[[str], None]:
    """Return what writes text to a descriptor at once; what it does not take is given up."""
    def write(text: str) -> None:
        data = text.encode(errors="replace")
        try:
            while data:
                data = data[os.write(descriptor, data):]
        except OSError:
            return
    return write
