"""Fills of an emulator's soft TLB: each is one translation by an engine, asked for from C++.

The hooks are those of ``fill.cc``, so that with a compiled engine no Python runs in between;
other engines are called back, one command at a time.
"""

import ctypes
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from ...model.mmu.control import Access, Control
from ...model.physical.memory import PhysicalMemory
from ...model.x86 import PAGE_BYTES, AccessKind, PagingMode, Vector
from ..engine.answer import ANSWER
from ..engine.base import Engine
from ..engine.build import build_library
from ..engine.command import COMMAND, accesses
from ..engine.compiled import CompiledEngine
from ..engine.harness_batch import Batch, FrameArrays, RunStatus
from ..engine.model import ModelEngine
from ..engine.recipe import plain_recipe
from ..trace.access_record import RecordFlag, TraceHeader
from .access_recorder import AccessRecorder
from .emulator import OWN_PADDR, Emulator
from .fill_counts import FillCounts
from .fill_state import FillState, StopReason, layout_lines

__all__ = ["BOTH_PORTS", "Fills", "Ports", "Who"]

# The first includes the others.
SOURCES = ("fill.cc", "record.h", "instructions.h", "single_step.h")
KINDS, REASONS = tuple(AccessKind), tuple(StopReason)
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4  # UC_PROT_*
GRANTS = (PROT_READ, PROT_READ | PROT_WRITE, PROT_EXEC)
"""What a translation grants, by ``AccessKind``. A read does not grant writing, though the page may
be writable: the first write must come back, so that the MMU sets D."""

Who = Callable[[], tuple[int, int]]
"""Returns whose accesses come next: the numbers of the address space and of the task."""

_CallBack = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Ports:
    """The MMU's ports for instructions and for data, by number; they may be one."""

    fetch: int = 0
    data: int = 1


BOTH_PORTS = Ports()


