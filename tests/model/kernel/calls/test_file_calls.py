"""Calls about files, their errnos in Linux's order, and what mappings see of them."""

import errno

import numpy as np
import pytest

from pagewalk.model.address_space.limits import Overcommit
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls

from ..machines import MODES, PAGE, RW, Killed, counted, machine
from .native_file import HAS_MEMFD, NativeFile

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
SET, CUR, END, DATA, HOLE = range(5)
KEEP_SIZE, PUNCH = 1, 3  # the latter keeps the size, too


class World:
    """A process with a file of three pages of ``f`` and a bit, and a memfd of the same."""

    def __init__(self, mode):
        self.kernel, self.cpu, self.process = machine(mode)
        self.call = call = SystemCalls(self.kernel)
        self.file = File("file")
        self.size = 3 * PAGE + 10
        self.data = self.kernel.register_file(self.file, b"f" * self.size)
        self.fd, self.memfd = call.open(self.file), call.memfd_create("shared", 0)
        buffer = call.mmap(0, 4 * PAGE, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS)
        self.cpu.store(buffer, b"f" * self.size)
        assert call.write(self.memfd, buffer, self.size) == self.size
        self.fds = (self.fd, self.memfd)

    def map(self, fd, flags=MapFlag.SHARED, pages=4):
        return self.call.mmap(0, pages * PAGE, RW, flags, fd)


def sigbus(access, *arguments):
    with pytest.raises(Killed) as caught:
        access(*arguments)
    assert (caught.value.signal.number, caught.value.signal.code) == (7, 2)


@both
def test_a_file_that_shrinks_leaves_its_mappings(mode):
    """All of them, in all processes; the rest of the last page is zeros."""
    for which in range(2):
        world = World(mode)
        call, cpu, fd = world.call, world.cpu, world.fds[which]
        start = world.map(fd)
        cpu.store(start, b"x" * 4 * PAGE)  # past the end of the file, too, in its last page
        free = counted(world.kernel)[0]
        pid = call.fork()
        world.kernel.switch(world.kernel.processes[pid])
        cpu.load(start, 4 * PAGE)
        assert call.ftruncate(fd, PAGE + 5) == 0
        assert cpu.load(start, 2 * PAGE) == b"x" * (PAGE + 5) + bytes(PAGE - 5)
        world.kernel.check()
        sigbus(cpu.load, start + 2 * PAGE)
        world.kernel.switch(world.process)
        assert call.lseek(fd, 0, END) == PAGE + 5
        assert call.ftruncate(fd, 2 * PAGE + 1) == 0
        assert cpu.load(start + 2 * PAGE, PAGE) == bytes(PAGE)
        assert counted(world.kernel)[0] == free + 1
        sigbus(cpu.store, start + 3 * PAGE, b"x")
        world.kernel.check()


@both
def test_private_copies_go_with_the_end_of_a_file_but_not_with_a_hole(mode):
    for which in range(2):
        world = World(mode)
        call, cpu, fd = world.call, world.cpu, world.fds[which]
        start = world.map(fd, MapFlag.PRIVATE)
        for page in range(4):
            cpu.store(start + page * PAGE, b"own")
        assert call.fallocate(fd, PUNCH, 0, 2 * PAGE) == 0
        assert cpu.load(start, 4) == b"ownf"
        assert call.ftruncate(fd, PAGE + 1) == 0
        assert call.ftruncate(fd, 4 * PAGE) == 0
        assert cpu.load(start + PAGE, 4) == b"ownf"  # of which the file has a part
        assert cpu.load(start + 2 * PAGE, 4) == bytes(4)
        shared = world.map(fd)
        assert cpu.load(shared, 4 * PAGE) == bytes(4 * PAGE)
        world.kernel.check()


@both
def test_what_ftruncate_refuses(mode):
    world = World(mode)
    call, kernel = world.call, world.kernel
    locked = File("locked", writable=False)
    kernel.register_file(locked, b"")
    assert call.ftruncate(99, -1) == -errno.EINVAL
    assert call.ftruncate(99, 0) == -errno.EBADF
    assert call.ftruncate(call.open(locked), 0) == -errno.EINVAL
    assert call.ftruncate(call.open(File("/dev/driver")), 0) == -errno.EINVAL
    most = (1 << 44) - PAGE
    assert call.ftruncate(world.fd, most + 1) == -errno.EFBIG
    assert call.ftruncate(world.fd, most) == 0
    memory_most = most if mode.vaddr_bits == 32 else (1 << 63) - 1
    assert call.ftruncate(world.memfd, memory_most) == 0
    if memory_most == most:
        assert call.ftruncate(world.memfd, most + 1) == -errno.EFBIG
    world.process.mm.rlimits.file_size = 100
    assert call.ftruncate(world.fd, 50) == call.ftruncate(world.memfd, 50) == 0
    assert call.ftruncate(world.fd, 101) == call.ftruncate(world.memfd, 101) == -errno.EFBIG
    assert call.ftruncate(world.fd, 100) == 0
    kernel.check()


