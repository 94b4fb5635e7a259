"""Programs that start in a kernel: what they find through their page tables, and what is left."""

import errno
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from pagewalk.model.address_space.auxv import At, Processor
from pagewalk.model.address_space.elf import ExecFile, read_elf
from pagewalk.model.address_space.errors import ExecError, SysError
from pagewalk.model.address_space.exec_arguments import Credentials, ExecArguments
from pagewalk.model.address_space.exec_program import LateExecError
from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.mmu.control import Access
from pagewalk.model.mmu.walk import walk
from pagewalk.model.x86 import AccessKind

from ..address_space.elf_images import DYN, GNU_STACK, Image, Phdr, R, W, X, named
from .machines import ANON, MIB, MODES, PAGE, RW, Cpu, counted

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
BASE = 0x40_0000
ARGUMENTS = ExecArguments(b"/bin/p", (b"p", b"-v"), (b"A=1",))


def program_bytes(mode) -> bytes:
    """Code, and data whose file ends in the middle of a page of other bytes."""
    image = Image(mode, [
        Phdr(flags=R | X, vaddr=BASE, filesz=PAGE, memsz=PAGE),
        Phdr(flags=R | W, offset=PAGE, vaddr=BASE + PAGE, filesz=0x123, memsz=2 * PAGE),
        Phdr(GNU_STACK, R | W)], entry=BASE + 0x200)
    return image.bytes().ljust(PAGE, b"\x90") + b"\x11" * PAGE


class Machine:
    """A kernel with files to run."""

    def __init__(self, mode, megabytes=16, **options) -> None:
        self.kernel, self.mode = Kernel.boot(mode, megabytes * MIB, **options), mode
        self.files: dict[bytes, ExecFile] = {}
        self.content: dict[bytes, bytearray] = {}

    def add(self, name: bytes, data: bytes) -> None:
        file = File(name.decode())
        held = self.content[name] = self.kernel.register_file(file, data)
        self.files[name] = ExecFile(file, lambda offset, size: bytes(held[offset : offset + size]))

    def program(self, name: bytes):
        return read_elf(self.files[name], self.mode, self.files.__getitem__)

    def spawn(self, name=b"/bin/p", arguments=ARGUMENTS, **options):
        process = self.kernel.spawn("p", self.program(name), arguments=arguments, **options)
        self.kernel.switch(process)
        return process, Cpu(self.kernel)


def machine_of(mode, **options) -> Machine:
    machine = Machine(mode, **options)
    machine.add(b"/bin/p", program_bytes(mode))
    return machine


def auxv_of(mm) -> dict[int, int]:
    size = mm.space.word_bytes
    words = [int.from_bytes(mm.auxv[at : at + size], "little")
             for at in range(0, len(mm.auxv), size)]
    return dict(zip(words[::2], words[1::2], strict=True))


def word_at(cpu, address) -> int:
    return int.from_bytes(cpu.load(address, cpu.kernel.space.word_bytes), "little")


@both
def test_a_program_reads_its_stack_through_its_page_tables(mode):
    process, cpu = machine_of(mode).spawn()
    size, sp = process.mm.space.word_bytes, process.start.sp
    assert process.start.ip == BASE + 0x200
    assert word_at(cpu, sp) == 2
    argv = [word_at(cpu, sp + n * size) for n in (1, 2, 3)]
    assert [cpu.load(argv[0], 2), cpu.load(argv[1], 3), argv[2]] == [b"p\0", b"-v\0", 0]
    assert cpu.load(word_at(cpu, sp + 4 * size), 4) == b"A=1\0"
    assert cpu.load(sp + 6 * size, len(process.mm.auxv)) == process.mm.auxv
    auxv = auxv_of(process.mm)
    assert cpu.load(auxv[At.EXECFN], 7) == b"/bin/p\0"
    phdr = Image(mode).header_size
    assert auxv[At.PHDR] == BASE + phdr
    assert cpu.load(auxv[At.PHDR], 32) == program_bytes(mode)[phdr : phdr + 32]
    assert not cpu.results or all(not one.signal for one in cpu.results)
    cpu.kernel.check()


