"""Running a program to its end: instructions, faults, calls, and the signals that end it."""

import signal
from dataclasses import dataclass

from ...model.kernel.oom import OomKilled
from ...model.x86 import Vector
from .call_abi import ABIS
from .call_context import ProgramExited, ProgramKilled, ProgramReplaced, WaitsForEver
from .call_table import CallTable
from .program_machine import ProgramFailed, Signalled
from .program_world import ProgramWorld
from .signal_family import SignalHandled, send_signal
from .stop import Called, CallKind, Raised

__all__ = ["ProgramEnd", "ProgramRun"]

QUANTUM = 100_000_000  # instructions
KILLED = 128  # is added to the number of a signal, as shells do

SIGNALS = {
    0: signal.SIGFPE, 1: signal.SIGTRAP, 3: signal.SIGTRAP, 4: signal.SIGSEGV, 5: signal.SIGSEGV,
    6: signal.SIGILL, Vector.SS: signal.SIGBUS, Vector.GP: signal.SIGSEGV, 16: signal.SIGFPE,
    17: signal.SIGBUS, 19: signal.SIGFPE}
"""The signal of each exception that a program raises itself. [arch/x86/kernel/traps.c]"""
UNDEFINED = 6


@dataclass(frozen=True, slots=True)
class ProgramEnd:
    """How a program ended.

    Members
    -------
    status
        Its exit status as a shell has it: 128 more than the number of a signal that killed it.
    signal
        The number of that signal, None if it ended itself.
    where
        What is known of the place, as text.
    """

    status: int
    signal: int | None = None
    where: str = ""


class ProgramRun:
    """Runs the program of a world, once.

    Parameters
    ----------
    world
        The machine with the program.
    limit
        The most instructions that it may take, None for any number.

    Members
    -------
    table
        The calls, and their counts.
    """

    def __init__(self, world: ProgramWorld, limit: int | None = None) -> None:
        self.table = CallTable()
        self._world = world
        self._machine = world.machine
        self._limit = limit
        self._abi = ABIS[world.context.word_bytes == 8]
        world.context.calls.broken_pipe = lambda _process: world.context.pending.add(
            signal.SIGPIPE)

    def run(self) -> ProgramEnd:
        """Run the program to its end.

        Raise ``ProgramFailed`` for what keeps it from going on that is not its own: a machine
        check, a handler of a signal, a wait without end, no instructions left.
        """
        try:
            while True:
                self._step()
        except ProgramExited as ended:
            return ProgramEnd(ended.status)
        except ProgramKilled as killed:
            return ProgramEnd(KILLED + killed.signal, killed.signal, killed.where)
        except OomKilled:
            return ProgramEnd(KILLED + signal.SIGKILL, signal.SIGKILL,
                              ", as there was no memory left")
        except (SignalHandled, WaitsForEver) as error:
            raise ProgramFailed(str(error)) from None

    def _step(self) -> None:
        """Run until the kernel has something to do, and do it."""
        cpu, context = self._machine.cpu, self._world.context
        stop = self._machine.run_program(self._quantum())
        if isinstance(stop, Called):
            self._call(stop.kind)
        elif isinstance(stop, Signalled):
            if stop.signal == signal.SIGKILL:
                raise ProgramKilled(signal.SIGKILL, ", as there was no memory left")
            send_signal(context, stop.signal, f" at address {stop.address:#x}, instruction "
                        f"{cpu.pc:#x}", forced=True)
        elif isinstance(stop, Raised):
            self._raised(stop.vector)

    def _quantum(self) -> int:
        """Return how many instructions to run now; raise ``ProgramFailed`` if none are left."""
        if self._limit is None:
            return QUANTUM
        left = self._limit - self._machine.cpu.instructions
        if left <= 0:
            raise ProgramFailed(f"its {self._limit} instructions are used up")
        return min(left, QUANTUM)

    def _raised(self, vector: int) -> None:
        number = SIGNALS.get(vector, signal.SIGSEGV)
        send_signal(self._world.context, number, f" at instruction {self._machine.cpu.pc:#x}",
                    forced=True)

    def _call(self, kind: CallKind) -> None:
        """Carry out a call, and give the program its result."""
        if kind is not self._abi.kind:
            self._other_call(kind)
            return
        context, cpu = self._world.context, self._machine.cpu
        name, arguments = self._abi.take(cpu)
        try:
            with self._world.entry.system_call(self._world.PROCESS):
                result = self.table.call(context, name, arguments)
        except ProgramReplaced:
            return
        self._abi.answer(cpu, result)
        if signal.SIGPIPE in context.pending and not context.blocked >> signal.SIGPIPE - 1 & 1:
            context.pending.discard(signal.SIGPIPE)
            send_signal(context, signal.SIGPIPE)

    def _other_call(self, kind: CallKind) -> None:
        """Deal with an instruction that programs of this mode have no use for.

        32-bit calls of 64-bit programs are left out; SYSCALL is undefined with 32 bits.
        """
        if kind is not CallKind.INT80:
            self._raised(UNDEFINED)
        self.table.made["int 0x80"] += 1
        self.table.missing["int 0x80"] += 1
        self._machine.cpu.write("rax", -38 & (1 << 64) - 1)
