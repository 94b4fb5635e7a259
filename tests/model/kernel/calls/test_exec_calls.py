"""execve of paths: programs of this machine, and scripts that run them."""

import errno
from pathlib import Path
from struct import pack

import pytest

from pagewalk.model.kernel.proc.proc_tree import mount_proc
from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag

from ..vfs.path_world import BUFFER, START, ModelPrograms

FDCWD = -100
TRUE = Path("/bin/true")


class World:
    def __init__(self):
        self.machine = ModelPrograms()
        self.calls, self.kernel = self.machine.calls, self.machine.kernel
        self.system = FileSystem(Path("/"), lambda: START)
        mount_proc(self.system, self.kernel)
        self.process = self.machine.start(self.system)

    def execve(self, path, *argv):
        strings, at = [], BUFFER + 4096
        for one in argv:
            self.machine.store(at, one + b"\0")
            strings.append(at)
            at += len(one) + 1
        self.machine.store(BUFFER, pack(f"<{len(strings) + 1}Q", *strings, 0))
        return self.calls.execveat(FDCWD, path, BUFFER, 0)

    def write(self, path, text, mode):
        fd = self.calls.openat(FDCWD, path, OpenFlag.CREAT | OpenFlag.WRONLY, mode)
        self.machine.store(BUFFER, text)
        assert self.calls.write(fd, BUFFER, len(text)) == len(text)
        assert self.calls.close(fd) == 0

    def read(self, path):
        fd = self.calls.openat(FDCWD, path, 0)
        with self.kernel.acting(self.process):
            return self.process.files.get(fd).stream.look(10000)


@pytest.fixture
def world():
    made = World()
    with made.system:
        yield made
        made.kernel.check()
        made.kernel.exit(made.process)


@pytest.mark.skipif(not TRUE.exists(), reason="no /bin/true")
def test_a_program_of_the_host_is_mapped_from_its_file(world):
    assert world.execve(b"/bin/true", b"true", b"x y") == 0
    names = {vma.file.name for vma in world.process.mm.tree if vma.file is not None}
    assert str(TRUE.resolve()) in names
    assert world.read(b"/proc/self/cmdline") == b"true\0x y\0"
    assert world.read(b"/proc/self/comm") == b"true\n"
    assert str(TRUE.resolve()).encode() in world.read(b"/proc/self/maps")
    for vma in world.process.mm.tree:
        if vma.file is not None and vma.anon_vma is None and vma.file.name == str(TRUE.resolve()):
            held = TRUE.read_bytes()[vma.pgoff * 4096 :][: vma.end - vma.start]
            assert world.machine.load(vma.start, len(held)) == held


@pytest.mark.skipif(not TRUE.exists(), reason="no /bin/true")
def test_a_script_that_was_just_written_runs(world):
    world.write(b"/script", b"#!/bin/true  an argument\n", 0o755)
    assert world.execve(b"/script", b"name", b"x") == 0
    assert world.read(b"/proc/self/cmdline") == b"/bin/true\0an argument\0/script\0x\0"
    assert not Path("/script").exists()


def test_what_cannot_run(world):
    world.write(b"/text", b"some words\n", 0o755)
    world.write(b"/mine", b"#!/bin/true\n", 0o644)
    assert world.execve(b"/text") == -errno.ENOEXEC
    assert world.execve(b"/mine") == world.execve(b"/") == -errno.EACCES
    assert world.execve(b"/missing") == world.execve(b"") == -errno.ENOENT
    assert world.calls.execveat(FDCWD, b"/text", 8, 0) == -errno.EFAULT
