"""The notes of a core: what the emulator, or Linux, tells of registers and page tables.

[QEMU, target/i386/arch_dump.c: QEMUCPUState; Linux, kernel/crash_core.c: VMCOREINFO]
"""

import re
import struct
from collections.abc import Iterator

from ...model.x86 import IA32, LA57, X86_64
from .cpu_state import CpuState
from .memory_file_error import BadMemoryFile

__all__ = ["cpus_of_notes"]

NOTE = struct.Struct("<III")  # bytes of the name, bytes of the description, type
PRSTATUS = 1
LONG_PRSTATUS = 336  # bytes of a 64-bit `struct elf_prstatus`; a 32-bit one has 144
QEMU_VERSION = 1
QEMU_REGISTERS = 392  # CR0 to CR4, 8 bytes each, behind general registers and segments
KERNEL_BASE_64 = 0xFFFF_FFFF_8000_0000  # __START_KERNEL_map
KERNEL_BASE_32 = 0xC000_0000  # PAGE_OFFSET


def cpus_of_notes(path: str, data: bytes) -> tuple[CpuState, ...]:
    """Return the processors that the notes ``data`` tell of, in their order.

    Without notes of an emulator it is the kernel's own page tables that VMCOREINFO tells of, if
    it is there. Raise ``BadMemoryFile`` for notes that are cut or have another version.
    """
    long_mode: list[bool] = []
    registers: list[tuple[int, int, int, bool]] = []
    kernel = None
    for name, kind, text in _notes(path, data):
        if name == b"CORE" and kind == PRSTATUS:
            long_mode.append(len(text) == LONG_PRSTATUS)
        elif name == b"QEMU" and kind == 0:
            registers.append(_qemu_registers(path, text, len(registers)))
        elif name == b"VMCOREINFO":
            kernel = _kernel_tables(text.decode("ascii", "replace"))
    if not registers:
        return () if kernel is None else (kernel,)
    return tuple(
        CpuState.of(f"CPU {number}", cr0=cr0, cr3=cr3, cr4=cr4,
                    long_mode=long_mode[number] if number < len(long_mode) else code64)
        for number, (cr0, cr3, cr4, code64) in enumerate(registers))


def _notes(path: str, data: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield name, type and description of each note."""
    at = 0
    while len(data) - at >= NOTE.size:
        name_bytes, text_bytes, kind = NOTE.unpack_from(data, at)
        start = at + NOTE.size
        text = start + (name_bytes + 3 & ~3)
        if not name_bytes and not text_bytes:
            return  # zeros that fill a page
        if text + text_bytes > len(data):
            raise BadMemoryFile(path, f"has a note of {text_bytes} bytes at byte {at} of its notes",
                                f"at most {max(0, len(data) - text)} bytes there")
        yield data[start : start + name_bytes].rstrip(b"\0"), kind, data[text : text + text_bytes]
        at = text + (text_bytes + 3 & ~3)


def _qemu_registers(path: str, text: bytes, number: int) -> tuple[int, int, int, bool]:
    """Return CR0, CR3, CR4, and whether the processor runs 64-bit code (CS.L)."""
    version = int.from_bytes(text[:4], "little")
    if version != QEMU_VERSION or len(text) < QEMU_REGISTERS + 40:
        raise BadMemoryFile(path, f"has a note of CPU {number} of {len(text)} bytes, version "
                            f"{version}", f"version {QEMU_VERSION} with control registers at byte "
                            f"{QEMU_REGISTERS}")
    cr0, _, _, cr3, cr4 = struct.unpack_from("<5Q", text, QEMU_REGISTERS)
    cs_flags = int.from_bytes(text[160:164], "little")
    return cr0, cr3, cr4, bool(cs_flags >> 21 & 1)


def _kernel_tables(info: str) -> CpuState | None:
    """Return the state of a processor that uses the kernel's own page tables."""
    symbols = dict(re.findall(r"^(\w+\(\w+\)|CONFIG_\w+)=(-?\w+)$", info, re.MULTILINE))
    try:
        vaddr = int(symbols["SYMBOL(swapper_pg_dir)"], 16)
        base = int(symbols.get("NUMBER(phys_base)", "0"))
        five = int(symbols.get("NUMBER(pgtable_l5_enabled)", "0"))
    except (KeyError, ValueError):
        return None
    if vaddr >= KERNEL_BASE_64:
        mode, cr3 = LA57 if five else X86_64, vaddr - KERNEL_BASE_64 + base
    elif KERNEL_BASE_32 <= vaddr < 1 << 32 and "CONFIG_X86_PAE" not in symbols:
        mode, cr3 = IA32, vaddr - KERNEL_BASE_32
    else:
        return None
    return CpuState.in_mode("the kernel's own tables", mode, cr3) if cr3 >> 52 == 0 else None
