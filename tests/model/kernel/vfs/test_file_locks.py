"""Locks on ranges of files, beside those of the kernel of this machine."""

import errno
import fcntl
import tempfile
from pathlib import Path
from struct import pack, unpack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.kernel.vfs.stream import WouldBlock

from .path_world import BUFFER, START, ModelPrograms

RDLCK, WRLCK, UNLCK = 0, 1, 2
SETLK, OFD_GETLK, OFD_SETLK, OFD_SETLKW = 6, 36, 37, 38
FORM = "<hh4xqqi4x"
ONE = st.tuples(st.integers(0, 2), st.sampled_from([OFD_GETLK, OFD_SETLK]), st.integers(0, 3),
                st.integers(0, 3), st.integers(-3, 12), st.integers(-4, 12)).filter(
                    lambda one: (one[1], one[2]) != (OFD_GETLK, UNLCK))  # new in Linux 6.5


class World:
    def __init__(self):
        self.machine = ModelPrograms()
        self.calls = self.machine.calls
        self.process = self.machine.start(FileSystem(None, lambda: START))
        for number in range(3):
            assert self.calls.openat(-100, b"file", OpenFlag.CREAT | OpenFlag.RDWR, 0o600) == number

    def lock(self, fd, command, kind, start=0, length=0, whence=0):
        self.machine.store(BUFFER, pack(FORM, kind, whence, start, length, 0))
        result = self.calls.fcntl(fd, command, BUFFER)
        return result, unpack(FORM, self.machine.load(BUFFER, 32))


@pytest.fixture(scope="module")
def shared():
    return World()


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.lists(ONE, max_size=30))
def test_random_locks_of_three_open_files(shared, steps):
    with tempfile.NamedTemporaryFile() as file:
        opened = [Path(file.name).open("r+b", buffering=0) for _ in range(3)]
        try:
            for fd, command, kind, whence, start, length in steps:
                data = pack(FORM, kind, whence, start, length, 0)
                try:
                    expected = 0, unpack(FORM, fcntl.fcntl(opened[fd], command, data))
                except OSError as error:
                    expected = -error.errno, unpack(FORM, data)
                found = shared.lock(fd, command, kind, start, length, whence)
                assert found == expected, (fd, command, kind, whence, start, length)
        finally:
            for one in opened:
                one.close()
            for fd in range(3):
                shared.lock(fd, OFD_SETLK, UNLCK)


def test_processes_are_in_each_others_way():
    world = World()
    kernel, call = world.machine.kernel, world.calls
    child = kernel.fork(world.process)
    assert world.lock(0, SETLK, WRLCK, 0, 10)[0] == 0
    assert world.lock(1, SETLK, WRLCK, 5, 10)[0] == 0  # both are one
    kernel.switch(child)
    assert world.lock(0, SETLK, RDLCK, 14, 1)[0] == -errno.EAGAIN
    assert world.lock(0, 5, RDLCK, 0, 0) == (0, (WRLCK, 0, 0, 15, world.process.pid))
    with pytest.raises(WouldBlock) as waits:
        world.lock(0, 7, RDLCK, 0, 1)
    kernel.switch(world.process)
    assert call.close(2) == 0  # any number of the file
    kernel.switch(child)
    assert waits.value.ready()
    assert waits.value.resume() == 0


def test_flock_belongs_to_open_files():
    call = World().calls
    assert call.flock(0, 2) == 0
    assert call.flock(1, 1 | 4) == -errno.EAGAIN
    assert call.dup(0) == 3
    assert call.close(0) == 0
    assert call.flock(1, 2 | 4) == -errno.EAGAIN
    with pytest.raises(WouldBlock) as waits:
        call.flock(1, 2)
    assert call.close(3) == 0
    assert waits.value.ready()
    assert waits.value.resume() == 0
    assert call.flock(1, 3) == -errno.EINVAL
    assert call.flock(1, 8) == 0
    assert call.flock(2, 2 | 4) == 0
