"""Co-simulation: processes whose loads and stores go through the MMU, with a kernel behind it.

The data are in the frames of physical memory and nowhere else. The hardware translates; where it
faults, the kernel edits the page tables in the same memory and says what is to be invalidated; the
hardware does so, and makes the access again.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from signal import SIGKILL
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...model.kernel.tlb_flush import Invalidation
from ...model.mmu.control import Control
from ...model.mmu.flag_rules import FlagRules
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import Cr3, InvalidateOp, Vector
from ..engine.base import Engine, Run
from ..engine.command import data_accesses, invalidation
from ..engine.model import golden_walk

__all__ = ["AccessFailed", "Counts", "Handled", "Machine", "OperatingSystem"]


@dataclass(frozen=True, slots=True)
class Handled:
    """How a page fault was handled.

    ``is_major`` says whether it had to wait for a disk; ``signal`` is the number of the signal
    that the process gets instead of its page, ``code`` its si_code; ``invalidations`` are to be
    carried out, in order, before the next access.
    """

    is_major: bool = False
    signal: int | None = None
    code: int = 0
    invalidations: Sequence[Invalidation] = ()


class OperatingSystem(Protocol):
    """What runs on the machine beside the processes. It works on the machine's memory."""

    @property
    def control(self) -> Control:
        """The registers as the kernel last wrote them."""
        ...

    def page_fault(self, vaddr: int, error_code: int) -> Handled:
        """Handle a page fault of the running process."""
        ...

    def general_protection(self, vector: Vector, vaddr: int) -> Handled:
        """Handle #GP or #SS of the running process, at an address that is not canonical."""
        ...

    def switch(self, process: int) -> Sequence[Invalidation]:
        """Let another process run: number ``process`` of the workload.

        Raise ``ProcessLookupError`` if it has ended, killed for its memory for example.
        """
        ...


class AccessFailed(Exception):
    """An access that cannot be completed.

    Parameters
    ----------
    reason : str
        What stands in its way: a signal, an exception that is not a page fault, or a page fault
        that stays.
    access : numpy.void
        The access, of dtype ``DATA_ACCESS``.
    signal : int or None
        The number of the signal, if it is one.
    """

    def __init__(self, reason: str, access: np.void, signal: int | None = None) -> None:
        what = "store to" if access["store"] else "load from"
        super().__init__(f"{reason} at the {what} {int(access['vaddr']):#x} "
                         f"of process {access['process']}")
        self.reason = reason
        self.access = access
        self.signal = signal


@dataclass(slots=True)
class Counts:
    """What happened: accesses that were completed, faults, operations; cycles of the hardware.

    ``cycles`` and ``events`` are those of ``Run``, summed.
    """

    accesses: int = 0
    minor: int = 0
    major: int = 0
    switches: int = 0
    invalidations: int = 0
    cycles: int = 0
    events: Counter[str] = field(default_factory=Counter)

    def access_time(self, minor_cycles: float, major_cycles: float) -> float:
        """Return the effective access time in cycles, if faults cost so many beside."""
        faults = self.minor * minor_cycles + self.major * major_cycles
        return (self.cycles + faults) / max(self.accesses, 1)


