"""The processes of a machine: which there are, which runs, and which the kernel works for."""

import errno

from ..address_space.errors import SysError
from ..address_space.mm import Mm
from .panic import AttemptedToKillInit
from .process import Process

__all__ = ["ProcessTable"]


class ProcessTable:
    """The processes of a machine, at first none.

    Members
    -------
    by_pid
        Those that live, by pid.
    current
        The one that runs; None before the first, and when the one that ran has ended.
    actors
        Those that the kernel works for at the moment, the innermost last; None in place of one
        if it works for no process. ``Kernel.acting`` keeps the list.
    """

    def __init__(self) -> None:
        self.by_pid: dict[int, Process] = {}
        self.current: Process | None = None
        self.actors: list[Process | None] = []

    @property
    def current_mm(self) -> Mm | None:
        """The address space that the kernel works for, None if for none. [current->mm]"""
        process = self.actors[-1] if self.actors else self.current
        return process.mm if process is not None else None

    def require(self, process: Process) -> None:
        """Raise ``SysError(ESRCH)`` for a process that has ended."""
        if self.by_pid.get(process.pid) is not process:
            raise SysError(errno.ESRCH)

    def exit(self, process: Process) -> None:
        """End a process and free all that it had; raise as ``Kernel.exit``. [do_exit, exit_mm]"""
        self.require(process)
        if process.is_init:
            raise AttemptedToKillInit
        del self.by_pid[process.pid]
        if self.current is process:
            self.current = None
        process.free()
