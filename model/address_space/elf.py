"""ELF files: what the kernel reads of a program before it runs it.

What Linux does not look at is not looked at here: class, byte order and version in ``e_ident``,
sections, PT_TLS (which is the C library's), and PT_GNU_PROPERTY, which x86 does not use.
[load_elf_binary, load_elf_phdrs]
"""

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct

from ..x86 import IA32, PAGE_BYTES, X86_64, PagingMode
from .errors import ExecError
from .exec_layout import Program, ProgramHeader
from .uapi import Prot
from .vma import File

__all__ = ["ExecFile", "elf_mode", "open_named", "read_elf"]

MAGIC = b"\x7fELF"
PATH_MAX = 4096
MAX_OFFSET = (1 << 63) - 1
MACHINES = {3: "i386", 6: "i486", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V"}


class Type:
    """What an ELF file is. [``ET_*``]"""

    EXEC = 2
    DYN = 3


class Segment:
    """Kinds of program headers that the kernel looks at, and bits of ``p_flags``. [``PT_*``]"""

    LOAD = 1
    INTERP = 3
    GNU_STACK = 0x6474_E551

    X = 1
    RIGHTS = ((4, Prot.READ), (2, Prot.WRITE), (X, Prot.EXEC))


@dataclass(frozen=True, slots=True)
class ElfFormat:
    """How a kernel reads ELF files: which machines they are for, and how they are laid out.

    ``segment_order`` are the places, in a program header, of type, flags, offset, address, bytes in
    the file and in memory, and alignment.
    """

    machines: tuple[int, ...]
    header: Struct
    segment: Struct
    segment_order: tuple[int, ...]


FORMATS = {
    X86_64.name: ElfFormat((62,), Struct("<16sHHIQQQIHHHHHH"), Struct("<IIQQQQQQ"),
                           (0, 1, 2, 3, 5, 6, 7)),
    IA32.name: ElfFormat((3, 6), Struct("<16sHHIIIIIHHHHHH"), Struct("<8I"),
                         (0, 6, 1, 2, 4, 5, 7)),
}
MODES = {62: X86_64, 3: IA32, 6: IA32}


@dataclass(frozen=True, slots=True, eq=False)
class ExecFile:
    """A file that is open to be run.

    Members
    -------
    file
        What it is mapped as.
    read
        Returns bytes of it, given an offset and how many: fewer at the end of the file.
    """

    file: File
    read: Callable[[int, int], bytes]


def open_named(open_exec: Callable[[bytes], ExecFile], name: bytes, asking: File) -> ExecFile:
    """Return the file that another one names, open to be run.

    Raise what ``open_exec`` raises, and ``ExecError(EACCES)`` for no name at all, which is that of
    the current folder.
    """
    if not name:
        raise ExecError(errno.EACCES, asking.name, "the name of the interpreter", "empty",
                        "that of a file")
    return open_exec(name)


@dataclass(frozen=True, slots=True)
class _Header:
    """What is used of the header of a file. [struct elfhdr]"""

    magic: bytes
    type: int
    machine: int
    entry: int
    phoff: int
    phentsize: int
    phnum: int


@dataclass(frozen=True, slots=True)
class _Segment:
    """What is used of a program header. [struct elf_phdr]"""

    type: int
    flags: int
    offset: int
    vaddr: int
    file_size: int
    memory_size: int
    align: int


def elf_mode(source: ExecFile) -> PagingMode:
    """Return the paging mode of the kernel that runs a file: 4-level for x86-64, 2-level for i386.

    Raise ``ExecError(ENOEXEC)`` for a file that is no ELF file, or for another machine.
    """
    reader = _Reader(source, FORMATS[IA32.name], errno.ENOEXEC)
    machine = reader.check_magic(reader.header(padded=True)).machine
    if machine not in MODES:
        raise reader.wrong("e_machine", _machine(machine), "62 (x86-64) or 3 (i386)")
    return MODES[machine]


def read_elf(source: ExecFile, mode: PagingMode,
             open_interpreter: Callable[[bytes], ExecFile]) -> Program:
    """Return the program in a file, with the interpreter that it asks for.

    The checks are those of Linux, in its order: raise ``ExecError`` with ENOEXEC for a file that
    is not ELF, is for another machine, or has program headers that are cut off, of a wrong size
    or more than a page; EIO and EINVAL where the name of the interpreter should be, and for an
    interpreter without a whole header; EACCES for one without a name; ELIBBAD for one that is not
    such a file; EPERM for one that is neither ET_EXEC nor ET_DYN, which Linux notices when it is
    too late to go back.

    Parameters
    ----------
    mode
        The paging mode of the kernel: one with 4-level paging runs x86-64, one with 2-level
        paging i386.
    open_interpreter
        Opens a file to be run, given its name; raises ``SysError`` if it cannot be. [open_exec]
    """
    form = FORMATS[mode.name]
    reader = _Reader(source, form, errno.ENOEXEC)
    header = reader.check_magic(reader.header(padded=True))
    reader.check_type(header)
    reader.check_machine(header)
    segments = reader.segments(header)
    asked = next((one for one in segments if one.type == Segment.INTERP), None)
    interpreter = None
    if asked is not None:
        opened = open_named(open_interpreter, reader.interpreter_name(asked), source.file)
        interpreter = _read_interpreter(_Reader(opened, form, errno.ELIBBAD))
    return _program(source, header, segments, interpreter)


def _read_interpreter(reader: "_Reader") -> Program:
    """Return the program that loads another. [load_elf_binary, load_elf_interp]"""
    header = reader.check_magic(reader.header(padded=False))
    reader.check_machine(header)
    segments = reader.segments(header)
    reader.fails_with = errno.EPERM
    reader.check_type(header)
    return _program(reader.source, header, segments, None)


def _program(source: ExecFile, header: _Header, segments: Sequence[_Segment],
             interpreter: Program | None) -> Program:
    stacks = [one for one in segments if one.type == Segment.GNU_STACK]
    return Program(
        source.file, [_loaded(one) for one in segments if one.type == Segment.LOAD],
        is_pie=header.type == Type.DYN, interpreter=interpreter, entry=header.entry,
        phoff=header.phoff, phnum=header.phnum,
        executable_stack=bool(stacks[-1].flags & Segment.X) if stacks else None)


def _loaded(segment: _Segment) -> ProgramHeader:
    prot = sum(right for flag, right in Segment.RIGHTS if segment.flags & flag)
    return ProgramHeader(segment.offset, segment.vaddr, segment.file_size, segment.memory_size,
                         prot, segment.align)


def _machine(number: int) -> str:
    """Return a machine's number, and its name where it has one here."""
    return f"{number} ({MACHINES[number]})" if number in MACHINES else str(number)


class _Reader:
    """Reads a file, and says what is wrong in it; ``fails_with`` is the errno then."""

    def __init__(self, source: ExecFile, form: ElfFormat, fails_with: int) -> None:
        self.source, self.form, self.fails_with = source, form, fails_with

    def wrong(self, what: str, found: str, expected: str, number: int | None = None) -> ExecError:
        """Return the error for a part of the file."""
        return ExecError(self.fails_with if number is None else number, self.source.file.name,
                         what, found, expected)

    def read(self, what: str, offset: int, size: int, number: int | None = None) -> bytes:
        """Return bytes, all of which must be there. [elf_read]"""
        if offset + size > MAX_OFFSET:
            raise self.wrong(what, f"at offset {offset:#x}", "an offset of 63 bits",
                             errno.EINVAL if number is None else number)
        data = self.source.read(offset, size)
        if len(data) < size:
            raise self.wrong(what, f"{len(data)} bytes long at offset {offset:#x}",
                             f"{size} bytes", errno.EIO if number is None else number)
        return data

    def header(self, *, padded: bool) -> _Header:
        """Return the header; what a file is too short for is zero if ``padded``."""
        size = self.form.header.size
        data = (self.source.read(0, size).ljust(size, b"\0") if padded
                else self.read("the header", 0, size))
        ident, kind, machine, _, entry, phoff, _, _, _, phentsize, phnum, *_ = (
            self.form.header.unpack(data))
        return _Header(ident[:4], kind, machine, entry, phoff, phentsize, phnum)

    def check_magic(self, header: _Header) -> _Header:
        """Return a header that begins as one of ELF does."""
        if header.magic != MAGIC:
            raise self.wrong("the start", header.magic.hex(" "), f"{MAGIC.hex(' ')} of an ELF file")
        return header

    def check_type(self, header: _Header) -> None:
        if header.type not in (Type.EXEC, Type.DYN):
            raise self.wrong("e_type", str(header.type), "2 (ET_EXEC) or 3 (ET_DYN)")

    def check_machine(self, header: _Header) -> None:
        if header.machine not in self.form.machines:
            raise self.wrong("e_machine", _machine(header.machine),
                             " or ".join(map(_machine, self.form.machines)))

    def segments(self, header: _Header) -> list[_Segment]:
        """Return the program headers, at least one and at most a page full. [load_elf_phdrs]"""
        form = self.form.segment
        if header.phentsize != form.size:
            raise self.wrong("e_phentsize", str(header.phentsize), str(form.size))
        if not 1 <= header.phnum <= PAGE_BYTES // form.size:
            raise self.wrong("e_phnum", str(header.phnum), f"1 to {PAGE_BYTES // form.size}")
        data = self.read("the program header table", header.phoff, header.phnum * form.size,
                         self.fails_with)
        order = self.form.segment_order
        return [_Segment(*(fields[place] for place in order)) for fields in form.iter_unpack(data)]

    def interpreter_name(self, segment: _Segment) -> bytes:
        """Return the name that PT_INTERP holds, up to its first zero byte."""
        if not 2 <= segment.file_size <= PATH_MAX:
            raise self.wrong("p_filesz of PT_INTERP", str(segment.file_size), f"2 to {PATH_MAX}")
        name = self.read("the name of the interpreter", segment.offset, segment.file_size)
        if name[-1]:
            raise self.wrong("the last byte of the interpreter's name", f"{name[-1]:#04x}", "0")
        return name.split(b"\0")[0]