@both
def test_the_stack_has_a_page_and_the_last_page_of_the_file_is_a_copy(mode):
    """Both are there when the program starts, dirty and writable; nothing else is."""
    machine = machine_of(mode)
    process, cpu = machine.spawn()
    kernel = machine.kernel
    assert process.space.rss == 2
    for address in (process.start.sp, BASE + PAGE):
        found = walk(kernel.state.memory, mode, kernel.control,
                     Access(address, AccessKind.WRITE, user=True))
        assert found.fault is None
    assert cpu.load(BASE + PAGE, 2 * PAGE) == (b"\x11" * 0x123).ljust(2 * PAGE, b"\0")
    cpu.store(BASE + PAGE, b"changed")
    assert machine.content[b"/bin/p"][PAGE : 2 * PAGE] == b"\x11" * PAGE


@both
def test_each_program_has_random_bytes_of_its_own(mode):
    def random_bytes(seed, count=3):
        entropy = None if seed is None else np.random.default_rng(seed)
        machine, found = machine_of(mode, entropy=entropy), []
        for _ in range(count):
            process, cpu = machine.spawn()
            found.append(cpu.load(auxv_of(process.mm)[At.RANDOM], 16))
        return found

    assert random_bytes(1) == random_bytes(1)
    assert len({*random_bytes(1), *random_bytes(2)}) == 6
    assert random_bytes(None) == [bytes(16)] * 3


@both
def test_a_program_is_told_of_its_user_and_of_the_processor(mode):
    machine = machine_of(mode)
    told = [auxv_of(machine.spawn(**options)[0].mm)[At.UID] for options in (
        {}, {"privileged": True}, {"credentials": Credentials(5, 5, 6, 6)})]
    assert told == [1000, 0, 5]
    platform = {"x86_64": b"x86_64\0", "ia32": b"i686\0"}[mode.name]
    process, cpu = machine.spawn()
    assert cpu.load(auxv_of(process.mm)[At.PLATFORM], len(platform)) == platform
    processor = Processor(b"cpu", 0x55, 1, 2000)
    process, _ = machine_of(mode, processor=processor).spawn()
    auxv = auxv_of(process.mm)
    assert (auxv[At.HWCAP], auxv[At.HWCAP2], auxv[At.MINSIGSTKSZ]) == (0x55, 1, 2000)


@both
def test_without_arguments_a_program_has_the_name_of_its_file(mode):
    process, cpu = machine_of(mode).spawn(arguments=None)
    assert word_at(cpu, process.start.sp) == 1
    assert cpu.load(process.mm.arg_start, 14) == b"/bin/p\0/bin/p\0"


@both
def test_exec_begins_anew_and_keeps_whose_it_is(mode):
    machine = machine_of(mode)
    machine.add(b"/bin/q", Image(mode, [
        Phdr(flags=R | X, vaddr=BASE, filesz=0x80, memsz=0x80)], entry=BASE + 8).bytes())
    process, cpu = machine.spawn(credentials=Credentials(5, 5, 6, 6))
    calls = SystemCalls(machine.kernel)
    assert calls.execve(machine.program(b"/bin/q"), ExecArguments(b"q", [b"zero"])) == 0
    assert process.start.ip == BASE + 8
    assert cpu.load(word_at(cpu, process.start.sp + process.mm.space.word_bytes), 5) == b"zero\0"
    assert auxv_of(process.mm)[At.UID] == 5
    assert process.mm.read_implies_exec is (mode.name == "ia32")
    assert calls.execve(machine.program(b"/bin/p")) == 0
    assert process.mm.read_implies_exec is (mode.name == "ia32")
    child = machine.kernel.fork(process)
    assert (child.start, child.mm.auxv, child.mm.arg_start) == (
        process.start, process.mm.auxv, process.mm.arg_start)
    machine.kernel.check()


