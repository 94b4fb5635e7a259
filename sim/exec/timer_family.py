"""A program's timers of its own, which send signals. [kernel/time/posix-timers.c]"""

import errno
import signal
from functools import partial

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.tasks.posix_timer import PosixTimer
from ...model.kernel.tasks.signal_rules import SIGNALS
from .call_context import Call, CallContext
from .program_clock import NSEC
from .time_family import REALTIME_CLOCKS, TIMER_ABSTIME, UPTIME_CLOCKS, read_clock

__all__ = ["TIMER_CALLS"]

SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID = 0, 1, 4
EVENT_BYTES = 64


def _create(context: CallContext, clock: int, event: int, number_at: int, *_: int) -> int:
    """Make a timer, and store its number. [timer_create(2)]

    Those of processor time are left out: EOPNOTSUPP.
    """
    read_clock(context, clock)
    if as_int(clock) not in REALTIME_CLOCKS | UPTIME_CLOCKS:
        raise SysError(errno.EOPNOTSUPP)
    group, word = context.task.group, context.word_bytes
    number = next(one for one in range(len(group.timers) + 1) if one not in group.timers)
    timer = PosixTimer(number, as_int(clock), int(signal.SIGALRM), number)
    if event:
        data = context.load(event, EVENT_BYTES)
        value = int.from_bytes(data[:word], "little")
        asked, notify, tid = (int.from_bytes(data[at : at + 4], "little", signed=True)
                              for at in (word, word + 4, word + 8))
        _check_event(context, asked, notify, tid)
        timer = PosixTimer(number, as_int(clock), 0 if notify == SIGEV_NONE else asked, value,
                           tid if notify == SIGEV_THREAD_ID else 0)
    context.store(number_at, number.to_bytes(4, "little"))
    group.timers[number] = timer
    return 0


def _check_event(context: CallContext, asked: int, notify: int, tid: int) -> None:
    """Raise ``SysError(EINVAL)`` for what cannot be told. [good_sigevent]"""
    if notify not in (SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD_ID) or (
            notify != SIGEV_NONE and not 1 <= asked <= SIGNALS):
        raise SysError(errno.EINVAL)
    if notify == SIGEV_THREAD_ID and all(one.tid != tid for one in context.task.group.tasks):
        raise SysError(errno.EINVAL)


def _timer(context: CallContext, number: int) -> PosixTimer:
    """Return a timer; raise ``SysError(EINVAL)``."""
    found = context.task.group.timers.get(as_int(number))
    if found is None:
        raise SysError(errno.EINVAL)
    return found


def _packed(context: CallContext, timer: PosixTimer, *, wide: bool) -> bytes:
    """Return ``struct itimerspec``: how often, and how long until then."""
    left = max(1, timer.at - context.clock.uptime) if timer.at is not None else 0
    size = 8 if wide else context.word_bytes
    return b"".join(value.to_bytes(size, "little") for time in (timer.every, left)
                    for value in divmod(time, NSEC))


def _settime(context: CallContext, number: int, flags: int, new: int, old: int, *_: int,
             wide: bool = False) -> int:
    """Say when a timer is due, and how often then. [timer_settime(2)]"""
    if not new:
        raise SysError(errno.EINVAL)
    half = 16 if wide else 2 * context.word_bytes
    every, first = (context.duration(new + at, wide=wide) for at in (0, half))
    timer = _timer(context, number)
    before = _packed(context, timer, wide=wide)
    if first and as_int(flags) & TIMER_ABSTIME:
        first = max(0, first - read_clock(context, timer.clock))
        timer.at = context.clock.uptime + first
    else:
        timer.at = context.clock.uptime + first if first else None
    timer.every, timer.overrun = every, 0
    if old:
        context.store(old, before)
    return 0


def _gettime(context: CallContext, number: int, to: int, *_: int, wide: bool = False) -> int:
    context.store(to, _packed(context, _timer(context, number), wide=wide))
    return 0


def _delete(context: CallContext, number: int, *_: int) -> int:
    del context.task.group.timers[_timer(context, number).number]
    return 0


TIMER_CALLS: dict[str, Call] = {
    "timer_create": _create, "timer_settime": _settime, "timer_gettime": _gettime,
    "timer_delete": _delete,
    "timer_getoverrun": lambda c, number, *_: _timer(c, number).overrun,
    "timer_settime64": partial(_settime, wide=True),
    "timer_gettime64": partial(_gettime, wide=True),
}
"""Each gets the context and all six arguments."""
