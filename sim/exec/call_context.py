"""What the families of a program's calls work with."""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ...model.address_space.errors import SysError
from ...model.kernel.calls.syscalls import SystemCalls
from ...model.kernel.process import Process
from ...model.kernel.tasks.futex_table import FutexTable
from ...model.kernel.tasks.task import Task
from ...model.kernel.tasks.task_table import TaskTable
from .cpu import Cpu
from .program_clock import ProgramClock

__all__ = ["Call", "CallContext", "GroupExited", "ProgramReplaced", "TaskExited"]

Call = Callable[..., int]
"""Carries out a call: gets a ``CallContext`` and all six arguments, returns the result."""


class TaskExited(Exception):
    """The task that called has ended itself; ``status`` is its exit status, 0 to 255."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The task ended with status {status}")
        self.status = status


class GroupExited(Exception):
    """A process ends with all its tasks.

    ``wait_status`` is as wait4 stores it, and ``where`` says more of a signal that ends it.
    """

    def __init__(self, wait_status: int, where: str = "") -> None:
        super().__init__(f"The process ended with {wait_status:#x}{where}")
        self.wait_status = wait_status
        self.where = where


class ProgramReplaced(Exception):
    """The call has no result: the registers are already those with which the task goes on."""


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
    tasks
        The tasks of the machine.
    task
        The one that runs.
    futexes
        Who waits at which word.
    """

    calls: SystemCalls
    cpu: Cpu
    word_bytes: int
    clock: ProgramClock
    rng: np.random.Generator
    tasks: TaskTable
    task: Task
    futexes: FutexTable = field(default_factory=FutexTable)

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

    def load_text(self, address: int, most: int) -> bytes:
        """Return at most so many bytes of a text that a zero ends; raise ``SysError(EFAULT)``."""
        found = b""
        while len(found) < most:
            byte = self.load(address + len(found), 1)
            if byte == b"\0":
                break
            found += byte
        return found

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

    def duration(self, address: int, *, wide: bool = False) -> int:
        """Return a time that is stored as seconds and nanoseconds, in nanoseconds.

        Raise ``SysError``: EFAULT, EINVAL. [get_timespec64]
        """
        size = 8 if wide else self.word_bytes
        data = self.load(address, 2 * size)
        seconds, rest = (int.from_bytes(data[at : at + size], "little", signed=True)
                         for at in (0, size))
        if seconds < 0 or not 0 <= rest < 10 ** 9:
            raise SysError(errno.EINVAL)
        return seconds * 10 ** 9 + rest
