"""System calls of processes that run on a machine: into the kernel, its copies, and back."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ...model.address_space.errors import SysError
from ...model.kernel.calls.syscalls import SystemCalls
from ...model.kernel.calls.uaccess import UserAccess
from ...model.kernel.usercopy import Usercopy
from .hardware_port import HardwarePort
from .linux import LinuxKernel
from .machine import Machine

__all__ = ["KernelEntry"]


class KernelEntry:
    """Where processes of a machine enter its kernel for a call.

    What the kernel loads from them and stores to them then goes through the MMU like their own
    accesses, but at CPL 0 and, within a copy, with EFLAGS.AC.

    Parameters
    ----------
    machine, linux
        The machine, and the kernel that runs on it.
    routines
        The copy routines; those of ``UserAccess`` if None.
    port
        What the kernel's accesses go through; a ``HardwarePort`` if None.
    """

    def __init__(self, machine: Machine, linux: LinuxKernel, routines: Usercopy | None = None,
                 port: HardwarePort | None = None) -> None:
        self._machine = machine
        self._linux = linux
        self._port = HardwarePort(machine, linux.kernel) if port is None else port
        self._calls = SystemCalls(linux.kernel, UserAccess(linux.kernel, self._port, routines))

    @contextmanager
    def system_call(self, process: int) -> Iterator[SystemCalls]:
        """Give the calls that process number ``process`` can make; afterwards, go back to it.

        A child that it forks gets the next number. Raise ``SysError(ESRCH)`` if it has ended;
        ``OomKilled`` if it is killed in the call.
        """
        machine, linux = self._machine, self._linux
        caller = linux.processes[process]
        if linux.kernel.processes.get(caller.pid) is not caller:
            raise SysError(errno.ESRCH)
        machine.switch(process)
        try:
            with self._port.entered():
                yield self._calls
        finally:
            known = {one.pid for one in linux.processes}
            linux.processes += [child for pid, child in linux.kernel.processes.items()
                                if pid not in known]
            machine.return_to_user()
