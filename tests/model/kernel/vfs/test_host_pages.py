"""Files of the host larger than memory: read, mapped and changed, beside plain bytes."""

import errno

import numpy as np
import pytest

from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.x86 import IA32, X86_64

from ..machines import RW
from .path_world import BUFFER, START, ModelPrograms

FDCWD, PAGE, PAGES = -100, 4096, 6000
MODES = [IA32, X86_64]


class World:
    """A file of 24 Mbytes on a machine of 16."""

    def __init__(self, place, mode, seed):
        self.rng = np.random.default_rng(seed)
        self.content = self.rng.bytes(PAGES * PAGE - 100)
        (place / "file").write_bytes(self.content)
        self.plain = bytearray(self.content)
        self.machine = ModelPrograms(16, mode)
        self.system = FileSystem(place, lambda: START)
        self.process = self.machine.start(self.system)
        self.calls = self.machine.calls
        self.fd = self.calls.openat(FDCWD, b"file", OpenFlag.RDWR)

    def step(self):
        at, size = int(self.rng.integers(len(self.plain) - 8192)), int(self.rng.integers(1, 8192))
        choice = int(self.rng.integers(4))
        if choice == 0:
            data = self.rng.bytes(size)
            self.machine.store(BUFFER, data)
            assert self.calls.pwrite(self.fd, BUFFER, size, at) == size
            self.plain[at : at + size] = data
        elif choice == 1:
            start = self.mapped(at, MapFlag.SHARED)
            data = self.rng.bytes(100)
            self.machine.store(start, data)
            self.calls.munmap(start, PAGE)
            at &= -PAGE
            self.plain[at : at + 100] = data
        elif choice == 2:
            start = self.mapped(at, MapFlag.PRIVATE)
            at &= -PAGE
            assert self.machine.load(start, PAGE) == self.plain[at : at + PAGE]
            self.machine.store(start, b"private")
            self.calls.munmap(start, PAGE)
        else:
            assert self.calls.pread(self.fd, BUFFER, size, at) == size
            assert self.machine.load(BUFFER, size) == self.plain[at : at + size]

    def mapped(self, at, kind):
        start = self.calls.mmap(0, PAGE, RW, kind, self.fd, at & -PAGE)
        assert start > 0
        return start


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("seed", range(2))
def test_contents_are_right_while_pages_come_and_go(tmp_path, mode, seed):
    world = World(tmp_path, mode, seed)
    with world.system:
        for at in range(0, PAGES * PAGE, 8 * PAGE):  # all of it goes through memory
            world.calls.pread(world.fd, BUFFER, 8192, at)
        for _ in range(300):
            world.step()
        world.machine.kernel.check()
        assert len(world.machine.kernel.state.page_cache) < PAGES
    assert (tmp_path / "file").read_bytes() == world.content


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_only_what_is_used_is_read(tmp_path, mode):
    (tmp_path / "file").write_bytes(bytes(100 << 20))
    machine = ModelPrograms(16, mode)
    with FileSystem(tmp_path, lambda: START) as system:
        machine.start(system)
        fd = machine.calls.openat(FDCWD, b"file", OpenFlag.LARGEFILE)
        cache = machine.kernel.state.page_cache
        assert machine.calls.pread(fd, BUFFER, 5, 99 << 20) == 5
        assert len(cache) == 1
        cache.drop_clean()
        assert len(cache) == 0
        machine.kernel.check()


def test_a_file_without_names_and_users_is_gone(tmp_path):
    """Its pages go when the last number and the last mapping of it have gone."""
    machine = ModelPrograms()
    with FileSystem(tmp_path, lambda: START) as system:
        machine.start(system)
        call, kernel = machine.calls, machine.kernel
        fd = call.openat(FDCWD, b"new", OpenFlag.CREAT | OpenFlag.RDWR)
        assert call.write(fd, BUFFER, 8192) == 8192
        start = call.mmap(0, PAGE, RW, MapFlag.SHARED, fd)
        assert call.unlinkat(FDCWD, b"new") == 0
        assert call.close(fd) == 0
        assert len(kernel.state.page_cache) == 2
        kernel.check()
        assert call.munmap(start, PAGE) == 0
        assert (len(kernel.state.page_cache), kernel.files.inodes) == (0, {})
        kernel.check()


def test_a_file_that_loses_its_name_when_nobody_has_it_is_gone(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    machine = ModelPrograms()
    with FileSystem(tmp_path, lambda: START) as system:
        machine.start(system)
        call = machine.calls
        fd = call.openat(FDCWD, b"file", 0)
        assert call.read(fd, BUFFER, 1) == 1
        assert call.close(fd) == 0
        assert len(machine.kernel.state.page_cache) == 1
        assert call.renameat2(FDCWD, b"file", FDCWD, b"other", 0) == 0
        assert len(machine.kernel.state.page_cache) == 1
        assert call.unlinkat(FDCWD, b"other") == 0
        assert len(machine.kernel.state.page_cache) == 0
        machine.kernel.check()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_a_file_that_shrinks_on_the_host_is_like_one_on_a_broken_disk(tmp_path, mode):
    (tmp_path / "file").write_bytes(b"x" * 4 * PAGE)
    system = FileSystem(tmp_path, lambda: START)
    machine = ModelPrograms(16, mode)
    machine.start(system)
    with system:
        fd = machine.calls.openat(FDCWD, b"file", 0)
        start = machine.calls.mmap(0, 4 * PAGE, 1, MapFlag.PRIVATE, fd, 0)
        assert machine.calls.pread(fd, BUFFER, 10, 0) == 10
        (tmp_path / "file").write_bytes(b"x" * (2 * PAGE + 1))
        assert machine.calls.pread(fd, BUFFER, 10, 0) == 10
        assert machine.calls.pread(fd, BUFFER, PAGE, PAGE) == PAGE
        assert machine.calls.pread(fd, BUFFER, PAGE, 2 * PAGE) == -errno.EIO
        assert machine.calls.pread(fd, BUFFER, PAGE, 3 * PAGE) == -errno.EIO
        assert machine.load(start, PAGE) == b"x" * PAGE
        with machine.kernel.acting(machine.kernel.current):
            assert machine.calls.user.copy_from_user(start + PAGE, 3 * PAGE)[1] == 2 * PAGE
        machine.kernel.check()
