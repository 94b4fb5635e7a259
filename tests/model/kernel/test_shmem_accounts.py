"""What shared memory is promised, on a machine: with its file, or page by page."""

import errno
from uuid import UUID

import pytest

from pagewalk.model.address_space.limits import Overcommit
from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.swap.file import SwapFile

from .machines import MODES, PAGE, RW, SHARED, Killed, machine
from .sharers import Sharers, flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
NORESERVE = SHARED | MapFlag.NORESERVE


@both
def test_four_times_the_memory_is_more_than_can_be_promised(mode):
    kernel, _, _ = machine(mode)
    call, commit, ram = SystemCalls(kernel), kernel.commit, 4096
    assert call.mmap(0, 4 * ram * PAGE, RW, SHARED) == -errno.ENOMEM
    assert commit.committed == 0
    commit.mode = Overcommit.ALWAYS
    start = call.mmap(0, 4 * ram * PAGE, RW, SHARED)
    assert commit.committed == 4 * ram
    assert call.munmap(start, 4 * ram * PAGE) == 0
    commit.mode = Overcommit.NEVER
    assert call.mmap(0, 4 * ram * PAGE, RW, NORESERVE) == -errno.ENOMEM
    kernel.check()
    assert commit.committed == 0


@both
def test_pages_without_reserve_are_promised_as_they_come(mode):
    kernel, cpu, process = machine(mode)
    commit = kernel.commit
    start = process.mm.mmap(0, 50_000 * PAGE, RW, NORESERVE)
    for page in range(0, 40, 2):
        cpu.store(start + page * PAGE, b"data")
    cpu.load(start + 7 * PAGE)
    assert commit.committed == 21
    process.mm.madvise(start, 10 * PAGE, Madvise.REMOVE)
    assert commit.committed == 15
    process.mm.madvise(start, 40 * PAGE, Madvise.DONTNEED)
    assert commit.committed == 15
    process.mm.munmap(start, 50_000 * PAGE)
    assert commit.committed == 0
    kernel.check()


@both
def test_a_page_that_cannot_be_promised_is_a_bus_error(mode):
    """The mapping was made when it needed no promise. [-ENOSPC of shmem_get_folio_gfp]"""
    kernel, cpu, process = machine(mode)
    commit = kernel.commit
    start = process.mm.mmap(0, 10 * PAGE, RW, NORESERVE)
    cpu.store(start, b"first")
    free = kernel.state.frames.allocated()
    commit.mode, commit.overcommit_kbytes, commit.admin_reserve_kbytes = Overcommit.NEVER, 8, 0
    assert SystemCalls(kernel).madvise(start, 2 * PAGE, Madvise.POPULATE_WRITE) == -errno.EFAULT
    assert (commit.committed, kernel.state.frames.allocated()) == (1, free)
    kernel.check()
    with pytest.raises(Killed) as caught:
        cpu.store(start + PAGE, b"second")
    assert caught.value.signal.number == 7
    assert commit.committed == 0
    kernel.check()


@both
def test_pages_that_reclaim_dropped_count_until_the_file_is_looked_at(mode, tmp_path):
    with flaky_swap(tmp_path, "swap", 100) as device:
        world = Sharers(mode, device, shared=20)
        commit = world.kernel.commit
        start = world.first.mm.mmap(0, 30 * PAGE, RW, NORESERVE)
        world.kernel.switch(world.first)
        for page in range(30):
            if page < 10:
                world.cpu.store(start + page * PAGE, b"x")
            world.cpu.load(start + page * PAGE)
        assert commit.committed == 20 + 30
        world.reclaim_all()
        assert commit.committed == 20 + 30  # 20 of them are nowhere any more
        assert world.cpu.load(start) == b"x"
        assert commit.committed == 20 + 10
        commit.mode, commit.overcommit_ratio = Overcommit.NEVER, 0
        commit.admin_reserve_kbytes = 4 * (100 - 33)  # room for one more, but for what is kept
        world.cpu.load(start + 20 * PAGE)
        world.reclaim_all()
        world.cpu.load(start + 21 * PAGE)  # once the one that is gone has been counted out
        assert commit.committed == 31
        world.finish()
        assert commit.committed == 0


@both
def test_who_is_killed_gives_all_promises_back(mode):
    kernel, _, _ = machine(mode, megabytes=4)
    call = SystemCalls(kernel)
    assert call.mmap(0, 300 * PAGE, RW, SHARED | MapFlag.POPULATE) > 0
    with pytest.raises(OomKilled):
        call.mmap(0, 600 * PAGE, RW, NORESERVE | MapFlag.POPULATE)
    assert kernel.commit.committed == 0
    kernel.check()


@both
def test_swap_makes_room_for_promises(mode, tmp_path):
    kernel, _, process = machine(mode, megabytes=4)
    most = kernel.commit.limit
    with SwapFile.create(tmp_path / "swap", 101, uuid=UUID(int=1)) as device:
        kernel.swapon(device)
        process.mm.mmap(0, (most + 100) * PAGE, RW, SHARED)
        assert SystemCalls(kernel).mmap(0, (most + 101) * PAGE, RW, SHARED) == -errno.ENOMEM
