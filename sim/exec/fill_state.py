"""What the hooks in ``fill.cc`` share with Python, and how C++ declares it."""

import ctypes
import enum
from collections.abc import Iterator

from ...model.x86 import PAGE_BYTES, AccessKind
from ..engine.answer import ANSWER
from ..engine.command import COMMAND
from ..engine.cpp_text import record_lines, structure_lines
from ..engine.harness_batch import Batch, RunStatus
from ..trace.access_record import RECORD, RecordFlag
from .emulator import Emulator

__all__ = ["FillState", "StopReason", "layout_lines"]

UNICORN_NAMES = ("UC_MEM_READ", "UC_MEM_WRITE", "UC_MEM_FETCH", "UC_PROT_READ",
                 "UC_PROT_WRITE")


class StopReason(enum.IntEnum):
    """Why the hooks ended a run; fill.cc knows each as ``STOP_`` and its name."""

    NONE = 0
    FAULT = 1
    """The engine answered with a fault."""
    NO_MEMORY = 2
    """It answered with an address where there is no memory."""
    FAILED = 3
    """It failed."""
    LIMIT = 4
    INTERRUPT = 5
    SYSCALL = 6
    SYSENTER = 7
    PORT = 8
    """An instruction for an I/O port; the processor may be some way behind it."""
    SHARED_FRAME = 9
    """A frame has code, and is written to by another page than that of the code."""


class FillState(ctypes.Structure):
    """What the hooks share with Python; ``Fills`` in fill.cc."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (
            "hardware", "mmu_run", "emu_stop", "emu_control", "reg_read", "reg_write", "state",
            "batch", "command", "answer", "executed", "new_code", "record_buffer")),
        *((name, ctypes.c_uint64) for name in (
            "new_code_count", "vaddr_mask", "fetch_port", "data_port", "read_grants",
            "write_grants", "fetch_grants", "own_page", "own_paddr", "locating", "located",
            "located_kind", "located_page", "located_paddr", "waste_paddr", "flush", "sp_register",
            "flags_register", "pc_register", "ax_register", "bx_register", "cx_register",
            "dx_register", "cpuid_ax", "cpuid_bx", "cpuid_cx", "cpuid_dx", "port_pc", "port_ax",
            "is_long", "flags", "each", "trap", "shares_frames", "limit", "instructions", "fills",
            "translations", "faults", "cycles", "epoch", "stop",
            "status", "vaddr", "kind", "vector", "block", "block_end", "left", "left_end",
            "record_file", "record_capacity", "record_count", "records_written", "record_error",
            "record_space", "record_task")),
    )


def layout_lines(emulator: Emulator) -> Iterator[str]:
    """Yield the lines of ``layout.h``."""
    yield f"const uint64_t PAGE_BYTES = {PAGE_BYTES};"
    for name in UNICORN_NAMES:
        yield f"const int {name} = {emulator.constant(name)};"
    for kind in AccessKind:
        yield f"const unsigned {kind.name} = {kind:d};"
    yield f"const int {RunStatus.DONE.name} = {RunStatus.DONE:d};"
    for reason in StopReason:
        yield f"const unsigned STOP_{reason.name} = {reason:d};"
    for flag in (RecordFlag.REFUSED, RecordFlag.EXTRA):
        yield f"const unsigned {flag.name} = {flag:d};"
    yield from record_lines("Record", RECORD)
    yield from record_lines("Command", COMMAND)
    yield from record_lines("Answer", ANSWER)
    yield from structure_lines("Batch", Batch)
    yield from structure_lines("Fills", FillState)
