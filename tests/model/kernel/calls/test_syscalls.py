"""System calls as a process sees them: results and errnos."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.page_fault import SiCode
from pagewalk.model.x86 import IA32, X86_64

from ..machines import ANON, MODES, PAGE, RW, Killed, counted, machine

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
    call, total = SystemCalls(kernel), kernel.state.allocator.totalram_pages
    assert call.mmap(0, (total + 1) * PAGE, RW, ANON) == -errno.ENOMEM
    with pytest.raises(OomKilled, match=r"^Out of memory: Killed process \d+ \(first\)"):
        call.mmap(0, total * PAGE, RW, ANON | MapFlag.POPULATE)
    assert kernel.processes == {}
    kernel.check()
    assert counted(kernel)[0] == before[0] + 1


# ---- arguments as registers hold them

ODD = [0, 1, -1, PAGE, -PAGE, 1 - PAGE, 1 << 31, -1 << 31, (1 << 32) - PAGE, 1 << 32, 1 << 46,
       1 << 47, (1 << 63) - 1, 1 << 63, (1 << 64) - PAGE, 1 << 64, 1 << 70]
CALLS = {"mmap": 6, "munmap": 2, "mprotect": 3, "mremap": 5, "madvise": 3, "msync": 3, "brk": 1,
         "mlock": 2, "mlock2": 3, "munlock": 2, "pkey_alloc": 2, "pkey_free": 1,
         "pkey_mprotect": 4, "read": 3, "write": 3, "pread": 4, "pwrite": 4, "close": 1,
         "lseek": 3, "llseek": 4, "ftruncate": 2, "fallocate": 4, "memfd_create": 2, "fcntl": 3}


@pytest.mark.slow
@both
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_argument_is_an_error_of_python(mode, data):
    """Whatever the numbers: a result that a register holds, or an errno, and nothing broken."""
    kernel, _, process = machine(mode, megabytes=4, pke=True)
    call = SystemCalls(kernel)
    file = File("file")
    kernel.register_file(file, b"text" * PAGE)
    call.open(file)
    start = call.mmap(1 << 20, 4 * PAGE, RW, ANON | MapFlag.FIXED)
    places = [start, start + PAGE, start + 2 * PAGE, start + 100]
    argument = (st.sampled_from(ODD + places + [*range(8), 0x12, 0x32, 0x22, 0x8012])
                | st.integers(-1 << 65, 1 << 65))
    for _ in range(6):
        name = data.draw(st.sampled_from([*CALLS]))
        arguments = [data.draw(argument) for _ in range(CALLS[name])]
        try:
            result = getattr(call, name)(*arguments)
        except OomKilled:  # it may have allocated more of a memfd than there is
            break
        # A fixed address that looks like an error is returned as one. [get_unmapped_area]
        echoed = name == "mmap" and -4096 < result < 0 and (
            result - arguments[0]) % (1 << mode.vaddr_bits) == 0
        assert echoed or -134 < result < 1 << mode.vaddr_bits
    kernel.check()
    if process.pid in kernel.processes:
        kernel.exit(process)
    kernel.check()


@both
def test_lengths_are_unsigned(mode):
    """Mremap of -PAGE bytes is of nearly all there are, not of fewer than none."""
    kernel, cpu, _ = machine(mode)
    call = SystemCalls(kernel)
    start = call.mmap(0, 4 * PAGE, RW, ANON)
    cpu.store(start, b"precious")
    may = MremapFlag.MAYMOVE
    assert call.mremap(start, -PAGE, 2 * PAGE, may) == -errno.EINVAL
    assert call.mremap(start, 4 * PAGE, -PAGE, may) == -errno.ENOMEM
    assert call.mremap(start, 4 * PAGE, -1, may) == -errno.EINVAL  # whole pages: none
    shared = call.mmap(0, PAGE, RW, MapFlag.SHARED | MapFlag.ANONYMOUS)
    cpu.store(shared, b"both")
    assert cpu.load(call.mremap(shared, -1, PAGE, may), 4) == b"both"  # of none: once more
    assert call.munmap(start, -PAGE) == -errno.EINVAL
    assert call.mprotect(start, -PAGE, Prot.READ) == -errno.ENOMEM
    assert call.madvise(start, -PAGE, Madvise.DONTNEED) == -errno.EINVAL
    assert call.munlock(start, -PAGE) == -errno.EINVAL
    assert call.mmap(0, -PAGE, RW, ANON) == -errno.ENOMEM
    assert call.read(call.open(File("never registered")), start, -1) == -errno.EFAULT
    assert call.brk(-5) == call.brk(0)
    assert cpu.load(start, 8) == b"precious"
    kernel.check()


@both
def test_of_an_argument_a_call_sees_what_its_type_holds(mode):
    kernel, cpu, _ = machine(mode)
    call = SystemCalls(kernel)
    word = 1 << mode.vaddr_bits
    start = call.mmap(word + (1 << 20), word + PAGE, word + RW, word + ANON | MapFlag.FIXED)
    assert start == 1 << 20
    cpu.store(start, b"x")
    file = File("file")
    kernel.register_file(file, b"text")
    assert call.read((1 << 32) + call.open(file), word + start, word + 4) == 4  # unsigned int fd
    assert call.madvise(start, PAGE, (1 << 32) + Madvise.DONTNEED) == 0  # int advice
    assert cpu.load(start) == b"\0"
    assert call.pread(0, start, 1, -1) == -errno.EINVAL
    assert call.close(-3) == -errno.EBADF


@both
def test_a_mapping_of_a_file_needs_one_and_an_anonymous_one_does_not(mode):
    kernel, cpu, process = machine(mode)
    call = SystemCalls(kernel)
    assert call.mmap(0, 0, RW, MapFlag.PRIVATE, 3) == -errno.EBADF
    assert call.mmap(0, 0, RW, MapFlag.PRIVATE, 3, 5) == -errno.EINVAL
    file = File("file")
    kernel.register_file(file, b"text")
    start = call.mmap(0, PAGE, RW, ANON, call.open(file))  # fd is not looked at
    assert cpu.load(start, 4) == bytes(4)
    assert process.mm.find_vma(start).file is None


# ---- further calls

@both
def test_locks(mode):
    kernel, _, process = machine(mode)
    call = SystemCalls(kernel)
    start = call.mmap(0, 4 * PAGE, RW, ANON)
    rss = process.space.rss
    assert call.mlock(start + 5, PAGE) == 0
    assert process.mm.locked_vm == 2
    assert process.space.rss == rss + 2
    assert call.mlock2(start + 3 * PAGE, 1, 1) == 0  # MLOCK_ONFAULT
    assert (process.mm.locked_vm, process.space.rss) == (3, rss + 2)
    assert call.mlock2(start, 1, 2) == -errno.EINVAL
    assert call.munlock(start, 4 * PAGE) == 0
    assert process.mm.locked_vm == 0
    assert call.mlock(start + 3 * PAGE, 2 * PAGE) == -errno.ENOMEM
    assert call.mlock(start, -PAGE) == -errno.ENOMEM  # more than may be locked
    assert call.mlock(5, -5) == 0  # no page at all
    process.mm.privileged = True
    assert call.mlock(start, -PAGE) == -errno.EINVAL
    kernel.check()


def test_protection_keys():
    kernel, cpu, process = machine(X86_64, pke=True)
    call = SystemCalls(kernel)
    start = call.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"x")
    assert call.pkey_alloc(1, 0) == -errno.EINVAL
    assert call.pkey_alloc(0, 4) == -errno.EINVAL
    process.pkru = 0b1111 << 2
    key = call.pkey_alloc(0, 2)  # PKEY_DISABLE_WRITE
    assert (key, process.pkru) == (1, 0b1110 << 2)
    assert call.pkey_mprotect(start, PAGE, RW, key) == 0
    assert cpu.load(start) == b"x"
    cpu.tlb.entries.clear()  # the test's TLB knows nothing of PKRU
    assert call.write(call.open(File("f")), start, 0) == 0
    assert call.pkey_mprotect(start, PAGE, RW, 2) == -errno.EINVAL
    assert call.pkey_mprotect(start, PAGE, RW, -1) == 0  # keeps the key
    assert process.mm.find_vma(start).flags >> VmFlag.PKEY_SHIFT & 15 == key
    assert call.pkey_free(key) == 0
    assert call.pkey_free(key) == -errno.EINVAL
    assert [call.pkey_alloc(0, 0) for _ in range(16)] == [*range(1, 16), -errno.ENOSPC]


def test_memory_to_execute_only_has_a_key_that_permits_no_data():
    kernel, cpu, process = machine(X86_64, pke=True)
    call = SystemCalls(kernel)
    start = call.mmap(0, PAGE, RW, ANON)
    cpu.store(start, b"x")
    assert call.mprotect(start, PAGE, Prot.EXEC) == 0
    assert process.pkru >> 2 & 3 == 1
    with pytest.raises(Killed) as caught:
        cpu.load(start)
    assert caught.value.signal.code == SiCode.SEGV_PKUERR


def test_memory_to_execute_only_is_closed_again_if_the_process_has_opened_it():
    kernel, cpu, process = machine(X86_64, pke=True)
    call = SystemCalls(kernel)
    start = call.mmap(0, 2 * PAGE, RW, ANON)
    for page in (start, start + PAGE):
        cpu.store(page, b"x")
        process.pkru = 0  # WRPKRU
        assert call.mprotect(page, PAGE, Prot.EXEC) == 0
        assert process.pkru == 1 << 2
    process.pkru = 0
    call.mmap(0, PAGE, Prot.EXEC, ANON)
    assert process.pkru == 1 << 2


def test_keys_where_there_are_none():
    kernel, _, _ = machine(IA32)
    call = SystemCalls(kernel)
    assert (call.pkey_alloc(0, 0), call.pkey_free(0), call.pkey_mprotect(0, 0, 0, 0)) == (
        (-errno.ENOSYS,) * 3)
    kernel, _, _ = machine(X86_64)
    call = SystemCalls(kernel)
    assert (call.pkey_alloc(0, 0), call.pkey_mprotect(0, 0, 0, 0)) == (-errno.ENOSPC, 0)


@both
def test_execve_keeps_files_and_number_but_not_memory(mode):
    kernel, cpu, process = machine(mode)
    call = SystemCalls(kernel)
    file = File("program")
    kernel.register_file(file, b"\x90" * PAGE)
    call.open(file)
    old = call.mmap(1 << 20, PAGE, RW, ANON | MapFlag.FIXED)
    program = Program(file, [ProgramHeader(0, 0x40_0000, PAGE, PAGE, RW | Prot.EXEC)])
    assert call.execve(program) == 0
    assert kernel.current is process
    assert call.read(0, 0x40_0000, 2) == 2
    assert call.msync(old, PAGE, 0) == -errno.ENOMEM
    assert cpu.load(0x40_0000, 2) == b"\x90\x90"
    kernel.check()


@both
def test_no_call_without_a_process(mode):
    kernel, _, _ = machine(mode)
    call = SystemCalls(kernel)
    call.exit()
    with pytest.raises(ValueError, match=r"^No process runs that could call$"):
        call.brk(0)
