"""Holes in files of huge pages, as MADV_REMOVE and fallocate make them."""

import errno

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.platform import KERNEL_MODES

from .huge_machines import PAGE, SHARED_HUGE, Huge
from .machines import RW

both = pytest.mark.parametrize("mode", KERNEL_MODES.values(), ids=KERNEL_MODES)
KEEP_SIZE, PUNCH = 1, 3  # the latter keeps the size, too


@both
def test_a_page_that_is_removed_is_free_and_comes_again_as_zeros(mode):
    huge = Huge(mode, 3)
    start, size = huge.map(3, SHARED_HUGE), huge.size
    for page in range(3):
        huge.cpu.store(start + page * size, b"x")
    child = huge.fork()
    assert huge.run(child).load(start + size) == b"x"
    huge.run(huge.process)
    assert huge.counts == (3, 0, 0)
    huge.process.mm.madvise(start + size, size, Madvise.REMOVE)
    assert huge.counts == (3, 1, 0)
    assert (huge.process.space.rss, huge.pool.mapcount.keys()) == (
        0, {*huge.pool.files[huge.process.mm.find_vma(start).file].pages.values()})
    for process in (child, huge.process):
        cpu = huge.run(process)
        assert [cpu.load(start + page * size) for page in (0, 2)] == [b"x"] * 2
        assert cpu.load(start + size) == b"\0"
    assert huge.counts == (3, 0, 0)


@both
def test_what_was_reserved_and_never_touched_stays_reserved(mode):
    """A page that was touched has no reserve any more: another may get it."""
    huge = Huge(mode, 2)
    start = huge.map(2, SHARED_HUGE)
    huge.cpu.store(start, b"x")
    huge.process.mm.madvise(start, 2 * huge.size, Madvise.REMOVE)
    assert huge.counts == (2, 2, 1)
    huge.map(1, SHARED_HUGE)
    assert huge.counts == (2, 2, 2)
    result = huge.kernel.handle_page_fault(start, 6)
    assert result.signal.number.name == "SIGBUS"


@both
def test_parts_of_pages_become_zeros(mode):
    huge = Huge(mode, 3)
    start, size = huge.map(3, SHARED_HUGE), huge.size
    for page in range(3):
        huge.cpu.store(start + (page + 1) * size - PAGE, b"x" * PAGE)
        huge.cpu.store(start + page * size, b"y" * 2 * PAGE)
    huge.process.mm.madvise(start + PAGE, 2 * size, Madvise.REMOVE)
    assert huge.counts == (3, 1, 0)
    ends = [huge.cpu.load(start + page * size + at) for page in range(3)
            for at in (0, PAGE, size - 1)]
    assert ends == [b"y", b"\0", b"\0", b"\0", b"\0", b"\0", b"\0", b"y", b"x"]
    huge.process.mm.madvise(start + 3 * size - PAGE, PAGE, Madvise.REMOVE)
    huge.process.mm.madvise(start, PAGE, Madvise.REMOVE)
    assert huge.cpu.load(start + 3 * size - 1) + huge.cpu.load(start) == b"\0\0"
    assert huge.cpu.load(start + 2 * size + PAGE) == b"y"
    assert huge.counts == (3, 0, 0)


@both
def test_private_copies_go_too(mode):
    """Unlike those of small pages. [hugetlb_vmdelete_list]"""
    huge = Huge(mode, 3)
    call, file = SystemCalls(huge.kernel), File("/huge/file", huge_page_bytes=huge.size)
    fd = call.open(file)
    assert call.fallocate(fd, PUNCH, 0, huge.size) == 0  # nobody maps it yet
    shared = call.mmap(0, huge.size, RW, MapFlag.SHARED, fd)
    private = call.mmap(0, huge.size, RW, MapFlag.PRIVATE, fd)
    huge.cpu.store(shared, b"x")
    huge.cpu.store(private, b"y")
    assert huge.counts == (3, 1, 0)
    assert call.fallocate(fd, PUNCH, 0, huge.size) == 0
    assert huge.counts == (3, 3, 0)
    assert huge.cpu.load(private) == b"\0"
    assert call.fallocate(fd, KEEP_SIZE, 0, huge.size) == -errno.EOPNOTSUPP  # left out
    assert huge.counts == (3, 2, 0)
