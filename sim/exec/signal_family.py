"""A program's calls about signals. [kernel/signal.c]"""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.tasks.signal_info import SiginfoCode, SignalInfo
from ...model.kernel.tasks.signal_rules import SIGNALS, UNCATCHABLE, SigAction, bit, lowest
from ...model.kernel.tasks.task import SS_DISABLE, AltStack, Task
from ...model.kernel.vfs.stream import WouldBlock
from .call_context import Call, CallContext, ProgramReplaced
from .signal_frame import load_frame
from .signal_frame32 import load_frame32, load_rt_frame32

__all__ = ["SIGNAL_CALLS", "UNBLOCKABLE", "set_action", "set_mask_for_call"]

BLOCK, UNBLOCK, SETMASK = 0, 1, 2
SET_BYTES = 8
SS_ONSTACK, SS_AUTODISARM = 1, 1 << 31
INFO_BYTES = 128
LEAST_STACK = 2048  # MINSIGSTKSZ
UNBLOCKABLE = sum(map(bit, UNCATCHABLE))


def _sigaction(context: CallContext, number: int, new: int, old: int, size: int, *_: int) -> int:
    """Keep what is asked for a signal, and store what was. [rt_sigaction(2)]"""
    if size != SET_BYTES:
        raise SysError(errno.EINVAL)
    asked = None
    if new:
        data = context.load(new, 3 * context.word_bytes + SET_BYTES)
        asked = SigAction.unpack(data, context.word_bytes)
    before = set_action(context, number, asked)
    if old:
        context.store(old, before.pack(context.word_bytes))
    return 0


def set_action(context: CallContext, number: int, asked: SigAction | None) -> SigAction:
    """Keep what is asked for a signal, if anything is; return what was. [do_sigaction]

    Raise ``SysError(EINVAL)``.
    """
    number, group = as_int(number), context.task.group
    if not 1 <= number <= SIGNALS or (asked is not None and number in UNCATCHABLE):
        raise SysError(errno.EINVAL)
    before = group.action(number)
    if asked is not None:
        group.actions[number] = asked
        if group.ignores(number):
            for queue in (group.pending, *(task.pending for task in group.tasks)):
                queue[:] = [info for info in queue if info.number != number]
    return before


def _load_mask(context: CallContext, address: int, size: int) -> int:
    if size != SET_BYTES:
        raise SysError(errno.EINVAL)
    return int.from_bytes(context.load(address, SET_BYTES), "little")


def _sigprocmask(context: CallContext, how: int, new: int, old: int, size: int, *_: int) -> int:
    """Change which signals are blocked, and store which were. [rt_sigprocmask(2)]"""
    if size != SET_BYTES:
        raise SysError(errno.EINVAL)
    before, how = context.task.blocked, as_int(how)
    if new:
        asked = _load_mask(context, new, size) & ~UNBLOCKABLE
        if how not in (BLOCK, UNBLOCK, SETMASK):
            raise SysError(errno.EINVAL)
        context.task.blocked = (before | asked, before & ~asked, asked)[how]
    if old:
        context.store(old, before.to_bytes(SET_BYTES, "little"))
    return 0


def _sigpending(context: CallContext, address: int, size: int, *_: int) -> int:
    """Store which signals wait as they are blocked. [rt_sigpending(2)]"""
    if size > SET_BYTES:
        raise SysError(errno.EINVAL)
    task = context.task
    found = 0
    for info in (*task.pending, *task.group.pending):
        found |= bit(info.number)
    context.store(address, (found & task.blocked).to_bytes(SET_BYTES, "little")[:size])
    return 0


def set_mask_for_call(context: CallContext, address: int, size: int) -> None:
    """Have other signals blocked until the call ends, 0 for the same. [set_user_sigmask]"""
    if address:
        task = context.task
        mask = _load_mask(context, address, size) & ~UNBLOCKABLE
        task.saved_mask, task.blocked = task.blocked, mask


def _sigsuspend(context: CallContext, address: int, size: int, *_: int) -> int:
    """Wait for a signal that a mask does not block. [rt_sigsuspend(2)]"""
    task = context.task
    mask = _load_mask(context, address, size) & ~UNBLOCKABLE
    task.saved_mask, task.blocked = task.blocked, mask
    raise WouldBlock(lambda: False)


def _pause(_context: CallContext, *_: int) -> int:
    raise WouldBlock(lambda: False)


def _sigtimedwait(context: CallContext, address: int, info_at: int, timeout: int, size: int,
                  *_: int, wide: bool = False) -> int:
    """Take one of some signals, or wait for it. [rt_sigtimedwait(2)]"""
    task, wanted = context.task, _load_mask(context, address, size) & ~UNBLOCKABLE
    limit = context.duration(timeout, wide=wide) if timeout else None

    def there() -> int:
        return sum({bit(info.number) for info in (*task.pending, *task.group.pending)}) & wanted

    def take() -> int:
        info = task.take(lowest(there()))
        if info_at:
            context.store(info_at, info.pack(context.word_bytes))
        return info.number

    def expired() -> int:
        raise SysError(errno.EAGAIN)
    if there():
        return take()
    raise WouldBlock(lambda: bool(there()), resume=take, timeout=limit, expired=expired)


def _number(value: int) -> int:
    """Return the number of a signal, 0 for none; raise ``SysError(EINVAL)``."""
    number = as_int(value)
    if not 0 <= number <= SIGNALS:
        raise SysError(errno.EINVAL)
    return number


