"""A folder of the host with all kinds of things in it, and programs of calls on the model there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from pagewalk.model.address_space.exec_arguments import Credentials
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.x86 import X86_64

from ..machines import ANON, MIB, RW

NATIVE = Path(__file__).with_name("native_paths.py")
BUFFER, PATHS = 1 << 20, (1 << 20) + 8192
START = 1_700_000_000 * 10 ** 9
UIDS = (0, 1000)


def plant(folder: Path) -> Path:
    """Make a folder with files, folders, and links within it, out of it, in circles, to nothing."""
    (folder / "a" / "d").mkdir(parents=True)
    (folder / "e").mkdir()
    (folder / "b").write_bytes(b"hello")
    (folder / "a" / "f").write_bytes(bytes(range(256)) * 40)
    (folder / "a" / "d" / "g").write_bytes(b"")
    for name, text in (("l", "a"), ("m", "a/f"), ("n", "n"), ("o", "missing"), ("abs", "/a/d"),
                       ("s", "a/d/"), ("a/up", ".."), ("out", "/../../b"), ("a/self", ".")):
        (folder / name).symlink_to(text)
    os.link(folder / "b", folder / "a" / "h")
    (folder / "e").chmod(0o700)
    (folder / "a" / "f").chmod(0o640)
    for name in ("a", "a/f", ".", "a/d", "a/d/g"):
        os.chown(folder / name, 1000, 1000)
    return folder


def snapshot(folder: Path) -> list[tuple[object, ...]]:
    """All that is to be seen of a folder, but when it was last read."""
    found = []
    for at, folders, files in os.walk(folder):
        for name in sorted([*folders, *files, "."]):
            path = Path(at, name)
            one = path.lstat()
            held = path.readlink() if path.is_symlink() else (
                path.read_bytes() if path.is_file() else None)
            found.append((str(path), one.st_mode, one.st_nlink, one.st_uid, one.st_size,
                          one.st_mtime_ns, one.st_ctime_ns, held))
    return sorted(found, key=str)


class ModelPrograms:
    """Runs programs of calls on the model, each with a process of its own."""

    def __init__(self, mbytes: int = 32, mode=X86_64) -> None:
        self.kernel = Kernel.boot(mode, mbytes * MIB)
        self.calls = SystemCalls(self.kernel)

    def start(self, system: FileSystem, uid: int = 0):
        kernel = self.kernel
        process = kernel.spawn("program", credentials=Credentials(uid, uid, uid, uid),
                               privileged=not uid)
        process.fs = system.start()
        kernel.switch(process)
        assert self.calls.mmap(BUFFER, 32768, RW, ANON | MapFlag.FIXED) == BUFFER
        return process

    def call(self, name, *arguments):
        words, at = [], PATHS
        for one in arguments:
            if one == "BUFFER":
                words.append(BUFFER)
            elif isinstance(one, str):
                self.store(at, os.fsencode(one) + b"\0")
                words.append(at)
                at += 6000
            else:
                words.append(one)
        writes = name in ("write", "pwrite")
        self.store(BUFFER, bytes(range(256)) * 32 if writes else bytes(8192))
        result = getattr(self.calls, name)(*words)
        held = result >= 0 and "BUFFER" in arguments and not writes
        return [result, self.load(BUFFER, 8192).hex() if held else ""]

    def store(self, address: int, data: bytes) -> None:
        with self.kernel.acting(self.kernel.current):
            assert not self.calls.user.copy_to_user(address, data)

    def load(self, address: int, size: int) -> bytes:
        with self.kernel.acting(self.kernel.current):
            data, left = self.calls.user.copy_from_user(address, size)
        assert not left
        return data

    def run(self, root: Path, uid: int, calls) -> list[list[object]]:
        with FileSystem(root, lambda: START) as system:
            process = self.start(system, uid)
            results = [self.call(*one) for one in calls]
            self.kernel.check()
            self.kernel.exit(process)
        return results


class NativePrograms:
    """Runs programs of calls on the kernel of this machine."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, str(NATIVE)], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> "NativePrograms":
        return self

    def __exit__(self, *_) -> None:
        self._process.communicate()

    def run(self, root: Path, uid: int, calls) -> list[list[object]]:
        program = {"root": str(root), "uid": uid, "calls": calls}
        self._process.stdin.write(json.dumps(program) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def plain(name: str, answer: list[object]) -> object:
    """What both kernels must agree on of an answer: no inodes, times, sizes of folders."""
    result, held = answer[0], bytes.fromhex(answer[1])
    if result < 0:
        return result
    if name in ("newfstatat", "fstat"):
        links, mode, uid, gid = (int.from_bytes(held[at : at + size], "little")
                                 for at, size in ((16, 8), (24, 4), (28, 4), (32, 4)))
        is_folder = mode >> 12 == 4
        size = 0 if is_folder else int.from_bytes(held[48:56], "little")
        return 0 if is_folder else links, oct(mode), uid, gid, size
    if name == "statx":
        links, uid, gid = (int.from_bytes(held[at : at + 4], "little") for at in (16, 20, 24))
        mode, size = int.from_bytes(held[28:30], "little"), int.from_bytes(held[40:48], "little")
        is_folder = mode >> 12 == 4
        return 0 if is_folder else (links, size), mode, uid, gid
    if name == "getdents64":
        return entries(held[:result])
    if name in ("lseek",):
        return result
    return result, held


def entries(data: bytes) -> list[tuple[str, int]]:
    """The names of a listing and their kinds, in order of the names."""
    found = []
    while data:
        size = int.from_bytes(data[16:18], "little")
        found.append((data[19:size].split(b"\0")[0].decode(), data[18]))
        data = data[size:]
    return sorted(found)


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)
