"""Times, owners and attributes of files."""

import errno
from struct import pack

import pytest

from pagewalk.model.address_space.exec_arguments import Credentials
from pagewalk.model.kernel.vfs.file_system import FileSystem

from ..vfs.path_world import BUFFER, START, ModelPrograms, plant

FDCWD, NOW, OMIT, NSEC = -100, (1 << 30) - 1, (1 << 30) - 2, 10 ** 9


class World:
    def __init__(self, place, uid=0):
        self.machine = ModelPrograms()
        self.calls = self.machine.calls
        plant(place).chmod(0o755)
        self.process = self.machine.start(FileSystem(place, lambda: START), uid)

    def times(self, *words, wide=True):
        self.machine.store(BUFFER, pack("<4q" if wide else "<4i", *words))
        return self.calls.utimensat(FDCWD, b"a/f", BUFFER, 0, wide=wide)

    @property
    def node(self):
        return self.process.fs.root.lookup(b"a").lookup(b"f")


@pytest.mark.parametrize("wide", [True, False])
def test_times_are_set_kept_or_now(tmp_path, wide):
    world = World(tmp_path)
    before = world.node.modified
    assert world.times(5, 7, 0, OMIT, wide=wide) == 0
    assert (world.node.accessed, world.node.modified) == (5 * NSEC + 7, before)
    assert world.node.changed == START
    assert world.times(0, OMIT, 0, NOW, wide=wide) == 0
    assert (world.node.accessed, world.node.modified) == (5 * NSEC + 7, START)
    assert world.times(0, NSEC, 0, 0, wide=wide) == -errno.EINVAL
    assert world.times(-3, 0, 0, 0, wide=wide) == 0
    assert world.node.accessed == -3 * NSEC


def test_who_may_set_them(tmp_path):
    world = World(tmp_path, uid=7)
    assert world.times(5, 7, 0, OMIT) == -errno.EPERM
    assert world.times(0, NOW, 0, NOW) == -errno.EACCES
    assert world.calls.fchmodat(FDCWD, b"a/f", 0o777) == -errno.EPERM
    assert world.calls.fchownat(FDCWD, b"a/f", 7, -1) == -errno.EPERM


def test_there_are_no_extended_attributes(tmp_path):
    world = World(tmp_path)
    assert world.calls.getxattr(b"m") == world.calls.getxattr(b"n", follow=False) == (
        -errno.EOPNOTSUPP)
    assert world.calls.getxattr(b"missing") == -errno.ENOENT
    assert world.calls.listxattr(b"a/f") == 0
    assert world.calls.listxattr(b"n") == -errno.ELOOP
    assert world.calls.fgetxattr(9) == -errno.EBADF


def test_further_groups_give_rights(tmp_path):
    world = World(tmp_path, uid=7)
    assert world.node.mode & 0o777 == 0o640
    assert world.calls.faccessat2(FDCWD, b"a/f", 4) == -errno.EACCES
    world.process.credentials = Credentials(7, 7, 7, 7, groups=(3, 1000))
    assert world.calls.faccessat2(FDCWD, b"a/f", 4) == 0
    assert world.calls.faccessat2(FDCWD, b"a/f", 2) == -errno.EACCES
    world.node.uid = 7
    assert world.calls.fchownat(FDCWD, b"a/f", -1, 3) == 0
    assert world.calls.fchownat(FDCWD, b"a/f", -1, 4) == -errno.EPERM
    assert world.node.gid == 3


def test_times_are_set_without_memory_of_the_program(tmp_path):
    world = World(tmp_path)
    assert world.calls.utimes(FDCWD, b"a/f", 5 * NSEC, 7 * NSEC) == 0
    assert (world.node.accessed, world.node.modified) == (5 * NSEC, 7 * NSEC)
    assert world.calls.utimes(FDCWD, b"missing", 0, 0) == -errno.ENOENT
