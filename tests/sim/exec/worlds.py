"""Programs of machine code in a process of the kernel model, and on an emulator alone."""

import shutil
import subprocess

import pytest

from pagewalk.hdl.config import Config
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.kernel.calls.uaccess import UserAccess
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.usercopy import ERMS
from pagewalk.model.x86 import IA32, PAGE_BYTES, X86_64
from pagewalk.sim.cosim.linux import LinuxKernel
from pagewalk.sim.engine import create
from pagewalk.sim.exec.fills import BOTH_PORTS
from pagewalk.sim.exec.page_port import PagePort
from pagewalk.sim.exec.program_machine import ProgramMachine

needs_as = pytest.mark.skipif(
    not all(map(shutil.which, ("as", "ld", "g++"))), reason="as, ld, g++")
every_mode = pytest.mark.parametrize("mode", [IA32, X86_64], ids=lambda mode: mode.name)

CODE, DATA = 0x40_0000, 0x60_0000
CODE_PAGES, DATA_PAGES = 16, 16
RW, RX = Prot.READ | Prot.WRITE, Prot.READ | Prot.EXEC
RWX = RW | Prot.EXEC
FIXED = MapFlag.ANONYMOUS | MapFlag.PRIVATE | MapFlag.FIXED
GENERAL = ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")
STATUS = 0xCD5  # CF, PF, AF, ZF, SF, DF, OF


def assemble(text, mode, tmp_path):
    """Assemble Intel syntax; ``@ax`` is RAX or EAX, ``END`` a system call, DATA a number."""
    bits, prefix, machine = ("64", "r", "elf_x86_64") if mode is X86_64 else ("32", "e", "elf_i386")
    end = "syscall" if mode is X86_64 else "int 0x80"
    source, made, binary = (tmp_path / name for name in ("code.s", "code.o", "code.bin"))
    text = text.replace("@", prefix).replace("END", end).replace("DATA", hex(DATA))
    source.write_text(f".intel_syntax noprefix\n{text}\n")
    subprocess.run(["as", f"--{bits}", "-o", made, source], check=True)
    subprocess.run(["ld", "-m", machine, f"-Ttext={CODE:#x}", "-e", "0", "--oformat", "binary",
                    "-o", binary, made], check=True)
    return binary.read_bytes()


def word(mode):
    return 8 if mode is X86_64 else 4


