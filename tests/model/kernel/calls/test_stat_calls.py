"""What files are, in the memory of programs of 64 and 32 bits, where the headers of Linux have it.

[arch/x86/include/uapi/asm/stat.h, include/uapi/linux/stat.h, include/linux/dirent.h]
"""

import errno
import os

import pytest

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.x86 import IA32, X86_64

from ..vfs.path_world import BUFFER, START, ModelPrograms, entries, plant

FDCWD = -100
# Name in os.stat_result: place and size in struct stat of x86-64, and struct stat64 of i386.
PLACES = {
    "st_ino": ((8, 8), (88, 8)), "st_nlink": ((16, 8), (20, 4)), "st_mode": ((24, 4), (16, 4)),
    "st_uid": ((28, 4), (24, 4)), "st_gid": ((32, 4), (28, 4)), "st_size": ((48, 8), (44, 8)),
    "st_blksize": ((56, 8), (52, 4)), "st_blocks": ((64, 8), (56, 8)), "st_dev": ((0, 8), (0, 8)),
}
MTIME = ((88, 8), (72, 4))
STATX = {"st_nlink": (16, 4), "st_uid": (20, 4), "st_gid": (24, 4), "st_mode": (28, 2),
         "st_ino": (32, 8), "st_size": (40, 8), "st_blocks": (48, 8)}
BOTH = pytest.mark.parametrize("mode", [X86_64, IA32], ids=lambda mode: mode.name)


class World:
    def __init__(self, place, mode):
        self.machine = ModelPrograms(32, mode)
        self.calls = self.machine.calls
        self.root = plant(place)
        self.process = self.machine.start(FileSystem(place, lambda: START))

    def number(self, place):
        return int.from_bytes(self.machine.load(BUFFER + place[0], place[1]), "little")


@BOTH
@pytest.mark.parametrize("name", ["a/f", "b", "a", "m", "l", "n"])
def test_files_of_the_host_are_what_the_host_says(tmp_path, mode, name):
    world, found = World(tmp_path, mode), (tmp_path / name).lstat()
    which = mode is IA32
    assert world.calls.newfstatat(FDCWD, name.encode(), BUFFER, 0x100) == 0
    for field, places in PLACES.items():
        if field != "st_blksize":
            assert world.number(places[which]) == getattr(found, field), field
    seconds, nanoseconds = MTIME[which], (MTIME[which][0] + MTIME[which][1], MTIME[which][1])
    assert world.number(seconds) * 10 ** 9 + world.number(nanoseconds) == found.st_mtime_ns
    assert world.calls.statx(FDCWD, name.encode(), 0x100, 0xFFF, BUFFER) == 0
    for field, place in STATX.items():
        assert world.number(place) == getattr(found, field), field
    assert world.number((136, 4)) == os.major(found.st_dev)
    assert world.number((140, 4)) == os.minor(found.st_dev)


@BOTH
def test_folders_are_listed_in_pieces(tmp_path, mode):
    world = World(tmp_path, mode)
    fd = world.calls.openat(FDCWD, b"/", OpenFlag.DIRECTORY)
    found = []
    while True:
        count = world.calls.getdents64(fd, BUFFER, 100)
        if not count:
            break
        found += entries(world.machine.load(BUFFER, count))
    names = {name for name, _ in found}
    assert names == {*(one.name for one in tmp_path.iterdir()), ".", ".."}
    assert len(found) == len(names)
    assert world.calls.lseek(fd, 0, 0) == 0
    assert world.calls.getdents64(fd, BUFFER, 20) == -errno.EINVAL


@BOTH
def test_names_that_go_while_a_folder_is_read_are_not_seen_any_more(tmp_path, mode):
    world = World(tmp_path, mode)
    fd = world.calls.openat(FDCWD, b"/", OpenFlag.DIRECTORY)
    seen = entries(world.machine.load(BUFFER, world.calls.getdents64(fd, BUFFER, 60)))
    gone = sorted({"b", "l", "m", "n", "o"} - {name for name, _ in seen})
    for name in gone:
        assert world.calls.unlinkat(FDCWD, name.encode()) == 0
    seen += entries(world.machine.load(BUFFER, world.calls.getdents64(fd, BUFFER, 4096)))
    assert sorted(name for name, _ in seen) == sorted(
        {*(one.name for one in tmp_path.iterdir()), ".", ".."} - {*gone})


@BOTH
def test_the_older_form_of_a_listing(tmp_path, mode):
    world, word = World(tmp_path, mode), mode.vaddr_bits // 8
    fd = world.calls.openat(FDCWD, b"/a", OpenFlag.DIRECTORY)
    count = world.calls.getdents(fd, BUFFER, 4096)
    data, found = world.machine.load(BUFFER, count), {}
    while data:
        size = int.from_bytes(data[2 * word : 2 * word + 2], "little")
        name = data[2 * word + 2 : size].split(b"\0")[0].decode()
        found[name] = data[size - 1]
        data = data[size:]
    assert found == {".": 4, "..": 4, "d": 4, "f": 8, "h": 8, "up": 10, "self": 10}


@BOTH
def test_a_large_file_needs_a_flag_on_32_bits(tmp_path, mode):
    world = World(tmp_path, mode)
    assert world.calls.truncate(b"/b", 1 << 31) == 0
    small = world.calls.openat(FDCWD, b"/b", 0)
    assert small == (-errno.EOVERFLOW if mode is IA32 else 0)
    assert world.calls.openat(FDCWD, b"/b", OpenFlag.LARGEFILE) >= 0
