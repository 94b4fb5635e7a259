"""A machine whose processes run instructions, with the kernel that ``cosim`` has behind it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from signal import SIGKILL
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model.kernel.tlb_flush import Invalidation
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PagingMode, Vector
from ..cosim.machine import Counts, Machine, OperatingSystem
from ..engine.base import Engine, Run
from ..trace.access_record import RecordFlag
from .cpu import NO_LIMIT, Cpu
from .fills import BOTH_PORTS, Ports
from .stop import Called, Faulted, Paused, Raised

__all__ = ["ProgramFailed", "ProgramMachine", "Signalled"]


class ProgramFailed(Exception):
    """A program cannot go on, for a reason that is not its own."""


@dataclass(frozen=True, slots=True)
class Signalled:
    """The running process gets a signal for a fault.

    ``code`` is the si_code, and ``address``, to the byte, the si_addr; 0 for SIGKILL, and for an
    address that is not canonical.
    """

    fault: Faulted
    signal: int
    code: int
    address: int


class ProgramMachine(Machine):
    """A ``Machine`` that has a ``Cpu``: its processes are programs.

    Faults that the kernel can deal with stay inside. The kernel's copies must go through a
    ``PagePort``: where an engine stores by itself, code that was there would go on. Registers
    belong to a process: those of one that has not run yet are those of a program that begins.

    Parameters
    ----------
    engine, memory, kernel
        As for ``Machine``.
    mode
        The engine's paging mode.
    ports, check
        As for ``Cpu``. The kernel's accesses go through the port of data.

    Members
    -------
    cpu
        The processor, with the registers of the process that runs.
    registers
        Those of the other processes, by the number of the process; see ``Cpu.save``.
    """

    def __init__(self, engine: Engine, memory: PhysicalMemory, kernel: OperatingSystem,
                 mode: PagingMode, *, ports: Ports = BOTH_PORTS, check: str = "fast") -> None:
        super().__init__(engine, memory, kernel, port=ports.data)
        self.cpu = Cpu(engine, mode, memory, ports=ports, check=check)
        self.registers: dict[int, Any] = {}
        self._running: int | None = None

    def switch(self, process: int) -> None:
        """Let process number ``process`` run, with its registers; see ``Machine.switch``."""
        if process == self._running:
            return
        if self._running is not None:
            self.registers[self._running] = self.cpu.save()
        super().switch(process)
        self._running = process
        self.cpu.restore(self.registers.pop(process, None))

    def invalidate(self, invalidations: Sequence[Invalidation]) -> None:
        """Have the hardware carry out what the kernel asks for, and the soft TLB forget it."""
        super().invalidate(invalidations)
        if invalidations:
            self.cpu.forget_translations()

    def run_supervisor(self, commands: NDArray[np.void]) -> Run:
        """Carry out the kernel's accesses as ``Machine`` does; they are recorded, too."""
        run = super().run_supervisor(commands)
        self.cpu.record(commands[: run.done], RecordFlag.SUPERVISOR)
        if run.stopped:
            self.cpu.record(commands[run.done : run.done + 1],
                            RecordFlag.SUPERVISOR | RecordFlag.REFUSED)
        return run

    def run_program(self, limit: int = NO_LIMIT) -> Called | Raised | Paused | Signalled:
        """Run the current process until the kernel has more to do than to handle a page fault.

        Raise ``ProgramFailed`` for a machine check, and a page fault that stays; what the kernel
        raises.
        """
        before: tuple[int, Faulted] | None = None
        times = 0
        end = self.cpu.instructions + limit
        while True:
            stop = self.cpu.run(self.control, max(end - self.cpu.instructions, 0))
            if not isinstance(stop, Faulted):
                return stop
            at = self.cpu.pc, stop
            times = times + 1 if at == before else 1
            before = at
            if times > self.MOST_FAULTS:
                raise ProgramFailed(f"{self.MOST_FAULTS} page faults were handled in vain at "
                                    f"{stop.address:#x}, instruction {self.cpu.pc:#x}")
            if signalled := self._handle(stop):
                return signalled

    def _handle(self, fault: Faulted) -> Signalled | None:
        """Have a fault handled; return the signal that came of it, if one did."""
        if fault.vector is Vector.PF:
            handled = self.page_fault(fault.address, fault.error_code)
        elif fault.vector in (Vector.GP, Vector.SS):
            handled = self.general_protection(fault.vector, fault.address)
        else:
            raise ProgramFailed(f"#{fault.vector.name} at {fault.address:#x}, "
                                f"instruction {self.cpu.pc:#x}")
        if handled.signal is None:
            return None
        exact = fault.vector is Vector.PF and handled.signal != SIGKILL
        return Signalled(fault, handled.signal, handled.code,
                         self.cpu.address_of(fault) if exact else 0)

    def total(self) -> Counts:
        """Return what happened so far, as of a machine that makes accesses.

        Its accesses are translations without fault.
        """
        counts, fills = self.counts, self.cpu.counts
        return replace(
            counts, accesses=counts.accesses + fills.translations - fills.faults,
            cycles=counts.cycles + fills.cycles, events=counts.events + fills.events)