def _info(context: CallContext, number: int, code: int) -> SignalInfo:
    task = context.task
    return SignalInfo(number, code, pid=task.group.pid, uid=task.process.credentials.uid)


def _kill(context: CallContext, pid: int, value: int, *_: int) -> int:
    """Send a signal to processes. [kill(2)]"""
    number = _number(value)
    context.tasks.kill(context.task.group, as_int(pid), None if not number else (
        lambda: _info(context, number, SiginfoCode.USER)))
    return 0


def _tgkill(context: CallContext, pid: int, tid: int, value: int, *_: int) -> int:
    """Send a signal to one task of a process. [tgkill(2)]"""
    if as_int(pid) <= 0 or as_int(tid) <= 0:
        raise SysError(errno.EINVAL)
    task = context.tasks.by_tid(as_int(tid))
    if task.group.pid != as_int(pid):
        raise SysError(errno.ESRCH)
    return _send(context, task, value)


def _tkill(context: CallContext, tid: int, value: int, *_: int) -> int:
    """Send a signal to one task. [tkill(2)]"""
    if as_int(tid) <= 0:
        raise SysError(errno.EINVAL)
    return _send(context, context.tasks.by_tid(as_int(tid)), value)


def _send(context: CallContext, task: Task, value: int) -> int:
    number = _number(value)
    if number:
        context.tasks.send_task(task, _info(context, number, SiginfoCode.TKILL))
    return 0


def _queued(context: CallContext, number: int, address: int, *, own: bool) -> SignalInfo:
    """Return what a program says of a signal; only its own may say that it comes otherwise."""
    data = context.load(address, INFO_BYTES)
    code = int.from_bytes(data[8:12], "little", signed=True)
    if (code >= 0 or code == SiginfoCode.TKILL) and not own:
        raise SysError(errno.EPERM)
    at = 2 * context.word_bytes if context.word_bytes == 8 else 12
    pid, uid = (int.from_bytes(data[one : one + 4], "little") for one in (at, at + 4))
    value = int.from_bytes(data[at + 8 : at + 8 + context.word_bytes], "little")
    return SignalInfo(number, code, pid=pid, uid=uid, value=value)


def _sigqueueinfo(context: CallContext, pid: int, value: int, address: int, *_: int) -> int:
    """Send a signal with a value to a process. [rt_sigqueueinfo(2)]"""
    number, group = _number(value), context.task.group
    info = _queued(context, number, address, own=as_int(pid) == group.pid)
    if as_int(pid) <= 0:
        raise SysError(errno.ESRCH)
    context.tasks.kill(group, as_int(pid), (lambda: info) if number else None)
    return 0


def _tgsigqueueinfo(context: CallContext, pid: int, tid: int, value: int, address: int,
                    *_: int) -> int:
    """Send a signal with a value to a task. [rt_tgsigqueueinfo(2)]"""
    if as_int(pid) <= 0 or as_int(tid) <= 0:
        raise SysError(errno.EINVAL)
    task, number = context.tasks.by_tid(as_int(tid)), _number(value)
    info = _queued(context, number, address, own=task.group is context.task.group)
    if task.group.pid != as_int(pid):
        raise SysError(errno.ESRCH)
    if number:
        context.tasks.send_task(task, info)
    return 0


def _sigaltstack(context: CallContext, new: int, old: int, *_: int) -> int:
    """Say where handlers run that ask for a stack of their own. [do_sigaltstack]"""
    task, word = context.task, context.word_bytes
    before, is_on = task.alt_stack, task.alt_stack.holds(context.cpu.sp)
    told = context.pack(before.start, SS_ONSTACK if is_on else before.flags, before.size)
    if new:
        data = context.words(context.load(new, 3 * word))
        start, flags, size = data[0], data[1] & 0xFFFF_FFFF, data[2]
        if is_on:
            raise SysError(errno.EPERM)
        mode = flags & ~SS_AUTODISARM
        if mode not in (0, SS_DISABLE, SS_ONSTACK):
            raise SysError(errno.EINVAL)
        if mode == SS_DISABLE:
            start = size = 0
        elif size < LEAST_STACK:
            raise SysError(errno.ENOMEM)
        task.alt_stack = AltStack(start, size, flags)
    if old:
        context.store(old, told)
    return 0


def _return(context: CallContext, mask: int) -> int:
    context.task.blocked = mask & ~UNBLOCKABLE
    raise ProgramReplaced


def _rt_sigreturn(context: CallContext, *_: int) -> int:
    """Go on where a handler has interrupted. [rt_sigreturn(2)]"""
    load = load_frame if context.word_bytes == 8 else load_rt_frame32
    return _return(context, load(context))


SIGNAL_CALLS: dict[str, Call] = {
    "rt_sigaction": _sigaction, "rt_sigprocmask": _sigprocmask, "rt_sigpending": _sigpending,
    "rt_sigsuspend": _sigsuspend, "rt_sigtimedwait": _sigtimedwait, "pause": _pause,
    "rt_sigtimedwait_time64": lambda *arguments: _sigtimedwait(*arguments, wide=True),
    "rt_sigqueueinfo": _sigqueueinfo, "rt_tgsigqueueinfo": _tgsigqueueinfo,
    "kill": _kill, "tkill": _tkill, "tgkill": _tgkill, "sigaltstack": _sigaltstack,
    "rt_sigreturn": _rt_sigreturn, "sigreturn": lambda c, *_: _return(c, load_frame32(c)),
}
"""Each gets the context and all six arguments."""
