"""Pipes beside those of the kernel of this machine, and who waits for what."""

import ctypes
import errno
import mmap
import os
import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.model.kernel.vfs.file_system import FileSystem
from pagewalk.model.kernel.vfs.open_flag import OpenFlag
from pagewalk.model.kernel.vfs.pipe import Pipe, PipeEnd
from pagewalk.model.kernel.vfs.stream import PollEvent, WouldBlock

from .path_world import BUFFER, START, ModelPrograms

SIZES = st.sampled_from([1, 100, 2000, 4095, 4096, 4097, 5000, 8192, 65535, 65536, 70000])
STEPS = st.lists(st.tuples(st.sampled_from("wr"), SIZES), max_size=40)


def put(end, data):
    try:
        return end.put(data, total=len(data), begins=True)
    except WouldBlock:
        return -errno.EAGAIN


def look(end, count):
    try:
        data = end.look(count)
    except WouldBlock:
        return -errno.EAGAIN
    end.take(len(data))
    return data


def native(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return -error.errno


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_pages_fill_as_natively(steps):
    """What fits, and what is merged into pages, shows in how much each write takes."""
    pipe = Pipe()
    reader = PipeEnd(pipe, reads=True, writes=False)
    writer = PipeEnd(pipe, reads=False, writes=True)
    read_fd, write_fd = os.pipe2(os.O_NONBLOCK)
    try:
        for number, (kind, size) in enumerate(steps):
            if kind == "w":
                data = bytes([number]) * size
                assert put(writer, data) == native(os.write, write_fd, data)
            else:
                assert look(reader, size) == native(os.read, read_fd, size)
    finally:
        os.close(read_fd)
        os.close(write_fd)


@pytest.fixture
def world():
    machine = ModelPrograms()
    with FileSystem(None, lambda: START) as system:
        process = machine.start(system)
        assert machine.calls.pipe2(BUFFER, 0) == 0
        ends = [int.from_bytes(machine.load(BUFFER + 4 * at, 4), "little") for at in (0, 1)]
        assert ends == [0, 1]
        yield machine, process
        machine.kernel.check()


def test_a_reader_waits_until_something_is_written(world):
    machine, _ = world
    call = machine.calls
    with pytest.raises(WouldBlock) as waits:
        call.read(0, BUFFER, 100)
    assert not waits.value.ready()
    machine.store(BUFFER, b"words")
    assert call.write(1, BUFFER, 5) == 5
    assert waits.value.ready()
    machine.store(BUFFER, bytes(5))
    assert waits.value.resume() == 5
    assert machine.load(BUFFER, 5) == b"words"
    assert call.close(1) == 0
    assert call.read(0, BUFFER, 100) == 0  # the end


def test_a_writer_goes_on_where_it_had_to_wait(world):
    machine, _ = world
    call = machine.calls
    for _ in range(15):
        assert call.write(1, BUFFER, 4096) == 4096
    machine.store(BUFFER, b"a" * 4096 + b"b" * 4096)
    with pytest.raises(WouldBlock) as waits:
        call.write(1, BUFFER, 8192)
    assert (waits.value.done, waits.value.ready()) == (4096, False)
    for _ in range(16):
        assert call.read(0, BUFFER + 8192, 4096) == 4096
    assert waits.value.ready()
    assert waits.value.resume() == 8192
    assert machine.load(BUFFER + 8192, 1) == b"a"
    assert call.read(0, BUFFER + 8192, 9000) == 4096
    assert machine.load(BUFFER + 8192, 1) == b"b"


def test_nobody_waits_who_does_not_want_to(world):
    machine, _ = world
    call = machine.calls
    assert call.fcntl(0, 4, OpenFlag.NONBLOCK) == call.fcntl(1, 4, OpenFlag.NONBLOCK) == 0
    assert call.read(0, BUFFER, 1) == -errno.EAGAIN
    assert [call.write(1, BUFFER, 30000) for _ in range(4)] == [
        30000, 30000, 4096, -errno.EAGAIN]  # sixteen pages, of which one is full in part


def test_a_pipe_that_nobody_reads_breaks(world):
    machine, process = world
    broken = []
    machine.calls.broken_pipe = broken.append
    assert machine.calls.close(0) == 0
    assert machine.calls.write(1, BUFFER, 1) == -errno.EPIPE
    assert broken == [process]
    assert signal.SIGPIPE == 13


def test_an_end_is_open_as_long_as_anybody_has_it(world):
    machine, process = world
    call, kernel = machine.calls, machine.kernel
    child = kernel.fork(process)
    assert call.close(1) == 0
    with pytest.raises(WouldBlock) as waits:
        call.read(0, BUFFER, 1)
    kernel.exit(child)
    assert waits.value.ready()
    assert waits.value.resume() == 0


def test_a_pipe_has_no_positions(world):
    call = world[0].calls
    assert call.lseek(0, 0, 0) == call.pread(0, BUFFER, 1, 0) == -errno.ESPIPE
    assert call.read(1, BUFFER, 1) == call.write(0, BUFFER, 1) == -errno.EBADF


def test_what_can_be_done_is_told():
    pipe = Pipe()
    reader = PipeEnd(pipe, reads=True, writes=False)
    writer = PipeEnd(pipe, reads=False, writes=True)
    assert (reader.poll(), writer.poll()) == (0, PollEvent.OUT | PollEvent.WRNORM)
    assert put(writer, bytes(65536)) == 65536
    assert (reader.poll(), writer.poll()) == (PollEvent.IN | PollEvent.RDNORM, 0)
    writer.close()
    assert reader.poll() == PollEvent.IN | PollEvent.RDNORM | PollEvent.HUP
    reader.close()
    assert writer.poll() & PollEvent.ERR


@pytest.mark.parametrize("held", [0, 100, 4090])
@pytest.mark.parametrize(("size", "there"), [
    (8192, 5000), (5000, 4096), (5000, 4200), (100, 50), (4200, 50), (4200, 150), (9000, 8500)])
def test_a_program_without_memory_for_all_of_a_write(size, there, held):
    """As this machine's kernel: pages that the program has no memory for are not begun."""
    ends, page = os.pipe(), mmap.PAGESIZE
    try:
        os.write(ends[1], bytes(held)) if held else None
        area = mmap.mmap(-1, 8 * page)
        library = ctypes.CDLL(None, use_errno=True)
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        assert not library.mprotect(ctypes.c_void_p(start + 4 * page), page, 0)
        native_done = library.write(ends[1], ctypes.c_void_p(start + 4 * page - there), size)
        expected = native_done if native_done >= 0 else -ctypes.get_errno()
    finally:
        os.close(ends[0]), os.close(ends[1])
    machine = ModelPrograms()
    with FileSystem(None, lambda: START) as system:
        machine.start(system)
        machine.call("pipe2", "BUFFER", 0)
        fds = machine.load(BUFFER, 8)
        assert machine.calls.write(fds[4], BUFFER, held) == held
        assert machine.calls.write(fds[4], BUFFER + 32768 - there, size) == expected
        there = held + max(0, expected)
        assert not there or machine.calls.read(fds[0], BUFFER, 20000) == there


def test_a_program_without_memory_for_all_of_a_read():
    machine = ModelPrograms()
    with FileSystem(None, lambda: START) as system:
        machine.start(system)
        machine.call("pipe2", "BUFFER", 0)
        fds = machine.load(BUFFER, 8)
        assert machine.calls.write(fds[4], BUFFER, 10000) == 10000
        end = BUFFER + 32768
        assert machine.calls.read(fds[0], end - 4000, 10000) == -errno.EFAULT
        assert machine.calls.read(fds[0], end - 9000, 10000) == 8192
        assert machine.calls.read(fds[0], BUFFER, 10000) == 10000 - 8192
