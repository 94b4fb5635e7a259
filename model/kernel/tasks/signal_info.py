"""What a handler is told of its signal. [siginfo_t, uapi/asm-generic/siginfo.h]"""

from dataclasses import dataclass

__all__ = ["CldCode", "SiginfoCode", "SignalInfo"]

INFO_BYTES = 128


class SiginfoCode:
    """``si_code`` of signals that no fault sends."""

    USER = 0
    KERNEL = 0x80
    QUEUE = -1
    TIMER = -2
    TKILL = -6


class CldCode:
    """``si_code`` of SIGCHLD. [CLD_*]"""

    EXITED = 1
    KILLED = 2
    STOPPED = 5
    CONTINUED = 6


@dataclass(frozen=True, slots=True)
class SignalInfo:
    """A signal that was sent.

    Members
    -------
    number, code
        The signal, and where it comes from.
    address
        Where a fault was; None for what is no fault.
    pid, uid
        Who sent it; of a timer its number, and how often it was due beside.
    status
        How a child ended.
    value
        What sigqueue gives with it.
    trap, error, fault_address
        Of a fault: exception, error code, and CR2.
    where
        The place of a fault, for people.
    """

    number: int
    code: int = SiginfoCode.USER
    address: int | None = None
    pid: int = 0
    uid: int = 0
    status: int | None = None
    value: int = 0
    trap: int = 0
    error: int = 0
    fault_address: int = 0
    where: str = ""

    def pack(self, word_bytes: int) -> bytes:
        """Return the 128 bytes of ``siginfo_t``."""
        def number(value: int, size: int = 4) -> bytes:
            return (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        head = number(self.number) + number(0) + number(self.code)
        head = head.ljust(2 * word_bytes if word_bytes == 8 else len(head), b"\0")
        if self.address is not None:
            rest = number(self.address, word_bytes)
        else:
            rest = number(self.pid) + number(self.uid)
            if self.status is not None:
                rest += number(self.status)
            elif self.code in (SiginfoCode.QUEUE, SiginfoCode.TIMER):
                rest += number(self.value, word_bytes)
        return (head + rest).ljust(INFO_BYTES, b"\0")
