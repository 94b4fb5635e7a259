"""A program's calls about what a task is like: prctl, personality, scheduling. [kernel/sys.c]"""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int, as_uint
from .call_context import Call, CallContext

__all__ = ["PERSONAL_CALLS"]

NAME_BYTES = 16
CLONE_FS, CLONE_FILES = 0x200, 0x400


class Prctl:
    """What prctl is asked for. [``PR_*``]"""

    SET_PDEATHSIG = 1
    GET_PDEATHSIG = 2
    GET_DUMPABLE = 3
    SET_DUMPABLE = 4
    GET_KEEPCAPS = 7
    SET_NAME = 15
    GET_NAME = 16
    GET_SECCOMP = 21
    CAPBSET_READ = 23
    SET_TIMERSLACK = 29
    GET_TIMERSLACK = 30
    SET_CHILD_SUBREAPER = 36
    GET_CHILD_SUBREAPER = 37
    SET_NO_NEW_PRIVS = 38
    GET_NO_NEW_PRIVS = 39


LAST_CAPABILITY = 40
TIMER_SLACK = 50_000  # nanoseconds
SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 0, 1, 2, 3, 5
REALTIME = (SCHED_FIFO, SCHED_RR)
POLICIES = (SCHED_OTHER, *REALTIME, SCHED_BATCH, SCHED_IDLE)
IOPRIO_WHO = (1, 2, 3)


def _prctl(context: CallContext, option: int, value: int, *_: int) -> int:
    """Ask or say something of a task: what ``Prctl`` lists, EINVAL for all else. [prctl(2)]

    Nothing here follows from signals of a parent's death, dumps, subreapers or timer slack, so
    those are refused, but for the values that they have.
    """
    option, process = as_int(option), context.process
    if option == Prctl.SET_NAME:
        name = context.load_text(value, NAME_BYTES - 1)
        process.name = name.decode(errors="surrogateescape")
    elif option == Prctl.GET_NAME:
        name = process.name.encode(errors="surrogateescape")
        context.store(value, name[: NAME_BYTES - 1].ljust(NAME_BYTES, b"\0"))
    elif option == Prctl.GET_DUMPABLE:
        return 1
    elif option == Prctl.GET_TIMERSLACK:
        return TIMER_SLACK
    elif option in (Prctl.GET_KEEPCAPS, Prctl.GET_SECCOMP):
        return 0
    elif option == Prctl.CAPBSET_READ and value <= LAST_CAPABILITY:
        return 1
    elif option == Prctl.SET_NO_NEW_PRIVS and value == 1:
        context.task.group.no_new_privs = True
    elif option == Prctl.GET_NO_NEW_PRIVS:
        return int(context.task.group.no_new_privs)
    elif option in (Prctl.GET_PDEATHSIG, Prctl.GET_CHILD_SUBREAPER):
        context.store(value, bytes(4))
    elif (option, value) not in ((Prctl.SET_PDEATHSIG, 0), (Prctl.SET_DUMPABLE, 1),
                                 (Prctl.SET_CHILD_SUBREAPER, 0),
                                 (Prctl.SET_TIMERSLACK, TIMER_SLACK)):
        raise SysError(errno.EINVAL)
    return 0


def _personality(context: CallContext, value: int, *_: int) -> int:
    """Keep a personality, of which only the name of the machine follows; return that before.

    [personality(2)]
    """
    group = context.task.group
    before = group.personality
    if as_uint(value) != 0xFFFF_FFFF:
        group.personality = as_uint(value)
    return before


def _unshare(context: CallContext, flags: int, *_: int) -> int:
    """Have open files or the place in the file system for oneself; no namespaces. [unshare(2)]"""
    if flags & ~(CLONE_FS | CLONE_FILES):
        raise SysError(errno.EINVAL)
    process = context.process
    if flags & CLONE_FILES:
        process.files = process.files.unshare()
    if flags & CLONE_FS and process.fs is not None:
        process.fs = process.fs.copy()
    return 0


def _require_task(context: CallContext, pid: int) -> None:
    if as_int(pid) < 0:
        raise SysError(errno.EINVAL)
    if as_int(pid):
        context.tasks.by_tid(as_int(pid))


def _getaffinity(context: CallContext, pid: int, size: int, address: int, *_: int) -> int:
    """Store the set of processors that a task may run on: the one. [sched_getaffinity(2)]"""
    if size < context.word_bytes or size % context.word_bytes:
        raise SysError(errno.EINVAL)
    _require_task(context, pid)
    context.store(address, context.pack(1))
    return context.word_bytes


def _setaffinity(context: CallContext, pid: int, size: int, address: int, *_: int) -> int:
    """Refuse a set of processors without the one. [sched_setaffinity(2)]"""
    _require_task(context, pid)
    data = context.load(address, min(size, context.word_bytes))
    if not data or not data[0] & 1:
        raise SysError(errno.EINVAL)
    return 0


def _getscheduler(context: CallContext, pid: int, *_: int) -> int:
    _require_task(context, pid)
    return SCHED_OTHER


def _getparam(context: CallContext, pid: int, address: int, *_: int) -> int:
    _require_task(context, pid)
    context.store(address, bytes(4))
    return 0


def _setscheduler(context: CallContext, pid: int, policy: int, address: int, *_: int) -> int:
    """Take what there is, time sharing; EPERM for all that there is elsewhere."""
    _require_task(context, pid)
    priority = int.from_bytes(context.load(address, 4), "little")
    if policy not in POLICIES or (policy in REALTIME) != bool(priority):
        raise SysError(errno.EINVAL)
    if policy != SCHED_OTHER:
        raise SysError(errno.EPERM)
    return 0


def _priority(most: int) -> Call:
    def made(_context: CallContext, policy: int, *_: int) -> int:
        if policy not in POLICIES:
            raise SysError(errno.EINVAL)
        return most if policy in REALTIME else 0
    return made


def _ioprio_get(_context: CallContext, which: int, *_: int) -> int:
    """Return 0: no class of its own, as nothing is scheduled by it. [ioprio_get(2)]"""
    if which not in IOPRIO_WHO:
        raise SysError(errno.EINVAL)
    return 0


def _getcpu(context: CallContext, cpu: int, node: int, *_: int) -> int:
    """Store the number of the processor and of its node: 0. [getcpu(2)]"""
    for place in (cpu, node):
        if place:
            context.store(place, bytes(4))
    return 0


PERSONAL_CALLS: dict[str, Call] = {
    "prctl": _prctl, "personality": _personality, "unshare": _unshare,
    "sched_getaffinity": _getaffinity, "sched_setaffinity": _setaffinity,
    "sched_getscheduler": _getscheduler, "sched_setscheduler": _setscheduler,
    "sched_getparam": _getparam, "sched_get_priority_max": _priority(99),
    "sched_get_priority_min": _priority(1), "ioprio_get": _ioprio_get, "getcpu": _getcpu,
}
"""Each gets the context and all six arguments."""
