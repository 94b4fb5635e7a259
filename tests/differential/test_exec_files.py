"""Files that the kernel of this machine runs or refuses, and what the model says of them.

Each file holds a program that exits with 42, if it starts. What later kernels than 6.1 do otherwise
is left out or allowed for: a loader's segments are each padded with zeros, not the last one alone
(6.7); a program does not start if a segment that may be written cannot be padded (6.10); program
headers may take 64 Kbytes, not a page (known of 6.18).
"""

import errno
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from pagewalk.model.address_space.elf import ExecFile, read_elf
from pagewalk.model.address_space.errors import ExecError, SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_file import find_binary
from pagewalk.model.address_space.exec_program import LateExecError
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.address_space.vma import File, VmFlag
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.x86 import X86_64

from ..model.address_space.elf_images import DYN, INTERP, PAGE, Image, Phdr, R, W, X
from ..model.kernel.machines import MIB
from .host import not_comparable
from .native_exec import Launcher, build

pytestmark = pytest.mark.slow

CODE = bytes.fromhex("b83c000000 bf2a000000 0f05")  # mov $60, %eax; mov $42, %edi; syscall
ENTRY = 0x800
BASE = 0x40_0000


@pytest.fixture(scope="module")
def folder(tmp_path_factory, request):
    reason = not_comparable(request.config.getoption("kernel_release"))
    if reason is not None:
        pytest.skip(reason)
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def launcher(folder):
    return Launcher(folder)


@pytest.fixture(scope="module")
def kernel():
    return Kernel.boot(X86_64, 64 * MIB)


def open_exec(name: bytes) -> ExecFile:
    """Open a file as the kernel does that is asked to run it."""
    path = Path(os.fsdecode(name))
    try:
        if path.is_dir():
            raise SysError(errno.EACCES)
        data = path.read_bytes()
    except OSError as error:
        raise SysError(error.errno) from error
    return ExecFile(File(str(path)), lambda offset, size: data[offset : offset + size])


def write(path: Path, data: bytes) -> bytes:
    """Write a file that may be run; return its name."""
    path.write_bytes(data)
    path.chmod(0o755)
    return os.fsencode(path)


def modelled(kernel: Kernel, name: bytes) -> str:
    """What the model says that running a file comes to, as ``Ended.how``."""
    opened = []

    def opening(name):
        opened.append(open_exec(name))
        return opened[-1]

    try:
        source, arguments = find_binary(ExecArguments(name, (name,)), opening)
        program = read_elf(source, X86_64, opening)
    except SysError as error:
        return f"errno {error.errno}"
    for one in opened:
        kernel.register_file(one.file, one.read(0, 1 << 24))
    try:
        process = kernel.spawn("p", program, arguments=arguments,
                               privileged=os.geteuid() == 0)
    except LateExecError:
        return "SIGSEGV"
    how = _first_instruction(process)
    if how == "status 42" and _later_refuse(source, program):
        how = "SIGSEGV"
    kernel.exit(process)
    kernel.check()
    return how


def _later_refuse(source: ExecFile, program) -> bool:
    """Whether later kernels do not start a program: there is no page to be padded with zeros."""
    return any(one.memory_size > one.file_size > 0 and one.prot & Prot.WRITE
               and (one.offset + one.file_size) % PAGE
               and not source.read((one.offset + one.file_size) & -PAGE, 1)
               for one in program.headers)


def _first_instruction(process) -> str:
    """What a program comes to by what is where it begins: its code, or anything else."""
    address, state = process.start.ip, process.space.state
    vma = process.mm.tree.lookup(address)
    if vma is None or not vma.flags & VmFlag.EXEC:
        return "SIGSEGV"
    place, data = address % PAGE, bytes(PAGE)
    leaf = process.space.tables.lookup(address)
    if leaf is not None and leaf.entry:
        data = state.memory.read_bytes(state.format.pfn(leaf.entry) << 12, PAGE)
    elif vma.file is not None:
        pages, index = state.page_cache.space(vma.file), vma.pgoff_of(address)
        if not pages.holds(index):
            return "SIGBUS"
        data = pages.page(index)
    return "status 42" if data[place : place + len(CODE)] == CODE else "SIGSEGV"


