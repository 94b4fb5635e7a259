"""Why a processor stopped: what the kernel has to deal with next."""

import enum
from dataclasses import dataclass

from ...model.x86 import AccessKind, Vector

__all__ = ["CallKind", "Called", "Faulted", "Paused", "Raised", "Stop"]


class CallKind(enum.Enum):
    """The instructions that call the kernel."""

    SYSCALL = "syscall"
    SYSENTER = "sysenter"
    INT80 = "int 0x80"


@dataclass(frozen=True, slots=True)
class Faulted:
    """The MMU answered an access with a fault; the instruction begins again when it goes on.

    Members
    -------
    vector
        #PF; #GP or #SS for an address that is not canonical; #MC where there is no memory.
    address
        Where: exact for a fetch, of a load or store the first byte of its page; see
        ``Cpu.address_of``.
    error_code
        Of the page fault, 0 for another.
    kind
        What the access was.
    """

    vector: Vector
    address: int
    error_code: int
    kind: AccessKind


@dataclass(frozen=True, slots=True)
class Called:
    """The program calls the kernel; the processor is behind the instruction."""

    kind: CallKind


@dataclass(frozen=True, slots=True)
class Raised:
    """The program raised an exception: a fault at its instruction, #BP and #OF behind it."""

    vector: int


@dataclass(frozen=True, slots=True)
class Paused:
    """The instructions that it was given are used up."""


Stop = Faulted | Called | Raised | Paused
