"""Pipes with names: who waits for whom when they are opened. [fifo_open]"""

import errno

import pytest

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.kernel.vfs.stream import WouldBlock

from .path_world import BUFFER, START, ModelPrograms

FDCWD, READ, WRITE = -100, 0, OpenFlag.WRONLY


@pytest.fixture
def call():
    machine = ModelPrograms()
    machine.start(FileSystem(None, lambda: START))
    assert machine.calls.mknodat(FDCWD, b"fifo", 0o10644) == 0
    yield machine.calls
    machine.kernel.check()


def opened(call, flags):
    return call.openat(FDCWD, b"fifo", flags)


@pytest.mark.parametrize(("first", "second"), [(READ, WRITE), (WRITE, READ)])
def test_each_end_waits_for_the_other(call, first, second):
    with pytest.raises(WouldBlock) as waits:
        opened(call, first)
    assert not waits.value.ready()
    assert opened(call, second) == 0
    assert waits.value.ready()
    assert waits.value.resume() == 1
    fds = {first: 1, second: 0}
    assert call.write(fds[WRITE], BUFFER, 5) == call.read(fds[READ], BUFFER, 10) == 5


def test_a_partner_that_has_gone_again_was_there(call):
    with pytest.raises(WouldBlock) as waits:
        opened(call, READ)
    assert call.close(opened(call, WRITE)) == 0
    assert waits.value.ready()
    assert waits.value.resume() == 0
    assert call.read(0, BUFFER, 1) == 0


def test_who_does_not_wait(call):
    assert opened(call, WRITE | OpenFlag.NONBLOCK) == -errno.ENXIO
    assert opened(call, READ | OpenFlag.NONBLOCK) == 0
    assert opened(call, WRITE | OpenFlag.NONBLOCK) == 1
    assert call.close(0) == call.close(1) == 0
    assert opened(call, OpenFlag.RDWR) == 0


def test_who_gives_up_is_no_reader(call):
    with pytest.raises(WouldBlock) as waits:
        opened(call, READ)
    waits.value.cancel()
    assert opened(call, WRITE | OpenFlag.NONBLOCK) == -errno.ENXIO


def test_what_was_in_it_goes_with_its_last_user(call):
    assert opened(call, OpenFlag.RDWR) == 0
    assert call.write(0, BUFFER, 5) == 5
    assert call.close(0) == 0
    assert opened(call, READ | OpenFlag.NONBLOCK) == 0
    assert call.read(0, BUFFER, 5) == 0
