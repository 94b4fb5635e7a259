"""A program's calls that make tasks, end them and wait for them. [kernel/fork.c, kernel/exit.c]"""

import errno
import signal
from struct import unpack

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.tasks.signal_info import CldCode, SignalInfo
from ...model.kernel.tasks.signal_rules import SIGNALS
from ...model.kernel.tasks.task import AltStack, Task, TaskGroup
from ...model.kernel.vfs.stream import WouldBlock
from ...model.x86 import PAGE_BYTES
from .call_context import Call, CallContext, GroupExited, TaskExited
from .tls_entry import put_descriptor
from .usage_family import pack_usage

__all__ = ["TASK_CALLS"]


class CloneFlag:
    """``CLONE_*``."""

    VM = 0x100
    FS = 0x200
    FILES = 0x400
    SIGHAND = 0x800
    VFORK = 0x4000
    PARENT = 0x8000
    THREAD = 0x1_0000
    SYSVSEM = 0x4_0000
    SETTLS = 0x8_0000
    PARENT_SETTID = 0x10_0000
    CHILD_CLEARTID = 0x20_0000
    DETACHED = 0x40_0000
    CHILD_SETTID = 0x100_0000


SIGNAL_MASK = 0xFF
THREAD_FLAGS = (CloneFlag.VM | CloneFlag.FS | CloneFlag.FILES | CloneFlag.SIGHAND
                | CloneFlag.THREAD)
KNOWN = (THREAD_FLAGS | CloneFlag.PARENT | CloneFlag.VFORK | CloneFlag.SYSVSEM | CloneFlag.SETTLS
         | CloneFlag.PARENT_SETTID | CloneFlag.CHILD_CLEARTID | CloneFlag.DETACHED
         | CloneFlag.CHILD_SETTID | SIGNAL_MASK)
WNOHANG, WUNTRACED, WEXITED, WCONTINUED, WNOWAIT = 1, 2, 4, 8, 0x0100_0000
WAIT4_OPTIONS = WNOHANG | WUNTRACED | WCONTINUED | 0xE000_0000
STOPPED, CONTINUED = 0x7F, 0xFFFF
P_ALL, P_PID, P_PGID = 0, 1, 2
INFO_BYTES = 128
CLONE_ARGS_BYTES = (64, 80, 88)  # of the versions of its structure


def _clone(context: CallContext, flags: int, stack: int, parent_tid: int, fourth: int,
           fifth: int, *_: int) -> int:
    """Make a task: a thread, or a process of its own. [clone(2)]"""
    child_tid, tls = (fourth, fifth) if context.word_bytes == 8 else (fifth, fourth)
    return _make(context, flags & 0xFFFF_FFFF, stack, parent_tid, child_tid, tls)


def _clone3(context: CallContext, address: int, size: int, *_: int) -> int:
    """Make a task as a structure says. [clone3(2)]

    A pidfd, a tid of one's choice, a control group, and handlers that are cleared are left out:
    ENOSYS.
    """
    if size > PAGE_BYTES:
        raise SysError(errno.E2BIG)
    if size < CLONE_ARGS_BYTES[0]:
        raise SysError(errno.EINVAL)
    data = context.load(address, size).ljust(CLONE_ARGS_BYTES[-1], b"\0")
    if any(data[CLONE_ARGS_BYTES[-1]:]):
        raise SysError(errno.E2BIG)
    flags, _pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, *rest = unpack(
        "<11Q", data[: CLONE_ARGS_BYTES[-1]])
    kin = CloneFlag.THREAD | CloneFlag.PARENT
    if (flags & (SIGNAL_MASK | CloneFlag.DETACHED) or exit_signal > SIGNALS
            or (flags & kin and exit_signal) or bool(stack) != bool(stack_size)):
        raise SysError(errno.EINVAL)
    if any(rest):
        raise SysError(errno.ENOSYS)
    return _make(context, flags | exit_signal, stack + stack_size, parent_tid, child_tid, tls)


def _check_flags(flags: int) -> None:
    """Raise ``SysError``: EINVAL for what cannot be, ENOSYS for what is not there.

    Namespaces and pidfds are not, nor threads that share neither files nor folder.
    [copy_process]
    """
    if ((flags & CloneFlag.THREAD and not flags & CloneFlag.SIGHAND)
            or (flags & CloneFlag.SIGHAND and not flags & CloneFlag.VM)):
        raise SysError(errno.EINVAL)
    shares = flags & THREAD_FLAGS
    if flags & ~KNOWN or (flags & CloneFlag.THREAD and shares != THREAD_FLAGS):
        raise SysError(errno.ENOSYS)


