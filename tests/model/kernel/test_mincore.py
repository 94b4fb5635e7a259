"""Which pages are in memory, by what an access would find."""

import errno

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.thp import ThpEnabled

from .machines import ANON, MODES, PAGE, RW, SHARED, machine
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


class World:
    def __init__(self, mode):
        self.kernel, self.cpu, self.process = machine(mode)
        self.call = SystemCalls(self.kernel)
        self.vector = self.call.mmap(0, 4 * PAGE, RW, ANON)

    def pages(self, start, count):
        assert self.call.mincore(start, count * PAGE, self.vector) == 0
        return [*self.cpu.load(self.vector, count)]


@both
def test_memory_is_in_core_once_it_was_touched(mode):
    world = World(mode)
    start = world.call.mmap(0, 6 * PAGE, RW, ANON)
    world.cpu.load(start)  # the zero page
    world.cpu.store(start + PAGE, b"x")
    world.cpu.store(start + 2 * PAGE, b"x")
    world.call.mprotect(start + 2 * PAGE, PAGE, Prot.NONE)
    assert world.pages(start, 6) == [1, 1, 1, 0, 0, 0]
    assert world.process.space.rss == 3  # nothing was brought in but for the answer


@both
def test_pages_in_swap_are_in_core_while_the_swap_cache_has_them(mode, tmp_path):
    world = World(mode)
    with flaky_swap(tmp_path, "swap", 100) as device:
        world.kernel.swapon(device)
        for flags in (ANON, SHARED):
            start = world.call.mmap(0, 4 * PAGE, RW, flags)
            for page in range(4):
                world.cpu.store(start + page * PAGE, b"x")
            world.call.madvise(start, 4 * PAGE, Madvise.PAGEOUT)
            assert world.pages(start, 4) == [0, 0, 0, 0]
            world.call.madvise(start + PAGE, PAGE, Madvise.WILLNEED)
            after = int(flags == SHARED)  # one page more than was asked for
            assert world.pages(start, 4) == [0, 1, after, 0]
            world.cpu.load(start + 2 * PAGE)
            assert world.pages(start, 4) == [0, 1, 1, 0]
        world.kernel.check()


@both
def test_pages_of_files_are_in_core_whoever_uses_them(mode):
    world = World(mode)
    file = File("file")
    world.kernel.register_file(file, b"f" * (40 * PAGE))
    fd, memfd = world.call.open(file), world.call.memfd_create("m", 0)
    start = world.call.mmap(0, 42 * PAGE, RW, MapFlag.PRIVATE, fd)
    other = world.call.mmap(0, 2 * PAGE, RW, MapFlag.SHARED, fd, 38 * PAGE)
    world.cpu.store(other, b"x")
    world.cpu.store(start + PAGE, b"x")  # which is copied, and so maps nothing around
    found = world.pages(start, 42)
    assert [page for page, is_there in enumerate(found) if is_there] == [1, 38]
    assert world.call.ftruncate(memfd, 4 * PAGE) == world.call.fallocate(memfd, 0, 0, PAGE) == 0
    shared = world.call.mmap(0, 4 * PAGE, RW, MapFlag.SHARED, memfd)
    assert world.call.pwrite(memfd, other, 1, 2 * PAGE) == 1
    assert world.pages(shared, 4) == [0, 0, 1, 0]  # allocated is not filled
    driver = File("/dev/driver", vm_flags=1 << 10)
    mapped = world.call.mmap(0, PAGE, RW, MapFlag.SHARED, world.call.open(driver))
    assert world.pages(mapped, 1) == [0]


@both
def test_huge_pages(mode):
    world = World(mode)
    huge = world.kernel.space.huge_page_bytes
    assert world.kernel.set_nr_hugepages(1) == 1
    start = world.call.mmap(0, huge, RW, ANON | MapFlag.HUGETLB)
    assert world.pages(start, 3) == [0, 0, 0]
    world.cpu.store(start + 5 * PAGE, b"x")
    assert world.pages(start + 2 * PAGE, 3) == [1, 1, 1]
    world.kernel.state.thp.enabled = ThpEnabled.ALWAYS
    start = world.call.mmap(0, 2 * huge, RW, ANON)
    start += -start % huge
    world.cpu.store(start, b"x")
    assert world.pages(start, 3) == [1, 1, 1]


@both
def test_what_is_refused_in_its_order(mode):
    world = World(mode)
    call, top = world.call, world.kernel.layout.task_size
    start = call.mmap(1 << 20, 4 * PAGE, RW, ANON | MapFlag.FIXED)
    assert call.munmap(start + 2 * PAGE, PAGE) == 0
    assert call.mincore(start + 1, top, 0) == -errno.EINVAL
    assert call.mincore(start, top, top) == call.mincore(top, PAGE, top) == -errno.ENOMEM
    assert call.mincore(start, 2 * PAGE, top - 1) == -errno.EFAULT
    assert call.mincore(start, 0, top) == 0
    assert call.mincore(start, PAGE, 5) == -errno.EFAULT
    world.cpu.store(start, b"x")
    world.cpu.store(world.vector, b"???")
    assert call.mincore(start, 3 * PAGE, world.vector) == -errno.ENOMEM
    assert world.cpu.load(world.vector, 3) == b"\1\0?"
    assert call.mincore(start, PAGE + 1, world.vector) == 0  # of two pages
    assert call.mincore(start, 4 * PAGE, world.vector) == -errno.ENOMEM


@both
def test_more_pages_than_a_page_has_bytes(mode):
    world = World(mode)
    start = world.call.mmap(0, 9000 * PAGE, RW, ANON | MapFlag.NORESERVE)
    for page in (0, 4095, 4096, 8999):
        world.cpu.store(start + page * PAGE, b"x")
    found = world.pages(start, 9000)
    assert [page for page, is_there in enumerate(found) if is_there] == [0, 4095, 4096, 8999]