@both
def test_shared_anonymous_memory_has_its_size_promised_anew(mode):
    """By way of a segment, as a mapping without a file has no descriptor. [shmem_reacct_size]"""
    world = World(mode)
    call, kernel = world.call, world.kernel
    kernel.commit.charge(3)
    fd = call.open(kernel.files.open_sysv(0, 1, 3 * PAGE))
    before = kernel.commit.committed
    assert call.ftruncate(fd, 10 * PAGE - 5) == 0
    assert kernel.commit.committed == before + 7
    assert call.ftruncate(fd, PAGE + 1) == 0
    assert kernel.commit.committed == before - 1
    kernel.commit.mode, kernel.commit.overcommit_ratio = Overcommit.NEVER, 0
    assert call.ftruncate(fd, 3 * PAGE) == -errno.ENOMEM
    assert call.lseek(fd, 0, END) == PAGE + 1
    assert call.close(fd) == 0
    assert kernel.commit.committed == before - 3


@both
def test_what_fallocate_refuses(mode):
    """In the order of vfs_fallocate."""
    world = World(mode)
    call, kernel = world.call, world.kernel
    locked = File("locked", writable=False)
    kernel.register_file(locked, b"")
    assert call.fallocate(99, 0, 0, 0) == -errno.EBADF
    locked = call.open(locked)
    assert call.fallocate(locked, 4, -1, 1) == call.fallocate(locked, 4, 0, 0) == -errno.EINVAL
    for mode_bits in (4, 128, 2, 2 | 1 | 16):  # no such modes, a hole that grows, one of zeros
        assert call.fallocate(locked, mode_bits, 0, 1) == -errno.EOPNOTSUPP
    for mode_bits in (8 | 1, 32 | 1, 64 | 16):
        assert call.fallocate(locked, mode_bits, 0, 1) == -errno.EINVAL
    assert call.fallocate(locked, 8, 0, 1) == call.fallocate(locked, 0, 0, 1) == -errno.EBADF
    driver = call.open(File("/dev/driver", vm_flags=1 << 10))
    assert call.fallocate(driver, 8, 1 << 62, 1 << 62) == -errno.ENODEV
    for fd in world.fds:
        assert call.fallocate(fd, 8, 1 << 62, 1 << 62) == -errno.EFBIG
        assert call.fallocate(fd, 8, 0, 1) == -errno.EOPNOTSUPP
    assert call.fallocate(call.open(File("unknown")), 0, 0, 1) == -errno.EOPNOTSUPP
    world.process.mm.rlimits.file_size = 4 * PAGE
    assert call.fallocate(world.fd, 0, 0, 5 * PAGE) == -errno.EFBIG
    assert call.fallocate(world.fd, KEEP_SIZE, 0, 5 * PAGE) == 0  # it does not grow
    assert call.fallocate(world.memfd, KEEP_SIZE, 0, 5 * PAGE) == -errno.EFBIG
    assert call.fallocate(world.memfd, PUNCH, 0, 5 * PAGE) == 0
    kernel.check()


@both
def test_fallocate_makes_room_and_a_file_longer(mode):
    world = World(mode)
    call, kernel = world.call, world.kernel
    for fd in world.fds:
        assert call.fallocate(fd, KEEP_SIZE, 0, 8 * PAGE) == 0
        assert call.lseek(fd, 0, END) == world.size
        assert call.fallocate(fd, 0, 5 * PAGE, 10) == 0
        assert call.lseek(fd, 0, END) == 5 * PAGE + 10
    held = kernel.state.page_cache.space(world.process.files.get(world.memfd).file)
    assert [*held.pages] == [*range(8)]
    assert kernel.commit.committed == 4 + 8
    assert call.ftruncate(world.memfd, 5 * PAGE + 10) == 0  # what is beyond goes
    assert [*held.pages] == [*range(6)]
    start = world.map(world.memfd, pages=6)
    assert world.cpu.load(start + 3 * PAGE, 3 * PAGE) == b"f" * 10 + bytes(3 * PAGE - 10)
    kernel.check()