def _make(context: CallContext, flags: int, stack: int, parent_tid: int, child_tid: int,
          tls: int) -> int:
    """Make a task, whose stack ends at an address if it has one of its own. [kernel_clone]"""
    _check_flags(flags)
    parent = context.task
    child = _made(context, flags)
    if flags & CloneFlag.PARENT_SETTID:
        context.store(parent_tid, child.tid.to_bytes(4, "little"))
    if flags & CloneFlag.CHILD_CLEARTID:
        child.clear_tid = child_tid
    if flags & CloneFlag.CHILD_SETTID:
        child.set_tid = child_tid
    if not flags & CloneFlag.VM or flags & CloneFlag.VFORK:
        child.alt_stack = AltStack(parent.alt_stack.start, parent.alt_stack.size,
                                   parent.alt_stack.flags)
    _registers(context, child, stack, tls if flags & CloneFlag.SETTLS else None)
    if flags & CloneFlag.VFORK:
        raise WouldBlock(lambda: child.released, resume=lambda: child.tid)
    return child.tid


def _made(context: CallContext, flags: int) -> Task:
    kernel, parent = context.calls.kernel, context.task
    if flags & CloneFlag.THREAD:
        return context.tasks.thread(parent, kernel.new_pid())
    process = kernel.fork(context.process, shares_memory=bool(flags & CloneFlag.VM),
                          shares_files=bool(flags & CloneFlag.FILES),
                          shares_fs=bool(flags & CloneFlag.FS))
    return context.tasks.fork(parent, process, flags & SIGNAL_MASK,
                              shares_actions=bool(flags & CloneFlag.SIGHAND),
                              of_parent=bool(flags & CloneFlag.PARENT))


def _registers(context: CallContext, child: Task, stack: int, tls: int | None) -> None:
    """Give a new task its registers: those of its parent, with 0 as the result."""
    cpu = context.cpu
    before = cpu.save()
    try:
        cpu.write("rax" if context.word_bytes == 8 else "eax", 0)
        if stack:
            cpu.sp = stack
        if tls is not None and context.word_bytes == 8:
            cpu.write("fs_base", tls)
        elif tls is not None:
            put_descriptor(context, child, tls)
        child.registers = cpu.save()
    finally:
        cpu.restore(before)


def _fork(context: CallContext, *_: int) -> int:
    return _clone(context, signal.SIGCHLD, 0, 0, 0, 0)


def _vfork(context: CallContext, *_: int) -> int:
    return _clone(context, CloneFlag.VM | CloneFlag.VFORK | signal.SIGCHLD, 0, 0, 0, 0)


def _exit(_context: CallContext, status: int, *_: int) -> int:
    """End the task. [exit(2)]"""
    raise TaskExited(status & 0xFF)


def _exit_group(_context: CallContext, status: int, *_: int) -> int:
    """End the process. [exit_group(2)]"""
    raise GroupExited((status & 0xFF) << 8)


def _status(child: TaskGroup, options: int) -> int | None:
    """Return what wait4 stores of a child, None if there is nothing to say. [wait_consider_task]

    ``options`` say what is asked for, as those of waitid.
    """
    if child.wait_status is not None:
        return child.wait_status if options & WEXITED else None
    if child.reported:
        return None
    if child.stopped and options & WUNTRACED:
        return child.stopped << 8 | STOPPED
    return CONTINUED if child.continued and options & WCONTINUED else None


def _take(context: CallContext, pid: int, options: int) -> tuple[TaskGroup, int] | None:
    """Return a child with something to say, and what; None for WNOHANG if there is none.

    It says it once, unless WNOWAIT is asked for. Raise ``SysError(ECHILD)``, ``WouldBlock``.
    """
    tasks = context.tasks
    children = tasks.waited_for(context.task.group, pid)

    def ready() -> bool:
        return any(_status(one, options) is not None or one.pid not in tasks.groups
                   for one in children)
    for child in children:
        status = _status(child, options)
        if status is None:
            continue
        if child.wait_status is None:
            child.reported = child.reported or not options & WNOWAIT
        elif not options & WNOWAIT:
            tasks.reap(child)
        return child, status
    if options & WNOHANG:
        return None
    raise WouldBlock(ready)