def program(**fields) -> Image:
    """A program with code and with data behind it."""
    text = Phdr(flags=R | X, vaddr=BASE, filesz=PAGE, memsz=PAGE)
    data = Phdr(flags=R | W, offset=PAGE, vaddr=BASE + PAGE, filesz=0x100, memsz=0x100)
    return Image(X86_64, **{"phdrs": [text, data], "entry": BASE + ENTRY, "parts": {ENTRY: CODE},
                            "size": 3 * PAGE, **fields})


def compared(launcher, kernel, name: bytes) -> str:
    how = launcher.run(name, [name]).how
    assert modelled(kernel, name) == how
    return how


REFUSED = {
    "runs": ({}, "status 42"),
    "magic": ({"magic": b"MZ\0\0"}, "errno 8"),
    "object": ({"type": 1}, "errno 8"),
    "other machine": ({"machine": 183}, "errno 8"),
    "size of a header": ({"phentsize": 32}, "errno 8"),
    "no headers": ({"phnum": 0}, "errno 8"),
    "too many headers": ({"phnum": 1171}, "errno 8"),
    "as many as fit": ({"phnum": 73, "phoff": 0x1000}, "SIGSEGV"),
    "headers beyond the end": ({"phoff": 1 << 40}, "errno 8"),
    "headers at a negative offset": ({"phoff": (1 << 64) - 8}, "errno 8"),
    "no segments": ({"phdrs": [Phdr(type=4)]}, "SIGSEGV"),
    "no segments, anywhere": ({"phdrs": [Phdr(type=4)], "type": DYN}, "SIGSEGV"),
    "entry outside": ({"entry": 1 << 47}, "SIGSEGV"),
    "cut off": ({"size": 0, "parts": {}, "phdrs": []}, "errno 8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_damaged_program_is_refused_as_natively(launcher, kernel, folder, case):
    fields, how = REFUSED[case]
    assert compared(launcher, kernel, write(folder / "program", program(**fields).bytes())) == how


INTERPRETERS = {
    "no such file": (b"/no/such/file\0", None, "errno 2"),
    "empty name": (b"\0\0", None, "errno 13"),
    "too short": (b"\0", None, "errno 8"),
    "no zero": (b"/bin/sh", None, "errno 8"),
    "too long": (b"x" * 4096 + b"\0", None, "errno 8"),
    "no ELF file": (b"", b"#!/bin/sh\n".ljust(64), "errno 80"),
    "short file": (b"", b"\x7fELF", "errno 5"),
    "other machine": (b"", program(machine=3), "errno 80"),
    "no headers": (b"", program(phnum=0), "errno 80"),
    "headers beyond the end": (b"", program(phoff=1 << 30), "errno 80"),
    "object": (b"", program(type=1), None),
    "no segments": (b"", program(phdrs=[Phdr(type=4)], type=DYN), "SIGSEGV"),
    "runs": (b"", program(type=DYN, entry=ENTRY, phdrs=[
        Phdr(flags=R | X, filesz=PAGE, memsz=PAGE)]), "status 42"),
}


@pytest.mark.parametrize("case", INTERPRETERS)
def test_a_damaged_interpreter_is_refused_as_natively(launcher, kernel, folder, case):
    name, loader, how = INTERPRETERS[case]
    if loader is not None:
        name = write(folder / "loader", loader.bytes() if isinstance(loader, Image) else loader)
        name += b"\0"
    asked = Phdr(INTERP, R, PAGE, 0, len(name), len(name), 1)
    image = program(phdrs=[asked, *program().phdrs], entry=BASE + ENTRY + 1)
    path = write(folder / "program", replace(image, parts={**image.parts, PAGE: name}).bytes())
    if how is None:  # noticed too late: EPERM here, and a signal there
        assert launcher.run(path, [path]).how == "SIGSEGV"
        with pytest.raises(ExecError, match=r"^EPERM: .*: e_type is 1, expected "):
            read_elf(open_exec(path), X86_64, open_exec)
    else:
        assert compared(launcher, kernel, path) == how


def test_a_name_of_an_interpreter_that_cannot_be_read(launcher, kernel, folder):
    for offset, how in ((1 << 40, "errno 5"), (1 << 63, "errno 22"), ((1 << 63) - 4, "errno 22")):
        asked = Phdr(INTERP, R, offset, 0, 8, 8, 1)
        path = write(folder / "program", program(phdrs=[asked, *program().phdrs]).bytes())
        assert compared(launcher, kernel, path) == how


EDGES = (0, 1, 0xFFF, PAGE, PAGE + 1, 3 * PAGE, BASE - PAGE, BASE, BASE + ENTRY, BASE + 4 * PAGE,
         (1 << 47) - 2 * PAGE, (1 << 47) - PAGE, 1 << 47, 1 << 63, (1 << 64) - PAGE, (1 << 64) - 1)


class Drawn:
    """Programs with a segment more, of any kind and size, or with one that is changed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self) -> int:
        kind = self.random.randrange(4)
        if kind == 0:
            return self.random.choice(EDGES)
        return self.random.randrange(4 * PAGE) + (BASE if kind == 1 else 0)

    def segment(self) -> Phdr:
        offset, filesz = self.random.randrange(0, 3 * PAGE, 0x100), self.random.randrange(2 * PAGE)
        vaddr = BASE + self.random.randrange(12) * PAGE + offset % PAGE
        right = Phdr(flags=self.random.choice((R, R | W, R | X, R | W | X, 0)), offset=offset,
                     vaddr=vaddr, filesz=filesz, memsz=filesz + self.random.randrange(3 * PAGE))
        return self.changed(right) if self.random.randrange(2) else right

    def changed(self, right: Phdr) -> Phdr:
        name = self.random.choice(("offset", "vaddr", "filesz", "memsz", "align"))
        return replace(right, **{name: self.number()})

    def program(self) -> Image:
        image = program()
        if self.random.randrange(3) == 0:
            place = self.random.randrange(2)
            image.phdrs[place] = self.changed(image.phdrs[place])
        for _ in range(self.random.randrange(3)):
            image.phdrs.insert(self.random.randrange(len(image.phdrs) + 1), self.segment())
        if self.random.randrange(3) == 0:  # anywhere: the first segment need not be the lowest
            image.type = DYN
            image.entry -= BASE
            image.phdrs = [replace(one, vaddr=(one.vaddr - BASE) % (1 << 64))
                           for one in image.phdrs]
        return image


@pytest.mark.parametrize("seed", range(4))
def test_any_segments_run_or_fail_as_natively(launcher, kernel, folder, seed):
    drawn, seen = Drawn(seed), {}
    for number in range(150):
        path = write(folder / f"drawn-{seed}-{number}", drawn.program().bytes())
        how = compared(launcher, kernel, path)
        seen[how] = seen.get(how, 0) + 1
    assert seen["status 42"] > 20
    assert seen["SIGSEGV"] > 20


LINES = [b"#!%s\n", b"#! \t%s \t\n", b"#!%s -e -x \nnext", b"#!%s", b"#!%s -e", b"#!%s \0-e\n",
         b"#!%s\0 -e\n", b"#!%s\r\n", b"#!\n", b"#!", b"#!  ", b"#!%s " + b"y" * 300,
         b"#! %s\t\t a\tb",
         b"#!" + b" " * 254, b"#!" + b"x" * 254, b"#!%s" + b" " * 200 + b"z" * 100, b"#!/\n", b"\n"]


@pytest.mark.parametrize("number", range(len(LINES)))
def test_scripts_give_the_arguments_that_they_give_natively(launcher, tmp_path, number):
    shows = os.fsencode(build(tmp_path, "static", "s"))
    line = LINES[number] % shows if b"%s" in LINES[number] else LINES[number]
    name, argv = write(tmp_path / "script", line), [b"zero", b"one", b""]
    ended, how = launcher.run(name, argv), "status 42"
    try:
        source, arguments = find_binary(ExecArguments(name, argv), open_exec)
        read_elf(source, X86_64, open_exec)
    except SysError as error:
        how = f"errno {error.errno}"
    assert ended.how == how
    if how != "status 42":
        return
    wanted = b"".join(one + b"\0" for one in (*arguments.argv, name))
    assert ended.output.rstrip(b"\0").endswith(b"\0" + wanted.rstrip(b"\0"))


@pytest.mark.parametrize("scripts", range(4, 8))
def test_as_many_scripts_run_scripts_as_natively(launcher, kernel, folder, scripts):
    name = write(folder / "program", program().bytes())
    for number in range(scripts):
        name = write(folder / f"script{number}", b"#!" + name + b"\n")
    assert compared(launcher, kernel, name) == ("status 42" if scripts <= 5 else "errno 40")
