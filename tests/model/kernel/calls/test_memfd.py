"""Files of shared memory that a process makes: names, how long they live, and seals."""

import errno

import pytest

from pagewalk.model.address_space.exec_layout import Program, ProgramHeader
from pagewalk.model.address_space.maps_text import maps_text
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls

from ..machines import ANON, MODES, PAGE, RW, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
ADD, GET = 1033, 1034
SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE = 1, 2, 4, 8, 16
CLOEXEC, ALLOW_SEALING, HUGETLB = 1, 2, 4


def started(mode):
    kernel, cpu, process = machine(mode)
    call = SystemCalls(kernel)
    buffer = call.mmap(1 << 20, 2 * PAGE, RW, ANON | MapFlag.FIXED)
    return kernel, cpu, process, call, buffer


def sealed(call, seals, size=2 * PAGE):
    fd = call.memfd_create("sealed", ALLOW_SEALING)
    assert call.ftruncate(fd, size) == 0
    assert call.fcntl(fd, ADD, seals) == 0
    return fd


@both
def test_its_name_is_read_from_memory(mode):
    _, cpu, process, call, buffer = started(mode)
    cpu.store(buffer + PAGE - 3, b"a name\n\0")
    fd = call.memfd_create(buffer + PAGE - 3, 0)
    start = call.mmap(0, PAGE, RW, MapFlag.SHARED, fd)
    line = next(line for line in maps_text(process.mm).splitlines() if f"{start:x}-" in line)
    assert line.endswith(r"/memfd:a name\012 (deleted)")
    end = buffer + 2 * PAGE
    for length, result in ((249, 1), (250, -errno.EINVAL), (300, -errno.EINVAL)):
        cpu.store(end - length - 1, b"n" * length + b"\0")
        assert call.memfd_create(end - length - 1, 0) == result
        assert call.memfd_create("n" * length, 0) == (2 if result == 1 else result)
        cpu.store(end - 10, b"n" * 10)
        assert call.memfd_create(end - 10, 0) == -errno.EFAULT  # it does not end
    for bad in (0, -1, call.kernel.layout.page_offset):
        assert call.memfd_create(bad, 0) == -errno.EFAULT


@both
def test_what_is_refused_in_its_order(mode):
    _, _, process, call, buffer = started(mode)
    assert call.memfd_create(0, 8) == call.memfd_create(0, 21 << 26) == -errno.EINVAL
    assert call.memfd_create(0, 21 << 26 | HUGETLB) == -errno.EFAULT
    assert call.memfd_create(buffer, 21 << 26 | HUGETLB) == -errno.ENOSYS
    process.mm.rlimits.open_files = 1
    assert call.memfd_create(buffer, 0) == 0
    assert call.memfd_create(buffer, HUGETLB) == -errno.EMFILE
    assert call.memfd_create(0, HUGETLB) == -errno.EFAULT


@both
def test_it_lives_as_long_as_anybody_has_it(mode):
    kernel, cpu, process, call, buffer = started(mode)
    free = counted(kernel)
    fd = call.memfd_create("shared", CLOEXEC)
    other = call.memfd_create("other", 0)
    for one in (fd, other):
        assert call.write(one, buffer, 2 * PAGE) == 2 * PAGE
    start = call.mmap(0, 2 * PAGE, RW, MapFlag.SHARED, fd)
    cpu.store(start, b"text")
    child = kernel.processes[call.fork()]
    assert call.close(fd) == call.munmap(start, 2 * PAGE) == 0
    kernel.check()
    kernel.switch(child)
    assert cpu.load(start, 4) == b"text"
    assert call.munmap(start, 2 * PAGE) == 0
    assert call.pread(fd, buffer, 4, 0) == 4
    assert cpu.load(buffer, 4) == b"text"
    file = File("program")
    kernel.register_file(file, b"\x90" * PAGE)
    program = Program(file, [ProgramHeader(0, 0x40_0000, PAGE, PAGE, Prot.READ | Prot.EXEC)])
    assert call.execve(program) == 0
    assert call.lseek(fd, 0, 0) == -errno.EBADF  # closed on exec, and gone
    assert call.lseek(other, 0, 2) == 2 * PAGE
    assert kernel.commit.committed == 2 + 2 + child.mm.committed  # buffer, other
    kernel.exit(child)
    kernel.switch(process)
    assert call.close(other) == 0
    assert not [one for one in kernel.files.inodes if one.is_shmem]
    kernel.check()
    kernel.state.page_cache.drop(file)
    call.munmap(buffer, 2 * PAGE)
    assert counted(kernel)[0] >= free[0]


