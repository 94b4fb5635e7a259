"""A program's call that has another take its place: the registers of the new one."""

import signal

from ...model.address_space.exec_program import LateExecError
from ...model.kernel.calls.path_base import AtFlag
from ...model.kernel.tasks.signal_rules import IGNORE
from ...model.kernel.tasks.task import AltStack
from .call_context import Call, CallContext, GroupExited, ProgramReplaced

__all__ = ["EXEC_CALLS"]


def _execve(context: CallContext, path: int, argv: int, envp: int, *_: int) -> int:
    """Replace the program; raise ``ProgramReplaced`` once there is no way back. [execve(2)]"""
    try:
        result = context.calls.execveat(AtFlag.FDCWD, path, argv, envp)
    except LateExecError:
        raise GroupExited(signal.SIGSEGV, ", as execve failed when it was too late") from None
    if result:
        return result
    _begin(context)
    raise ProgramReplaced


def _begin(context: CallContext) -> None:
    """Give the new program its registers, one task, and no handlers. [begin_new_exec]"""
    cpu, start, task = context.cpu, context.process.start, context.task
    assert start is not None, "a program was loaded"
    for other in [one for one in task.group.tasks if one is not task]:
        context.tasks.end_task(other)
    for number in task.tls:
        cpu.set_descriptor(number, 0)
    task.tls.clear()
    cpu.restore()
    cpu.pc, cpu.sp = start.ip, start.sp
    task.tid, task.clear_tid, task.robust_list = task.group.pid, 0, 0
    task.alt_stack, task.released = AltStack(), True
    task.group.timers.clear()
    task.group.actions = {number: action for number, action in task.group.actions.items()
                          if action.handler == IGNORE}


EXEC_CALLS: dict[str, Call] = {"execve": _execve}
"""Each gets the context and all six arguments."""
