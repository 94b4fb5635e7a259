"""Nothing leads out of the root folder, and nothing in the host's folders changes."""

import errno
import os
from pathlib import Path

import pytest

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag

from .path_world import START, ModelPrograms, entries, plant, snapshot

FDCWD = -100
CREATE = OpenFlag.CREAT | OpenFlag.WRONLY | OpenFlag.TRUNC


class Jail:
    """A folder of secrets with the root of a program in it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        (place / "secret").write_text("secret")
        self.root = plant(place / "root")
        for name, text in (("out1", "../secret"), ("out2", str(place / "secret")),
                           ("out3", "a/d/../../../secret"), ("folder", "..")):
            (self.root / name).symlink_to(text)
        os.mkfifo(self.root / "fifo")
        self.before = snapshot(place)
        self.machine = ModelPrograms()
        self.system = FileSystem(self.root, lambda: START)
        self.process = self.machine.start(self.system)

    def call(self, name, *arguments):
        return self.machine.call(name, *arguments)[0]


@pytest.fixture
def jail(tmp_path):
    made = Jail(tmp_path)
    with made.system:
        yield made
        made.machine.kernel.check()
    assert snapshot(tmp_path) == made.before


@pytest.mark.parametrize("path", [
    "../secret", "/../secret", "../../../secret", "out1", "out2", "out3", "folder/secret",
    "a/../../secret", "a/self/self/up/../secret"])
def test_no_path_leads_out(jail, path):
    assert jail.call("openat", FDCWD, path, 0, 0) == -errno.ENOENT
    assert jail.call("newfstatat", FDCWD, path, "BUFFER", 0) == -errno.ENOENT


@pytest.mark.parametrize("path", ["../secret", "out1", "b", "a/f", "/../secret"])
def test_what_is_written_stays_in_memory(jail, path):
    fd = jail.call("openat", FDCWD, path, CREATE, 0o644)
    assert fd >= 0
    assert jail.call("write", fd, "BUFFER", 100) == 100
    assert jail.call("close", fd) == 0
    fd = jail.call("openat", FDCWD, path, 0, 0)
    count, held = jail.machine.call("read", fd, "BUFFER", 200)
    assert (count, bytes.fromhex(held)[:100]) == (100, bytes(range(100)))


def test_folders_that_were_left_do_not_lead_out(jail):
    """A folder moves up while a process is deep in it."""
    assert jail.call("chdir", "a/d") == 0
    assert jail.call("renameat2", FDCWD, "/a/d", FDCWD, "/d", 0) == 0
    assert jail.call("openat", FDCWD, "../secret", 0, 0) == -errno.ENOENT
    assert jail.call("openat", FDCWD, "../../secret", 0, 0) == -errno.ENOENT
    fd = jail.call("openat", FDCWD, "../b", 0, 0)
    assert fd >= 0


def test_a_root_of_its_own_is_not_left_either(jail):
    """The root of a process may lie deeper than that of the file system."""
    fs = jail.process.fs
    fs.root = fs.folder = fs.root.lookup(b"a")
    for path in ("../b", "/../b", "d/../../b", "up/b", "/h/../../b"):
        assert jail.call("openat", FDCWD, path, 0, 0) < 0, path
    assert jail.call("openat", FDCWD, "/h", 0, 0) == 0
    count, held = jail.machine.call("getcwd", "BUFFER", 100)
    assert bytes.fromhex(held)[:count] == b"/\0"


def test_names_of_the_host_change_for_programs_alone(jail):
    for name, *arguments in (
            ("renameat2", FDCWD, "b", FDCWD, "a/f", 0), ("unlinkat", FDCWD, "l", 0),
            ("linkat", FDCWD, "a/f", FDCWD, "new", 0), ("mkdirat", FDCWD, "a/made", 0o777),
            ("fchmodat", FDCWD, "a", 0), ("truncate", "new", 1), ("unlinkat", FDCWD, "e", 0x200),
            ("symlinkat", "x", FDCWD, "b")):
        assert jail.call(name, *arguments) == 0, name
    assert jail.call("newfstatat", FDCWD, "e", "BUFFER", 0) == -errno.ENOENT


def test_what_is_no_file_of_the_host_is_never_opened(jail):
    assert jail.call("openat", FDCWD, "fifo", 0, 0) == -errno.EACCES
    assert jail.call("openat", FDCWD, "fifo", CREATE, 0) == -errno.EACCES
    assert jail.call("newfstatat", FDCWD, "fifo", "BUFFER", 0) == 0


@pytest.mark.parametrize("path", ["/proc", "/sys"])
def test_file_systems_that_show_the_host_itself_seem_empty(path):
    if not Path(path).is_mount():
        pytest.skip(f"{path} is not mounted here")
    machine = ModelPrograms()
    with FileSystem(Path("/"), lambda: START) as system:
        machine.start(system)
        assert machine.call("openat", FDCWD, path, 0, 0)[0] == 0
        count, held = machine.call("getdents64", 0, "BUFFER", 8192)
        assert [name for name, _ in entries(bytes.fromhex(held)[:count])] == [".", ".."]
        assert machine.call("openat", FDCWD, f"{path}/self/maps", 0, 0)[0] == -errno.ENOENT


@pytest.mark.parametrize("change", ["link", "fifo", "other"])
def test_a_file_that_another_takes_the_place_of_is_not_read(tmp_path, change):
    """The host changes between lookup and read: neither link nor device is followed."""
    jail = Jail(tmp_path)
    victim = jail.root / "a" / "f"
    with jail.system:
        assert jail.call("newfstatat", FDCWD, "a/f", "BUFFER", 0) == 0
        other = jail.place / "other"
        if change == "link":
            other.symlink_to(jail.place / "secret")
        elif change == "fifo":
            os.mkfifo(other)
        else:
            other.write_text("another")
        other.rename(victim)
        assert jail.call("openat", FDCWD, "a/f", 0, 0) in (-errno.EIO, -errno.ELOOP)


def test_a_folder_that_a_link_takes_the_place_of_is_not_entered(tmp_path):
    jail = Jail(tmp_path)
    with jail.system:
        assert jail.call("newfstatat", FDCWD, "a/d", "BUFFER", 0) == 0
        (jail.root / "a" / "d").rename(jail.root / "gone")
        (jail.root / "a" / "d").symlink_to(jail.place)
        assert jail.call("newfstatat", FDCWD, "a/d/secret", "BUFFER", 0) in (
            -errno.ENOENT, -errno.ENOTDIR, -errno.ELOOP)
