"""Calls that newer ones have replaced, most of 32-bit programs. [kernel/signal.c, fs/utimes.c]"""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.calls.path_base import AtFlag
from ...model.kernel.tasks.signal_rules import SigAction, SigFlag, bit
from ...model.kernel.vfs.stream import WouldBlock
from .call_context import Call, CallContext
from .poll_family import POLL_CALLS
from .program_clock import NSEC
from .signal_family import UNBLOCKABLE, set_action

__all__ = ["OLD_CALLS"]

NOW = -1
SET_BYTES = 4  # of a set of the first 32 signals [old_sigset_t]
LOW = 0xFFFF_FFFF
BLOCK, UNBLOCK, SETMASK = 0, 1, 2
MOST_LIMIT = 0x7FFF_FFFF


# ---- signals

def _sigaction(context: CallContext, number: int, new: int, old: int, *_: int) -> int:
    """Do as rt_sigaction, with a mask of 32 signals behind the handler. [sys_sigaction]"""
    asked = None
    if new:
        handler, mask, flags, restorer = context.words(context.load(new, 16))
        asked = SigAction(handler, flags, restorer, mask & ~UNBLOCKABLE)
    before = set_action(context, number, asked)
    if old:
        context.store(old, context.pack(before.handler, before.mask & LOW, before.flags,
                                        before.restorer))
    return 0


def _signal(context: CallContext, number: int, handler: int, *_: int) -> int:
    """Have a handler called once; return that before. [signal(2)]"""
    asked = SigAction(handler, SigFlag.RESETHAND | SigFlag.NODEFER)
    return set_action(context, number, asked).handler


def _sigprocmask(context: CallContext, how: int, new: int, old: int, *_: int) -> int:
    """Do as rt_sigprocmask with the first 32 signals. [sys_sigprocmask]"""
    task = context.task
    before, how = task.blocked, as_int(how)
    if new:
        asked = int.from_bytes(context.load(new, SET_BYTES), "little") & ~UNBLOCKABLE
        if how not in (BLOCK, UNBLOCK, SETMASK):
            raise SysError(errno.EINVAL)
        task.blocked = (before | asked, before & ~asked, before & ~LOW | asked)[how]
    if old:
        context.store(old, (before & LOW).to_bytes(SET_BYTES, "little"))
    return 0


def _ssetmask(context: CallContext, mask: int, *_: int) -> int:
    """Block some of the first 32 signals alone; return those before. [sys_ssetmask]"""
    before = context.task.blocked
    context.task.blocked = mask & LOW & ~UNBLOCKABLE
    return before & LOW


def _sigpending(context: CallContext, address: int, *_: int) -> int:
    """Store which of the first 32 signals wait. [sys_sigpending]"""
    task, found = context.task, 0
    for info in (*task.pending, *task.group.pending):
        found |= bit(info.number)
    context.store(address, (found & task.blocked & LOW).to_bytes(SET_BYTES, "little"))
    return 0


def _sigsuspend(context: CallContext, _first: int, _second: int, mask: int, *_: int) -> int:
    """Wait for a signal that a mask does not block, which stands in the third register."""
    task = context.task
    task.saved_mask, task.blocked = task.blocked, mask & LOW & ~UNBLOCKABLE
    raise WouldBlock(lambda: False)


# ---- times

def _utime(context: CallContext, path: int, address: int, *_: int) -> int:
    """Set the times of a path in seconds. [utime(2)]"""
    times = [NOW, NOW]
    if address:
        times = [_signed(context, one) * NSEC
                 for one in context.words(context.load(address, 2 * context.word_bytes))]
    return context.calls.utimes(AtFlag.FDCWD, path, times[0], times[1])


def _futimesat(context: CallContext, folder: int, path: int, address: int, *_: int) -> int:
    """Set the times of a path in seconds and microseconds. [futimesat(2), utimes(2)]"""
    times = [NOW, NOW]
    if address:
        words = [_signed(context, one)
                 for one in context.words(context.load(address, 4 * context.word_bytes))]
        if any(not 0 <= words[at] < 10 ** 6 for at in (1, 3)):
            raise SysError(errno.EINVAL)
        times = [words[at] * NSEC + words[at + 1] * 1000 for at in (0, 2)]
    return context.calls.utimes(folder, path, times[0], times[1])


def _signed(context: CallContext, value: int) -> int:
    half = 1 << 8 * context.word_bytes - 1
    return (value ^ half) - half


# ---- others

def _old_select(context: CallContext, address: int, *_: int) -> int:
    """Wait for files; all five arguments are at an address. [old_select]"""
    return POLL_CALLS["_newselect"](context, *context.words(context.load(address, 20)))


def _nice(context: CallContext, value: int, *_: int) -> int:
    """Be nicer by so much; return 0. [nice(2)]"""
    group = context.task.group
    nice = max(-20, min(19, group.nice + max(-40, min(40, as_int(value)))))
    if nice < group.nice and context.process.credentials.euid:
        raise SysError(errno.EPERM)
    group.nice = nice
    return 0


def _old_getrlimit(context: CallContext, resource: int, address: int, *_: int) -> int:
    """Store a limit, as no more than a signed number holds. [old_getrlimit]"""
    limits = context.process.mm.rlimits.get(resource)
    context.store(address, context.pack(*(min(one, MOST_LIMIT) for one in limits)))
    return 0


NARROW_CALLS: dict[str, Call] = {
    "sigaction": _sigaction, "signal": _signal, "sigprocmask": _sigprocmask,
    "sgetmask": lambda c, *_: c.task.blocked & LOW, "ssetmask": _ssetmask,
    "sigpending": _sigpending, "sigsuspend": _sigsuspend, "nice": _nice,
}

OLD_CALLS: dict[str, Call] = {
    **NARROW_CALLS, "utime": _utime,
    "utimes": lambda c, path, times, *_: _futimesat(c, AtFlag.FDCWD, path, times),
    "futimesat": _futimesat, "old_select": _old_select, "old_getrlimit": _old_getrlimit,
}
"""Each gets the context and all six arguments."""
