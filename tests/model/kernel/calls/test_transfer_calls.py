"""Bytes that go from one file to another."""

import errno

import pytest

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.kernel.vfs.stream import WouldBlock

from ..vfs.path_world import BUFFER, START, ModelPrograms

PLACE = BUFFER + 4096
FILE, READS, WRITES, OTHER = range(4)
TEXT = bytes(range(200)) * 500


class World:
    def __init__(self):
        self.machine = ModelPrograms()
        self.calls = self.machine.calls
        self.machine.start(FileSystem(None, lambda: START))
        make = OpenFlag.CREAT | OpenFlag.RDWR
        assert self.calls.openat(-100, b"file", make) == FILE
        assert self.calls.pipe2(BUFFER) == 0
        assert self.calls.openat(-100, b"other", make) == OTHER

    def fill(self, size):
        for at in range(0, size, 4096):
            self.machine.store(PLACE, TEXT[at : min(at + 4096, size)])
            self.calls.pwrite(FILE, PLACE, min(4096, size - at), at)

    def read(self, fd, size):
        found = b""
        while len(found) < size:
            done = self.calls.read(fd, PLACE, min(4096, size - len(found)))
            found += self.machine.load(PLACE, done)
            if not done:
                break
        return found


@pytest.fixture
def world():
    made = World()
    yield made
    made.machine.kernel.check()


def test_all_of_a_file_is_sent_to_another(world):
    world.fill(70_000)
    assert world.calls.sendfile(OTHER, FILE, 0, 1 << 20) == 70_000
    assert world.calls.lseek(FILE, 0, 1) == world.calls.lseek(OTHER, 0, 1) == 70_000
    world.calls.lseek(OTHER, 0, 0)
    assert world.read(OTHER, 80_000) == TEXT[:70_000]


def test_what_a_pipe_has_no_room_for_is_sent_later(world):
    world.fill(100_000)
    assert world.calls.sendfile(WRITES, FILE, 0, 100_000) == 65536
    with pytest.raises(WouldBlock) as blocked:
        world.calls.sendfile(WRITES, FILE, 0, 100_000)
    assert world.calls.lseek(FILE, 0, 1) == 65536
    assert not blocked.value.ready()
    assert world.read(READS, 65536) == TEXT[:65536]
    assert blocked.value.ready()
    assert blocked.value.resume() == 100_000 - 65536
    assert world.read(READS, 100_000 - 65536) == TEXT[65536:100_000]


def test_what_can_be_sent_and_where(world):
    world.fill(100)
    sendfile = world.calls.sendfile
    assert sendfile(OTHER, READS, 0, 5) == -errno.EINVAL
    assert sendfile(WRITES, READS, 0, 5) == -errno.EINVAL
    assert sendfile(READS, FILE, 0, 5) == sendfile(OTHER, WRITES, 0, 5) == -errno.EBADF
    assert sendfile(OTHER, FILE, 0, -1) == -errno.EINVAL
    world.calls.fcntl(OTHER, 4, OpenFlag.APPEND)
    assert sendfile(OTHER, FILE, 0, 5) == -errno.EINVAL
    assert world.calls.copy_file_range(FILE, 0, OTHER, 0, 5) == -errno.EBADF


def test_a_pipe_that_nobody_reads(world):
    world.fill(100)
    told = []
    world.calls.broken_pipe = told.append
    world.calls.close(READS)
    assert world.calls.sendfile(WRITES, FILE, 0, 5) == -errno.EPIPE
    assert len(told) == 1


def test_a_range_is_copied_at_positions_of_their_own(world):
    world.fill(9000)
    world.machine.store(BUFFER, (1000).to_bytes(8, "little") + (50).to_bytes(8, "little"))
    assert world.calls.copy_file_range(FILE, BUFFER, OTHER, BUFFER + 8, 1 << 40) == 8000
    held = world.machine.load(BUFFER, 16)
    assert [int.from_bytes(held[at : at + 8], "little") for at in (0, 8)] == [9000, 8050]
    assert world.calls.lseek(FILE, 0, 1) == world.calls.lseek(OTHER, 0, 1) == 0
    assert world.read(OTHER, 9000) == bytes(50) + TEXT[1000:9000]


def test_a_range_of_one_file_must_not_overlap(world):
    world.fill(9000)
    world.machine.store(BUFFER, (1000).to_bytes(8, "little") + (5000).to_bytes(8, "little"))
    copy = world.calls.copy_file_range
    assert copy(FILE, BUFFER, FILE, BUFFER + 8, 4001) == -errno.EINVAL
    assert copy(FILE, BUFFER, FILE, BUFFER + 8, 4000) == 4000
    assert copy(FILE, 0, OTHER, 0, 1, 1) == -errno.EINVAL
    assert copy(FILE, 5, OTHER, 0, 1) == -errno.EFAULT


def test_files_of_two_file_systems(world):
    world.fill(10)
    memory = world.calls.memfd_create("memory", 0)
    assert world.calls.copy_file_range(FILE, 0, memory, 0, 5) == -errno.EINVAL
    assert world.calls.sendfile(memory, FILE, 0, 5) == 5
