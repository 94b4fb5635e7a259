"""Devices without hardware, and files of the host that a program is given."""

import errno
import io
import os

import numpy as np
import pytest

from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.kernel.vfs.device import mount_dev
from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag

from ..machines import RW
from .path_world import BUFFER, START, ModelPrograms, entries, plant, snapshot

FDCWD, RDWR = -100, OpenFlag.RDWR


class World:
    def __init__(self, root=None, seed=1):
        self.machine = ModelPrograms()
        self.calls = self.machine.calls
        self.system = FileSystem(root, lambda: START)
        mount_dev(self.system, np.random.default_rng(seed))
        self.process = self.machine.start(self.system)

    def open(self, path, flags=RDWR):
        return self.calls.openat(FDCWD, path, flags)

    def read(self, fd, count):
        count = self.calls.read(fd, BUFFER, count)
        return self.machine.load(BUFFER, count) if count >= 0 else count


@pytest.fixture
def world():
    made = World()
    with made.system:
        yield made
        made.machine.kernel.check()


def test_each_device_does_what_it_is_there_for(world):
    null, zero, full = (world.open(b"/dev/" + name) for name in (b"null", b"zero", b"full"))
    world.machine.store(BUFFER, b"x" * 5000)
    assert [world.calls.write(fd, BUFFER, 5000) for fd in (null, zero, full)] == [
        5000, 5000, -errno.ENOSPC]
    assert [world.read(fd, 3) for fd in (null, zero, full)] == [b"", bytes(3), bytes(3)]
    assert world.calls.read(zero, BUFFER, 20000) == 20000
    assert world.calls.lseek(null, 7, 0) == 0
    assert world.open(b"/dev/tty") == -errno.ENXIO


def test_random_bytes_come_from_the_seed():
    drawn = []
    for seed in (1, 1, 2):
        world = World(seed=seed)
        fd = world.open(b"/dev/urandom", 0)
        drawn.append((world.read(fd, 16), world.read(fd, 16)))
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0][0] != drawn[0][1]


def test_a_mapping_of_zero_is_anonymous(world):
    fd = world.open(b"/dev/zero")
    start = world.calls.mmap(0, 8192, RW, MapFlag.PRIVATE, fd)
    assert world.machine.load(start, 8192) == bytes(8192)
    assert world.calls.mmap(0, 1, RW, MapFlag.PRIVATE, world.open(b"/dev/null")) == -errno.ENODEV
    assert world.calls.mmap(0, 1, 1, MapFlag.PRIVATE, world.open(b"/", 0)) == -errno.ENODEV


def test_what_the_host_has_in_dev_is_covered(tmp_path):
    (plant(tmp_path) / "dev").mkdir()
    os.mknod(tmp_path / "dev" / "mine", 0o100644)
    before = snapshot(tmp_path)
    world = World(tmp_path)
    with world.system:
        assert world.open(b"/dev/mine", 0) == -errno.ENOENT
        assert world.calls.unlinkat(FDCWD, b"/dev", 0x200) == -errno.EBUSY
        assert world.calls.renameat2(FDCWD, b"/dev", FDCWD, b"/x") == -errno.EBUSY
        assert world.calls.renameat2(FDCWD, b"/b", FDCWD, b"/dev/b") == -errno.EXDEV
        fd = world.open(b"/dev", 0)
        names = entries(world.machine.load(
            BUFFER, world.calls.getdents64(fd, BUFFER, 4096)))
        assert ("null", 2) in names
        assert ("shm", 4) in names
        assert world.open(b"/dev/shm/made", OpenFlag.CREAT) >= 0
    assert snapshot(tmp_path) == before


def test_standard_files_are_the_callers(world):
    stdin, stdout = io.BytesIO(b"line 1\nline 2\n"), io.BytesIO()
    world.calls.give_files(world.process, stdin, stdout, stdout)
    assert world.read(0, 7) == b"line 1\n"
    assert stdin.tell() == 7
    assert world.calls.lseek(0, 0, 2) == 14
    assert world.read(0, 7) == b""
    world.machine.store(BUFFER, b"words")
    assert [world.calls.write(fd, BUFFER, 5) for fd in (1, 2, 0)] == [5, 5, -errno.EBADF]
    assert stdout.getvalue() == b"wordswords"
    assert world.calls.read(1, BUFFER, 1) == -errno.EBADF
    assert world.calls.ioctl(1, 0x5401, BUFFER) == -errno.ENOTTY


def test_a_given_file_of_the_host_says_what_it_is(world, tmp_path):
    (tmp_path / "in").write_bytes(b"x" * 300)
    with (tmp_path / "in").open("rb") as stdin:
        world.calls.give_files(world.process, stdin, None, None)
        assert world.calls.fstat(0, BUFFER) == 0
        held = world.machine.load(BUFFER, 144)
        found = os.fstat(stdin.fileno())
        assert int.from_bytes(held[8:16], "little") == found.st_ino
        assert int.from_bytes(held[48:56], "little") == 300


def test_a_reader_that_went_away_breaks_the_output(world):
    reader, writer = os.pipe()
    broken = []
    world.calls.broken_pipe = broken.append
    with os.fdopen(writer, "wb", buffering=0) as stdout:
        world.calls.give_files(world.process, None, stdout, None)
        os.close(reader)
        assert world.calls.write(1, BUFFER, 5) == -errno.EPIPE
    assert broken == [world.process]