class Machine:
    """An engine, a physical memory and a kernel, on which user processes run in turn.

    Parameters
    ----------
    engine : Engine
        Has nothing cached of ``memory``.
    memory : PhysicalMemory
        Where data and page tables are.
    kernel : OperatingSystem
        Works on the same memory.
    port : int
        The port of the MMU through which data are accessed.

    Members
    -------
    counts : Counts
        What happened so far.
    port : int
        As given.
    """

    CHUNK = 1 << 15  # of accesses turned into commands at a time
    SHORTEST_WINDOW = 64  # of commands given to the engine at a time
    MOST_FAULTS = 8  # of one access

    def __init__(
        self, engine: Engine, memory: PhysicalMemory, kernel: OperatingSystem, *, port: int = 0
    ) -> None:
        self.counts = Counts()
        self._engine = engine
        self._memory = memory
        self._kernel = kernel
        self.port = port
        self._control = kernel.control
        self._process: int | None = None
        self._window = self.SHORTEST_WINDOW

    @property
    def control(self) -> Control:
        """The registers of the hardware."""
        return self._control

    def run(self, accesses: NDArray[np.void]) -> NDArray[np.uint64]:
        """Carry out ``accesses`` (N,) of dtype ``DATA_ACCESS``; return what each found in memory.

        That is what a load loads, and what was there before a store. Raise ``AccessFailed``.
        """
        values = np.empty(len(accesses), np.uint64)
        for start, stop in self._stretches(accesses["process"]):
            try:
                self.switch(int(accesses["process"][start]))
            except ProcessLookupError as error:
                raise AccessFailed("The process has ended", accesses[start], SIGKILL) from error
            values[start:stop] = self._run_process(accesses[start:stop])
        return values

    def _stretches(self, processes: NDArray[np.uint16]) -> Iterator[tuple[int, int]]:
        """Yield first and last, exclusive, of at most ``CHUNK`` accesses of one process."""
        edges = [0, *(np.flatnonzero(np.diff(processes)) + 1).tolist(), len(processes)]
        for first, last in pairwise(edges):
            for start in range(first, last, self.CHUNK):
                yield start, min(start + self.CHUNK, last)

    def switch(self, process: int) -> None:
        """Let process number ``process`` run, if it does not already."""
        if process != self._process:
            self.invalidate(self._kernel.switch(process))
            self._process = process
            self.return_to_user()
            self.counts.switches += 1

    def return_to_user(self) -> None:
        """Take over PKRU from the kernel; raise ``ValueError`` if another register differs."""
        self._control = replace(self._control, pkru=self._kernel.control.pkru)
        if self._control != self._kernel.control:
            raise ValueError(f"Kernel says that registers are {self._kernel.control}, but has "
                             f"written {self._control}")

    def _run_process(self, accesses: NDArray[np.void]) -> NDArray[np.uint64]:
        """Carry out accesses of the running process."""
        commands = data_accesses(self._control, accesses["vaddr"], accesses["store"],
                                 accesses["value"], size=accesses["size"], user=1, port=self.port)
        values, done, faults = np.empty(len(accesses), np.uint64), 0, 0
        while done < len(commands):
            run = self._run(commands[done : done + self._window], stop_on_fault=True)
            values[done : done + run.done] = run.answers["value"][: run.done]
            done += run.done
            self.counts.accesses += run.done
            # Wide enough that most runs end with a fault, but not much wider.
            self._window = max(2 * run.done, self.SHORTEST_WINDOW)
            if run.done:
                faults = 0
            if run.stopped:
                faults += 1
                self._fault(run.answers[-1], accesses[done], faults)
        return values

    def run_kernel(
        self, accesses: NDArray[np.void], vaddr: NDArray[np.uint64]
    ) -> NDArray[np.uint64]:
        """Carry out ``accesses`` (N,) as the kernel, but at its own addresses ``vaddr`` (N,).

        Return what each found in memory. Raise ``AccessFailed`` at the first that faults.
        """
        commands = data_accesses(self._control, vaddr, accesses["store"], accesses["value"],
                                 size=accesses["size"], user=0, port=self.port)
        run = self.run_supervisor(commands)
        if run.stopped:
            vector = Vector(int(run.answers[-1]["vector"]))
            raise AccessFailed(f"The kernel's own #{vector.name}", accesses[run.done])
        values: NDArray[np.uint64] = run.answers["value"]
        return values

    def run_supervisor(self, commands: NDArray[np.void]) -> Run:
        """Carry out accesses (N,) of dtype ``COMMAND`` at CPL 0, up to the first that faults."""
        run = self._run(commands, stop_on_fault=True)
        self.counts.accesses += run.done
        return run

    def _run(self, commands: NDArray[np.void], *, stop_on_fault: bool = False) -> Run:
        """Carry out commands; a fault that only wants flags to be set stops them for no one."""
        run = self._play(commands, stop_on_fault=stop_on_fault)
        while run.stopped and self._give_flags(commands[run.done]):
            rest = self._play(commands[run.done :], stop_on_fault=stop_on_fault)
            answers = np.concatenate([run.answers[: run.done], rest.answers])
            run = replace(rest, answers=answers)
        return run

    def _give_flags(self, command: np.void) -> bool:
        """Set the flags that an access lacks, where the hardware does not; return if any did.

        This is work of a layer below the kernel: Linux takes a read fault with P set for an access
        that the mapping forbids. [access_error]
        """
        config = self._engine.config
        if config.ad != "fault":
            return False
        _, walk = golden_walk(self._memory, config, command, FlagRules("success"))
        return walk.fault is None and any(step.updated != step.entry for step in walk.steps)

    def _play(self, commands: NDArray[np.void], *, stop_on_fault: bool) -> Run:
        run = self._engine.run(self._memory, commands, stop_on_fault=stop_on_fault)
        self.counts.cycles += run.cycles
        self.counts.events.update(run.events)
        return run

    def _fault(self, answer: np.void, access: np.void, times: int) -> None:
        """Have the fault of an access handled, which is so many times in a row that it faults."""
        vector, vaddr = Vector(int(answer["vector"])), int(answer["vaddr"])
        if vector in (Vector.GP, Vector.SS):
            handled = self.general_protection(vector, int(access["vaddr"]))
            raise AccessFailed(f"Signal {handled.signal}", access, handled.signal)
        if vector is not Vector.PF:
            raise AccessFailed(f"#{vector.name}", access)
        if times > self.MOST_FAULTS:
            raise AccessFailed(f"{self.MOST_FAULTS} page faults were handled in vain", access)
        handled = self.page_fault(vaddr, int(answer["error"]))
        if handled.signal is not None:
            raise AccessFailed(f"Signal {handled.signal}", access, handled.signal)

    def page_fault(self, vaddr: int, error_code: int) -> Handled:
        """Have the kernel handle a page fault of the running process; return how it did.

        What it asks to be invalidated is.
        """
        handled = self._kernel.page_fault(vaddr, error_code)
        self.invalidate(handled.invalidations)
        if handled.signal is None:
            if handled.is_major:
                self.counts.major += 1
            else:
                self.counts.minor += 1
        return handled

    def general_protection(self, vector: Vector, vaddr: int) -> Handled:
        """Have the kernel handle #GP or #SS at an address; return how it did."""
        return self._kernel.general_protection(vector, vaddr)

    def invalidate(self, invalidations: Sequence[Invalidation]) -> None:
        """Have the hardware carry out what the kernel asks for, in order."""
        if not invalidations:
            return
        stretches: list[tuple[Control, list[Invalidation]]] = []  # of the same registers
        for one in invalidations:
            if not stretches or stretches[-1][0] is not self._control:
                stretches.append((self._control, []))
            stretches[-1][1].append(one)
            self._control = _after(self._control, one)
        self._run(np.concatenate([_commands(*stretch) for stretch in stretches]))
        self.counts.invalidations += len(invalidations)


def _commands(control: Control, invalidations: Sequence[Invalidation]) -> NDArray[np.void]:
    """Return the commands of invalidations under the registers ``control``."""
    return invalidation(
        control, [one.op for one in invalidations],
        vaddr=[one.vaddr for one in invalidations], pcid=[one.pcid for one in invalidations],
        old=[one.old & 0xFFFF_FFFF for one in invalidations],  # CR0, CR4; of CR3 it is of no use
        new=[one.new for one in invalidations])


def _after(control: Control, one: Invalidation) -> Control:
    """Return the registers after an invalidation."""
    if one.op is InvalidateOp.MOV_CR3:
        return replace(control, cr3=one.new & ~Cr3.NO_FLUSH)
    if one.op is InvalidateOp.MOV_CR4:
        return replace(control, cr4=one.new)
    if one.op is InvalidateOp.MOV_CR0:
        return replace(control, cr0=one.new)
    return control
