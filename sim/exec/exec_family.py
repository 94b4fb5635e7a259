"""A program's call that has another take its place: the registers of the new one."""

import signal

from ...model.address_space.exec_program import LateExecError
from ...model.kernel.calls.path_base import AtFlag
from .call_context import Call, CallContext, ProgramKilled, ProgramReplaced

__all__ = ["EXEC_CALLS"]

IGNORE = 1  # SIG_IGN


def _execve(context: CallContext, path: int, argv: int, envp: int, *_: int) -> int:
    """Replace the program; raise ``ProgramReplaced`` once there is no way back. [execve(2)]"""
    try:
        result = context.calls.execveat(AtFlag.FDCWD, path, argv, envp)
    except LateExecError:
        raise ProgramKilled(signal.SIGSEGV, ", as execve failed when it was too late") from None
    if result:
        return result
    _begin(context)
    raise ProgramReplaced


def _begin(context: CallContext) -> None:
    """Give the new program its registers, and no handlers. [flush_signal_handlers]"""
    cpu, start = context.cpu, context.process.start
    assert start is not None, "a program was loaded"
    for number in context.tls:
        cpu.set_descriptor(number, 0)
    context.tls.clear()
    cpu.restore()
    cpu.pc, cpu.sp = start.ip, start.sp
    context.actions = {number: action for number, action in context.actions.items()
                       if context.words(action)[0] == IGNORE}


EXEC_CALLS: dict[str, Call] = {"execve": _execve}
"""Each gets the context and all six arguments."""
