"""A program's calls about the time that tasks have run, and how nice they are. [kernel/sys.c]"""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.tasks.task import TaskGroup
from ...model.x86 import PAGE_BYTES
from .call_context import Call, CallContext

__all__ = ["USAGE_CALLS", "pack_usage"]

NSEC, TICK = 10 ** 9, 10 ** 7  # USER_HZ is 100
RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD = 0, -1, 1
PRIO_PROCESS, PRIO_PGRP, PRIO_USER = 0, 1, 2
LEAST_NICE, MOST_NICE = -20, 19


def pack_usage(context: CallContext, time: int, group: TaskGroup | None) -> bytes:
    """Return ``struct rusage``: time in user mode; memory and faults of a process, if given."""
    words = [time // NSEC, time % NSEC // 1000, *[0] * 16]
    if group is not None:
        space = group.process.space
        words[4] = max(space.hiwater_rss, space.rss) * PAGE_BYTES >> 10
        words[8], words[9] = group.process.min_flt, group.process.maj_flt
    return context.pack(*words)


def _getrusage(context: CallContext, who: int, address: int, *_: int) -> int:
    """Store how long tasks have run: all in user mode, a nanosecond an instruction."""
    task, who = context.task, as_int(who)
    if who not in (RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD):
        raise SysError(errno.EINVAL)
    time = {RUSAGE_SELF: task.group.run_time, RUSAGE_CHILDREN: task.group.children_time,
            RUSAGE_THREAD: task.run_time}[who]
    context.store(address, pack_usage(
        context, time, None if who == RUSAGE_CHILDREN else task.group))
    return 0


def _times(context: CallContext, address: int, *_: int) -> int:
    """Store how long the process and its children have run in hundredths of a second."""
    group = context.task.group
    if address:
        context.store(address, context.pack(
            group.run_time // TICK, 0, group.children_time // TICK, 0))
    return context.clock.uptime // TICK


def _meant(context: CallContext, which: int, who: int) -> list[TaskGroup]:
    """Return the processes of a pid, a process group or a user; raise ``SysError``."""
    which, who, caller = as_int(which), as_int(who), context.task.group
    if which not in (PRIO_PROCESS, PRIO_PGRP, PRIO_USER):
        raise SysError(errno.EINVAL)
    mine = {PRIO_PROCESS: caller.pid, PRIO_PGRP: caller.pgid,
            PRIO_USER: caller.process.credentials.uid}[which]
    found = [one for one in context.tasks.groups.values() if one.wait_status is None
             and {PRIO_PROCESS: one.pid, PRIO_PGRP: one.pgid,
                  PRIO_USER: one.process.credentials.uid}[which] == (who or mine)]
    if not found:
        raise SysError(errno.ESRCH)
    return found


def _getpriority(context: CallContext, which: int, who: int, *_: int) -> int:
    """Return 20 less the least nice value. [getpriority(2)]"""
    return 20 - min(one.nice for one in _meant(context, which, who))


def _setpriority(context: CallContext, which: int, who: int, value: int, *_: int) -> int:
    """Keep how nice processes are, by which nothing is scheduled. [setpriority(2)]"""
    nice = max(LEAST_NICE, min(MOST_NICE, as_int(value)))
    found = _meant(context, which, who)
    if context.process.credentials.euid and any(nice < one.nice for one in found):
        raise SysError(errno.EACCES)
    for one in found:
        one.nice = nice
    return 0


USAGE_CALLS: dict[str, Call] = {
    "getrusage": _getrusage, "times": _times, "getpriority": _getpriority,
    "setpriority": _setpriority,
}
"""Each gets the context and all six arguments."""