@both
def test_seals_and_what_they_forbid(mode):
    kernel, cpu, _, call, buffer = started(mode)
    fd = sealed(call, SHRINK)
    assert call.ftruncate(fd, PAGE) == -errno.EPERM
    assert call.ftruncate(fd, 3 * PAGE) == call.fallocate(fd, 3, 0, PAGE) == 0
    fd = sealed(call, GROW)
    assert call.ftruncate(fd, 3 * PAGE) == call.fallocate(fd, 1, 0, 3 * PAGE) == -errno.EPERM
    assert call.pwrite(fd, buffer, PAGE, 2 * PAGE) == -errno.EPERM
    assert call.pwrite(fd, buffer, 2 * PAGE, PAGE) == PAGE  # as much as there is room for
    assert call.pwrite(fd, kernel.layout.task_size - 5, 5, 2 * PAGE) == -errno.EFAULT
    assert call.ftruncate(fd, PAGE) == 0
    for seal in (WRITE, FUTURE_WRITE):
        fd = sealed(call, seal)
        assert call.write(fd, buffer, 1) == call.fallocate(fd, 3, 0, PAGE) == -errno.EPERM
        assert call.fallocate(fd, 0, 0, 3 * PAGE) == call.ftruncate(fd, 2 * PAGE) == 0
        assert call.mmap(0, PAGE, RW, MapFlag.SHARED, fd) == -errno.EPERM
        private = call.mmap(0, PAGE, RW, MapFlag.PRIVATE, fd)
        cpu.store(private, b"own")
        shared = call.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, fd)
        assert cpu.load(shared, 3) == bytes(3)
        assert call.mprotect(shared, PAGE, RW) == -errno.EACCES
    kernel.check()


@both
def test_a_mapping_that_may_be_written_bars_the_seal(mode):
    _, cpu, _, call, _ = started(mode)
    fd = call.memfd_create("m", ALLOW_SEALING)
    assert call.ftruncate(fd, PAGE) == 0
    start = call.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, fd)
    assert call.fcntl(fd, ADD, WRITE) == -errno.EBUSY
    assert call.fcntl(fd, ADD, FUTURE_WRITE) == 0
    assert call.fcntl(fd, GET) == FUTURE_WRITE
    assert call.mprotect(start, PAGE, RW) == 0  # it is not from the future
    cpu.store(start, b"x")
    assert call.munmap(start, PAGE) == call.fcntl(fd, ADD, WRITE | SEAL) == 0
    assert call.fcntl(fd, ADD, SHRINK) == -errno.EPERM
    assert call.fcntl(fd, GET) == FUTURE_WRITE | WRITE | SEAL


@both
def test_what_a_sealed_file_refuses_leaves_what_was_mapped_or_not(mode):
    """A seal against all writing is looked at first. [mmap_region, shmem_mmap]"""
    _, cpu, process, call, buffer = started(mode)
    cpu.store(buffer, b"here")
    fixed = MapFlag.SHARED | MapFlag.FIXED
    assert call.mmap(buffer, PAGE, RW, fixed, sealed(call, WRITE)) == -errno.EPERM
    assert cpu.load(buffer, 4) == b"here"
    assert call.mmap(buffer, PAGE, RW, fixed, sealed(call, FUTURE_WRITE)) == -errno.EPERM
    assert process.mm.find_vma(buffer).start == buffer + PAGE


@both
def test_who_may_seal_what(mode):
    kernel, _, _, call, _ = started(mode)
    kept = call.memfd_create("kept", 0)
    assert call.fcntl(kept, GET) == SEAL
    assert call.fcntl(kept, ADD, 0) == -errno.EPERM
    assert call.fcntl(kept, ADD, 64) == call.fcntl(kept, ADD, -1) == -errno.EINVAL
    file, locked = File("file"), File("locked", writable=False)
    for one in (file, locked):
        kernel.register_file(one, b"")
    fd, locked = call.open(file), call.open(locked)
    assert call.fcntl(fd, GET) == call.fcntl(fd, ADD, 0) == -errno.EINVAL
    assert call.fcntl(locked, ADD, 64) == -errno.EPERM
    assert call.fcntl(99, GET) == -errno.EBADF
    assert call.fcntl(kept, 99) == -errno.EINVAL
    tmpfs = File("/tmp/file", is_shmem=True)
    kernel.register_file(tmpfs, b"text")
    assert call.fcntl(call.open(tmpfs), GET) == SEAL
