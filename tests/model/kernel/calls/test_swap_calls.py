"""Swap areas as the administrator's programs use them."""

import errno
from uuid import UUID

import pytest

from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.kernel.calls.swap_calls import SwapFlag
from pagewalk.model.kernel.calls.syscalls import SystemCalls
from pagewalk.model.kernel.oom import OomKilled
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.kernel.swap.swap import MAX_SWAPFILES

from ..machines import ANON, MODES, PAGE, RW, machine
from ..sharers import FlakySwap, flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


class World:
    def __init__(self, mode, folder, megabytes=16):
        self.kernel, self.cpu, self.process = machine(mode, megabytes)
        self.process.mm.privileged = True
        self.call = SystemCalls(self.kernel)
        self.folder = folder

    def area(self, name="swap", pages=100):
        """Make a file that is a swap area; return its path."""
        path = self.folder / name
        SwapFile.create(path, pages + 1, uuid=UUID(int=1)).close()
        return str(path)

    @property
    def areas(self):
        return [info for info in self.kernel.state.swap.info if info is not None]


@both
def test_an_area_is_used_by_its_path_and_used_no_more(mode, tmp_path):
    world = World(mode, tmp_path)
    call, path = world.call, world.area()
    assert call.swapon(path, 0) == 0
    assert [info.prio for info in world.areas] == [-2]
    start = call.mmap(0, 50 * PAGE, RW, ANON)
    for page in range(50):
        world.cpu.store(start + page * PAGE, bytes([page]))
    assert call.madvise(start, 50 * PAGE, 21) == 0  # MADV_PAGEOUT
    assert world.process.space.swapped == 50
    link = tmp_path / "link"
    link.symlink_to(path)
    assert call.swapoff(str(link)) == 0
    assert world.process.space.swapped == 0
    assert [world.cpu.load(start + page * PAGE)[0] for page in range(50)] == [*range(50)]
    assert call.swapon(path, SwapFlag.PREFER | 7 | SwapFlag.DISCARD) == 0  # it was closed
    assert [info.prio for info in world.areas] == [7]
    assert call.swapon(path, 0) == -errno.EBUSY
    assert call.swapoff(path) == 0
    world.kernel.check()


@both
def test_what_swapon_refuses_in_its_order(mode, tmp_path):
    world = World(mode, tmp_path)
    call, nowhere = world.call, str(tmp_path / "nowhere")
    assert call.swapon(nowhere, 1 << 19) == -errno.EINVAL
    world.process.mm.privileged = False
    assert call.swapon(nowhere, 1 << 19) == -errno.EINVAL
    assert call.swapon(nowhere, 0) == call.swapoff(nowhere) == -errno.EPERM
    world.process.mm.privileged = True
    assert call.swapon(nowhere, 0) == call.swapoff(nowhere) == -errno.ENOENT
    assert call.swapon(str(tmp_path), 0) == -errno.EISDIR
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "zeros").write_bytes(bytes(20 * PAGE))
    for name in ("empty", "zeros"):
        assert call.swapon(str(tmp_path / name), 0) == -errno.EINVAL
    assert call.swapoff(str(tmp_path / "zeros")) == -errno.EINVAL
    for number in range(MAX_SWAPFILES):
        assert call.swapon(world.area(f"swap{number}", 10), 0) == 0
    assert call.swapon(nowhere, 0) == -errno.EPERM
    assert call.swapoff(str(tmp_path / "swap5")) == 0
    assert call.swapon(nowhere, 0) == -errno.ENOENT
    for info in world.areas:
        info.device.close()


@both
def test_an_area_that_was_opened_stays_open(mode, tmp_path):
    world = World(mode, tmp_path)
    with flaky_swap(tmp_path, "swap", 100) as device:
        assert world.call.swapon(device, 0) == 0
        assert world.call.swapon(device, 0) == -errno.EBUSY
        assert world.call.swapoff(device) == 0
        assert world.call.swapoff(device) == -errno.EINVAL
        device.write(1, bytes(PAGE), 0)


@both
def test_more_promised_than_would_be_left(mode, tmp_path):
    world = World(mode, tmp_path)
    path = world.area(pages=1000)
    assert world.call.swapon(path, 0) == 0
    commit = world.kernel.commit
    commit.mode, commit.overcommit_ratio = 2, 0
    start = world.call.mmap(0, 10 * PAGE, RW, ANON)
    commit.overcommit_kbytes = commit.admin_reserve_kbytes = commit.user_reserve_kbytes = 0
    assert start > 0
    assert world.call.swapoff(path) == -errno.ENOMEM
    commit.mode = 0
    assert world.call.swapoff(path) == 0


@both
def test_what_is_kept_from_a_large_process_its_swapoff_does_not_get(mode, tmp_path):
    """A thirty-second of its address space, at most user_reserve_kbytes. [__vm_enough_memory]"""
    world = World(mode, tmp_path)
    path, commit = world.area(pages=1000), world.kernel.commit
    assert world.call.swapon(path, 0) == 0
    assert world.call.mmap(0, 3200 * PAGE, Prot.READ, ANON) > 0
    commit.mode, commit.overcommit_kbytes, commit.user_reserve_kbytes = 2, 100 * 4, 1000 * 4
    assert world.call.swapoff(path) == -errno.ENOMEM
    commit.overcommit_kbytes += 4
    assert world.call.swapoff(path) == 0


@both
def test_who_asks_for_more_than_there_is_memory_for_is_killed(mode, tmp_path):
    """Rather than another, which has far more. [set_current_oom_origin]"""
    world = World(mode, tmp_path, megabytes=2)
    with FlakySwap.create(tmp_path / "swap", 1001, uuid=UUID(int=1)) as device:
        assert world.call.swapon(device, 0) == 0
        large = world.kernel.spawn("large")
        world.kernel.switch(large)
        start = large.mm.mmap(0, 300 * PAGE, RW, ANON)
        for area in (start, large.mm.mmap(0, 300 * PAGE, RW, ANON)):
            for page in range(300):
                world.cpu.store(area + page * PAGE, b"x")
        world.kernel.switch(world.process)
        with pytest.raises(OomKilled, match=r"\(first\)"):
            world.call.swapoff(device)
        assert [*world.kernel.processes.values()] == [large]
        assert world.areas[0].write_ok
        world.kernel.check()
