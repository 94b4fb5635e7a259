"""Reads and writes of files: how far they get, and what they say."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.file_io import FileIo
from pagewalk.model.kernel.calls.uaccess import UserAccess
from pagewalk.model.kernel.file_table import OpenFile
from pagewalk.model.kernel.usercopy import AMD_32, ERMS, PENTIUM_III
from pagewalk.model.kernel.write_back import fsync_range
from pagewalk.model.x86 import IA32, X86_64

from ..machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
CONTENT = bytes(range(1, 251)) * 40


class Opened:
    """A process with two pages before a hole, and an open file."""

    def __init__(self, mode, routines=None, **modes):
        self.kernel, self.cpu, process = machine(mode)
        self.start = process.mm.mmap(1 << 20, 3 * PAGE, RW, ANON | MapFlag.FIXED)
        self.end = self.start + 2 * PAGE
        process.mm.munmap(self.end, PAGE)
        self.io = FileIo(self.kernel, UserAccess(self.kernel, routines=routines))
        self.file = File("file", **modes)
        self.data = self.kernel.register_file(self.file, CONTENT)
        self.opened = OpenFile(self.file)

    def dropped(self):
        """The bytes of the file once all is written back."""
        self.kernel.check()
        self.kernel.state.page_cache.drop(self.file)
        return bytes(self.data)


def fails(call, *arguments):
    with pytest.raises(SysError) as caught:
        call(*arguments)
    return caught.value.errno


@both
def test_what_is_refused_before_anything_is_read(mode):
    opened = Opened(mode)
    read, write, file = opened.io.read, opened.io.write, opened.opened
    top = opened.kernel.layout.task_size
    assert fails(read, file, top - 1, 2) == errno.EFAULT
    assert fails(read, file, 0, (1 << mode.vaddr_bits) - 1) == errno.EFAULT
    assert read(file, top - 1, 0) == 0
    assert write(file, 0xDEAD_000, 0) == 0
    assert fails(read, file, opened.start, 2, (1 << 63) - 2) == errno.EINVAL
    assert read(file, opened.start, 1, (1 << 63) - 2) == 0
    locked = Opened(mode, readable=False)
    assert fails(locked.io.read, locked.opened, top, 2) == errno.EBADF
    locked = Opened(mode, writable=False)
    assert fails(locked.io.write, locked.opened, top, 2) == errno.EBADF
    if mode is IA32:  # a negative ssize_t that lies in user space
        assert fails(read, file, 0, 1 << 31) == errno.EINVAL


@both
@pytest.mark.parametrize("name", ["read", "write"])
def test_what_ends_where_a_page_ends_leaves_the_next_page_alone(mode, name):
    opened = Opened(mode)
    call, pages = getattr(opened.io, name), opened.kernel.state.page_cache.space(opened.file).pages
    opened.cpu.store(opened.start, bytes(2 * PAGE))
    assert call(opened.opened, opened.start, 100, PAGE - 100) == 100
    assert sorted(pages) == [0]
    assert call(opened.opened, opened.start, PAGE, PAGE) == PAGE
    assert sorted(pages) == [0, 1]
    assert call(opened.opened, opened.start, 1, 2 * PAGE) == 1
    assert sorted(pages) == [0, 1, 2]


@both
def test_a_file_without_bytes_is_an_input_output_error(mode):
    opened = Opened(mode)
    empty = OpenFile(File("never registered"))
    assert fails(opened.io.read, empty, opened.start, 1) == errno.EIO
    assert fails(opened.io.write, empty, opened.start, 1) == errno.EIO
    assert opened.io.read(empty, opened.start, 0) == 0


@both
def test_as_much_as_can_be_at_most_is_read(mode):
    """However much was asked for."""
    opened = Opened(mode)
    most = 0x7FFF_FFFF if mode is IA32 else 1 << 46
    assert opened.io.read(opened.opened, opened.start, most, 20_000) == 0
    assert opened.io.read(opened.opened, opened.end - 104, most) == 104
    assert opened.cpu.load(opened.end - 104, 104) == CONTENT[:104]
    assert opened.io.write(opened.opened, opened.end - 96, most, 0) == 96
    assert opened.dropped() == CONTENT[8:104] + CONTENT[96:]


PARTIAL = [
    # The buffer is 100 bytes before a hole, at 4 modulo 8 where the page of the file is at 0. A
    # read stops at its first short copy, a write goes on as long as any byte is copied.
    # Blocks of 64: 64, of which the second, at end-36, can neither be read nor stored whole.
    (IA32, PENTIUM_III, 100, 300, 64, 64),
    # Words: all 100.
    (IA32, AMD_32, 100, 300, 100, 100),
    # A read stores 2 bytes to align the buffer, and 12 words. A write loads 12 words, and then
    # has 2 bytes before the hole, in a word that lies across.
    (IA32, AMD_32, 50, 300, 50, 48),
    (X86_64, ERMS, 50, 300, 50, 50),
]


@pytest.mark.parametrize(("mode", "routines", "before", "count", "read", "written"), PARTIAL,
                         ids=str)
def test_a_buffer_before_a_hole(mode, routines, before, count, read, written):
    opened = Opened(mode, routines)
    buffer = opened.end - before
    assert opened.io.read(opened.opened, buffer, count) == read
    assert opened.opened.position == read
    opened.cpu.store(buffer, b"w" * before)
    assert opened.io.write(opened.opened, buffer, count, 0) == written
    assert opened.opened.position == read
    assert opened.dropped() == b"w" * written + CONTENT[written:]


@both
def test_nothing_copied_is_a_bad_address(mode):
    opened = Opened(mode)
    assert fails(opened.io.read, opened.opened, opened.end, 10) == errno.EFAULT
    assert fails(opened.io.write, opened.opened, opened.end, 10) == errno.EFAULT
    assert opened.opened.position == 0
    assert opened.dropped() == CONTENT


@both
def test_a_file_grows_to_hold_what_is_written(mode):
    opened = Opened(mode)
    opened.cpu.store(opened.start, b"w" * (2 * PAGE))
    end = len(CONTENT)
    assert opened.io.write(opened.opened, opened.start, 100, end - 10) == 100
    assert opened.io.write(opened.opened, opened.start, 2 * PAGE, end + 3 * PAGE) == 2 * PAGE
    expected = CONTENT[:-10] + b"w" * 100 + bytes(3 * PAGE - 90) + b"w" * (2 * PAGE)
    buffer = opened.kernel.current.mm.mmap(0, 32 * PAGE, RW, ANON)
    assert opened.io.read(opened.opened, buffer, 30 * PAGE, 0) == len(expected)
    assert opened.cpu.load(buffer, len(expected)) == expected
    assert opened.dropped() == expected


@both
def test_a_file_of_terabytes_holds_what_was_written(mode):
    opened = Opened(mode)
    opened.cpu.store(opened.start, b"far away")
    far = (1 << 42) - 3
    assert opened.io.write(opened.opened, opened.start, 8, far) == 8
    fsync_range(opened.kernel.state, opened.file, 0, 1 << 40)
    opened.kernel.check()
    assert opened.io.read(opened.opened, opened.start + PAGE, 20, far - 10) == 18
    assert opened.cpu.load(opened.start + PAGE, 20) == bytes(10) + b"far away" + bytes(2)
    most = (1 << 44) - PAGE
    assert opened.io.write(opened.opened, opened.start, 8, most - 3) == 3
    assert fails(opened.io.write, opened.opened, opened.start, 8, most) == errno.EFBIG
    assert opened.io.write(opened.opened, opened.start, 0, most) == 0
    opened.kernel.current.mm.rlimits.file_size = 10
    assert opened.io.write(opened.opened, opened.start, 8, 7) == 3
    assert fails(opened.io.write, opened.opened, opened.end, 8, 10) == errno.EFBIG


@both
def test_a_bad_buffer_leaves_the_size_as_it_was(mode):
    opened = Opened(mode)
    pages = len(opened.kernel.state.page_cache)
    assert fails(opened.io.write, opened.opened, opened.end, 10, 100 * PAGE) == errno.EFAULT
    assert len(opened.kernel.state.page_cache) == pages
    assert opened.io.write(opened.opened, opened.end - 8, 10, len(CONTENT)) == 8
    assert opened.dropped() == CONTENT + bytes(8)


def used_pages(opened):
    """Which of the first two pages of a file count as used; then they do not any more."""
    lruvec, pages = opened.kernel.state.lruvec, opened.kernel.state.page_cache.space(
        opened.opened.file).pages
    return [index for index in range(2) if lruvec.test_clear_referenced(pages[index])]


@both
def test_pages_that_are_read_count_as_used_unless_the_last_read_ended_there(mode):
    opened = Opened(mode)
    read = opened.io.read
    read(opened.opened, opened.start, 2 * PAGE, 0)
    assert used_pages(opened) == [0, 1]
    read(opened.opened, opened.start, 10, PAGE)  # the last byte that was read is in page 1
    assert used_pages(opened) == []
    read(opened.opened, opened.start, 10, 0)
    assert used_pages(opened) == [0]
    read(OpenFile(opened.file), opened.start, 10, 0)
    assert used_pages(opened) == [0]
    opened.io.write(opened.opened, opened.start, 10, 0)
    assert used_pages(opened) == []


@both
def test_pages_of_shared_memory_that_are_written_or_read_from_their_start_count_as_used(mode):
    opened = Opened(mode)
    memory = File("shm", is_shmem=True)
    opened.kernel.register_file(memory, CONTENT)
    opened.opened = OpenFile(memory)
    opened.io.read(opened.opened, opened.start, PAGE, 100)
    assert used_pages(opened) == [1]
    opened.io.read(opened.opened, opened.start, 1, 0)
    assert used_pages(opened) == [0]
    assert fails(opened.io.write, opened.opened, opened.end, 1, 0) == errno.EFAULT
    assert used_pages(opened) == []
    opened.io.write(opened.opened, opened.start, 1, 100)
    assert used_pages(opened) == [0]
