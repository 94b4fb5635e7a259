"""System calls as a process sees them: results and errnos."""

import errno

import pytest

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.syscalls import SystemCalls

from .machines import ANON, MODES, PAGE, RW, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@both
def test_memory_calls(mode):
    kernel, cpu, _ = machine(mode)
    call = SystemCalls(kernel)
    start = call.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, b"first")
    cpu.store(start + 3 * PAGE, b"last")
    assert call.munmap(start + PAGE, PAGE) == 0
    assert call.munmap(start + 1, PAGE) == -errno.EINVAL
    assert call.mprotect(start, 2 * PAGE, Prot.READ) == -errno.ENOMEM
    moved = call.mremap(start + 3 * PAGE, PAGE, 300 * PAGE, MremapFlag.MAYMOVE)
    assert cpu.load(moved, 4) == b"last"
    assert call.madvise(moved, PAGE, Madvise.DONTNEED) == 0
    assert cpu.load(moved, 4) == bytes(4)
    assert call.mmap(0, 0, RW, ANON) == -errno.EINVAL
    kernel.check()


@both
def test_a_program_with_a_heap(mode):
    kernel, cpu, process = machine(mode)
    before = counted(kernel)
    call = SystemCalls(kernel)
    file = File("program")
    kernel.register_file(file, b"\x90" * PAGE + b"data")
    base = 0x40_0000
    program = Program(file, [
        ProgramHeader(0, base, PAGE, PAGE, Prot.READ | Prot.EXEC),
        ProgramHeader(PAGE, base + PAGE, 4, 3 * PAGE, RW)])
    kernel.exec(process, program)
    assert cpu.load(base, 2) == b"\x90\x90"
    assert cpu.load(base + PAGE, 5) == b"data\0"
    assert cpu.load(base + 2 * PAGE) == b"\0"
    cpu.store(process.mm.start_stack - 8, b"frame")
    end = call.brk(0)
    assert call.brk(end + 5 * PAGE) == end + 5 * PAGE
    cpu.store(end + 4 * PAGE, b"heap")
    pid = call.fork()
    assert kernel.processes[pid].mm.brk_end == end + 5 * PAGE
    call.brk(end)
    kernel.check()
    kernel.switch(kernel.processes[pid])
    assert cpu.load(end + 4 * PAGE, 4) == b"heap"
    call.exit()
    kernel.exit(process)
    kernel.state.page_cache.drop(file)
    kernel.check()
    free, _ = counted(kernel)
    assert free == before[0] + 1  # the root that the first process had


@both
def test_read_and_write_go_through_the_page_cache(mode):
    kernel, cpu, process = machine(mode)
    call = SystemCalls(kernel)
    file = File("data")
    content = kernel.register_file(file, bytes(range(250)) * 40)
    buffer = call.mmap(0, 4 * PAGE, RW, ANON)
    call.munmap(buffer + 3 * PAGE, PAGE)
    fd = call.open(file)
    assert call.read(fd, buffer, 5000) == 5000
    assert cpu.load(buffer, 5000) == bytes(content[:5000])
    assert call.read(fd, buffer + 3 * PAGE - 104, 5000) == 104
    assert call.read(fd, buffer, 20000) == len(content) - 5104
    assert call.read(fd, buffer, 1) == 0
    assert call.read(call.open(file), buffer + 3 * PAGE, 10) == -errno.EFAULT
    assert call.read(99, buffer, 1) == -errno.EBADF
    again = call.open(file)
    cpu.store(buffer, b"written")
    assert call.write(again, buffer, 7) == 7
    mapped = call.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, again)
    assert cpu.load(mapped, 7) == b"written"
    assert call.write(again, kernel.layout.page_offset, 7) == -errno.EFAULT
    kernel.check()
    kernel.exit(process)
    kernel.state.page_cache.drop(file)
    assert content[:7] == b"written"


@both
def test_a_call_that_needs_more_memory_than_there_is_ends_its_process(mode):
    kernel, _, _ = machine(mode, megabytes=4)
    before = counted(kernel)
    call = SystemCalls(kernel)
    assert call.mmap(0, 2000 * PAGE, RW, ANON) == -errno.ENOMEM  # more than all memory
    with pytest.raises(OomKilled, match=r"^Out of memory: Killed process \d+ \(first\)"):
        call.mmap(0, 900 * PAGE, RW, ANON | MapFlag.POPULATE)
    assert kernel.processes == {}
    kernel.check()
    assert counted(kernel)[0] == before[0] + 1
