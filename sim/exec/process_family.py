"""A program's calls about the machine, and where its thread-local storage is."""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.proc.memory_counts import MemoryCounts
from .call_context import Call, CallContext
from .tls_entry import install, put_descriptor

__all__ = ["PROCESS_CALLS"]

ARCH_SET_GS, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS = 0x1001, 0x1002, 0x1003, 0x1004
UTS_BYTES = 65
SYSTEM = (b"Linux", b"pagewalk", b"6.1.0", b"#1 SMP PREEMPT_DYNAMIC Debian 6.1.0-1")
MACHINES = {8: b"x86_64", 4: b"i686"}
PERSONALITY, PER_LINUX32 = 0xFF, 8
MOST_RANDOM = 1 << 20
RANDOM_FLAGS = 7  # GRND_NONBLOCK, GRND_RANDOM, GRND_INSECURE
GRND_RANDOM, GRND_INSECURE = 2, 4


def _uname(context: CallContext, address: int, *_: int) -> int:
    """Store what the system is called. [newuname]"""
    short = context.task.group.personality & PERSONALITY == PER_LINUX32
    fields = (*SYSTEM, MACHINES[4 if short else context.word_bytes], b"(none)")
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
    """Write a descriptor for thread-local storage. [set_thread_area(2)]"""
    if context.word_bytes == 8:
        raise SysError(errno.ENOSYS)
    put_descriptor(context, context.task, address)
    install(context.cpu, None, context.task)
    return 0


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


PROCESS_CALLS: dict[str, Call] = {
    "uname": _uname,
    "arch_prctl": _arch_prctl,
    "set_thread_area": _set_thread_area,
    "getrandom": _getrandom,
    "sysinfo": _sysinfo,
}
"""Each gets the context and all six arguments."""