@both
def test_a_program_that_cannot_start_leaves_all_as_it_was(mode):
    machine = machine_of(mode)
    asked, part = named(b"ld\0")
    machine.add(b"ld", Image(mode, [
        Phdr(flags=R | X, filesz=0x100, memsz=0x100)], DYN, 0x10).bytes())  # cannot be padded
    machine.add(b"bad", Image(mode, [asked, Phdr(filesz=0x400, memsz=0x400)], DYN,
                              parts=part).bytes())
    process, _ = machine.spawn()
    start, before = process.start, counted(machine.kernel)
    with pytest.raises(LateExecError) as caught:
        machine.kernel.exec(process, machine.program(b"bad"))
    assert caught.value.errno == errno.EFAULT
    with pytest.raises(LateExecError):
        SystemCalls(machine.kernel).execve(machine.program(b"bad"))
    big = ExecArguments(b"f", [b"x" * (1 << 17)])
    assert SystemCalls(machine.kernel).execve(machine.program(b"/bin/p"), big) == -errno.E2BIG
    for failing in (lambda: machine.kernel.exec(process, machine.program(b"/bin/p"), big),
                    lambda: machine.spawn(arguments=big)):
        with pytest.raises(SysError, match="E2BIG"):
            failing()
    assert process.start is start
    machine.kernel.check()
    free, slots = counted(machine.kernel)
    cached = len(machine.kernel.state.page_cache) - 1  # the loader's last page was read
    assert (free + cached, slots) == before


@both
def test_nothing_is_left_of_programs_that_ended(mode):
    machine = machine_of(mode)
    machine.spawn()  # the file is in memory then
    before = counted(machine.kernel)
    for _ in range(20):
        process, cpu = machine.spawn()
        cpu.store(process.start.sp - PAGE, b"x")
        machine.kernel.exit(process)
    assert counted(machine.kernel) == before
    machine.kernel.check()


@both
@pytest.mark.parametrize("seed", range(4))
def test_damaged_programs_start_or_not_and_leave_nothing(mode, seed):
    """Bytes of headers and of the end of the file are changed, or the file ends early."""
    rng, machine, started = np.random.default_rng(seed), machine_of(mode), 0
    kernel, good = machine.kernel, program_bytes(mode)
    headers = Image(mode).header_size + 3 * Image(mode).phdr_size
    for number in range(40):
        data = bytearray(good)
        for place in rng.integers(headers, size=rng.integers(1, 3)):
            data[place] ^= 1 << int(rng.integers(8))
        name = f"damaged{number}".encode()
        machine.add(name, bytes(data[: int(rng.integers(len(data) // 2, len(data) * 2))]))
        before, cached = counted(kernel), len(kernel.state.page_cache)
        error = None
        try:
            process, _ = machine.spawn(name)
            started += 1
            kernel.exit(process)
        except SysError as raised:
            error = raised
        assert error is None or isinstance(error, (ExecError, LateExecError)), error
        free, slots = counted(kernel)
        assert (free + len(kernel.state.page_cache) - cached, slots) == before
        kernel.check()
    assert 5 < started < 35


@both
@pytest.mark.slow
def test_strings_that_do_not_fit_into_memory_are_in_swap(mode, tmp_path):
    machine = machine_of(mode, megabytes=4)
    machine.kernel.swapon(SwapFile.create(tmp_path / "swap", 4096, uuid=UUID(int=1)))
    argv = [bytes([65 + number % 26]) * 100_000 for number in range(50)]
    process, cpu = machine.spawn(arguments=ExecArguments(b"f", argv),
                                 rlimits=Rlimits(stack=64 * MIB))
    assert process.space.swapped > 0
    size = process.mm.space.word_bytes
    for number, text in enumerate(argv):
        place = word_at(cpu, process.start.sp + (number + 1) * size)
        assert cpu.load(place, len(text) + 1) == text + b"\0"
    machine.kernel.check()


@both
def test_settings_hold_for_the_processes_that_begin_after_a_change(mode):
    kernel = Kernel.boot(mode, 64 * MIB)
    before = kernel.spawn("p")
    kernel.space = replace(kernel.space, mmap_min_addr=PAGE)
    after = kernel.spawn("p")
    with pytest.raises(SysError) as caught:
        before.mm.mmap(PAGE, PAGE, RW, ANON | MapFlag.FIXED)
    assert caught.value.errno == errno.EPERM
    assert after.mm.mmap(PAGE, PAGE, RW, ANON | MapFlag.FIXED) == PAGE
