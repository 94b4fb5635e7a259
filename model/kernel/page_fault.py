"""Page faults: from the address and the error code to what becomes of the access.

And what becomes of one at an address that is not canonical. [exc_page_fault and what it calls, in
arch/x86/mm/fault.c; exc_general_protection and exc_stack_segment in arch/x86/kernel/traps.c]
"""

from dataclasses import dataclass
from enum import Enum, IntEnum

from ..address_space.vma import Vma, VmFlag
from ..mmu.control import Access
from ..mmu.walk import is_canonical
from ..x86 import AccessKind, ErrorCode, Vector
from .fault_cause import BusFault, FaultCause
from .make_present import handle_mm_fault
from .process import Process
from .state import KernelState

__all__ = ["FaultOutcome", "FaultResult", "Oops", "SiCode", "Signal", "SignalNumber",
           "access_error", "handle_general_protection", "handle_page_fault"]

KEY_BITS = 2  # of each protection key in PKRU: access disable, write disable


class SignalNumber(IntEnum):
    """Signals that a fault ends in. [signal(7), x86]"""

    SIGBUS = 7
    SIGKILL = 9
    SIGSEGV = 11


class SiCode(IntEnum):
    """Why, for SIGSEGV and for SIGBUS. [uapi/asm-generic/siginfo.h]"""

    SEGV_MAPERR = 1
    SEGV_ACCERR = 2
    SEGV_PKUERR = 4
    BUS_ADRERR = 2
    SI_KERNEL = 0x80


class FaultOutcome(Enum):
    """What to do after a page fault."""

    RETRY = "retry"
    """The access is to be made again."""
    SIGNAL = "signal"
    """The process gets a signal."""
    FIXUP = "fixup"
    """The kernel was accessing user memory where that may fail, and goes on as told for that."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal and its siginfo; ``code`` is 0 for SIGKILL. [force_sig_fault, force_sig]"""

    number: SignalNumber
    code: int
    address: int
    pkey: int = 0


@dataclass(frozen=True, slots=True)
class FaultResult:
    """What a page fault came to; ``cause`` is that of one to retry, ``signal`` the signal.

    A fault is ``major`` if a page had to be read from a disk for it, by ``KernelState.file_page``
    or ``read_swap``: one that is found in the page cache or the swap cache makes it minor.
    """

    outcome: FaultOutcome
    cause: FaultCause | None = None
    major: bool = False
    signal: Signal | None = None


class Oops(Exception):
    """A page fault of the kernel that nothing was prepared for. [page_fault_oops]

    Parameters
    ----------
    why, address, error_code
        What is wrong, and the fault.
    """

    def __init__(self, why: str, address: int, error_code: int) -> None:
        super().__init__(f"{why}: address {address:#x}, error code {error_code:#x}")
        self.why = why
        self.address = address
        self.error_code = error_code


def handle_page_fault(state: KernelState, process: Process | None, address: int, error_code: int,
                      *, ac: bool = False, fixup: bool = False, smap: bool = False,
                      pkeys: bool = False) -> FaultResult:
    """Deal with a page fault at ``address``.

    Raise ``Oops``; ``OutOfMemory`` and ``SwapIoError`` with all pages as they were; ``ValueError``
    for an address at which no page fault can be, as it is too wide or not canonical.

    Parameters
    ----------
    process
        The process that runs, None if none does.
    ac, fixup
        EFLAGS.AC, and whether the instruction is in the exception table, for kernel mode.
    smap, pkeys
        Whether CR4.SMAP and CR4.PKE are set.
    """
    if not 0 <= address < 1 << state.mode.vaddr_bits or not is_canonical(state.mode, address):
        raise ValueError(f"A page fault must be at a canonical address, not {address:#x}")
    user = bool(error_code & ErrorCode.US)
    if address >= state.task_size:
        return _kernel_address(state, address, error_code, user=user, fixup=fixup)
    if error_code & ErrorCode.RSVD:
        raise Oops("Bad pagetable", address, error_code)
    if not user and error_code & ErrorCode.ID:
        raise Oops("unable to execute userspace code (SMEP?)", address, error_code)
    if smap and not user and not ac:
        raise Oops("supervisor access to user memory (SMAP)", address, error_code)
    if process is None:
        return _no_context(address, error_code, fixup)
    vma = process.mm.find_vma_or_expand(address)
    if vma is None:
        return _bad_area(SiCode.SEGV_MAPERR, address, error_code, user=user, fixup=fixup)
    pkru = process.pkru if pkeys else 0
    code = access_error(vma, error_code, pkru)
    if code is not None:
        pkey = (vma.flags & VmFlag.PKEY) >> VmFlag.PKEY_SHIFT if code is SiCode.SEGV_PKUERR else 0
        return _bad_area(code, address, error_code, user=user, fixup=fixup, pkey=pkey)
    return _good_area(process, vma, address, error_code, fixup=fixup)


