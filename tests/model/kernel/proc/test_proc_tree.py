"""/proc as programs see it."""

import errno
import io
import os

import pytest

from pagewalk.model.address_space.maps_text import maps_text
from pagewalk.model.kernel.proc.meminfo import meminfo
from pagewalk.model.kernel.proc.proc_tree import mount_proc
from pagewalk.model.kernel.proc.smaps import smaps
from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag

from ..vfs.path_world import BUFFER, START, ModelPrograms, entries, plant, snapshot

FDCWD = -100


class World:
    def __init__(self, place):
        (place / "secret").write_text("secret")
        self.place, self.root = place, plant(place / "root")
        self.before = snapshot(place)
        self.machine = ModelPrograms()
        self.calls, self.kernel = self.machine.calls, self.machine.kernel
        self.system = FileSystem(self.root, lambda: START)
        mount_proc(self.system, self.kernel)
        self.process = self.machine.start(self.system)

    def open(self, path, flags=0):
        return self.calls.openat(FDCWD, path, flags)

    def read(self, path):
        fd = self.open(path)
        assert fd >= 0, os.strerror(-fd)
        found = b""
        while True:
            count = self.calls.read(fd, BUFFER, 1000)
            if count <= 0:
                break
            found += self.machine.load(BUFFER, count)
        assert count == 0
        assert self.calls.close(fd) == 0
        return found.decode()

    def names(self, path):
        fd = self.open(path)
        data = self.machine.load(BUFFER, self.calls.getdents64(fd, BUFFER, 8192))
        self.calls.close(fd)
        return [name for name, _ in entries(data)]

    def link(self, path):
        count = self.calls.readlinkat(FDCWD, path, BUFFER, 4096)
        return self.machine.load(BUFFER, count) if count >= 0 else count


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    with made.system:
        yield made
        made.kernel.check()
    assert snapshot(tmp_path) == made.before


def test_a_process_finds_itself(world):
    pid = world.process.pid
    assert world.link(b"/proc/self") == b"%d" % pid
    assert world.read(b"/proc/self/maps") == maps_text(world.process.mm)
    assert world.read(b"/proc/self/comm") == "program\n"
    assert f"Pid:\t{pid}\n" in world.read(b"/proc/self/status")
    assert "maps" in world.names(b"/proc/self")
    assert str(pid) in world.names(b"/proc")


def test_the_machine_is_there(world):
    assert world.read(b"/proc/meminfo")  # the buffer is there then
    assert world.read(b"/proc/meminfo") == meminfo(world.kernel)
    assert world.read(b"/proc/self/smaps") == smaps(world.kernel.state, world.process)
    assert world.read(b"/proc/sys/vm/max_map_count") == "65530\n"
    fd = world.open(b"/proc/sys/vm/max_map_count", OpenFlag.WRONLY)
    world.machine.store(BUFFER, b"1234\n")
    assert world.calls.write(fd, BUFFER, 5) == 5
    assert world.kernel.space.max_map_count == 1234


def test_the_figures_of_statm_are_those_of_status(world):
    assert world.read(b"/proc/self/statm")  # the buffer is there then
    size, resident, shared, text, _, data, _ = map(int, world.read(b"/proc/self/statm").split())
    lines = dict(line.split(":", 1) for line in world.read(b"/proc/self/status").splitlines())

    def pages(*names):
        return sum(int(lines[name].split()[0]) for name in names) // 4
    assert (size, shared) == (pages("VmSize"), pages("RssFile", "RssShmem"))
    assert resident == pages("VmRSS") > 0
    assert (text, data) == (pages("VmExe"), pages("VmData", "VmStk"))


def test_others_are_found_as_long_as_they_live(world):
    child = world.kernel.fork(world.process)
    path = b"/proc/%d/maps" % child.pid
    assert world.read(path) == maps_text(child.mm)
    fd = world.open(path)
    world.kernel.exit(child)
    assert world.calls.read(fd, BUFFER, 10) == -errno.ESRCH
    assert world.open(path) == -errno.ENOENT


def test_open_files_are_links(world):
    fd = world.open(b"/a/f", OpenFlag.RDWR)
    assert world.link(b"/proc/self/fd/%d" % fd) == b"/a/f"
    again = world.open(b"/proc/self/fd/%d" % fd)
    assert world.calls.read(again, BUFFER, 4) == 4
    assert world.calls.unlinkat(FDCWD, b"/a/f") == 0
    assert world.link(b"/proc/self/fd/%d" % fd) == b"/a/f (deleted)"
    last = world.open(b"/proc/self/fd/%d" % fd)
    assert world.calls.read(last, BUFFER, 4) == 4
    assert world.calls.pipe2(BUFFER) == 0
    assert world.link(b"/proc/self/fd/%d" % (last + 1)).startswith(b"pipe:[")
    assert world.open(b"/proc/self/fd/77") == -errno.ENOENT
    world.calls.give_files(world.process, io.BytesIO(b"in"), None, None)
    assert world.read(b"/proc/self/fd/0") == "in"


@pytest.mark.parametrize("path", [
    b"/proc/self/root/../secret", b"/proc/self/cwd/../secret", b"/proc/self/fd/0/../../secret",
    b"/proc/self/root/../../secret"])
def test_no_link_of_proc_leads_out(world, path):
    assert world.open(b"/") == 0
    assert world.open(path) == -errno.ENOENT
    assert world.open(b"/proc/self/root/b") >= 0


def test_nobody_changes_names_in_proc(world):
    for result in (
            world.calls.mkdirat(FDCWD, b"/proc/made", 0o777),
            world.calls.unlinkat(FDCWD, b"/proc/meminfo"),
            world.calls.renameat2(FDCWD, b"/proc/meminfo", FDCWD, b"/proc/x"),
            world.calls.symlinkat(b"x", FDCWD, b"/proc/self/x")):
        assert result == -errno.EPERM
    assert world.open(b"/proc/made", OpenFlag.CREAT) == -errno.EACCES
    assert world.calls.linkat(FDCWD, b"/proc/meminfo", FDCWD, b"/x") == -errno.EXDEV
