"""A program that starts on the model, and what any program finds where it starts."""

import os
from pathlib import Path

from pagewalk.model.address_space.auxv import At, Processor
from pagewalk.model.address_space.elf import ExecFile, elf_mode, read_elf
from pagewalk.model.address_space.exec_arguments import Credentials, ExecArguments
from pagewalk.model.address_space.maps_text import maps_text
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.kernel import Kernel

from ..model.kernel.machines import MIB, Cpu
from .native_exec import Shown

__all__ = ["Modelled", "Tables", "model_of", "rows"]

SYSINFO, SYSINFO_EHDR, RSEQ_FEATURE_SIZE, RSEQ_ALIGN = 32, 33, 27, 28
ONLY_NATIVE = (SYSINFO, SYSINFO_EHDR, RSEQ_FEATURE_SIZE, RSEQ_ALIGN)


class Modelled:
    """A program on the model: its process, and what it reads."""

    def __init__(self, path: Path, arguments: ExecArguments, processor: Processor) -> None:
        self.files = {}
        mode = elf_mode(self.open(os.fsencode(path)))
        self.word = mode.vaddr_bits // 8
        who = Credentials(os.getuid(), os.geteuid(), os.getgid(), os.getegid())
        kernel = Kernel.boot(mode, 64 * MIB, processor=processor)
        program = read_elf(self.files[os.fsencode(path)], mode, self.open)
        for source in self.files.values():
            kernel.register_file(source.file, source.read(0, 1 << 24))
        self.process = kernel.spawn("p", program, arguments=arguments, credentials=who,
                                    privileged=os.geteuid() == 0)
        kernel.switch(self.process)
        self.mm, self.sp, self.ip = self.process.mm, self.process.start.sp, self.process.start.ip
        self.maps = [line.split(maxsplit=5) for line in maps_text(self.mm).splitlines()]
        self.read = Cpu(kernel).load
        kernel.check()

    def open(self, name):
        path = Path(os.fsdecode(name)).resolve()
        data = path.read_bytes()
        self.files[name] = ExecFile(File(str(path)), lambda at, size: data[at : at + size])
        return self.files[name]


class Tables:
    """What is read at the stack pointer."""

    def __init__(self, shown: "Shown | Modelled") -> None:
        self.shown, self.at = shown, shown.sp
        self.argc = self.next()
        self.argv, self.envp = self.pointers(), self.pointers()
        self.auxv = []
        while not self.auxv or self.auxv[-1][0]:
            self.auxv.append((self.next(), self.next()))
        self.end = self.at

    def next(self):
        self.at += self.shown.word
        return int.from_bytes(self.shown.read(self.at - self.shown.word, self.shown.word), "little")

    def pointers(self):
        found = []
        while (pointer := self.next()) != 0:
            found.append(pointer)
        return found

    def value(self, kind):
        return dict(self.auxv).get(kind, 0)

    @property
    def common(self):
        """The entries of the vector that 6.1 has too, but for the vdso."""
        return [entry for entry in self.auxv if entry[0] not in ONLY_NATIVE]


def model_of(native: Tables, path: Path, arguments: ExecArguments) -> Tables:
    """What a program finds on the model, on a processor that is told of as natively."""
    name = b"i686" if native.shown.word == 4 else b"x86_64"
    return Tables(Modelled(path, arguments, Processor(
        name, native.value(At.HWCAP), native.value(At.HWCAP2), native.value(At.MINSIGSTKSZ))))


def rows(maps):
    """Addresses, rights, offset and file of each mapping but those that the kernel lends."""
    return [(where, rights, offset, name[0] if name and name[0][0] == "/" else "")
            for where, rights, offset, _, _, *name in maps
            if not (name and name[0].startswith("[v"))]
