"""A program's calls about futexes. [kernel/futex]"""

import errno
from collections.abc import Hashable

from ...model.address_space.errors import SysError
from ...model.address_space.vma import VmFlag
from ...model.kernel.calls.arguments import as_int, as_uint
from ...model.kernel.vfs.stream import WouldBlock
from ...model.x86 import PAGE_SHIFT
from .call_context import Call, CallContext

__all__ = ["FUTEX_CALLS", "release_locks"]

WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET = 0, 1, 3, 4, 5, 9, 10
PRIVATE, CLOCK_REALTIME = 128, 256
ANY = 0xFFFF_FFFF
WAITERS, OWNER_DIED, TID_MASK = 1 << 31, 1 << 30, 0x3FFF_FFFF
MOST_LOCKS = 2048  # ROBUST_LIST_LIMIT


def _key(context: CallContext, address: int, *, private: bool) -> Hashable:
    """Return what a word is known by; raise ``SysError``: EINVAL, EFAULT. [get_futex_key]"""
    if address % 4:
        raise SysError(errno.EINVAL)
    process = context.process
    vma = process.mm.tree.lookup(address)
    if private or vma is None or not vma.flags & VmFlag.SHARED or vma.file is None:
        if not private and vma is None:
            raise SysError(errno.EFAULT)
        return process.space.number, address
    return vma.file.key, (vma.pgoff << PAGE_SHIFT) + address - vma.start


def _futex(context: CallContext, address: int, operation: int, value: int, timeout: int,
           other: int, last: int, *, wide: bool = False) -> int:
    """Wait at a word, or wake those who do; what priorities need is ENOSYS. [do_futex]"""
    operation, value = as_uint(operation), as_uint(value)
    command = operation & ~(PRIVATE | CLOCK_REALTIME)
    private = bool(operation & PRIVATE)
    bitset = as_uint(last) if command in (WAIT_BITSET, WAKE_BITSET) else ANY
    if command not in (WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET):
        raise SysError(errno.ENOSYS)
    if not bitset:
        raise SysError(errno.EINVAL)
    key = _key(context, address, private=private)
    if command in (WAKE, WAKE_BITSET):
        return context.futexes.wake(key, value, bitset)
    if command in (REQUEUE, CMP_REQUEUE):
        if command == CMP_REQUEUE and _word(context, address) != as_uint(last):
            raise SysError(errno.EAGAIN)
        to = _key(context, other, private=private)
        woken = context.futexes.wake(key, value)
        return woken + context.futexes.requeue(key, to, max(0, as_int(timeout)))
    if command == WAKE_OP:
        changed = _change(context, other, as_uint(last))
        to = _key(context, other, private=private)
        woken = context.futexes.wake(key, value)
        return woken + (context.futexes.wake(to, as_uint(timeout)) if changed else 0)
    limit = _limit(context, operation, command, timeout, wide=wide) if timeout else None
    return _wait(context, address, key, value, bitset, limit)


def _change(context: CallContext, address: int, operation: int) -> bool:
    """Change a word as FUTEX_WAKE_OP says; return whether it was as that compares.

    Raise ``SysError``: ENOSYS, EFAULT. [futex_atomic_op_inuser]
    """
    argument, compared = (_signed12(operation >> 12), _signed12(operation))
    how, compares = operation >> 28, operation >> 24 & 0xF
    if how & 8:
        argument = 1 << (argument & 31)
    before = _word(context, address)
    changes = {0: lambda: argument, 1: lambda: before + argument, 2: lambda: before | argument,
               3: lambda: before & ~argument, 4: lambda: before ^ argument}
    if how & 7 not in changes or compares > 5:
        raise SysError(errno.ENOSYS)
    context.store(address, as_uint(changes[how & 7]()).to_bytes(4, "little"))
    signed = as_int(before)
    return (signed == compared, signed != compared, signed < compared, signed <= compared,
            signed > compared, signed >= compared)[compares]


def _signed12(value: int) -> int:
    return (value & 0xFFF ^ 0x800) - 0x800


def _limit(context: CallContext, operation: int, command: int, timeout: int, *,
           wide: bool) -> int:
    """Return how long to wait in nanoseconds: the time is relative for ``WAIT`` alone."""
    time = context.duration(timeout, wide=wide)
    if command == WAIT:
        return time
    now = context.clock.now() if operation & CLOCK_REALTIME else context.clock.uptime
    return max(0, time - now)


def _wait(context: CallContext, address: int, key: Hashable, value: int, bitset: int,
          limit: int | None) -> int:
    if _word(context, address) != value:
        raise SysError(errno.EAGAIN)
    task = context.task
    waiter = context.futexes.wait(key, bitset, lambda: task in task.group.tasks)

    def leave() -> None:
        context.futexes.leave(waiter)

    def expired() -> int:
        leave()
        raise SysError(errno.ETIMEDOUT)
    raise WouldBlock(lambda: waiter.woken, resume=lambda: 0, timeout=limit, expired=expired,
                     cancel=leave)


def _word(context: CallContext, address: int) -> int:
    return int.from_bytes(context.load(address, 4), "little")


def _set_robust_list(context: CallContext, head: int, size: int, *_: int) -> int:
    """Say where a task's list of locks begins. [set_robust_list(2)]"""
    if size != 3 * context.word_bytes:
        raise SysError(errno.EINVAL)
    context.task.robust_list = head
    return 0


def release_locks(context: CallContext) -> None:
    """Give back what a task that ends has: its locks, and the word with its tid. [mm_release]

    What cannot be stored is left.
    """
    task = context.task
    try:
        if task.robust_list:
            _release_robust(context, task.robust_list)
    except SysError:
        pass
    if task.clear_tid and task.group.process.space.users + len(task.group.tasks) > 2:
        try:
            context.store(task.clear_tid, bytes(4))
            context.futexes.wake(_key(context, task.clear_tid, private=False), 1)
        except SysError:
            pass


def _release_robust(context: CallContext, head: int) -> None:
    """Mark the locks that a task holds as those of one that died. [exit_robust_list]"""
    size = context.word_bytes
    entry, offset, pending = context.words(context.load(head, 3 * size))
    offset = offset - (1 << 8 * size) if offset >> 8 * size - 1 else offset
    for _ in range(MOST_LOCKS):
        if entry == head:
            break
        following = context.words(context.load(entry & ~1, size))[0]
        if entry != pending:
            _died(context, (entry & ~1) + offset)
        entry = following
    if pending:
        _died(context, (pending & ~1) + offset)


def _died(context: CallContext, address: int) -> None:
    value = _word(context, address)
    if value & TID_MASK != context.task.tid:
        return
    context.store(address, (value & WAITERS | OWNER_DIED).to_bytes(4, "little"))
    if value & WAITERS:
        context.futexes.wake(_key(context, address, private=False), 1)


FUTEX_CALLS: dict[str, Call] = {
    "futex": _futex, "set_robust_list": _set_robust_list,
    "futex_time64": lambda *arguments: _futex(*arguments, wide=True),
}
"""Each gets the context and all six arguments."""
