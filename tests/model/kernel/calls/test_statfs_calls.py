"""What programs are told of file systems."""

import errno
from struct import unpack

import pytest

from pagewalk.model.kernel.proc.proc_tree import mount_proc
from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.x86 import IA32, X86_64

from ..vfs.path_world import BUFFER, START, ModelPrograms

LONG, SHORT, WIDE = "<2q5q2i3q32x", "<2i5i2i3i16x", "<2i5q2i3i16x"
TMPFS, PIPEFS, PROC = 0x0102_1994, 0x5049_5045, 0x9FA0


class World:
    def __init__(self, mode):
        self.machine = ModelPrograms(mode=mode)
        self.calls = self.machine.calls
        self.system = FileSystem(None, lambda: START)
        self.machine.start(self.system)

    def told(self, form, size):
        return unpack(form, self.machine.load(BUFFER, size))


@pytest.mark.parametrize(("mode", "form", "size"), [(X86_64, LONG, 120), (IA32, SHORT, 64)])
def test_a_file_system_is_half_of_memory(mode, form, size):
    world = World(mode)
    assert world.calls.statfs(b"/", BUFFER) == 0
    kind, block, total, free, free_too, *_, longest, fragment, _ = world.told(form, size)
    assert (kind, block, fragment, longest) == (TMPFS, 4096, 4096, 255)
    assert 0 < free == free_too <= total < (32 << 20) // 4096


def test_the_wider_form_says_the_same():
    world = World(IA32)
    world.calls.statfs(b"/", BUFFER)
    short = world.told(SHORT, 64)
    assert world.calls.statfs64(b"/", 84, BUFFER) == 0
    assert world.told(WIDE, 84) == short
    assert world.calls.statfs64(b"/", 85, BUFFER) == -errno.EINVAL
    assert world.calls.fstatfs64(9, 84, BUFFER) == -errno.EBADF


def test_each_kind_has_its_number():
    world = World(X86_64)
    mount_proc(world.system, world.machine.kernel)
    assert world.calls.statfs(b"/proc/meminfo", BUFFER) == 0
    assert world.told(LONG, 120)[0] == PROC
    assert world.calls.pipe2(BUFFER) == 0
    assert world.calls.fstatfs(0, BUFFER) == 0
    assert world.told(LONG, 120)[0] == PIPEFS
    assert world.calls.statfs(b"/nowhere", BUFFER) == -errno.ENOENT
    assert world.calls.statfs(b"/", 5) == -errno.EFAULT
    assert world.calls.syncfs(0) == 0
    assert world.calls.syncfs(9) == -errno.EBADF
