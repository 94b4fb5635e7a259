"""Limits as processes read and set them, and that what they limit minds them."""

import errno

import pytest

from pagewalk.model.address_space.exec_arguments import Credentials
from pagewalk.model.address_space.rlimits import INFINITY, Resource
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls

from ..machines import ANON, MODES, PAGE, RW, Killed, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


class World:
    def __init__(self, mode):
        self.kernel, self.cpu, self.process = machine(mode)
        self.call = SystemCalls(self.kernel)
        self.buffer = self.call.mmap(0, PAGE, RW, ANON)
        self.word = mode.vaddr_bits // 8

    def put(self, *limits, size=None):
        for at, limit in enumerate(limits):
            width = size or self.word
            self.cpu.store(self.buffer + at * width, limit.to_bytes(width, "little"))

    def got(self, size=None):
        width = size or self.word
        return [int.from_bytes(self.cpu.load(self.buffer + at * width, width), "little")
                for at in range(2)]

    def set(self, resource, soft, hard):
        self.put(soft, hard)
        return self.call.setrlimit(resource, self.buffer)


@both
def test_limits_are_words_in_memory(mode):
    world = World(mode)
    call, infinite = world.call, (1 << mode.vaddr_bits) - 1
    assert call.getrlimit(Resource.STACK, world.buffer) == 0
    assert world.got() == [8 << 20, infinite]
    assert world.set(Resource.STACK, infinite, infinite) == 0
    assert world.process.mm.rlimits.stack == INFINITY
    assert world.set(Resource.STACK, 5, 6) == 0
    assert world.process.mm.rlimits.get(Resource.STACK) == (5, 6)
    assert world.set(Resource.STACK, 7, 6) == world.set(16, 5, 6) == -errno.EINVAL
    assert world.set(Resource.STACK, 5, 7) == -errno.EPERM
    world.process.mm.privileged = True
    assert world.set((1 << 32) + Resource.STACK, 5, 7) == 0  # unsigned int resource
    assert call.setrlimit(16, 0) == -errno.EFAULT
    assert call.getrlimit(16, 0) == -errno.EINVAL
    assert call.getrlimit(0, 0) == call.getrlimit(0, -4) == -errno.EFAULT


@both
def test_limits_of_any_process_are_eight_bytes(mode):
    world = World(mode)
    call, child = world.call, world.call.fork()
    world.put(10, INFINITY, size=8)
    old = world.buffer + 100
    assert call.prlimit64(child, Resource.DATA, world.buffer, old) == 0
    data = world.cpu.load(old, 16)
    assert data == b"\xff" * 16
    assert world.kernel.processes[child].mm.rlimits.data == 10
    assert world.process.mm.rlimits.data == INFINITY
    assert call.prlimit64(0, Resource.DATA, 0, 0) == 0
    assert call.prlimit64(99, 99, 0, 0) == -errno.ESRCH
    assert call.prlimit64(99, 99, 5, 0) == -errno.EFAULT
    assert call.prlimit64(child, 99, 0, 0) == -errno.EINVAL
    assert call.prlimit64(0, Resource.DATA, world.buffer, 5) == -errno.EFAULT
    assert world.process.mm.rlimits.data == 10  # which is set before that is known


@both
def test_limits_of_another_user_are_for_the_administrator(mode):
    """Without an address, too; what is to be set is read before. [check_prlimit_permission]"""
    world = World(mode)
    kernel, call = world.kernel, world.call
    world.put(10, 20, size=8)
    for who in (Credentials(), Credentials(1000, 0, 1000, 1000), Credentials(0, 1000, 1000, 1000),
                Credentials(1000, 1000, 0, 1000), Credentials(1000, 1000, 1000, 0)):
        other = kernel.spawn("other", credentials=who).pid
        for new, old in ((0, 0), (0, world.buffer), (world.buffer, 0)):
            assert call.prlimit64(other, Resource.DATA, new, old) == -errno.EPERM
        assert call.prlimit64(other, 99, 0, 0) == -errno.EPERM
        assert call.prlimit64(other, 99, 5, 0) == -errno.EFAULT
        assert kernel.processes[other].mm.rlimits.data == INFINITY
    world.process.mm.privileged = True
    assert call.prlimit64(other, Resource.DATA, world.buffer, 0) == 0
    assert kernel.processes[other].mm.rlimits.get(Resource.DATA) == (10, 20)


@both
def test_what_is_limited_minds_the_limits(mode):
    world = World(mode)
    call, mm = world.call, world.process.mm
    assert world.set(Resource.MEMLOCK, 2 * PAGE, 2 * PAGE) == 0
    assert call.mlock(world.buffer, PAGE) == 0
    assert call.mmap(0, 2 * PAGE, RW, ANON | MapFlag.LOCKED) == -errno.EAGAIN
    stack = call.mmap(1 << 24, 2 * PAGE, RW, ANON | MapFlag.FIXED | MapFlag.GROWSDOWN)
    assert world.set(Resource.STACK, 3 * PAGE, 3 * PAGE) == 0
    world.cpu.store(stack - PAGE, b"x")
    assert world.set(Resource.DATA, 4 * PAGE, 4 * PAGE) == 0
    assert call.mmap(0, 4 * PAGE, RW, ANON) == -errno.ENOMEM
    assert call.mmap(0, 4 * PAGE, 0, ANON) > 0
    assert world.set(Resource.AS, (mm.total_vm + 1) * PAGE, INFINITY >> 64 - 8 * world.word) == 0
    assert call.mmap(0, 2 * PAGE, 0, ANON) == -errno.ENOMEM
    assert world.set(Resource.NOFILE, 1, 1) == 0
    assert [call.memfd_create("x", 0) for _ in range(2)] == [0, -errno.EMFILE]
    assert world.set(Resource.FSIZE, 10, 10) == 0
    assert call.ftruncate(0, 11) == -errno.EFBIG
    world.kernel.check()
    with pytest.raises(Killed):
        world.cpu.store(stack - 2 * PAGE, b"x")
