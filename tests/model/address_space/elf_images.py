"""ELF files as bytes, made field by field, and a folder of them."""

import errno
import struct
from dataclasses import dataclass, field

from pagewalk.model.address_space.elf import ExecFile
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.vma import File
from pagewalk.model.x86 import IA32, X86_64

PAGE = 0x1000
EXEC, DYN = 2, 3
LOAD, DYNAMIC, INTERP, NOTE, TLS = 1, 2, 3, 4, 7
GNU_STACK, GNU_PROPERTY = 0x6474E551, 0x6474E553
R, W, X = 4, 2, 1
MACHINE = {"x86_64": 62, "ia32": 3}
MODES = [X86_64, IA32]


@dataclass(frozen=True)
class Phdr:
    """A program header."""

    type: int = LOAD
    flags: int = R
    offset: int = 0
    vaddr: int = 0
    filesz: int = 0
    memsz: int = 0
    align: int = PAGE

    def pack(self, mode) -> bytes:
        if mode is X86_64:
            return struct.pack("<IIQQQQQQ", self.type, self.flags, self.offset, self.vaddr, 0,
                               self.filesz, self.memsz, self.align)
        return struct.pack("<8I", self.type, self.offset, self.vaddr, 0, self.filesz, self.memsz,
                           self.flags, self.align)


@dataclass
class Image:
    """An ELF file; what is not given is as a linker would have it."""

    mode: object
    phdrs: list[Phdr] = field(default_factory=list)
    type: int = EXEC
    entry: int = 0x40_0000
    machine: int | None = None
    magic: bytes = b"\x7fELF"
    phoff: int | None = None
    phentsize: int | None = None
    phnum: int | None = None
    parts: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    @property
    def header_size(self) -> int:
        return 64 if self.mode is X86_64 else 52

    @property
    def phdr_size(self) -> int:
        return 56 if self.mode is X86_64 else 32

    def bytes(self) -> bytes:
        is_64 = self.mode is X86_64
        phoff = self.header_size if self.phoff is None else self.phoff
        header = struct.pack(
            "<16sHHIQQQIHHHHHH" if is_64 else "<16sHHIIIIIHHHHHH",
            self.magic + bytes([2 if is_64 else 1, 1, 1]).ljust(12, b"\0"), self.type,
            MACHINE[self.mode.name] if self.machine is None else self.machine, 1, self.entry,
            phoff, 0, 0, self.header_size,
            self.phdr_size if self.phentsize is None else self.phentsize,
            len(self.phdrs) if self.phnum is None else self.phnum, 0, 0, 0)
        data = bytearray(header)
        table = b"".join(one.pack(self.mode) for one in self.phdrs)
        for offset, part in {self.header_size: table, **self.parts}.items():
            data.extend(bytes(max(0, offset + len(part) - len(data))))
            data[offset : offset + len(part)] = part
        return bytes(data.ljust(self.size, b"\0"))


def exec_file(data: bytes, name: str = "/bin/program") -> ExecFile:
    return ExecFile(File(name, 8, 1, 33), lambda offset, size: data[offset : offset + size])


class Folder:
    """Files by name, which are opened to be run; ``opened`` has the names in order."""

    def __init__(self, **files: bytes) -> None:
        self.files = {name.encode(): data for name, data in files.items()}
        self.opened: list[bytes] = []

    def open_exec(self, name: bytes) -> ExecFile:
        self.opened.append(name)
        if name not in self.files:
            raise SysError(errno.ENOENT)
        return exec_file(self.files[name], name.decode(errors="replace"))


def named(name: bytes, offset: int = 0x300) -> tuple[Phdr, dict[int, bytes]]:
    """A PT_INTERP header, and the part of the file that it stands in."""
    return Phdr(INTERP, R, offset, 0, len(name), len(name), 1), {offset: name}