class Fills:
    """The hooks of an emulator, and what they share with Python.

    Raise ``ToolMissing`` if there is no g++, and ``ToolFailed``.

    Parameters
    ----------
    emulator
        Whose soft TLB it is.
    engine
        Translates, with the user's rights.
    mode
        The engine's paging mode.
    memory
        Where page tables and data are.
    ports
        Which ports of the MMU are used.
    features
        What CPUID answers to a program for leaf 1, in EAX to EDX.
    """

    def __init__(self, emulator: Emulator, engine: Engine, mode: PagingMode,
                 memory: PhysicalMemory, ports: Ports, features: Sequence[int]) -> None:
        self._emulator, self._engine, self._memory = emulator, engine, memory
        self._library = build_library(plain_recipe({
            **{name: (files(__package__) / name).read_text(encoding="utf-8")
               for name in SOURCES},
            "layout.h": "\n".join(layout_lines(emulator))}))
        self._library.fills_create.restype = ctypes.c_void_p
        self._library.fills_translate.restype = ctypes.c_int64
        self._command = np.zeros(1, COMMAND)
        self._answer = np.zeros(1, ANSWER)
        self._batch = Batch()
        self._events = np.zeros(0, np.uint64)
        self._control: Control | None = None
        self._error: BaseException | None = None
        self._recorder: AccessRecorder | None = None
        self._who: Who = lambda: (0, 0)
        self._call_back = _CallBack(self._play)
        is_long = mode.entry_bytes == 8
        self._compiled = engine if isinstance(engine, CompiledEngine) else None
        self._totals: Counter[str] = Counter()  # of events
        self.state = state = FillState(
            emu_stop=emulator.address("uc_emu_stop"), emu_control=emulator.address("uc_ctl"),
            reg_read=emulator.address("uc_reg_read"), reg_write=emulator.address("uc_reg_write"),
            is_long=is_long, flags_register=emulator.register("eflags"),
            sp_register=emulator.register("rsp" if is_long else "esp"),
            pc_register=emulator.register("rip" if is_long else "eip"),
            **{f"{name}_register": emulator.register(("r" if is_long else "e") + name)
               for name in ("ax", "bx", "cx", "dx")},
            **{f"cpuid_{name}": value
               for name, value in zip(("ax", "bx", "cx", "dx"), features, strict=True)},
            state=self._library.fills_create(), command=self._command.ctypes.data,
            answer=self._answer.ctypes.data, batch=ctypes.addressof(self._batch),
            vaddr_mask=(1 << mode.vaddr_bits) - 1, fetch_port=ports.fetch, data_port=ports.data,
            own_paddr=OWN_PADDR, located_paddr=OWN_PADDR + PAGE_BYTES,
            waste_paddr=OWN_PADDR + 2 * PAGE_BYTES, epoch=1,
            flush=emulator.constant("UC_CTL_TLB_FLUSH")
            | emulator.constant("UC_CTL_IO_WRITE") << 30)
        state.read_grants, state.write_grants, state.fetch_grants = GRANTS
        weakref.finalize(self, self._library.fills_destroy, ctypes.c_void_p(state.state))
        self._hook()

    def _hook(self) -> None:
        library, emulator = self._library, self._emulator
        hooks = [("UC_HOOK_TLB_FILL", library.fills_fill, ()),
                 ("UC_HOOK_INTR", library.fills_interrupt, ()),
                 ("UC_HOOK_EDGE_GENERATED", library.fills_edge, ()),
                 ("UC_HOOK_BLOCK", library.fills_block, ()),
                 *(("UC_HOOK_INSN", function, (emulator.constant(f"UC_X86_INS_{name}"),))
                   for function, name in (
                       (library.fills_syscall, "SYSCALL"), (library.fills_sysenter, "SYSENTER"),
                       (library.fills_in, "IN"), (library.fills_out, "OUT"),
                       (library.fills_rdtsc, "RDTSC"), (library.fills_rdtscp, "RDTSCP"),
                       (library.fills_cpuid, "CPUID")))]
        for kind, function, extra in hooks:
            emulator.hook(kind, function, self.state, *extra)

    @property
    def counts(self) -> FillCounts:
        """What happened so far."""
        state, engine = self.state, self._compiled
        if engine is not None:
            self._totals.update(dict(zip(engine.events, self._events.tolist(), strict=False)))
            self._events[:] = 0
        return FillCounts(state.instructions, state.fills, state.translations, state.faults,
                          state.cycles, Counter(self._totals))

    # ---- records of accesses

    def begin_record(self, recorder: AccessRecorder, header: TraceHeader, who: Who) -> None:
        """Have all accesses recorded from now on; ``who`` says whose they are."""
        self._recorder, self._who = recorder, who
        recorder.begin(header, self.state)

    def _note_who(self) -> None:
        self.state.record_space, self.state.record_task = self._who()

    def record(self, commands: NDArray[np.void], flags: RecordFlag) -> None:
        """Record accesses (N,) of dtype ``COMMAND`` that something else had carried out.

        Raise ``InputError`` if they cannot be written.
        """
        if self._recorder is None:
            return
        self._note_who()
        if not self._library.fills_record(
                ctypes.byref(self.state), ctypes.c_void_p(commands.ctypes.data),
                ctypes.c_uint64(len(commands)), int(flags)):
            self._recorder.check(self.state)

    def end_record(self) -> None:
        """Write what is left of the record, and its end; raise ``InputError``."""
        if self._recorder is not None:
            recorder, self._recorder = self._recorder, None
            recorder.finish(self.state, self._library)

    def prepare(self, control: Control, limit: int) -> None:
        """Be ready for runs under registers, of at most so many instructions."""
        state = self.state
        if control != self._control:
            self._command[:] = accesses(control, 0, user=1)
            self._control = control
        if self._emulator.map_frames(self._memory) or not state.mmu_run:
            self._attach()
        if self._compiled is not None:
            self._batch.first_cycle = self._compiled.cycle
        state.limit = state.instructions + limit
        if self._recorder is not None:
            self._note_who()

    def run(self, pc: int) -> tuple[StopReason, int]:
        """Run from an address on; return why it ended, and Unicorn's number for that.

        If ``state.each`` is set, EFLAGS.TF must be: then each access of each instruction is
        translated. ``state.trap`` says whether the program has set it, too. Raise what the engine
        raises.
        """
        self.state.stop = StopReason.NONE
        status = self._emulator.start(pc)
        return self._settle(), status

    def _attach(self) -> None:
        """Tell the hooks where the engine and the frames are."""
        engine, state = self._compiled, self.state
        pfns, rows = self._index = self._memory.index()
        self._pfn_of_row = np.zeros(len(rows), np.uint64)
        self._pfn_of_row[rows] = pfns
        self._executed = np.zeros(len(rows), np.uint8)  # whether code of a frame was translated
        self._new_code = np.zeros(len(rows), np.uint32)  # frames of which it was since the last run
        state.executed = self._executed.ctypes.data
        state.new_code = self._new_code.ctypes.data
        if engine is not None:
            state.mmu_run, state.hardware = engine.entry
            self._events = np.zeros(len(engine.events), np.uint64)
            batch = engine.batch(self._memory, self._command, self._answer, self._events,
                                 stop_on_fault=True)
        else:
            state.mmu_run = ctypes.cast(self._call_back, ctypes.c_void_p).value
            batch = Batch(frames=FrameArrays(self._memory.frames.ctypes.data, pfns.ctypes.data,
                                             rows.ctypes.data, len(pfns)))
        ctypes.memmove(ctypes.byref(self._batch), ctypes.byref(batch), ctypes.sizeof(Batch))

    def _play(self, _hardware: int, _batch: int) -> int:
        """Have an engine in Python carry out the command; return a ``RunStatus``."""
        engine, state = self._engine, self.state
        try:
            if isinstance(engine, ModelEngine):
                assert self._control is not None
                access = Access(state.vaddr, KINDS[state.kind], user=True)
                self._answer[0] = engine.access(self._memory, self._control, access)
                return RunStatus.DONE
            run = engine.run(self._memory, self._command, stop_on_fault=True)
        except BaseException as error:  # nothing can be raised through C
            self._error = error
            return RunStatus.STALLED
        self._answer[:] = run.answers
        self._batch.cycle = run.cycles
        self._totals.update(run.events)
        return RunStatus.DONE

    def _settle(self) -> StopReason:
        """Account for a run that is over; return why it ended, and raise what the engine raised."""
        state, engine = self.state, self._compiled
        if engine is not None:
            engine.cycle = self._batch.first_cycle
        if state.new_code_count:
            self._memory.watch(self._pfn_of_row[self._new_code[: state.new_code_count]].tolist())
            state.new_code_count = 0
        if state.stop == StopReason.FAILED:
            if self._recorder is not None:
                self._recorder.check(state)
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            assert engine is not None
            state.mmu_run = None  # which the engine has anew
            engine.check(state.status, self._batch, 1)
        reason: StopReason = REASONS[state.stop]
        return reason

    def refused(
        self, reason: StopReason, pc: int, each: bool
    ) -> tuple[AccessKind, int, Vector, int]:
        """Return kind, page, vector and error code of the access that ended a run at ``pc``.

        ``each`` says whether ``state.each`` was set in it. Where the engine did not answer with a
        fault, they are those of a machine check.
        """
        state = self.state
        kind = KINDS[state.kind]
        if kind is not AccessKind.FETCH and state.block <= pc < state.block_end:
            if each:
                state.instructions -= 1
            else:
                state.left, state.left_end = pc, state.block_end
        page: int = state.vaddr
        if reason is not StopReason.FAULT:
            return kind, page, Vector.MC, 0
        return kind, page, *self.fault

    @property
    def fault(self) -> tuple[Vector, int]:
        """Vector and error code of the translation that was made last, which was refused."""
        answer = self._answer[0]
        return Vector(int(answer["vector"])), int(answer["error"])

    @contextmanager
    def locating(self, kind: AccessKind, page: int) -> Iterator[None]:
        """Find out where in a page an instruction accesses it, which is made again within.

        All that it writes goes nowhere, and it is not counted. ``state.located`` is the offset of
        the first byte of such an access that begins there, 0 if none does.
        """
        state, emulator = self.state, self._emulator
        kept = {name: getattr(state, name)
                for name in ("instructions", "block", "block_end", "left", "left_end", "limit")}
        state.locating, state.located, state.located_kind, state.located_page = 1, 0, kind, page
        state.limit = state.instructions + 1  # even if the block went beyond its limit
        hook = emulator.hook(
            "UC_HOOK_MEM_WRITE" if kind is AccessKind.WRITE else "UC_HOOK_MEM_READ",
            self._library.fills_access, state)
        try:
            yield
        finally:
            state.locating = 0
            emulator.unhook(hook)
            for name, value in kept.items():
                setattr(state, name, value)
            self.forget_translations()

    def translate(self, vaddr: int, kind: AccessKind) -> int | None:
        """Return where in the bytes of the frames an address is, None if the engine refuses."""
        page = vaddr & -PAGE_BYTES
        self.state.stop = StopReason.NONE
        row: int = self._library.fills_translate(
            ctypes.byref(self.state), ctypes.c_uint64(page), kind)
        self._settle()
        return None if row < 0 else row * PAGE_BYTES + vaddr - page

    def forget_translations(self) -> None:
        """Have each access ask again."""
        self._emulator.empty_tlb()
        self.state.epoch += 1

    def forget_code(self) -> None:
        """Have all instructions translated again, and each page of them noted anew."""
        self._emulator.empty_code()
        self._executed[:] = 0
        self.forget_translations()

