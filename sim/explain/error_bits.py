"""The bits of a page fault's error code, each in words. [SDM 4.7, figure 4-12]"""

from dataclasses import dataclass

from ...model.mmu.walk import Access
from ...model.x86 import AccessKind, ErrorCode

__all__ = ["ErrorBit", "error_bits"]


@dataclass(frozen=True, slots=True)
class ErrorBit:
    """A bit of the error code: its name, whether it is set, and what that means for this access."""

    name: str
    value: bool
    words: str


def error_bits(access: Access, code: int) -> tuple[ErrorBit, ...]:
    """Return all bits of the error code ``code`` of ``access``, the lowest first."""
    words = {
        ErrorCode.P: ("an entry on the way was not present",
                      "every entry was present: a right or a reserved bit was against it"),
        ErrorCode.WR: ("the access was no write", "the access was a write"),
        ErrorCode.US: (_supervisor(access), "the access was one of user mode (CPL 3)"),
        ErrorCode.RSVD: ("no entry had a reserved bit set", "an entry had a reserved bit set"),
        ErrorCode.ID: (_no_fetch(access), "the access was an instruction fetch"),
        ErrorCode.PK: ("no protection key stood against the access",
                       "the protection key of the page, in PKRU, stood against the access"),
    }
    names = {ErrorCode.WR: "W/R", ErrorCode.US: "U/S", ErrorCode.ID: "I/D"}
    return tuple(ErrorBit(names.get(bit, str(bit.name)), bool(code & bit),
                          words[bit][bool(code & bit)]) for bit in ErrorCode)


def _supervisor(access: Access) -> str:
    if access.implicit:
        return "the access was an implicit one of the system, which is a supervisor's at any CPL"
    return "the access was one of supervisor mode"


def _no_fetch(access: Access) -> str:
    if access.kind is not AccessKind.FETCH:
        return "the access was no instruction fetch"
    return "a fetch, but fetches are told only with CR4.SMEP, or CR4.PAE and EFER.NXE"
