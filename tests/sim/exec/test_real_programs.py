"""Programs that a compiler has made: they write what they write natively, and end as they do."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.elf import ExecFile, elf_mode, read_elf
from pagewalk.model.address_space.exec_arguments import ExecArguments
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.usercopy import ERMS
from pagewalk.model.x86 import X86_64
from pagewalk.sim.cosim.kernel_entry import KernelEntry
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.engine import create
from pagewalk.sim.exec.page_port import PagePort
from pagewalk.sim.exec.program_machine import ProgramMachine
from pagewalk.sim.exec.stop import Called, Paused

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, ("gcc", "g++"))), reason="gcc, g++"),
]

HERE = Path(__file__).parent
BARE = ("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie", "-static",
        "-fno-tree-loop-distribute-patterns")
ENOSYS = 38
WRITE, EXIT, BRK, MMAP, MPROTECT, OTHER = range(6)
# The calls that are there, by number; arguments by register.
NUMBERS = {True: {1: WRITE, 60: EXIT, 231: EXIT, 12: BRK, 9: MMAP, 10: MPROTECT},
           False: {4: WRITE, 1: EXIT, 45: BRK}}
REGISTERS = {True: ("rax", "rdi", "rsi", "rdx", "r10", "r8", "r9"),
             False: ("eax", "ebx", "ecx", "edx")}
ARCH_PRCTL, ARCH_SET_FS = 158, 0x1002


class Running:
    """A program from a file, as the only process of a machine."""

    def __init__(self, path, engine, check, megabytes, swap):
        data = path.read_bytes()
        source = ExecFile(File(str(path)), lambda at, size: data[at : at + size])
        mode = elf_mode(source)
        self.is_long = mode is X86_64
        self.kernel = Kernel.boot(mode, megabytes << 20)
        self.kernel.swapon(swap)
        self.linux = LinuxKernel(self.kernel, [])
        self.machine = ProgramMachine(create(engine, Config(mode=mode)), self.kernel.state.memory,
                                      self.linux, mode, check=check)
        self.cpu = self.machine.cpu
        port = PagePort(self.machine, self.kernel)
        self.entry = KernelEntry(self.machine, self.linux, ERMS, port)
        self.kernel.register_file(source.file, data)
        self.machine.switch(0)
        with self.kernel.invalidations() as owed:
            self.kernel.exec(self.kernel.current, read_elf(source, mode, None),
                             ExecArguments(b"program", (b"program", b"one", b"two")))
        self.machine.invalidate(owed)
        start = self.kernel.current.start
        self.cpu.pc, self.cpu.sp = start.ip, start.sp
        self.output = b""

    def run(self, quantum):
        """Run it to its end; return its exit status."""
        while True:
            stop = self.machine.run_program(quantum)
            if stop == Paused():
                continue
            assert isinstance(stop, Called), (stop, hex(self.cpu.pc))
            names = REGISTERS[self.is_long]
            number, *arguments = (self.cpu.read(name) for name in names)
            call = NUMBERS[self.is_long].get(number, OTHER)
            if call == EXIT:
                self.kernel.check()
                self.machine.invalidate(self.linux.exit())
                self.kernel.check()
                return arguments[0] & 0xFF
            self.cpu.write(names[0], self.call(call, number, arguments))

    def call(self, call, number, arguments):
        if call == WRITE:
            assert arguments[0] == 1
            text, missing = self.copied(*arguments[1:3])
            assert not missing
            self.output += text
            return len(text)
        if call == BRK:
            with self.entry.system_call(0) as calls:
                return calls.brk(arguments[0])
        if call in (MMAP, MPROTECT):
            with self.entry.system_call(0) as calls:
                return (calls.mmap(*arguments) if call == MMAP
                        else calls.mprotect(*arguments[:3]))
        if self.is_long and (number, arguments[0]) == (ARCH_PRCTL, ARCH_SET_FS):
            self.cpu.write("fs_base", arguments[1])
            return 0
        return -ENOSYS

    def copied(self, address, size):
        with self.entry.system_call(0) as calls:
            return calls.user.copy_from_user(address, size)


def compiled(target, source, bits, *options):
    made = subprocess.run(["gcc", f"-m{bits}", "-O2", "-o", target, source, *options],
                          capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"gcc -m{bits} does not work here: {made.stderr.splitlines()[0]}")
    return target


def natively(path):
    done = subprocess.run(["program", "one", "two"], executable=path, capture_output=True)
    return done.stdout, done.returncode


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("engine", "check", "count", "megabytes", "quantum"), [
    ("model", "fast", 50_000, 16, 1 << 30),
    ("cxxrtl", "fast", 50_000, 16, 1000),
    ("cxxrtl", "fast", 2_000_000, 4, 1 << 30),
    ("cxxrtl", "each", 20, 16, 1 << 30),
])
def test_a_program_without_a_library(
        bits, engine, check, count, megabytes, quantum, tmp_path, swap):
    path = compiled(tmp_path / "program", HERE / "compute.c", bits, *BARE, f"-DCOUNT={count}")
    running = Running(path, engine, check, megabytes, swap)
    status = running.run(quantum)
    assert (running.output, status) == natively(path)
    assert running.output.count(b"\n") == 6
    if megabytes == 4:
        assert running.machine.counts.major > 1000


@pytest.mark.parametrize(("engine", "check", "megabytes"), [
    ("model", "fast", 16), ("cxxrtl", "fast", 16), ("cxxrtl", "fast", 4)])
def test_a_program_with_a_library(engine, check, megabytes, tmp_path, swap):
    path = compiled(tmp_path / "program", HERE / "library.c", 64, "-static", "-lm")
    running = Running(path, engine, check, megabytes, swap)
    status = running.run(10_000_000)
    assert (running.output, status) == natively(path)
    assert len(running.output) > 80
