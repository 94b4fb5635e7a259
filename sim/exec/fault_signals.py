"""The signals of exceptions, and what handlers are told of them. [arch/x86/kernel/traps.c]"""

import signal

from ...model.kernel.tasks.signal_info import SiginfoCode, SignalInfo
from ...model.x86 import Vector
from .cpu import Cpu
from .program_machine import Signalled

__all__ = ["signal_of_exception", "signal_of_fault"]

DE, DB, BP, OF, BR, UD, MF, AC, XM = 0, 1, 3, 4, 5, 6, 16, 17, 19
ILL_ILLOPN, FPE_INTDIV, TRAP_TRACE, BUS_ADRALN = 2, 1, 2, 1
SIGNALS = {
    DE: signal.SIGFPE, DB: signal.SIGTRAP, BP: signal.SIGTRAP, OF: signal.SIGSEGV,
    BR: signal.SIGSEGV, UD: signal.SIGILL, Vector.SS: signal.SIGBUS, Vector.GP: signal.SIGSEGV,
    MF: signal.SIGFPE, AC: signal.SIGBUS, XM: signal.SIGFPE}
CODES = {DE: FPE_INTDIV, DB: TRAP_TRACE, UD: ILL_ILLOPN, AC: BUS_ADRALN}
"""``si_code`` where it is not SI_KERNEL; there ``si_addr`` is the instruction."""

# Of the exceptions of x87 and SSE, the first that is raised and not masked.
FLOATING = ((0x01, 7), (0x04, 3), (0x08, 4), (0x12, 5), (0x20, 6))


def signal_of_exception(cpu: Cpu, vector: int) -> SignalInfo:
    """Return what a program gets for an exception that it has raised itself."""
    number = SIGNALS.get(vector, signal.SIGSEGV)
    where, pc = f" at instruction {cpu.pc:#x}", cpu.pc
    code = CODES.get(vector)
    if vector in (MF, XM):
        code = _floating(cpu, vector)
    if code is None:
        return SignalInfo(number, SiginfoCode.KERNEL, address=0, trap=vector, where=where)
    return SignalInfo(number, code, address=pc, trap=vector, where=where)


def _floating(cpu: Cpu, vector: int) -> int | None:
    """Return the ``si_code`` of a floating-point exception. [fpu__exception_code]"""
    if vector == MF:
        raised = cpu.read("fpsw") & ~cpu.read("fpcw")
    else:
        raised = cpu.read("mxcsr") & ~(cpu.read("mxcsr") >> 7)
    return next((code for bits, code in FLOATING if raised & bits), None)


def signal_of_fault(cpu: Cpu, stop: Signalled) -> SignalInfo:
    """Return what a program gets for a fault of the MMU that the kernel cannot deal with."""
    where = f" at address {stop.address:#x}, instruction {cpu.pc:#x}"
    return SignalInfo(stop.signal, stop.code, address=stop.address, trap=int(stop.fault.vector),
                      error=stop.fault.error_code, fault_address=stop.address, where=where)
