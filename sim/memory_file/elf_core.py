"""ELF cores of whole machines: QEMU's dump-guest-memory, libvirt, and Linux's vmcore.

[ELF-64 object file format; System V ABI, chapter 5; QEMU, dump/dump.c; Linux, fs/proc/vmcore.c]
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ...model.x86 import X86_64
from .cpu_notes import cpus_of_notes
from .mapped_bytes import ByteSource
from .memory_file_error import BadMemoryFile, OtherMemoryFile
from .piece_map import MemoryPiece
from .segment_file import SegmentFile

__all__ = ["elf_core"]

CORE, LOAD, NOTE = 4, 1, 4
MACHINES = {3: "i386", 62: "x86-64"}
MANY = 0xFFFF  # e_phnum if the number of program headers is in the first section header
MOST_NOTES = 16 << 20  # bytes
MOST_PROGRAMS = 1 << 20

IDENT = 16
# Behind the identification: type, machine, version, entry, phoff, shoff, flags, and five half words
# before them ehsize, phentsize, phnum.
HEADERS = {1: struct.Struct("<HHIIIIIHHH"), 2: struct.Struct("<HHIQQQIHHH")}
PROGRAMS = {1: struct.Struct("<IIIIIIII"), 2: struct.Struct("<IIQQQQQQ")}
SECTION_INFO = {1: 28, 2: 44}  # where sh_info is


@dataclass(frozen=True, slots=True)
class _Program:
    """A program header: what is needed of it."""

    kind: int
    offset: int
    vaddr: int
    paddr: int
    file_bytes: int
    memory_bytes: int


def elf_core(data: ByteSource) -> SegmentFile:
    """Return the memory of an ELF core, and the processors of its notes.

    Raise ``MemoryFileError`` for another kind of ELF, another processor, the core of a process, and
    headers that are cut or contradict themselves.
    """
    programs = [*_programs(data)]
    loads = [one for one in programs if one.kind == LOAD and one.memory_bytes]
    if not loads:
        raise BadMemoryFile(data.path, "has no program header of the type LOAD",
                            "the core of a machine")
    if len(loads) > 1 and all(one.paddr == 0 for one in loads):
        raise OtherMemoryFile(data.path, "is the core of a process, without physical addresses",
                              "the core of a machine, as of dump-guest-memory or /proc/vmcore")
    notes = b"".join(_note(data, one) for one in programs if one.kind == NOTE)
    pieces = [MemoryPiece(one.paddr, one.paddr + one.file_bytes, one.offset) for one in loads]
    zeros = [(one.paddr, one.paddr + one.memory_bytes) for one in loads
             if one.memory_bytes > one.file_bytes]
    return SegmentFile(data, "ELF core", pieces, zeros=zeros,
                       cpus=cpus_of_notes(data.path, notes))


def _programs(data: ByteSource) -> Iterator[_Program]:
    ident = data.read(0, IDENT, "the ELF header")
    bits, order = ident[4], ident[5]
    if bits not in HEADERS or order not in (1, 2):
        raise BadMemoryFile(data.path, f"is ELF of class {bits} and byte order {order}",
                            "class 1 or 2, and byte order 1")
    if order != 1:
        raise OtherMemoryFile(data.path, "is an ELF file of a big-endian processor",
                              "the core of an x86 machine")
    header = HEADERS[bits]
    kind, machine, _, _, offset, sections, _, _, entry_bytes, count = header.unpack(
        data.read(IDENT, header.size, "the ELF header"))
    if machine not in MACHINES:
        raise OtherMemoryFile(data.path, f"is an ELF file of the processor {machine}",
                              "the core of an x86 machine: processor 3 or 62")
    if kind != CORE:
        raise OtherMemoryFile(data.path, f"is an ELF file of type {kind}", "a core: type 4")
    form = PROGRAMS[bits]
    if entry_bytes != form.size:
        raise BadMemoryFile(data.path, f"has program headers of {entry_bytes} bytes",
                            f"{form.size} bytes")
    if count == MANY:
        count = int.from_bytes(data.read(sections + SECTION_INFO[bits], 4,
                                         "the first section header"), "little")
    if count > MOST_PROGRAMS:
        raise BadMemoryFile(data.path, f"has {count} program headers", f"at most {MOST_PROGRAMS}")
    table = data.read(offset, count * form.size, f"its {count} program headers")
    for number, fields in enumerate(form.iter_unpack(table)):
        yield _checked(data, number, _program(bits, fields))


def _program(bits: int, fields: tuple[int, ...]) -> _Program:
    if bits == 2:
        kind, _, offset, vaddr, paddr, file_bytes, memory_bytes, _ = fields
    else:
        kind, offset, vaddr, paddr, file_bytes, memory_bytes, _, _ = fields
    return _Program(kind, offset, vaddr, paddr, file_bytes, memory_bytes)


def _checked(data: ByteSource, number: int, program: _Program) -> _Program:
    """Return a program header whose bytes are all in the file and in physical memory."""
    if program.kind not in (LOAD, NOTE):
        return program
    end = program.paddr + max(program.memory_bytes, program.file_bytes)
    if program.kind == LOAD and end > 1 << X86_64.max_paddr_bits:
        raise BadMemoryFile(data.path, f"has a physical address of {program.paddr:#x} in program "
                            f"header {number}", f"memory below {1 << X86_64.max_paddr_bits:#x}")
    if program.offset + program.file_bytes > data.size:
        data.read(program.offset, program.file_bytes, f"what program header {number} tells of")
    return program


def _note(data: ByteSource, program: _Program) -> bytes:
    if program.file_bytes > MOST_NOTES:
        raise BadMemoryFile(data.path, f"has notes of {program.file_bytes} bytes",
                            f"at most {MOST_NOTES}")
    return data.read(program.offset, program.file_bytes, "its notes")
