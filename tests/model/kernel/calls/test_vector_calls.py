"""Several ranges at once, and waiting for several files."""

import errno
from struct import pack

import pytest

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.kernel.vfs.stream import WouldBlock

from ..vfs.path_world import BUFFER, START, ModelPrograms

LIST, DATA = BUFFER + 4096, BUFFER + 8192
IN, OUT, HUP, NVAL = 1, 4, 16, 32
HOLE = 0x5000_0000


class World:
    def __init__(self):
        self.machine = ModelPrograms()
        self.calls = self.machine.calls
        self.process = self.machine.start(FileSystem(None, lambda: START))
        assert self.calls.openat(-100, b"file", OpenFlag.CREAT | OpenFlag.RDWR) == 0
        assert self.calls.pipe2(BUFFER) == 0  # 1 and 2

    def ranges(self, *segments):
        self.machine.store(LIST, b"".join(pack("<QQ", *one) for one in segments))
        return LIST, len(segments)

    def polled(self, *asked, timeout=0):
        self.machine.store(LIST, b"".join(pack("<iHH", fd, events, 7) for fd, events in asked))
        result = self.calls.poll(LIST, len(asked), timeout)
        held = self.machine.load(LIST, 8 * len(asked))
        return result, [int.from_bytes(held[at + 6 : at + 8], "little")
                        for at in range(0, len(held), 8)]


@pytest.fixture
def world():
    made = World()
    yield made
    made.machine.kernel.check()


@pytest.mark.parametrize("fds", [(0, 0), (2, 1)], ids=["file", "pipe"])
def test_bytes_go_through_ranges_in_their_order(world, fds):
    writes, reads = fds
    world.machine.store(DATA, b"abcdefghij")
    three = world.ranges((DATA + 5, 5), (DATA, 0), (DATA, 5))
    assert world.calls.writev(writes, *three) == 10
    world.calls.lseek(reads, 0, 0)
    world.machine.store(DATA, bytes(20))
    assert world.calls.readv(reads, *world.ranges((DATA + 9, 3), (DATA, 9))) == 10
    assert world.machine.load(DATA, 12) == b"ijabcde\0\0fgh"


def test_what_cannot_be_reached_ends_the_call(world):
    world.machine.store(DATA, b"x" * 10)
    assert world.calls.writev(0, *world.ranges((DATA, 10), (HOLE, 5))) == 10
    assert world.calls.writev(0, *world.ranges((HOLE, 5), (DATA, 10))) == -errno.EFAULT
    assert world.calls.writev(2, *world.ranges((DATA, 10), (HOLE, 5))) == -errno.EFAULT
    assert world.calls.writev(0, *world.ranges((DATA, 1 << 63))) == -errno.EINVAL
    assert world.calls.writev(0, LIST, 1025) == -errno.EINVAL
    assert world.calls.readv(0, HOLE, 1) == -errno.EFAULT
    assert world.calls.readv(99, HOLE, 1) == -errno.EBADF
    assert world.calls.pwritev(2, *world.ranges((DATA, 1)), 0) == -errno.ESPIPE
    assert world.calls.pwritev(0, *world.ranges((DATA, 1)), 20) == 1
    assert world.calls.lseek(0, 0, 2) == 21


def test_poll_tells_what_can_be_done(world):
    assert world.polled((0, IN | OUT), (1, IN), (2, OUT), (77, IN), (-1, IN)) == (
        3, [IN | OUT, 0, OUT, NVAL, 0])
    world.calls.write(2, DATA, 5)
    assert world.polled((1, IN)) == (1, [IN])
    world.calls.read(1, DATA, 5)
    world.calls.close(2)
    assert world.polled((1, 0)) == (1, [HUP])


def test_poll_waits(world):
    world.machine.store(LIST, pack("<iHH", 1, IN, 0))
    with pytest.raises(WouldBlock) as waits:
        world.calls.poll(LIST, 1, 50)
    assert (waits.value.ready(), waits.value.timeout) == (False, 50_000_000)
    assert waits.value.expired() == 0
    world.calls.write(2, DATA, 1)
    assert waits.value.ready()
    assert waits.value.resume() == 1
    assert world.machine.load(LIST, 8) == pack("<iHH", 1, IN, IN)


def test_select_tells_the_same_as_sets(world):
    world.machine.store(LIST, pack("<QQ", 0b011, 0b101))
    assert world.calls.select(3, (LIST, LIST + 8, 0), 0) == 3
    assert world.machine.load(LIST, 16) == pack("<QQ", 0b001, 0b101)
    world.machine.store(LIST, pack("<Q", 1 << 40))
    assert world.calls.select(41, (LIST, 0, 0), 0) == -errno.EBADF
    world.machine.store(LIST, pack("<QQQ", 0b010, 0, 0))
    with pytest.raises(WouldBlock) as waits:
        world.calls.pselect6(2, (LIST, 0, 0), 0)
    assert waits.value.timeout is None
    world.machine.store(DATA, pack("<QQ", 1, 10 ** 9))
    assert world.calls.pselect6(2, (LIST, 0, 0), DATA) == -errno.EINVAL


def test_what_ioctl_says(world):
    world.calls.write(2, DATA, 300)
    assert world.calls.ioctl(1, 0x541B, DATA) == 0
    assert world.machine.load(DATA, 4) == (300).to_bytes(4, "little")
    assert world.calls.ioctl(0, 0x5401, DATA) == -errno.ENOTTY
    world.machine.store(DATA, (1).to_bytes(4, "little"))
    assert world.calls.ioctl(2, 0x5421, DATA) == 0
    assert world.calls.fcntl(2, 3) & OpenFlag.NONBLOCK
    assert world.calls.fcntl(0, 1) == 0
    assert world.calls.ioctl(0, 0x5451, 0) == 0
    assert world.calls.fcntl(0, 1) == 1


def test_fsync_writes_back(world):
    world.calls.write(0, DATA, 300)
    cache = world.machine.kernel.state.page_cache
    held = cache.space(world.process.files.get(0).file)
    assert cache.is_dirty(held.pages[0])
    assert world.calls.fsync(0) == 0
    assert not cache.is_dirty(held.pages[0])
    assert world.calls.fsync(1) == -errno.EINVAL


def test_flags_of_a_call_at_a_position(world):
    world.machine.store(DATA, b"abcdefghij")
    whole = world.ranges((DATA, 10))
    assert world.calls.pwritev2(0, *whole, 3, 2) == 10
    assert world.calls.lseek(0, 0, 1) == 0
    assert world.calls.pwritev2(0, *whole, -1, 0) == 10
    assert world.calls.lseek(0, 0, 1) == 10
    assert world.calls.preadv2(0, *world.ranges((DATA + 20, 5)), -1, 1) == 3
    assert world.machine.load(DATA + 20, 3) == b"hij"
    assert world.calls.preadv2(0, *whole, 0, 16) == -errno.EOPNOTSUPP
    assert world.calls.preadv2(0, *whole, -2, 0) == -errno.EINVAL
