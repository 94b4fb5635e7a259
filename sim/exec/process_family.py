"""A program's calls about itself: who it is, its threads' registers, and its end."""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.proc.memory_counts import MemoryCounts
from .call_context import Call, CallContext, ProgramExited, WaitsForEver

__all__ = ["PROCESS_CALLS"]

ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
UTS_BYTES = 65
FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET = 0, 1, 9, 10
FUTEX_COMMAND = 0x7F
SYSTEM = (b"Linux", b"pagewalk", b"6.1.0", b"#1 SMP PREEMPT_DYNAMIC Debian 6.1.0-1")
MACHINES = {8: b"x86_64", 4: b"i686"}
FIRST_TLS = 6  # of the GDT entries of 32-bit programs [GDT_ENTRY_TLS_MIN]
TLS_ENTRIES = 3
MOST_RANDOM = 1 << 20
RANDOM_FLAGS = 7  # GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE
GRND_RANDOM, GRND_INSECURE = 2, 4


def _exit(_context: CallContext, status: int, *_: int) -> int:
    """End the program, which has one thread."""
    raise ProgramExited(status & 0xFF)


def _uname(context: CallContext, address: int, *_: int) -> int:
    """Store what the system is called. [newuname]"""
    fields = (*SYSTEM, MACHINES[context.word_bytes], b"(none)")
    context.store(address, b"".join(one.ljust(UTS_BYTES, b"\0") for one in fields))
    return 0


def _arch_prctl(context: CallContext, code: int, value: int, *_: int) -> int:
    """Set or store the base of FS or GS. [do_arch_prctl_64]"""
    cpu, code = context.cpu, as_int(code)
    if code in (ARCH_SET_FS, ARCH_SET_GS):
        if value >= context.calls.kernel.space.task_size:
            raise SysError(errno.EPERM)
        cpu.write("fs_base" if code == ARCH_SET_FS else "gs_base", value)
        return 0
    if code in (ARCH_GET_FS, ARCH_GET_GS):
        context.store(value, context.pack(
            cpu.read("fs_base" if code == ARCH_GET_FS else "gs_base")))
        return 0
    raise SysError(errno.EINVAL)


def _set_thread_area(context: CallContext, address: int, *_: int) -> int:
    """Write a descriptor for thread-local storage; -1 asks for any entry. [do_set_thread_area]"""
    if context.word_bytes == 8:
        raise SysError(errno.ENOSYS)
    data = context.load(address, 16)
    number, base, limit, bits = (int.from_bytes(data[at : at + 4], "little")
                                 for at in range(0, 16, 4))
    if as_int(number) == -1:
        taken = context.tls
        free = [one for one in range(FIRST_TLS, FIRST_TLS + TLS_ENTRIES) if one not in taken]
        if not free:
            raise SysError(errno.ESRCH)
        number = free[0]
        context.store(address, number.to_bytes(4, "little"))
    if not FIRST_TLS <= number < FIRST_TLS + TLS_ENTRIES:
        raise SysError(errno.EINVAL)
    context.tls[number] = (base, limit, bits)
    context.cpu.set_descriptor(number, _descriptor(base, limit, bits))
    return 0


def _descriptor(base: int, limit: int, bits: int) -> int:
    """Return the descriptor that ``struct user_desc`` asks for. [fill_ldt, LDT_empty]"""
    is_32, contents, read_only, in_pages, absent, useable = (
        bits & 1, bits >> 1 & 3, bits >> 3 & 1, bits >> 4 & 1, bits >> 5 & 1, bits >> 6 & 1)
    if absent and read_only and not (base or limit or is_32 or contents or in_pages or useable):
        return 0
    kind = (not read_only) << 1 | contents << 2 | 1
    low = (base & 0xFFFF) << 16 | limit & 0xFFFF
    high = (base >> 16 & 0xFF | kind << 8 | 1 << 12 | 3 << 13 | (not absent) << 15
            | limit & 0xF_0000 | useable << 20 | is_32 << 22 | in_pages << 23
            | base & 0xFF00_0000)
    return high << 32 | low


