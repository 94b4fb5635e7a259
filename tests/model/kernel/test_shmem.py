"""Shared memory that does not fit into memory: where its pages go, and that they come back."""

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.reclaim.shrink import Pageout
from pagewalk.model.kernel.swap.errors import BadSwapEntry, SwapIoError
from pagewalk.model.physical.errors import BrokenInvariant

from .machines import MODES, PAGE, RW, Killed, counted, machine
from .sharers import Sharers, flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
PAGES = 400  # more than three times the frames of 2 Mbytes that the kernel leaves free


@pytest.fixture
def swap(tmp_path):
    with flaky_swap(tmp_path, "swap", 1000) as device:
        yield device


@pytest.mark.slow
@both
def test_shared_pages_go_out_and_come_back_for_all(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    world.store_all(world.first)
    child = world.fork(world.first)
    used = swap_used(world)
    assert world.state.shmem.swapped == used > 200
    assert [one.space.swapped for one in world.processes] == [0, 0]  # page tables name no slots
    world.load_all(child)
    assert child.maj_flt == swap.counters.pages_in > 200
    world.store_all(child)
    world.load_all(world.first)
    assert len(world.shmem_space.pages) + len(world.shmem_space.slots) == PAGES
    world.finish()


def swap_used(world):
    swap = world.state.swap
    return swap.total_swap_pages - swap.free_slots


@pytest.mark.slow
@both
def test_pages_never_written_need_no_slot(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    for _ in range(2):
        world.load_all(world.first)
    assert world.first.maj_flt == swap.counters.pages_out == swap_used(world) == 0
    assert len(world.shmem_space.pages) < PAGES
    assert not world.shmem_space.shadows
    world.finish()


@pytest.mark.slow
@both
def test_a_page_that_comes_back_is_written_again_though_only_read(mode, swap):
    """Its slot was freed. [folio_mark_dirty in shmem_swapin_folio]"""
    world = Sharers(mode, swap, shared=PAGES)
    world.store_all(world.first)
    for _ in range(3):
        world.load_all(world.first)
    assert swap.counters.pages_out > swap.counters.pages_in > 2 * PAGES
    world.finish()


@pytest.mark.slow
@both
def test_only_pages_in_slots_leave_shadows(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    refaults = world.state.lruvec.vmstat
    world.load_all(world.first)
    world.store_all(world.first)
    assert refaults["workingset_refault_anon"] == swap.counters.pages_in
    world.load_all(world.first)
    assert refaults["workingset_refault_anon"] == swap.counters.pages_in > 200
    assert not world.shmem_space.shadows
    world.finish()


@both
def test_more_shared_memory_than_is_left_kills(mode, tmp_path):
    with flaky_swap(tmp_path, "swap", 50) as device:
        world = Sharers(mode, device, shared=300)  # of 306 that the machine has
        first = world.first
        with pytest.raises(Killed):
            world.store_all(first)
        assert world.kernel.oom_kills[0].pid == first.pid
        assert 100 < len(world.shared) < 300
        del world.private[first]
        world.finish()


@pytest.mark.slow
@both
def test_full_swap_keeps_pages_in_memory(mode, tmp_path):
    frames = counted(machine(mode, megabytes=2)[0])[0]
    with flaky_swap(tmp_path, "swap", 60) as device:
        world = Sharers(mode, device, shared=frames)
        child = world.fork(world.first)
        for _ in range(3):
            world.store_all(world.first)
            world.load_all(child)
        assert device.counters.pages_in > 60
        for page in range(frames):  # takes what is left
            world.store(child, page)
            if not world.state.swap.nr_swap_pages:
                break
        assert world.state.swap.nr_swap_pages == 0
        index, pfn = next(iter(world.shmem_space.pages.items()))
        world.state.page_cache.set_dirty(pfn)
        assert world.kernel.state.page_ops.pageout(pfn) is Pageout.ACTIVATE
        assert world.shmem_space.pages[index] == pfn
        assert world.state.page_cache.is_dirty(pfn)
        world.finish()


@both
def test_locked_pages_stay(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    child = world.fork(world.first)
    world.first.mm.mlock(world.starts[0], 30 * PAGE)
    locked = {index: world.shmem_space.pages[index] for index in range(30)}
    world.store_all(child)
    world.load_all(child)
    world.reclaim_all()
    assert world.shmem_space.pages == locked
    world.kernel.check()
    world.exit(world.first)  # who locked them
    world.reclaim_all()
    assert world.shmem_space.pages == {}
    world.finish()


@both
def test_pages_that_cannot_be_written_stay_in_the_swap_cache(mode, swap):
    world = Sharers(mode, swap, shared=100)
    world.store_all(world.first)
    space, state = world.shmem_space, world.state
    swap.unwritable = lambda _slot: True
    assert world.reclaim_all() == 0
    assert world.kernel.state.page_ops.write_errors >= len(space.slots) == 100
    assert all(state.swap.cache.is_dirty(state.swap.cache.page(slot))
               for slot in space.slots.values())
    world.kernel.check()
    for page in range(50):
        world.load(world.first, page)
    assert len(space.slots) == swap_used(world) == 50
    assert swap.counters.pages_in == swap.counters.pages_out == world.first.maj_flt == 0
    del swap.unwritable
    assert world.reclaim_all() == 100
    assert swap.counters.pages_out == 100
    world.finish()


@both
def test_a_page_in_the_swap_cache_goes_with_its_file(mode, swap):
    world = Sharers(mode, swap, shared=100)
    world.store_all(world.first)
    swap.unwritable = lambda _slot: True
    world.reclaim_all()
    assert len(world.state.swap.cached()) == 100
    world.exit(world.first)
    world.finish()


@both
def test_a_page_that_cannot_be_read_stays_in_its_slot(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    world.store_all(world.first)
    index, slot = next(iter(world.shmem_space.slots.items()))
    used, allocated = swap_used(world), world.state.frames.allocated()
    swap.unreadable = lambda number: number == slot.offset
    for _ in range(2):
        with pytest.raises(SwapIoError, match=r"cannot read slot \d+ .*Input/output error"):
            world.load(world.first, index)
        assert world.shmem_space.slots[index] == slot
    assert (swap_used(world), world.state.frames.allocated()) == (used, allocated)
    world.kernel.check()
    del swap.unreadable
    world.load(world.first, index)
    world.finish()


@both
def test_a_private_mapping_copies_a_page_that_is_out(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    mm, cpu = world.first.mm, world.cpu
    file = File("shm", is_shmem=True)
    shared = mm.mmap(0, PAGE, RW, MapFlag.SHARED, file)
    private = mm.mmap(0, PAGE, RW, MapFlag.PRIVATE, file)
    cpu.kernel.switch(world.first)
    cpu.store(shared, b"shared")
    space = world.state.page_cache.space(file)
    world.store_all(world.first)
    assert space.slots.keys() == {0}
    cpu.store(private, b"c")
    assert (cpu.load(private, 6), cpu.load(shared, 6)) == (b"chared", b"shared")
    cpu.store(shared, b"S")
    assert (cpu.load(private, 6), cpu.load(shared, 6)) == (b"chared", b"Shared")
    world.finish()


@both
def test_advice_sends_out_shared_pages_that_one_process_maps(mode, swap):
    world = Sharers(mode, swap, shared=60)
    world.store_all(world.first)
    child = world.fork(world.first)
    for page in range(20):
        world.load(child, page)
    mapped = child.space.rss  # some around those, too
    world.first.mm.madvise(world.starts[0], 60 * PAGE, Madvise.PAGEOUT)
    assert [*world.shmem_space.slots] == [*range(mapped, 60)]
    assert [*world.shmem_space.pages] == [*range(mapped)]
    world.load_all(child)
    world.finish()


@both
def test_slots_go_with_the_last_mapping(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    world.store_all(world.first)
    child = world.fork(world.first)
    world.exit(world.first)
    assert swap_used(world) > 200
    child.mm.munmap(world.starts[0], PAGES * PAGE)
    assert swap_used(world) == 0
    world.kernel.check()
    world.exit(child)
    world.kernel.check()


@both
def test_check_finds_a_slot_too_many_and_one_too_few(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    world.store_all(world.first)
    space, shmem = world.shmem_space, world.state.shmem
    index, slot = next(iter(space.slots.items()))
    present = next(iter(space.pages))
    del space.slots[index]
    with pytest.raises(BrokenInvariant, match="Files of shared memory hold"):
        shmem.check()
    with pytest.raises(BrokenInvariant):
        world.kernel.check()
    space.slots[present] = slot
    with pytest.raises(BrokenInvariant, match="both a frame and a slot"):
        shmem.check()
    del space.slots[present]
    space.slots[index] = space.slots[PAGES] = slot
    with pytest.raises(BrokenInvariant, match="Files of shared memory hold"):
        shmem.check()
    del space.slots[PAGES]
    shmem.check()


@both
def test_a_slot_of_shared_memory_has_no_second_owner(mode, swap):
    world = Sharers(mode, swap, shared=PAGES)
    world.store_all(world.first)
    slot = next(iter(world.shmem_space.slots.values()))
    assert world.state.swap.swapcount(slot) == 1
    with pytest.raises(BadSwapEntry, match=r"is one of shared memory$"):
        world.state.swap.swap_duplicate(slot)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@both
def test_sharers_see_what_any_of_them_wrote(mode, seed, swap):
    world = Sharers(mode, shared=150, private=60, seed=seed)
    world.kernel.swapon(swap)
    world.free = (world.free[0], 1000)
    for number in range(250):
        world.step()
        if number % 25 == 0:
            world.kernel.check()
    assert swap.counters.pages_in > 500
    world.finish()
