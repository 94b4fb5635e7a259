"""A memfd of the kernel that runs the tests, and one of the model, given the same calls."""

import ctypes
import errno
import os
import sys

from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.x86 import X86_64

from ..machines import ANON, PAGE, RW, machine

HAS_MEMFD = sys.platform == "linux" and hasattr(os, "memfd_create")
ALLOW_SEALING = 2
LAST = 20 * PAGE  # further on nothing is allocated: the memory is real
FAR = [-1, -5, (1 << 63) - 1, 1 << 45, 1 << 62]
NEAR = [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE, 5 * PAGE - 7, 8 * PAGE]
MODES = [0, 0, 1, 1, 3, 3, 3, 2, 4, 8, 16, 32, 64, 18]  # of fallocate; 9 is new in Linux 6.18


class NativeFile:
    """Calls with the same arguments; ``compare`` raises ``AssertionError`` where results differ."""

    def __init__(self, rng, *, sealable):
        self.rng = rng
        self.kernel, _, self.process = machine(X86_64, megabytes=32)
        self.calls = SystemCalls(self.kernel)
        self.buffer = self.calls.mmap(0, 64 * PAGE, RW, ANON)
        flags = ALLOW_SEALING if sealable else 0
        self.fd, self.model_fd = os.memfd_create("x", flags), self.calls.memfd_create("x", flags)
        self.sealable = sealable
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.lseek.restype = ctypes.c_int64

    def native(self, name, *arguments):
        result = getattr(self.libc, name)(self.fd, *map(ctypes.c_int64, arguments))
        return result if result >= 0 else -ctypes.get_errno()

    def place(self):
        draw = int(self.rng.integers(40))
        if draw < 2:
            return FAR[int(self.rng.integers(len(FAR)))]
        if draw < 20:
            return int(self.rng.integers(12 * PAGE))
        return NEAR[int(self.rng.integers(len(NEAR)))]

    def choose(self, values):
        return values[int(self.rng.integers(len(values)))]

    def compare(self, name, *arguments):
        found = getattr(self.calls, name)(self.model_fd, *arguments)
        assert found == self.native(name, *arguments), (name, arguments)
        return found

    def step(self):
        names = ["pwrite", "write", "ftruncate", "fallocate", "lseek", "read", "pread"]
        getattr(self, self.choose(names + (["seal"] if self.sealable else [])))()
        held, stat = self.held, os.fstat(self.fd)
        assert (stat.st_size, stat.st_blocks // 8) == (held.inode.size, len(held.pages))

    @property
    def held(self):
        return self.kernel.state.page_cache.space(self.process.files.get(self.model_fd).file)

    def write(self, position=None):
        count = self.choose([0, 1, 10, PAGE, 2 * PAGE + 3, int(self.rng.integers(3 * PAGE))])
        data = bytes([self.choose(range(1, 255))]) * count
        assert self.calls.user.copy_to_user(self.buffer, data) == 0
        try:
            written = os.write(self.fd, data) if position is None else os.pwrite(
                self.fd, data, position)
        except OSError as error:
            written = -error.errno
        at = () if position is None else (position,)
        name = "pwrite" if at else "write"
        found = getattr(self.calls, name)(self.model_fd, self.buffer, count, *at)
        assert found == written, (name, count, at)

    def pwrite(self):
        self.write(self.place())

    def read(self, position=None):
        count = self.choose([0, 1, PAGE, 3 * PAGE])
        try:
            data = os.read(self.fd, count) if position is None else os.pread(
                self.fd, count, position)
        except OSError as error:
            data, result = b"", -error.errno
        else:
            result = len(data)
        at = () if position is None else (position,)
        found = getattr(self.calls, "pread" if at else "read")(
            self.model_fd, self.buffer, count, *at)
        assert found == result, (count, at)
        assert self.calls.user.copy_from_user(self.buffer, len(data))[0] == data

    def pread(self):
        self.read(self.place())

    def ftruncate(self):
        size = self.place()
        self.compare("ftruncate", LAST if size in (1 << 45, 1 << 62) else size)

    def fallocate(self):
        mode, start, length = self.choose(MODES), self.place(), self.place()
        if not mode & 2 and start >= 0 and 0 < length and LAST < start + length < 1 << 63:
            start, length = min(start, 12 * PAGE), PAGE
        self.compare("fallocate", mode, start, length)

    def lseek(self):
        if self.compare("lseek", self.place(), self.choose([0, 1, 2, 3, 4, 3, 4, 5])) > LAST:
            self.compare("lseek", 0, 0)

    def seal(self):
        if not self.rng.integers(4):
            self.compare("fcntl", 1033, self.choose([1, 2, 4, 8, 16, 2, 4, 64]))
        self.compare("fcntl", 1034, 0)

    def finish(self):
        """Close both, and see that nothing is left of the model's."""
        os.close(self.fd)
        assert self.calls.close(self.model_fd) == 0
        assert self.calls.close(self.model_fd) == -errno.EBADF
        assert not self.kernel.files.inodes
        assert self.kernel.commit.committed == 64  # the buffer
        self.kernel.check()


