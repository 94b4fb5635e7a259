"""A program's calls about time, which is that of ``ProgramClock``."""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int, as_uint
from ...model.kernel.vfs.stream import WouldBlock
from .call_context import Call, CallContext
from .program_clock import NSEC

__all__ = ["REALTIME_CLOCKS", "TIMER_ABSTIME", "TIME_CALLS", "UPTIME_CLOCKS", "read_clock"]

REALTIME_CLOCKS = {0, 5, 11}  # CLOCK_REALTIME, its coarse form, CLOCK_TAI
UPTIME_CLOCKS = {1, 4, 6, 7}  # CLOCK_MONOTONIC, raw and coarse, CLOCK_BOOTTIME
PROCESS_CPU, THREAD_CPU = 2, 3
CPU_CLOCKS = {PROCESS_CPU, THREAD_CPU}
TIMER_ABSTIME = 1
ITIMER_REAL = 0


def read_clock(context: CallContext, clock: int) -> int:
    """Return what a clock shows in nanoseconds; raise ``SysError(EINVAL)``."""
    clock = as_int(clock)
    if clock in REALTIME_CLOCKS:
        return context.clock.now()
    if clock in UPTIME_CLOCKS:
        return context.clock.uptime
    if clock in CPU_CLOCKS:
        task = context.task
        return task.group.run_time if clock == PROCESS_CPU else task.run_time
    raise SysError(errno.EINVAL)


def _pair(context: CallContext, time: int, unit: int = 1, *, wide: bool = False) -> bytes:
    """Return seconds and what is left, in ``unit`` nanoseconds, as a program has them."""
    seconds, rest = divmod(time, NSEC)
    if wide:
        return seconds.to_bytes(8, "little") + (rest // unit).to_bytes(8, "little")
    return context.pack(seconds, rest // unit)


def _gettime(context: CallContext, clock: int, address: int, *_: int) -> int:
    context.store(address, _pair(context, read_clock(context, clock)))
    return 0


def _gettime64(context: CallContext, clock: int, address: int, *_: int) -> int:
    context.store(address, _pair(context, read_clock(context, clock), wide=True))
    return 0


def _getres(context: CallContext, clock: int, address: int, *_: int,
            wide: bool = False) -> int:
    read_clock(context, clock)
    if address:
        context.store(address, _pair(context, 1, wide=wide))
    return 0


def _gettimeofday(context: CallContext, address: int, zone: int, *_: int) -> int:
    if address:
        context.store(address, _pair(context, context.clock.now(), 1000))
    if zone:
        context.store(zone, bytes(8))
    return 0


def _time(context: CallContext, address: int, *_: int) -> int:
    seconds = context.clock.now() // NSEC
    if address:
        context.store(address, context.pack(seconds))
    return seconds


def _sleep(context: CallContext, address: int, left_at: int = 0, *_: int, wide: bool = False,
           since: int | None = None) -> int:
    """Wait for a time, or until one if it is absolute: what ``since`` shows now. [nanosleep(2)]

    A signal that ends it has what is left stored.
    """
    time = context.duration(address, wide=wide)
    end = context.clock.uptime + (time if since is None else max(0, time - since))

    def cancel() -> None:
        if left_at and since is None:
            left = max(0, end - context.clock.uptime)
            context.store(left_at, _pair(context, left, wide=wide))
    raise WouldBlock(lambda: False, timeout=max(0, end - context.clock.uptime),
                     expired=lambda: 0, cancel=cancel)


def _clock_sleep(context: CallContext, clock: int, flags: int, address: int, left_at: int,
                 *_: int, wide: bool = False) -> int:
    now = read_clock(context, clock)
    return _sleep(context, address, left_at, wide=wide,
                  since=now if flags & TIMER_ABSTIME else None)


def _alarm(context: CallContext, seconds: int, *_: int) -> int:
    """Have SIGALRM come after so many seconds, 0 for never. [alarm(2)]"""
    group = context.task.group
    left = _left(context)
    group.alarm_every = 0
    group.alarm_at = context.clock.uptime + as_uint(seconds) * NSEC if seconds else None
    return 0 if not left else max(1, (left + NSEC // 2) // NSEC)


def _left(context: CallContext) -> int:
    """Return how long it is until SIGALRM, 0 for never."""
    at = context.task.group.alarm_at
    return max(1, at - context.clock.uptime) if at is not None else 0


def _getitimer(context: CallContext, which: int, to: int, *_: int) -> int:
    """Store when SIGALRM is due; timers of processor time are left out. [getitimer(2)]"""
    _require_real(which)
    every, left = context.task.group.alarm_every, _left(context)
    context.store(to, _pair(context, every, 1000) + _pair(context, left, 1000))
    return 0


def _setitimer(context: CallContext, which: int, new: int, old: int, *_: int) -> int:
    """Say when SIGALRM is due, and how often then. [setitimer(2)]"""
    _require_real(which)
    words = [0] * 4
    if new:
        words = context.words(context.load(new, 4 * context.word_bytes))
    if any(words[at] >= 10 ** 6 for at in (1, 3)):
        raise SysError(errno.EINVAL)
    if old:
        _getitimer(context, which, old)
    every, first = (words[at] * NSEC + words[at + 1] * 1000 for at in (0, 2))
    group = context.task.group
    group.alarm_every = every
    group.alarm_at = context.clock.uptime + first if first else None
    return 0


def _require_real(which: int) -> None:
    which = as_int(which)
    if which not in (ITIMER_REAL, 1, 2):
        raise SysError(errno.EINVAL)
    if which != ITIMER_REAL:
        raise SysError(errno.ENOSYS)


TIME_CALLS: dict[str, Call] = {
    "clock_gettime": _gettime, "clock_gettime64": _gettime64, "clock_getres": _getres,
    "gettimeofday": _gettimeofday, "time": _time, "nanosleep": _sleep,
    "clock_nanosleep": _clock_sleep, "alarm": _alarm, "getitimer": _getitimer,
    "setitimer": _setitimer,
    "clock_getres_time64": lambda *arguments: _getres(*arguments, wide=True),
    "clock_nanosleep_time64": lambda *arguments: _clock_sleep(*arguments, wide=True),
}
"""Each gets the context and all six arguments."""