class World:
    """A process with code and data mapped, on a machine that runs it.

    ``engine`` is one, or the name of one.
    """

    def __init__(self, engine, mode, check="fast", *, megabytes=16, swap=None, config=None,
                 ports=BOTH_PORTS):
        self.mode = mode
        self.kernel = Kernel.boot(mode, megabytes << 20)
        if swap is not None:
            self.kernel.swapon(swap)
        self.free = self.counted()
        self.linux = LinuxKernel(self.kernel, [])
        made = engine if not isinstance(engine, str) else create(
            engine, Config(mode=mode) if config is None else config)
        self.engine = made
        self.machine = ProgramMachine(made, self.kernel.state.memory, self.linux, mode,
                                      ports=ports, check=check)
        self.cpu = self.machine.cpu
        self.port = PagePort(self.machine, self.kernel)
        self.machine.switch(0)
        self.mmap(CODE, CODE_PAGES, RWX)
        self.mmap(DATA, DATA_PAGES, RW)

    def counted(self):
        """Free frames and free slots of swap."""
        self.kernel.state.allocator.drain_all_pages()
        zones = self.kernel.state.allocator.populated
        return sum(zone.free_pages for zone in zones), self.kernel.state.swap.free_slots

    @property
    def process(self):
        return self.kernel.current

    def kernel_does(self, act):
        """Do something in the kernel for the process, and what the TLB is owed for it."""
        with self.kernel.invalidations() as owed, self.kernel.acting(self.process):
            result = act(self.process)
        self.machine.invalidate(owed)
        return result

    def mmap(self, start, pages, prot):
        self.kernel_does(lambda process: process.mm.mmap(start, pages * PAGE_BYTES, prot, FIXED))

    def munmap(self, start, pages):
        self.kernel_does(lambda process: process.mm.munmap(start, pages * PAGE_BYTES))

    def mprotect(self, start, pages, prot):
        self.kernel_does(lambda process: process.mm.mprotect(start, pages * PAGE_BYTES, prot))

    def page_out(self, start, pages):
        """Have pages written to swap, so that each access to them faults."""
        self.kernel_does(lambda process: process.mm.madvise(
            start, pages * PAGE_BYTES, Madvise.PAGEOUT))

    def poke(self, address, data):
        """Store as the kernel does; the page must be there, or can be made."""
        with self.port.entered():
            assert UserAccess(self.kernel, self.port, ERMS).copy_to_user(address, data) == 0

    def peek(self, address, size):
        with self.port.entered():
            data, missing = UserAccess(self.kernel, self.port, ERMS).copy_from_user(address, size)
        assert missing == 0
        return data

    def run(self, pc=CODE, limit=None):
        """Run the process from an address on until it wants something."""
        self.cpu.pc = pc
        return self.go_on(limit)

    def go_on(self, limit=None):
        return (self.machine.run_program() if limit is None
                else self.machine.run_program(limit))

    def entry(self, address):
        """The page-table entry of an address."""
        return self.process.space.tables.lookup(address).entry

    def end(self):
        """End all processes, and see that nothing leaked."""
        self.kernel.check()
        self.machine.invalidate(self.linux.exit())
        self.kernel.check()
        assert self.counted() == self.free

    def registers(self):
        return registers(self.cpu.read, self.mode)


def registers(read, mode):
    """What a program leaves in registers: general ones, flags, some of SSE and x87."""
    prefix = "r" if mode is X86_64 else "e"
    names = [prefix + name for name in GENERAL]
    found = {name: read(name) for name in (*names, "xmm0", "xmm1", "fpsw", "fpcw", "mxcsr")}
    return found | {"flags": read("eflags") & STATUS}


class Alone:
    """An emulator with flat memory and nothing else, to run the same program."""

    def __init__(self, mode, code, data):
        import unicorn
        from unicorn import x86_const

        self.mode, self._unicorn, self._const = mode, unicorn, x86_const
        self.uc = unicorn.Uc(unicorn.UC_ARCH_X86,
                             unicorn.UC_MODE_64 if mode is X86_64 else unicorn.UC_MODE_32)
        for start, pages, content in ((CODE, CODE_PAGES, code), (DATA, DATA_PAGES, data)):
            self.uc.mem_map(start, pages * PAGE_BYTES)
            self.uc.mem_write(start, content)
        self.uc.reg_write(x86_const.UC_X86_REG_CR4,
                          self.uc.reg_read(x86_const.UC_X86_REG_CR4) | 0x600)
        self.uc.reg_write(x86_const.UC_X86_REG_EFLAGS, 0x202)
        self.uc.reg_write(x86_const.UC_X86_REG_MXCSR, 0x1F80)
        self.uc.reg_write(x86_const.UC_X86_REG_FPCW, 0x37F)

    def read(self, name):
        return self.uc.reg_read(getattr(self._const, f"UC_X86_REG_{name.upper()}"))

    def run(self):
        """Run until the program calls the kernel."""
        def stop(*_arguments):
            self.uc.emu_stop()

        if self.mode is IA32:
            self.uc.hook_add(self._unicorn.UC_HOOK_INTR, stop)
        else:
            self.uc.hook_add(self._unicorn.UC_HOOK_INSN, stop,
                             aux1=self._const.UC_X86_INS_SYSCALL)
        self.uc.emu_start(CODE, 0)

    def registers(self):
        return registers(self.read, self.mode)

    def peek(self, address, size):
        return bytes(self.uc.mem_read(address, size))