def handle_general_protection(vector: Vector, address: int, *, user: bool,
                              fixup: bool = False) -> FaultResult:
    """Deal with #GP, or with #SS on an access through SS, at an address that is not canonical.

    The processor does not say where it was, so that the signal has address 0. ``fixup`` is as for
    a page fault. Raise ``Oops``.
    """
    if user:
        number = SignalNumber.SIGBUS if vector is Vector.SS else SignalNumber.SIGSEGV
        return FaultResult(FaultOutcome.SIGNAL, signal=Signal(number, SiCode.SI_KERNEL, 0))
    if not fixup:
        what = "stack segment" if vector is Vector.SS else "general protection fault"
        raise Oops(what, address, 0)
    return FaultResult(FaultOutcome.FIXUP)


def _good_area(process: Process, vma: Vma, address: int, error_code: int, *,
               fixup: bool) -> FaultResult:
    """Make the page present, or send SIGBUS if the mapping has no such page. [do_user_addr_fault]
    """
    try:
        cause, major = handle_mm_fault(process.space, vma, address,
                                       write=bool(error_code & ErrorCode.WR))
    except BusFault:
        if not error_code & ErrorCode.US:
            return _no_context(address, error_code, fixup)
        signal = Signal(SignalNumber.SIGBUS, SiCode.BUS_ADRERR, address)
        return FaultResult(FaultOutcome.SIGNAL, signal=signal)
    return FaultResult(FaultOutcome.RETRY, cause, major)


def access_error(vma: Vma, error_code: int, pkru: int) -> SiCode | None:
    """Return why a mapping does not permit an access, None if it does.

    A fetch from a page that is not there is no error yet. [access_error,
    bad_area_access_from_pkeys]
    """
    write = bool(error_code & ErrorCode.WR)
    if error_code & ErrorCode.PK or not (
            error_code & ErrorCode.ID or _pkru_permits(vma, pkru, write=write)):
        return SiCode.SEGV_PKUERR
    if write:
        return None if vma.flags & VmFlag.WRITE else SiCode.SEGV_ACCERR
    if error_code & ErrorCode.P or not vma.flags & VmFlag.ACCESS:
        return SiCode.SEGV_ACCERR
    return None


def _pkru_permits(vma: Vma, pkru: int, *, write: bool) -> bool:
    """Return whether PKRU permits a data access. [__pkru_allows_pkey]"""
    key = (vma.flags & VmFlag.PKEY) >> VmFlag.PKEY_SHIFT
    disabled = pkru >> KEY_BITS * key & 3
    return not (disabled & 1 or (write and disabled & 2))


def _kernel_address(state: KernelState, address: int, error_code: int, *, user: bool,
                    fixup: bool) -> FaultResult:
    """Deal with a fault above user space: spurious, a bad pointer, or the kernel's own error.

    A process learns nothing of what is there: it looks like a fault of protection. [do_kern_addr_
    fault, set_signal_archinfo]
    """
    if not user and _spurious(state, address, error_code):
        return FaultResult(FaultOutcome.RETRY, FaultCause.SPURIOUS)
    return _bad_area(SiCode.SEGV_MAPERR, address, error_code, user=user, fixup=fixup)


def _spurious(state: KernelState, address: int, error_code: int) -> bool:
    """Return whether the kernel's tables permit by now what faulted. [spurious_kernel_fault]"""
    if error_code not in (ErrorCode.WR | ErrorCode.P, ErrorCode.ID | ErrorCode.P):
        return False
    kind = AccessKind.WRITE if error_code & ErrorCode.WR else AccessKind.FETCH
    return state.kernel_walk(Access(address, kind)).fault is None


def _bad_area(code: SiCode, address: int, error_code: int, *, user: bool, fixup: bool,
              pkey: int = 0) -> FaultResult:
    """Send SIGSEGV to a process, or go on in the kernel as told. [__bad_area_nosemaphore]"""
    if not user:
        return _no_context(address, error_code, fixup)
    signal = Signal(SignalNumber.SIGSEGV, code, address, pkey)
    return FaultResult(FaultOutcome.SIGNAL, signal=signal)


def _no_context(address: int, error_code: int, fixup: bool) -> FaultResult:
    """Go on at the fixup of the exception table, or give up. [kernelmode_fixup_or_oops]"""
    if not fixup:
        what = "NULL pointer dereference" if address < 4096 else "paging request"
        raise Oops(f"unable to handle kernel {what}", address, error_code)
    return FaultResult(FaultOutcome.FIXUP)
