"""What signals do, and what a program asks for them. [signal(7), include/linux/signal.h]"""

import signal
from dataclasses import dataclass

__all__ = ["DEFAULT", "HARMLESS", "IGNORE", "SIGNALS", "STOPPING", "UNCATCHABLE",
           "SigAction", "SigFlag", "bit", "lowest"]

SIGNALS = 64
DEFAULT, IGNORE = 0, 1
UNCATCHABLE = frozenset({signal.SIGKILL, signal.SIGSTOP})
HARMLESS = frozenset({signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT})
"""Signals that do nothing by default. [SIG_KERNEL_IGNORE_MASK]"""

STOPPING = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})
SYNCHRONOUS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE,
               signal.SIGSYS)


class SigFlag:
    """``SA_*``."""

    NOCLDSTOP = 0x1
    NOCLDWAIT = 0x2
    SIGINFO = 0x4
    RESTORER = 0x0400_0000
    ONSTACK = 0x0800_0000
    RESTART = 0x1000_0000
    NODEFER = 0x4000_0000
    RESETHAND = 0x8000_0000


@dataclass(frozen=True, slots=True)
class SigAction:
    """What a program asks for a signal. [struct k_sigaction]"""

    handler: int = DEFAULT
    flags: int = 0
    restorer: int = 0
    mask: int = 0

    @classmethod
    def unpack(cls, data: bytes, word_bytes: int) -> "SigAction":
        """Return what a program stores: three words and a mask."""
        handler, flags, restorer = (int.from_bytes(data[at : at + word_bytes], "little")
                                    for at in range(0, 3 * word_bytes, word_bytes))
        mask = int.from_bytes(data[3 * word_bytes : 3 * word_bytes + 8], "little")
        return cls(handler, flags, restorer, mask & ~sum(map(bit, UNCATCHABLE)))

    def pack(self, word_bytes: int) -> bytes:
        """Return what a program loads."""
        words = (self.handler, self.flags, self.restorer)
        return b"".join(word.to_bytes(word_bytes, "little") for word in words) + (
            self.mask.to_bytes(8, "little"))


def bit(number: int) -> int:
    """Return the bit of a signal in a mask."""
    return 1 << number - 1


def lowest(mask: int) -> int:
    """Return the signal of a mask that is taken first, 0 for none. [next_signal]"""
    for number in SYNCHRONOUS:
        if mask & bit(number):
            return int(number)
    return (mask & -mask).bit_length()
