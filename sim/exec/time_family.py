"""A program's calls about time, which is that of ``ProgramClock``."""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from .call_context import Call, CallContext
from .program_clock import NSEC

__all__ = ["TIME_CALLS"]

REALTIME_CLOCKS = {0, 5, 11}  # CLOCK_REALTIME, its coarse form, CLOCK_TAI
UPTIME_CLOCKS = {1, 4, 6, 7}  # CLOCK_MONOTONIC, raw and coarse, CLOCK_BOOTTIME
CPU_CLOCKS = {2, 3}
TIMER_ABSTIME = 1


def _read(context: CallContext, clock: int) -> int:
    """Return what a clock shows in nanoseconds; raise ``SysError(EINVAL)``."""
    clock = as_int(clock)
    if clock in REALTIME_CLOCKS:
        return context.clock.now()
    if clock in UPTIME_CLOCKS:
        return context.clock.uptime
    if clock in CPU_CLOCKS:
        return context.clock.count()
    raise SysError(errno.EINVAL)


def _pair(context: CallContext, time: int, unit: int = 1, *, wide: bool = False) -> bytes:
    """Return seconds and what is left, in ``unit`` nanoseconds, as a program has them."""
    seconds, rest = divmod(time, NSEC)
    if wide:
        return seconds.to_bytes(8, "little") + (rest // unit).to_bytes(8, "little")
    return context.pack(seconds, rest // unit)


def _gettime(context: CallContext, clock: int, address: int, *_: int) -> int:
    context.store(address, _pair(context, _read(context, clock)))
    return 0


def _gettime64(context: CallContext, clock: int, address: int, *_: int) -> int:
    context.store(address, _pair(context, _read(context, clock), wide=True))
    return 0


def _getres(context: CallContext, clock: int, address: int, *_: int) -> int:
    _read(context, clock)
    if address:
        context.store(address, _pair(context, 1))
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


def _sleep(context: CallContext, address: int, *_: int, wide: bool = False,
           since: int = 0) -> int:
    """Let time pass; nothing else runs meanwhile."""
    size = 8 if wide else context.word_bytes
    data = context.load(address, 2 * size)
    seconds, rest = (int.from_bytes(data[at : at + size], "little", signed=True)
                     for at in (0, size))
    if seconds < 0 or not 0 <= rest < NSEC:
        raise SysError(errno.EINVAL)
    context.clock.slept += max(0, seconds * NSEC + rest - since)
    return 0


def _clock_sleep(context: CallContext, clock: int, flags: int, address: int, *_: int,
                 wide: bool = False) -> int:
    since = _read(context, clock) if flags & TIMER_ABSTIME else 0
    return _sleep(context, address, wide=wide, since=since)


TIME_CALLS: dict[str, Call] = {
    "clock_gettime": _gettime, "clock_gettime64": _gettime64, "clock_getres": _getres,
    "gettimeofday": _gettimeofday, "time": _time, "nanosleep": _sleep,
    "clock_nanosleep": _clock_sleep,
    "clock_nanosleep_time64": lambda *arguments: _clock_sleep(*arguments, wide=True),
}
"""Each gets the context and all six arguments."""
