"""Holes in files: what is freed, and who still sees what."""

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.reclaim.lru import LruFlag
from pagewalk.model.kernel.truncate import punch_hole, truncate_range, unmap_mapping_range

from .machines import MODES, PAGE, RW, SHARED, Killed, counted, machine
from .sharers import Sharers, flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
PRIVATE = MapFlag.PRIVATE


@both
def test_a_hole_in_shared_memory_reads_as_zeros_for_all(mode):
    kernel, cpu, first = machine(mode)
    start = first.mm.mmap(0, 8 * PAGE, RW, SHARED)
    for page in range(8):
        cpu.store(start + page * PAGE, b"data")
    child = kernel.fork(first)
    kernel.switch(child)
    for page in range(8):
        assert cpu.load(start + page * PAGE, 4) == b"data"
    free = counted(kernel)[0]
    child.mm.madvise(start + 2 * PAGE, 3 * PAGE, Madvise.REMOVE)
    assert counted(kernel)[0] == free + 3
    assert (first.space.rss, child.space.rss) == (5, 5)
    kernel.check()
    for process in (first, child):
        kernel.switch(process)
        found = [cpu.load(start + page * PAGE, 4) for page in range(8)]
        assert found == [b"data"] * 2 + [bytes(4)] * 3 + [b"data"] * 3
    cpu.store(start + 2 * PAGE, b"new")
    kernel.switch(first)
    assert cpu.load(start + 2 * PAGE, 3) == b"new"
    kernel.check()


@both
def test_a_hole_frees_slots_and_what_is_in_the_swap_cache(mode, tmp_path):
    with flaky_swap(tmp_path, "swap", 1000) as device:
        world = Sharers(mode, device, shared=60)
        world.store_all(world.first)
        device.unwritable = lambda slot: slot % 2
        world.reclaim_all()
        del device.unwritable
        space, swap = world.shmem_space, world.state.swap
        assert len(space.slots) == 60
        assert 10 < len(swap.cached()) < 60
        world.first.mm.madvise(world.starts[0], 30 * PAGE, Madvise.REMOVE)
        assert [*space.slots] == [*range(30, 60)]
        assert swap.free_slots == 970
        world.kernel.check()
        world.shared = {page: number for page, number in world.shared.items() if page >= 30}
        world.finish()


@both
def test_private_copies_stay_in_a_hole_and_go_with_the_end_of_the_file(mode, tmp_path):
    kernel, cpu, process = machine(mode)
    file = File("file")
    kernel.register_file(file, b"f" * (6 * PAGE))
    private = process.mm.mmap(0, 6 * PAGE, RW, PRIVATE, file)
    for page in (1, 3, 4):
        cpu.store(private + page * PAGE, b"own")
    with flaky_swap(tmp_path, "swap", 50) as device:
        kernel.swapon(device)
        process.mm.madvise(private + 4 * PAGE, PAGE, Madvise.PAGEOUT)
        assert process.space.swapped == 1
        punch_hole(kernel.state, file, 0, 6 * PAGE)
        kernel.check()
        assert [cpu.load(private + page * PAGE, 3) for page in range(6)] == [
            bytes(3), b"own", bytes(3), b"own", b"own", bytes(3)]
        process.mm.madvise(private + 4 * PAGE, PAGE, Madvise.PAGEOUT)
        unmap_mapping_range(kernel.state, file, 3 * PAGE, 6 * PAGE, even_cows=True)
        assert (process.space.rss, process.space.swapped) == (3, 0)
        kernel.check()
        assert [cpu.load(private + page * PAGE, 3) for page in range(6)] == [
            bytes(3), b"own"] + [bytes(3)] * 4
        assert kernel.state.swap.nr_swap_pages == 50


@both
def test_parts_of_pages_become_zeros_and_are_written_back(mode):
    kernel, cpu, process = machine(mode)
    file = File("file")
    data = kernel.register_file(file, b"f" * (3 * PAGE))
    start = process.mm.mmap(0, 3 * PAGE, RW, MapFlag.SHARED, file)
    cpu.store(start + PAGE, b"g" * PAGE)
    punch_hole(kernel.state, file, 100, 2 * PAGE + 50)
    expected = b"f" * 100 + bytes(2 * PAGE - 50) + b"f" * (PAGE - 50)
    assert cpu.load(start, 3 * PAGE) == expected
    punch_hole(kernel.state, file, 10, 20)
    punch_hole(kernel.state, file, 2 * PAGE + 60, 2 * PAGE + 70)
    assert cpu.load(start + 2 * PAGE + 55, 20) == b"f" * 5 + bytes(10) + b"f" * 5
    punch_hole(kernel.state, file, 3 * PAGE, 4 * PAGE)  # nothing is there
    kernel.check()
    kernel.exit(process)
    kernel.state.page_cache.drop(file)
    hole = 2 * PAGE + 60
    assert data == (expected[:10] + bytes(10) + expected[20:hole] + bytes(10)
                    + expected[hole + 10:])


