"""What the families of a program's calls work with."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...model.address_space.errors import SysError
from ...model.kernel.calls.syscalls import SystemCalls
from ...model.kernel.process import Process
from .cpu import Cpu
from .program_clock import ProgramClock

__all__ = ["Call", "CallContext", "ProgramExited", "ProgramKilled", "ProgramReplaced",
           "WaitsForEver"]

Call = Callable[..., int]
"""Carries out a call: gets a ``CallContext`` and all six arguments, returns the result."""


class ProgramExited(Exception):
    """The program has ended itself; ``status`` is its exit status, 0 to 255."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The program ended with status {status}")
        self.status = status


class ProgramKilled(Exception):
    """A signal ends the program; ``where`` says more, if there is more to say."""

    def __init__(self, signal: int, where: str = "") -> None:
        super().__init__(f"Signal {signal}{where}")
        self.signal = signal
        self.where = where


class ProgramReplaced(Exception):
    """Another program has taken the place of the one that called, and has its registers."""


class WaitsForEver(Exception):
    """The only program of a machine waits for what no other can do."""


@dataclass(slots=True)
class CallContext:
    """The program that calls, and what it has beside the kernel model's state.

    Members
    -------
    calls
        The calls that the kernel model has.
    cpu
        The processor, with the program's registers.
    word_bytes
        The size of a register.
    clock
        The time that it sees.
    rng
        Draws what getrandom gives.
    actions
        What it asked for each signal: ``struct sigaction`` as it gave it.
    blocked
        The signals that it blocks, a bit each.
    pending
        Signals that came while they were blocked.
    tls
        The entries of the GDT that it has set: base, limit and bits of ``struct user_desc``.
    """

    calls: SystemCalls
    cpu: Cpu
    word_bytes: int
    clock: ProgramClock
    rng: np.random.Generator
    actions: dict[int, bytes] = field(default_factory=dict)
    blocked: int = 0
    pending: set[int] = field(default_factory=set)
    tls: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    @property
    def process(self) -> Process:
        """The process that runs."""
        process = self.calls.kernel.current
        assert process is not None, "a program calls"
        return process

    def load(self, address: int, size: int) -> bytes:
        """Return bytes of the program; raise ``SysError(EFAULT)``."""
        data, left = self.calls.user.copy_from_user(self._word(address), size)
        if left:
            raise SysError(errno.EFAULT)
        return data

    def store(self, address: int, data: bytes) -> None:
        """Store bytes to the program; raise ``SysError(EFAULT)``."""
        if self.calls.user.copy_to_user(self._word(address), data):
            raise SysError(errno.EFAULT)

    def _word(self, value: int) -> int:
        return self.calls.kernel.space.word(value)

    def pack(self, *values: int) -> bytes:
        """Return numbers as words of the program."""
        mask = (1 << 8 * self.word_bytes) - 1
        return b"".join((value & mask).to_bytes(self.word_bytes, "little") for value in values)

    def words(self, data: bytes) -> list[int]:
        """Return the words that bytes are."""
        size = self.word_bytes
        return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
