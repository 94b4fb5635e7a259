"""Room that is made in shared memory: kept from reclaim meanwhile, and given back if it fails."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Overcommit, Rlimits
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.fallocate import fallocate
from pagewalk.model.kernel.reclaim.shrink import Pageout

from .machines import MODES, PAGE, counted, machine
from .sharers import Sharers, flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
LIMITS = Rlimits()


def allocate(state, file, first, pages):
    fallocate(state, file, 0, first * PAGE, pages * PAGE, LIMITS)


@both
def test_what_cannot_be_promised_is_given_back(mode):
    kernel, _, _ = machine(mode)
    state, file = kernel.state, File("shm", is_shmem=True)
    kernel.register_file(file, b"x" * PAGE)
    space = state.page_cache.space(file)
    allocate(state, file, 2, 2)
    state.frames.put(state.file_page(space, 3)[0])  # used
    free, committed = counted(kernel)[0], kernel.commit.committed
    kernel.commit.mode, kernel.commit.overcommit_ratio = Overcommit.NEVER, 100
    left = kernel.commit.allowed(0, False) - committed
    kernel.commit.charge(left - 10)
    with pytest.raises(SysError) as caught:
        allocate(state, file, 0, 50)
    assert caught.value.errno == errno.ENOSPC
    # Page 2 was there before and is used now, so that it need not be given back.
    assert ([*space.pages], space.unwritten) == ([0, 2, 3], set())
    assert (space.inode.size, counted(kernel)[0]) == (4 * PAGE, free)
    assert kernel.commit.committed == committed + left - 10
    kernel.check()


@both
def test_what_does_not_fit_into_memory_is_given_back(mode, tmp_path):
    """Its own pages may not go to swap meanwhile. [shmem_falloc.nr_unswapped]"""
    with flaky_swap(tmp_path, "swap", 2000) as device:
        world = Sharers(mode, device, shared=50)
        world.store_all(world.first)
        state, file = world.state, File("shm", is_shmem=True)
        world.kernel.register_file(file, b"")
        space = state.page_cache.space(file)
        before = counted(world.kernel)[0] + len(world.shmem_space.pages)
        with pytest.raises(SysError) as caught, world.kernel.acting(world.first):
            allocate(state, file, 0, 1000)
        assert caught.value.errno == errno.ENOMEM
        assert (space.pages, space.slots, space.inode.size) == ({}, {}, 0)
        assert counted(world.kernel)[0] + len(world.shmem_space.pages) == before
        allocate(state, file, 0, 100)
        world.reclaim_all()  # now they may
        assert len(space.slots) == 100
        assert not space.unwritten
        state.page_cache.drop(file)
        world.finish()


@both
def test_a_page_that_is_being_allocated_stays_in_memory(mode, tmp_path):
    with flaky_swap(tmp_path, "swap", 100) as device:
        world = Sharers(mode, device, shared=10)
        space = world.state.page_cache.space(world.first.mm.find_vma(world.starts[0]).file)
        world.state.shmem.preallocate(space, 5)
        space.allocating = range(10)
        assert world.state.page_ops.pageout(space.pages[5]) is Pageout.ACTIVATE
        assert (space.refused, [*space.pages]) == (1, [5])
        space.allocating = range(5)
        assert world.state.page_ops.pageout(space.pages[5]) is Pageout.SUCCESS
        assert [*space.slots] == [5]
        world.load(world.first, 5)
        world.finish()
