"""Small ELF files for the kernel of this machine and for the model, and what each makes of them."""

import errno
import os
from pathlib import Path

from pagewalk.model.address_space.elf import ExecFile, read_elf
from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.exec_file import find_binary
from pagewalk.model.address_space.exec_program import LateExecError
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.address_space.vma import File, VmFlag
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.x86 import IA32, X86_64

from ..model.address_space.elf_images import PAGE, Image, Phdr, R, W, X
from .native_exec import Launcher

__all__ = ["BASE", "ENTRY", "open_exec", "outcomes", "program", "write"]

EXIT_42 = {
    X86_64: bytes.fromhex("b83c000000 bf2a000000 0f05"),  # mov $60, %eax; mov $42, %edi; syscall
    IA32: bytes.fromhex("b801000000 bb2a000000 cd80"),  # mov $1, %eax; mov $42, %ebx; int $0x80
}
ENTRY = 0x800
BASE = 0x40_0000


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


def _modelled(kernel: Kernel, name: bytes) -> str:
    """What the model says that running a file comes to, as ``Ended.how``."""
    opened = []

    def opening(name):
        opened.append(open_exec(name))
        return opened[-1]

    try:
        source, arguments = find_binary(ExecArguments(name, (name,)), opening)
        program = read_elf(source, kernel.mode, opening)
    except SysError as error:
        return f"errno {error.errno}"
    for one in opened:
        kernel.register_file(one.file, one.read(0, 1 << 24))
    try:
        process = kernel.spawn("p", program, arguments=arguments,
                               privileged=os.geteuid() == 0)
    except LateExecError:
        return "SIGSEGV"
    how = "SIGSEGV" if _later_refuse(source, program) else _first_instruction(process)
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
    code = EXIT_42[state.mode]
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
    return "status 42" if data[place : place + len(code)] == code else "SIGSEGV"


def program(mode=X86_64, **fields) -> Image:
    """A program with code, which exits with 42, and with data behind it."""
    text = Phdr(flags=R | X, vaddr=BASE, filesz=PAGE, memsz=PAGE)
    data = Phdr(flags=R | W, offset=PAGE, vaddr=BASE + PAGE, filesz=0x100, memsz=0x100)
    return Image(mode, **{"phdrs": [text, data], "entry": BASE + ENTRY,
                          "parts": {ENTRY: EXIT_42[mode]}, "size": 3 * PAGE, **fields})


def outcomes(launcher: Launcher, kernel: Kernel, name: bytes) -> tuple[str, str]:
    """What running a file comes to natively, and on the model."""
    return launcher.run(name, [name]).how, _modelled(kernel, name)