@both
def test_a_part_of_a_page_in_swap_becomes_zeros(mode, tmp_path):
    with flaky_swap(tmp_path, "swap", 100) as device:
        world = Sharers(mode, device, shared=4)
        world.store_all(world.first)
        assert world.reclaim_all() == 4
        truncate_range(world.state, world.shmem_space, PAGE + 8, 2 * PAGE - 8)
        assert [*world.shmem_space.slots] == [0, 2, 3]
        world.load(world.first, 1)  # first and last word
        assert world.cpu.load(world.starts[0] + PAGE + 8, PAGE - 16) == bytes(PAGE - 16)
        world.finish()


@both
def test_a_page_that_the_kernel_works_with_outlives_its_file(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(0, PAGE, RW, SHARED)
    cpu.store(start, b"data")
    state = kernel.state
    pfn = state.page_cache.shmem_spaces()[0].pages[0]
    state.frames.get(pfn)
    process.mm.madvise(start, PAGE, Madvise.REMOVE)
    assert (cpu.load(start, 4), state.frames.read(pfn)[:4]) == (bytes(4), b"data")
    assert pfn not in state.lruvec
    state.frames.put(pfn)
    kernel.check()


@both
def test_what_madvise_says_before_it_removes_anything(mode):
    """The errors of madvise_remove and vfs_fallocate, in their order."""
    kernel, cpu, process = machine(mode)
    mm = process.mm
    file, readable = File("file"), File("file", writable=False)
    for one in (file, readable):
        kernel.register_file(one, b"f" * PAGE)

    def fails(start, what):
        with pytest.raises(SysError, match=rf"^{what}:"):
            mm.madvise(start, PAGE, Madvise.REMOVE)

    anonymous = mm.mmap(0, PAGE, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS)
    fails(anonymous, "EINVAL")
    shared = mm.mmap(0, PAGE, RW, SHARED)
    mm.mlock(shared, PAGE)
    fails(shared, "EINVAL")
    mm.munlock(shared, PAGE)
    fails(mm.mmap(0, PAGE, RW, PRIVATE, file), "EACCES")
    fails(mm.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, readable), "EACCES")
    unmodelled = "ENOTSUP"  # which is EOPNOTSUPP
    fails(mm.mmap(0, PAGE, RW, MapFlag.SHARED, File("/dev/driver")), unmodelled)
    of_file = mm.mmap(0, PAGE, Prot.READ, MapFlag.SHARED, file)
    mm.madvise(of_file, PAGE, Madvise.REMOVE)  # may be written, though not now
    assert cpu.load(of_file) == b"\0"
    kernel.check()


@both
def test_beyond_the_file_of_a_mapping_that_grew_there_are_no_pages(mode):
    kernel, cpu, process = machine(mode)
    start = process.mm.mmap(1 << 20, 2 * PAGE, RW, SHARED | MapFlag.FIXED)
    cpu.store(start + PAGE, b"last")
    process.mm.mremap(start, 2 * PAGE, 4 * PAGE)
    child = kernel.fork(process)
    assert cpu.load(start + PAGE, 4) == b"last"
    for one, access in ((process, cpu.load), (child, lambda at: cpu.store(at, b"x"))):
        kernel.switch(one)
        with pytest.raises(Killed) as caught:
            access(start + 2 * PAGE)
        assert (caught.value.signal.number, caught.value.signal.code) == (7, 2)
    kernel.check()


@both
@pytest.mark.parametrize(("start", "end", "left"), [
    (0, 64, 0), (16, 64, 1), (PAGE, PAGE + 64, 4), (0, PAGE, 3), (16, PAGE + 64, 4)])
def test_a_hole_within_the_first_page_of_shared_memory_unmaps_all_after_its_start(mode, start, end,
                                                                                 left):
    kernel, cpu, process = machine(mode)
    memory, plain = File("shm", is_shmem=True), File("file")
    for file, mapped in ((memory, left), (plain, 3 if (start, end) == (0, PAGE) else 4)):
        kernel.register_file(file, b"x" * 4 * PAGE)
        vaddr = process.mm.mmap(0, 4 * PAGE, RW, MapFlag.SHARED, file)
        for page in range(4):
            cpu.load(vaddr + page * PAGE)
        rss = process.space.rss - 4
        punch_hole(kernel.state, file, start, end)
        assert process.space.rss - rss == mapped
        assert cpu.load(vaddr + 3 * PAGE) == b"x"
        process.mm.munmap(vaddr, 4 * PAGE)
    kernel.check()


@both
def test_a_page_of_a_file_that_ends_in_it_now_counts_as_used(mode):
    kernel, cpu, process = machine(mode)
    for file, used in ((File("file"), True), (File("shm", is_shmem=True), False)):
        kernel.register_file(file, b"x" * 2 * PAGE)
        vaddr = process.mm.mmap(0, 2 * PAGE, RW, MapFlag.SHARED, file)
        for page in range(2):
            cpu.load(vaddr + page * PAGE)
        space = kernel.state.page_cache.space(file)
        truncate_range(kernel.state, space, 100, PAGE)
        flags = [kernel.state.lruvec.flags(space.pages[index]) for index in range(2)]
        assert [bool(flag & LruFlag.REFERENCED) for flag in flags] == [used, False]
