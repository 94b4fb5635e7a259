"""A processor at CPL 3 that runs real instructions, of which an engine makes the translations."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.control import Control
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_BYTES, AccessKind, PagingMode, Vector
from ..engine.base import Engine
from ..trace.access_record import RecordFlag, TraceHeader
from .access_recorder import AccessRecorder
from .cpu_registers import FLAGS, CpuRegisters
from .emulator import Emulator
from .fill_counts import FillCounts
from .fill_state import StopReason
from .fills import BOTH_PORTS, Fills, Ports, Who
from .old_exception import OldException
from .opcode import loads_segment, updates_memory
from .ring3 import GDT_ADDRESS, TLS_ENTRIES, enter_ring3, write_descriptor
from .stop import Called, CallKind, Faulted, Paused, Raised, Stop

__all__ = ["CHECKS", "Cpu"]

CHECKS = ("fast", "each")
"""What is translated: each fill of the soft TLB, or each access of each instruction."""

NO_LIMIT = 1 << 62
SLICE = 1 << 26  # instructions after which Python looks for Ctrl-C
TRAP_FLAG = 1 << 8
INVALID_OPCODE, INT80 = 6, 0x80
INT_BYTES, LONGEST_INSTRUCTION = 2, 15
EXCEPTIONS = 32
CALLS = {StopReason.SYSCALL: CallKind.SYSCALL, StopReason.SYSENTER: CallKind.SYSENTER}


class Cpu(CpuRegisters):
    """An x86 processor without AVX, at CPL 3: 64 bits under 4-level paging, 32 under two-level.

    Its physical memory are the frames of ``memory``. It has a soft TLB beside the hardware's, which
    asks for the first access to a page of each kind, or with ``check="each"`` for every access.
    Whoever invalidates in the hardware calls ``forget_translations``, too.

    RDTSC counts instructions, and CPUID knows of no RDRAND: a run is the same each time.

    What is written by methods of ``memory`` where code has run is noticed at the next run. Raise
    ``ToolMissing`` if Unicorn or g++ are not installed.

    Parameters
    ----------
    engine
        Translates. It has the mode ``mode``.
    mode
        The paging mode.
    memory
        Where page tables, data and instructions are.
    ports
        Which ports of the MMU are used.
    check
        One of ``CHECKS``.

    Members
    -------
    counts
        What happened so far.
    features
        What CPUID answers to a program for leaf 1, in EAX to EDX; AT_HWCAP is the last of them.
    """

    def __init__(self, engine: Engine, mode: PagingMode, memory: PhysicalMemory, *,
                 ports: Ports = BOTH_PORTS, check: str = "fast") -> None:
        if check not in CHECKS:
            raise ValueError(f"Check must be one of {', '.join(CHECKS)}, not {check!r}")
        self.mode = mode
        self._memory = memory
        self._is_long = mode.entry_bytes == 8
        self._emulator = Emulator(self._is_long)
        self._old_exception = OldException(self._emulator)
        self.features = enter_ring3(self._emulator, self._is_long)
        self._fills = Fills(self._emulator, engine, mode, memory, ports, self.features)
        self._each = check == "each"
        super().__init__(self._emulator, self._is_long)
        self._gdt = GDT_ADDRESS[self._is_long] & (1 << mode.vaddr_bits) - 1
        self._fresh = self.save()

    # ---- registers

    def restore(self, registers: Any | None = None) -> None:
        """Have the registers that were saved; without, those of a program that begins.

        These are zero but for the segments and the floating-point control words.
        """
        self._uc.context_restore(self._fresh if registers is None else registers)

    def set_descriptor(self, index: int, descriptor: int) -> None:
        """Write an entry of the GDT, as set_thread_area does; raise ``ValueError`` for another.

        Segment registers are as they were until the program, or ``write``, loads them.
        """
        if index not in TLS_ENTRIES[self._is_long]:
            raise ValueError(f"GDT entry must be one of {TLS_ENTRIES[self._is_long]}, not {index}")
        write_descriptor(self._emulator, index, descriptor)

    def reload_segment(self, register: str) -> None:
        """Load a segment register anew, after its entry of the GDT has changed."""
        self._fills.state.own_page = self._gdt
        try:
            self.write(register, self.read(register))
        finally:
            self._fills.state.own_page = 0
            self.forget_translations()

    # ---- records of accesses

    def begin_record(self, recorder: AccessRecorder, header: TraceHeader, who: Who) -> None:
        """Have all translations recorded from now on; ``who`` says whose they are."""
        self._fills.begin_record(recorder, header, who)

    def record(self, commands: NDArray[np.void], flags: RecordFlag) -> None:
        """Record accesses that the kernel has made; see ``Fills.record``."""
        self._fills.record(commands, flags)

    def end_record(self) -> None:
        """Write the end of the record, if there is one; raise ``InputError``."""
        self._fills.end_record()

    # ---- running

    @property
    def counts(self) -> FillCounts:
        """What happened so far."""
        return self._fills.counts

    @property
    def instructions(self) -> int:
        """How many instructions have begun; see ``FillCounts``."""
        return int(self._fills.state.instructions)

    def forget_translations(self) -> None:
        """Empty the soft TLB, as Unicorn cannot forget a single page."""
        self._fills.forget_translations()

    def run(self, control: Control, limit: int = NO_LIMIT) -> Stop:
        """Run until something is to be done, or about ``limit`` instructions have begun.

        ``control`` are the registers that govern translation. Raise what the engine raises.
        """
        if self._memory.take_written():
            self._forget_code()
        end = self.instructions + limit
        while True:
            self._fills.prepare(control, min(end - self.instructions, SLICE))
            stop = self._run(self._each)
            if stop is not None and (stop != Paused() or self.instructions >= end):
                return stop

    def _forget_code(self) -> None:
        """Translate anew: the kernel has written where code was."""
        self._fills.forget_code()

    def _run(self, each: bool) -> Stop | None:
        """Run; return why that ended, None if there is nothing to be done for it."""
        reason, status = self._run_each() if each else self._fills.run(self.pc)
        if reason in CALLS:
            return Called(CALLS[reason])
        if reason is StopReason.LIMIT:
            return Paused()
        if reason is StopReason.INTERRUPT:
            return self._interrupt(self._fills.state.vector)
        if reason is StopReason.PORT:
            self.pc = self._fills.state.port_pc
            self.write(self._ax, self._fills.state.port_ax)
            return Raised(Vector.GP)
        if reason is StopReason.NONE:
            if status == self._emulator.constant("UC_ERR_INSN_INVALID"):
                return Raised(INVALID_OPCODE)
            raise AssertionError(f"Unicorn ended with error {status} at {self.pc:#x}")
        return self._fault(reason, each)

    def _run_each(self) -> tuple[StopReason, int]:
        """Run with each access translated, which takes EFLAGS.TF; the program does not see it.

        Unicorn has a hook of each instruction, but mixes up flags when one faults behind it.
        """
        state = self._fills.state
        flags = self.read(FLAGS)
        state.each, state.trap = True, bool(flags & TRAP_FLAG)
        self.write(FLAGS, flags | TRAP_FLAG)
        self.forget_translations()
        try:
            return self._fills.run(self.pc)
        finally:
            state.each = False
            if not state.trap:
                self.write(FLAGS, self.read(FLAGS) & ~TRAP_FLAG)

    def _interrupt(self, vector: int) -> Stop:
        if vector == INT80:
            return Called(CallKind.INT80)
        if vector >= EXCEPTIONS:  # the gate is not the user's
            self.pc -= INT_BYTES
            return Raised(Vector.GP)
        self._old_exception.forget()
        return Raised(vector)

    def _fault(self, reason: StopReason, each: bool) -> Stop | None:
        """Return what a run ends in whose access was refused, None if it is not in need of it."""
        pc = self.pc
        kind, page, vector, error_code = self._fills.refused(reason, pc, each)
        if each and kind is not AccessKind.FETCH:
            # Unicorn may have begun to change them.
            state = self._fills.state
            self.write(FLAGS, state.flags if state.trap else state.flags & ~TRAP_FLAG)
        if reason is StopReason.SHARED_FRAME:
            return self._step_in_shared_frame()
        # Unicorn reads ahead, a block of instructions at a time.
        if kind is AccessKind.FETCH and page != pc & -PAGE_BYTES and not each:
            return self._step_ahead(pc)
        if page == self._gdt and loads_segment(self._code(pc), self._is_long):
            return self._step_with_gdt()
        if kind is AccessKind.READ and updates_memory(self._code(pc), self._is_long):
            vector, error_code = self._as_write(page, vector, error_code)
        address = max(pc, page) if kind is AccessKind.FETCH else page
        return Faulted(vector, address, error_code, kind)

    def _as_write(self, page: int, vector: Vector, error_code: int) -> tuple[Vector, int]:
        """Return the fault of a read whose instruction will write there, too: that of the write.

        A processor asks at once whether it may write, Unicorn when it does.
        """
        if self._fills.translate(page, AccessKind.WRITE) is not None:
            return vector, error_code
        return self._fills.fault

    def address_of(self, fault: Faulted) -> int:
        """Return the address of the access that has just faulted, to the byte, as in CR2.

        The instruction is made once more for that, without any effect.
        """
        if fault.kind is AccessKind.FETCH:
            return fault.address
        before = self.save()
        with self._fills.locating(fault.kind, fault.address):
            self._single_step()
        self.restore(before)
        return fault.address + int(self._fills.state.located)

    # ---- single steps, in which no fault comes too early

    def _step_ahead(self, pc: int) -> Stop | None:
        """Make steps while instructions follow each other; return why they ended, None if so."""
        while True:
            stop = self._single_step()
            if stop is not None:
                return stop
            before, pc = pc, self.pc
            if not before < pc <= before + LONGEST_INSTRUCTION or pc % PAGE_BYTES == 0:
                return None

    def _single_step(self) -> Stop | None:
        """Make one step; return what came of it, None if nothing is to be done."""
        state = self._fills.state
        limit, state.limit = state.limit, min(state.instructions + 1, state.limit)
        stop = self._run(True)
        state.limit = limit
        return None if stop == Paused() and state.instructions < limit else stop

    def _step_with_gdt(self) -> Stop | None:
        """Make a step in which the GDT can be read, as the processor alone may."""
        self._fills.state.own_page = self._gdt
        try:
            return self._single_step()
        finally:
            self._fills.state.own_page = 0
            self.forget_translations()

    def _step_in_shared_frame(self) -> Stop | None:
        """Make a step that writes to code by another page than that of the code, or runs it so.

        Unicorn does not notice such a store.
        """
        state = self._fills.state
        before, state.shares_frames = state.shares_frames, True
        self._fills.forget_code()
        try:
            return self._single_step()
        finally:
            state.shares_frames = before
            self._fills.forget_code()

    def _code(self, pc: int) -> bytes:
        """Return the bytes of an instruction that lie in its first page, none if it has none."""
        place = self._fills.translate(pc, AccessKind.FETCH)
        if place is None:
            return b""
        end = min(place + LONGEST_INSTRUCTION, (place | PAGE_BYTES - 1) + 1)
        code = self._memory.frames.reshape(-1).view(np.uint8)[place:end]
        return code.tobytes()