def _wait4(context: CallContext, pid: int, status: int, options: int, usage: int, *_: int) -> int:
    """Wait for a child that ends, or stops or goes on if that is asked for. [wait4(2)]"""
    if options & 0xFFFF_FFFF & ~WAIT4_OPTIONS:
        raise SysError(errno.EINVAL)
    taken = _take(context, as_int(pid), options | WEXITED)
    if taken is None:
        return 0
    child, found = taken
    if status:
        context.store(status, found.to_bytes(4, "little"))
    if usage:
        context.store(usage, _usage(context, child))
    return child.pid


def _waitpid(context: CallContext, pid: int, status: int, options: int, *_: int) -> int:
    return _wait4(context, pid, status, options, 0)


def _waitid(context: CallContext, kind: int, pid: int, info: int, options: int, usage: int,
            *_: int) -> int:
    """Wait for a child, and store what a handler of SIGCHLD would get. [waitid(2)]"""
    if not options & (WEXITED | WUNTRACED | WCONTINUED) or kind not in (P_ALL, P_PID, P_PGID):
        raise SysError(errno.EINVAL)
    taken = _take(context, {P_ALL: -1, P_PID: pid, P_PGID: -pid}[kind], options)
    if info:
        context.store(info, bytes(INFO_BYTES) if taken is None else _told(*taken).pack(
            context.word_bytes))
    if usage and taken is not None:
        context.store(usage, _usage(context, taken[0]))
    return 0


def _usage(context: CallContext, child: TaskGroup) -> bytes:
    return pack_usage(context, child.run_time + child.children_time, child)


def _told(child: TaskGroup, status: int) -> SignalInfo:
    """Return what a handler of SIGCHLD would get for what wait4 stores."""
    number = status & 0x7F
    code, value = (CldCode.KILLED, number) if number else (CldCode.EXITED, status >> 8)
    if status == CONTINUED:
        code, value = CldCode.CONTINUED, signal.SIGCONT
    elif number == STOPPED:
        code, value = CldCode.STOPPED, status >> 8
    return SignalInfo(signal.SIGCHLD, code, pid=child.pid,
                      uid=child.process.credentials.uid, status=value)


def _set_tid_address(context: CallContext, address: int, *_: int) -> int:
    context.task.clear_tid = address
    return context.task.tid


def _getppid(context: CallContext, *_: int) -> int:
    """Return the parent's pid: 1 once that has ended, 0 for the first program."""
    group = context.task.group
    if group.parent is not None:
        return group.parent.pid
    return 0 if context.task.tid == context.tasks.first.tid else 1


def _group(context: CallContext, pid: int) -> TaskGroup:
    """Return a process by its pid, 0 for the caller; raise ``SysError(ESRCH)``."""
    if not as_int(pid):
        return context.task.group
    if pid not in context.tasks.groups:
        raise SysError(errno.ESRCH)
    return context.tasks.groups[pid]


def _setpgid(context: CallContext, pid: int, pgid: int, *_: int) -> int:
    """Have a process in another group; only oneself and one's children. [setpgid(2)]"""
    group = _group(context, pid)
    caller = context.task.group
    if as_int(pgid) < 0:
        raise SysError(errno.EINVAL)
    if group is not caller and group.parent is not caller:
        raise SysError(errno.ESRCH)
    if group.pid == group.sid or group.sid != caller.sid:
        raise SysError(errno.EPERM)
    group.pgid = pgid or group.pid
    return 0


def _getpgid(context: CallContext, pid: int, *_: int) -> int:
    return _group(context, pid).pgid


def _setsid(context: CallContext, *_: int) -> int:
    """Begin a session. [setsid(2)]"""
    group = context.task.group
    if any(one.pgid == group.pid for one in context.tasks.groups.values()):
        raise SysError(errno.EPERM)
    group.sid = group.pgid = group.pid
    return group.pid


TASK_CALLS: dict[str, Call] = {
    "clone": _clone, "clone3": _clone3, "fork": _fork, "vfork": _vfork,
    "exit": _exit, "exit_group": _exit_group,
    "wait4": _wait4, "waitpid": _waitpid, "waitid": _waitid,
    "set_tid_address": _set_tid_address, "getppid": _getppid, "setpgid": _setpgid,
    "getpgid": _getpgid, "setsid": _setsid,
    "getpid": lambda c, *_: c.task.group.pid,
    "gettid": lambda c, *_: c.task.tid,
    "getpgrp": lambda c, *_: c.task.group.pgid,
    "getsid": lambda c, pid, *_: _group(c, pid).sid,
    "sched_yield": lambda *_: 0,
}
"""Each gets the context and all six arguments."""
