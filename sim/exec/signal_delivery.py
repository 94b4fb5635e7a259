"""What becomes of a task's signals before it goes on. [get_signal, handle_signal]"""

import errno
import signal

from ...model.address_space.errors import SysError
from ...model.kernel.tasks.signal_info import SiginfoCode, SignalInfo
from ...model.kernel.tasks.signal_rules import (
    DEFAULT,
    HARMLESS,
    IGNORE,
    STOPPING,
    SigAction,
    SigFlag,
    bit,
    lowest,
)
from ...model.kernel.tasks.task import Task
from .call_context import CallContext, GroupExited
from .signal_frame import store_frame
from .signal_frame32 import store_frame32
from .task_wait import Restart, TaskWait, restart_of

__all__ = ["deliver_signals", "force_signal", "signal_name"]

CALL_BYTES = 2  # of SYSCALL and INT 80h


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def force_signal(task: Task, info: SignalInfo) -> None:
    """Give a task a signal that cannot be blocked or ignored. [force_sig_info_to_task]"""
    if task.blocked & bit(info.number) or task.group.action(info.number).handler == IGNORE:
        task.group.actions[info.number] = SigAction()
        task.blocked &= ~bit(info.number)
    task.pending.append(info)


def deliver_signals(context: CallContext, wait: TaskWait | None, number: int) -> None:
    """Have the running task take its signals: it goes on with a handler, or where it was.

    One may stop its process. Raise ``GroupExited`` for one that ends it.

    Parameters
    ----------
    wait
        The call that they end, None if they end none.
    number
        The number of that call.
    """
    task, cpu = context.task, context.cpu
    result = "rax" if context.word_bytes == 8 else "eax"
    while mask := task.deliverable:
        info = task.take(lowest(mask))
        action = task.group.action(info.number)
        if action.handler == IGNORE or (action.handler == DEFAULT and info.number in HARMLESS):
            continue
        if action.handler == DEFAULT and info.number in STOPPING:
            context.tasks.stop(task.group, info.number)
            break
        if action.handler == DEFAULT:
            raise GroupExited(info.number, info.where)
        restart = restart_of(wait) if wait is not None else None
        if restart is Restart.UNLESS_REFUSED and action.flags & SigFlag.RESTART:
            _again(context, number)
        elif restart is not None:
            cpu.write(result, -errno.EINTR & (1 << 8 * context.word_bytes) - 1)
        wait = None
        _handle(context, info, action)
    if wait is not None:
        if restart_of(wait) is Restart.NEVER:
            cpu.write(result, -errno.EINTR & (1 << 8 * context.word_bytes) - 1)
        else:
            _again(context, number)
    if task.saved_mask is not None:
        task.blocked, task.saved_mask = task.saved_mask, None


def _again(context: CallContext, number: int) -> None:
    """Have the task make its call once more."""
    context.cpu.write("rax" if context.word_bytes == 8 else "eax", number)
    context.cpu.pc -= CALL_BYTES


def _handle(context: CallContext, info: SignalInfo, action: SigAction) -> None:
    """Have a handler run next. [handle_signal, signal_setup_done]"""
    task = context.task
    if action.flags & SigFlag.RESETHAND:
        task.group.actions[info.number] = SigAction(flags=action.flags, mask=action.mask,
                                                    restorer=action.restorer)
    mask = task.blocked if task.saved_mask is None else task.saved_mask
    task.saved_mask = None
    try:
        if context.word_bytes == 8 and not action.flags & SigFlag.RESTORER:
            raise SysError(errno.EFAULT)
        store = store_frame if context.word_bytes == 8 else store_frame32
        store(context, info, action, mask)
    except SysError:
        if info.number == signal.SIGSEGV:
            task.group.actions[signal.SIGSEGV] = SigAction()
        force_signal(task, SignalInfo(signal.SIGSEGV, SiginfoCode.KERNEL,
                                      where=", as its stack has no room for a handler"))
        return
    task.blocked |= action.mask
    if not action.flags & SigFlag.NODEFER:
        task.blocked |= bit(info.number)
