"""A program's calls about signals: what it asks for is kept, and those that end it end it.

No signal is delivered to a handler yet: ``SignalHandled`` is raised where one would be.
"""

import errno
import signal

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from .call_context import Call, CallContext, ProgramKilled

__all__ = ["SIGNAL_CALLS", "SignalHandled", "send_signal", "signal_name"]

SIGNALS = 64
UNCATCHABLE = {signal.SIGKILL, signal.SIGSTOP}
HARMLESS = {signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT}
STOPPING = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
BLOCK, UNBLOCK, SETMASK = 0, 1, 2
DEFAULT, IGNORE = 0, 1
SET_BYTES = 8
SS_DISABLE = 2


class SignalHandled(Exception):
    """A signal that the program has a handler for, which it does not get yet."""


def signal_name(number: int) -> str:
    """Return the name of a signal, or its number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def send_signal(context: CallContext, number: int, where: str = "", *,
                forced: bool = False) -> None:
    """Give the program a signal. Raise ``ProgramKilled``, ``SignalHandled``.

    One that is ``forced``, as by a fault, cannot be blocked or ignored. [force_sig_fault]
    """
    handler = _handler(context, number)
    if not forced and context.blocked >> number - 1 & 1 and number not in UNCATCHABLE:
        context.pending.add(number)
        return
    if forced and (handler == IGNORE or context.blocked >> number - 1 & 1):
        handler = DEFAULT
    if handler == IGNORE or (handler == DEFAULT and number in HARMLESS):
        return
    if handler != DEFAULT:
        raise SignalHandled(f"the program has a handler for {signal_name(number)}, and handlers "
                            "are not called yet")
    if number in STOPPING:
        raise SignalHandled(f"{signal_name(number)} would stop the program, and nothing could "
                            "continue it")
    raise ProgramKilled(number, where)


def _handler(context: CallContext, number: int) -> int:
    action = context.actions.get(number)
    return DEFAULT if action is None else context.words(action)[0]


def _sigaction(context: CallContext, number: int, new: int, old: int, size: int, *_: int) -> int:
    """Keep what is asked for a signal, and store what was. [rt_sigaction(2)]"""
    number, action_bytes = as_int(number), 3 * context.word_bytes + SET_BYTES
    if size != SET_BYTES or not 1 <= number <= SIGNALS or (new and number in UNCATCHABLE):
        raise SysError(errno.EINVAL)
    before = context.actions.get(number, bytes(action_bytes))
    after = context.load(new, action_bytes) if new else None
    if after is not None:
        context.actions[number] = after
    if old:
        context.store(old, before)
    return 0


def _sigprocmask(context: CallContext, how: int, new: int, old: int, size: int, *_: int) -> int:
    """Change which signals are blocked, and store which were. [rt_sigprocmask(2)]"""
    if size != SET_BYTES:
        raise SysError(errno.EINVAL)
    before, how = context.blocked, as_int(how)
    if new:
        asked = int.from_bytes(context.load(new, SET_BYTES), "little")
        asked &= ~sum(1 << one - 1 for one in UNCATCHABLE)
        if how not in (BLOCK, UNBLOCK, SETMASK):
            raise SysError(errno.EINVAL)
        context.blocked = (before | asked, before & ~asked, asked)[how]
    if old:
        context.store(old, before.to_bytes(SET_BYTES, "little"))
    for number in sorted(context.pending):
        if not context.blocked >> number - 1 & 1:
            context.pending.discard(number)
            send_signal(context, number)
    return 0


def _kill(context: CallContext, pid: int, number: int, *_: int) -> int:
    """Send a signal to a process, of which there is one. [kill(2)]"""
    return _send(context, pid, number)


def _tgkill(context: CallContext, group: int, pid: int, number: int, *_: int) -> int:
    """Send a signal to a thread. [tgkill(2)]"""
    if as_int(group) != context.process.pid:
        raise SysError(errno.ESRCH)
    return _send(context, pid, number)


def _send(context: CallContext, pid: int, number: int) -> int:
    number = as_int(number)
    if not 0 <= number <= SIGNALS:
        raise SysError(errno.EINVAL)
    if as_int(pid) not in (0, context.process.pid):
        raise SysError(errno.ESRCH)
    if number:
        send_signal(context, number)
    return 0


def _sigaltstack(context: CallContext, _new: int, old: int, *_: int) -> int:
    """Store that there is no other stack: no handler is called that could use one."""
    if old:
        context.store(old, context.pack(0, SS_DISABLE, 0))
    return 0


SIGNAL_CALLS: dict[str, Call] = {
    "rt_sigaction": _sigaction, "rt_sigprocmask": _sigprocmask, "kill": _kill, "tkill": _kill,
    "tgkill": _tgkill, "sigaltstack": _sigaltstack,
}
"""Each gets the context and all six arguments."""
