"""The entries of the GDT that 32-bit tasks have for thread-local storage. [arch/x86/kernel/tls.c]
"""

import errno

from ...model.address_space.errors import SysError
from ...model.kernel.calls.arguments import as_int
from ...model.kernel.tasks.task import Task
from .call_context import CallContext
from .cpu import Cpu

__all__ = ["install", "put_descriptor"]

FIRST_TLS = 6  # of the GDT entries of 32-bit programs [GDT_ENTRY_TLS_MIN]
TLS_ENTRIES = 3


def put_descriptor(context: CallContext, task: Task, address: int) -> int:
    """Keep a ``struct user_desc`` for a task; -1 asks for any entry. Return which it is.

    Raise ``SysError``. [do_set_thread_area]
    """
    data = context.load(address, 16)
    number, base, limit, bits = (int.from_bytes(data[at : at + 4], "little")
                                 for at in range(0, 16, 4))
    if as_int(number) == -1:
        free = [one for one in range(FIRST_TLS, FIRST_TLS + TLS_ENTRIES) if one not in task.tls]
        if not free:
            raise SysError(errno.ESRCH)
        number = free[0]
        context.store(address, number.to_bytes(4, "little"))
    if not FIRST_TLS <= number < FIRST_TLS + TLS_ENTRIES:
        raise SysError(errno.EINVAL)
    task.tls[number] = (base, limit, bits)
    return number


def install(cpu: Cpu, before: Task | None, after: Task) -> None:
    """Have the entries of a task in the GDT, in place of those of the one before. [load_TLS]"""
    for number in before.tls if before is not None else ():
        cpu.set_descriptor(number, 0)
    for number, entry in after.tls.items():
        cpu.set_descriptor(number, _descriptor(*entry))
    for register in ("fs", "gs") if after.tls else ():
        if cpu.read(register) >> 3 in after.tls:
            cpu.reload_segment(register)


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