@both
def test_a_position_is_counted_from_the_start_the_position_or_the_end(mode):
    world = World(mode)
    call, size = world.call, world.size
    for fd in world.fds:
        assert call.lseek(fd, 5, SET) == 5
        assert call.lseek(fd, 7, CUR) == 12
        assert call.lseek(fd, -2, END) == size - 2
        assert call.lseek(fd, 0, CUR) == size - 2
        assert call.lseek(fd, -size, CUR) == -errno.EINVAL
        assert call.lseek(fd, 1, 5) == call.lseek(fd, 1, -1) == -errno.EINVAL
        assert call.lseek(fd, size, DATA) == call.lseek(fd, -1, HOLE) == -errno.ENXIO
        assert call.lseek(fd, 10, DATA) == 10
        assert call.lseek(fd, 10, HOLE) == size
        assert call.lseek(fd, 1 << 30, SET) == 1 << 30
    assert call.lseek(99, 0, 7) == -errno.EBADF
    driver = call.open(File("/dev/driver"))
    assert [call.lseek(driver, 3, whence) for whence in range(5)] == [3, 6, 3] + [-errno.ENXIO] * 2


@both
def test_a_position_that_no_register_holds(mode):
    """It is where it was to be, all the same. [ksys_lseek]"""
    world = World(mode)
    call, fd, most = world.call, world.fd, (1 << 44) - PAGE
    buffer = call.mmap(0, PAGE, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS)
    if mode.vaddr_bits == 64:
        assert call.lseek(fd, most, SET) == most
        assert call.lseek(fd, most + 1, SET) == -errno.EINVAL
        assert call.llseek(fd, 0, buffer, CUR) == -errno.ENOSYS
        return
    assert call.lseek(fd, (1 << 31) - 1, SET) == (1 << 31) - 1
    assert call.lseek(fd, 1, CUR) == -errno.EOVERFLOW
    assert call.lseek(fd, 1 << 31, SET) == -errno.EINVAL  # a negative off_t
    assert call.llseek(fd, 0, buffer, CUR) == 0
    assert world.cpu.load(buffer, 8) == (1 << 31).to_bytes(8, "little")
    assert call.llseek(fd, most, buffer, SET) == 0
    assert call.llseek(fd, most + 1, buffer, SET) == -errno.EINVAL
    assert call.llseek(fd, 5, 0, SET) == -errno.EFAULT
    assert call.lseek(fd, 0, CUR) == 5


@both
def test_shared_memory_knows_its_holes(mode):
    world = World(mode)
    call, fd = world.call, world.memfd
    assert call.ftruncate(fd, 10 * PAGE) == 0
    assert call.fallocate(fd, PUNCH, PAGE, PAGE) == 0
    assert call.fallocate(fd, 0, 6 * PAGE, PAGE) == 0
    assert [call.lseek(fd, at, HOLE) // PAGE for at in (0, PAGE + 5, 2 * PAGE)] == [1, 1, 4]
    assert call.lseek(fd, PAGE + 5, HOLE) == PAGE + 5
    assert call.lseek(fd, PAGE + 5, DATA) == 2 * PAGE
    assert call.lseek(fd, 4 * PAGE, DATA) == -errno.ENXIO  # allocated is not written
    world.cpu.load(world.map(fd, pages=10) + 6 * PAGE)
    assert call.lseek(fd, 4 * PAGE, DATA) == 6 * PAGE
    before = counted(world.kernel)[0]
    buffer = call.mmap(0, PAGE, Prot.READ | Prot.WRITE, MapFlag.PRIVATE | MapFlag.ANONYMOUS)
    assert call.pread(fd, buffer, PAGE, 8 * PAGE) == PAGE
    assert counted(world.kernel)[0] == before - 1  # the buffer's: a hole stays one
    world.kernel.check()


@pytest.mark.skipif(not HAS_MEMFD, reason="memfd_create is Linux's")
@pytest.mark.slow
@pytest.mark.parametrize("sealable", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_a_memfd_does_as_one_of_the_kernel_that_runs_the_test(seed, sealable):
    world = NativeFile(np.random.default_rng(seed), sealable=sealable)
    for _ in range(80):
        world.step()
    world.finish()