def _getrandom(context: CallContext, address: int, size: int, flags: int, *_: int) -> int:
    """Store random bytes, which the seed decides. [getrandom(2)]"""
    flags = as_int(flags)
    both = GRND_RANDOM | GRND_INSECURE
    if flags & ~RANDOM_FLAGS or flags & both == both:
        raise SysError(errno.EINVAL)
    data = context.rng.bytes(min(size, MOST_RANDOM))
    left = context.calls.user.copy_to_user(address, data)
    if data and left == len(data):
        raise SysError(errno.EFAULT)
    return len(data) - left


def _sysinfo(context: CallContext, address: int, *_: int) -> int:
    """Store how much memory there is. [do_sysinfo]"""
    kernel = context.calls.kernel
    zones = kernel.state.allocator.populated
    swap, free_swap = MemoryCounts(kernel).swap
    free = sum(zone.free_pages for zone in zones)
    total = kernel.state.allocator.totalram_pages
    uptime = -(-context.clock.uptime // 10 ** 9)
    words = context.pack(uptime, 0, 0, 0, total, free, 0, 0, swap, free_swap)
    head = words + len(kernel.processes).to_bytes(2, "little")
    pad = head.ljust(len(words) + context.word_bytes, b"\0")
    tail = context.pack(0, 0) + (4096).to_bytes(4, "little")
    data = pad + tail
    context.store(address, data.ljust(112 if context.word_bytes == 8 else 64, b"\0"))
    return 0


def _set_robust_list(context: CallContext, _head: int, size: int, *_: int) -> int:
    """Take a list of locks, of which nothing is done: no thread ends before the others."""
    return 0 if size == 3 * context.word_bytes else -errno.EINVAL


def _futex(context: CallContext, address: int, operation: int, value: int, timeout: int,
           *_: int) -> int:
    """Wake nobody, or wait for nobody, as there is one thread. [do_futex]"""
    command = as_int(operation) & FUTEX_COMMAND
    if command not in (FUTEX_WAIT, FUTEX_WAKE, FUTEX_WAIT_BITSET, FUTEX_WAKE_BITSET):
        raise SysError(errno.ENOSYS)
    if address % 4:
        raise SysError(errno.EINVAL)
    if command in (FUTEX_WAKE, FUTEX_WAKE_BITSET):
        return 0
    if int.from_bytes(context.load(address, 4), "little") != value & 0xFFFF_FFFF:
        raise SysError(errno.EAGAIN)
    if not timeout:
        raise WaitsForEver("futex waits for another thread, and there is none")
    raise SysError(errno.ETIMEDOUT)


PROCESS_CALLS: dict[str, Call] = {
    "exit": _exit,
    "exit_group": _exit,
    "getpid": lambda c, *_: c.process.pid,
    "gettid": lambda c, *_: c.process.pid,
    "set_tid_address": lambda c, *_: c.process.pid,
    "getppid": lambda *_: 0,
    "sched_yield": lambda *_: 0,
    "getpgrp": lambda c, *_: c.process.pid,
    "getuid": lambda c, *_: c.process.credentials.uid,
    "geteuid": lambda c, *_: c.process.credentials.euid,
    "getgid": lambda c, *_: c.process.credentials.gid,
    "getegid": lambda c, *_: c.process.credentials.egid,
    "set_robust_list": _set_robust_list,
    "futex": _futex,
    "uname": _uname,
    "arch_prctl": _arch_prctl,
    "set_thread_area": _set_thread_area,
    "getrandom": _getrandom,
    "sysinfo": _sysinfo,
}
PROCESS_CALLS |= {f"{name}32": PROCESS_CALLS[name]
                  for name in ("getuid", "geteuid", "getgid", "getegid")}
"""Each gets the context and all six arguments."""
