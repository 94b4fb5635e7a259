"""Sizes of files and how they change, and files of tmpfs, whose pages are in memory alone."""

import pytest

from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.file_size import ftruncate
from pagewalk.model.kernel.truncate import drop_unwritten

from .machines import MODES, PAGE, RW, Killed, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@both
def test_a_file_of_tmpfs_stays_when_nobody_maps_it(mode):
    kernel, cpu, process = machine(mode)
    free, file = counted(kernel)[0], File("/tmp/file", is_shmem=True)
    assert kernel.register_file(file, b"text" * PAGE) == b"text" * PAGE
    assert (counted(kernel)[0], kernel.commit.committed) == (free - 4, 4)
    start = process.mm.mmap(0, 5 * PAGE, RW, MapFlag.SHARED, file)
    cpu.store(start, b"T")
    process.mm.munmap(start, 5 * PAGE)
    start = process.mm.mmap(0, 5 * PAGE, RW, MapFlag.SHARED, file)
    assert cpu.load(start + PAGE - 4, 8) == b"texttext"
    assert cpu.load(start, 4) == b"Text"
    kernel.check()
    with pytest.raises(Killed):
        cpu.load(start + 4 * PAGE)
    assert kernel.commit.committed == 4
    kernel.state.page_cache.drop(file)
    assert kernel.commit.committed == 0
    kernel.check()


@both
def test_a_file_that_nobody_registered_is_a_hole_for_as_long_as_it_is_mapped(mode):
    kernel, cpu, process = machine(mode)
    file = File("/tmp/file", is_shmem=True)
    start = process.mm.mmap(0, PAGE, RW, MapFlag.SHARED, file, PAGE << 20)
    assert cpu.load(start, 4) == bytes(4)
    assert kernel.commit.committed == 1
    ftruncate(kernel.state, file, 5, Rlimits())
    with pytest.raises(Killed):
        cpu.load(start)
    assert (kernel.commit.committed, kernel.files.inodes) == (0, {})
    kernel.check()


@both
def test_a_page_that_was_allocated_reads_as_zeros_but_is_no_data(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, 3 * PAGE, RW, MapFlag.SHARED | MapFlag.ANONYMOUS)
    state = kernel.state
    space = state.page_cache.space(process.mm.find_vma(start).file)
    for index in range(3):
        state.shmem.preallocate(space, index)
    assert [space.is_hole(index) for index in range(3)] == [True] * 3
    assert cpu.load(start, 3) == bytes(3)  # which maps no other page with it
    assert (space.unwritten, process.space.rss) == ({1, 2}, 1)
    state.shmem.preallocate(space, 1)  # once more is a use
    drop_unwritten(state, space, 0, 9)
    assert [*space.pages] == [0, 1]
    kernel.check()


@both
@pytest.mark.parametrize("is_shmem", [False, True], ids=["disk", "tmpfs"])
def test_what_is_stored_beyond_the_end_is_there_if_the_file_grows_over_it(mode, is_shmem):
    """Beyond the new end it is gone, but not on tmpfs. [ext4_setattr, shmem_setattr]"""
    kernel, cpu, process = machine(mode)
    file = File("file", is_shmem=is_shmem)
    kernel.register_file(file, b"f" * 10)
    start = process.mm.mmap(0, PAGE, RW, MapFlag.SHARED, file)
    cpu.store(start + 90, b"x" * 20)
    for size in (100, 200, PAGE):
        ftruncate(kernel.state, file, size, Rlimits())
        assert cpu.load(start + 90, 20) == b"x" * (20 if is_shmem else 10) + bytes(
            0 if is_shmem else 10)
        assert cpu.load(start, 10) == b"f" * 10
    kernel.check()
