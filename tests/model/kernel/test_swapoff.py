"""Swapoff with pages in use: they come back, or all stays as it was."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Overcommit
from pagewalk.model.address_space.uapi import Prot
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.swap.errors import SwapDeviceBusy, SwapIoError
from pagewalk.model.kernel.swapoff import unuse_mm
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import IA32, X86_64, Entry

from .machines import MODES, PAGE
from .sharers import Sharers, flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with flaky_swap(tmp_path, "swap", 1000) as device:
        yield device


@pytest.fixture
def other(tmp_path):
    with flaky_swap(tmp_path, "other", 1000) as device:
        yield device


def roomy(mode, *devices):
    """Two processes whose pages have all gone out, though there is room for them."""
    world = Sharers(mode, *devices, shared=150, private=150, megabytes=4)
    world.store_all(world.first)
    world.store_all(world.first, private=True)
    child = world.fork(world.first)
    for page in range(0, 150, 3):  # the other pages stay common to both
        world.store(child, page, private=True)
    world.reclaim_all()
    assert world.first.space.swapped == child.space.swapped == 150
    assert world.state.shmem.swapped == 150
    return world, child


@both
def test_all_pages_come_back(mode, swap):
    world, child = roomy(mode, swap)
    world.kernel.swapoff(swap)
    assert world.first.space.swapped == child.space.swapped == world.state.shmem.swapped == 0
    assert world.first.space.rss == child.space.rss == 150
    assert world.state.swap.info == [None]
    assert world.state.swap.cached() == []
    assert swap.counters.pages_in == 150 + 150 + 50  # each once, also those common to both
    world.kernel.check()
    faults = len(world.cpu.results)
    world.load_all(child, private=True)
    assert len(world.cpu.results) == faults
    world.load_all(child)
    assert {one.major for one in world.cpu.results[faults:]} == {False}
    world.free = (world.free[0], 0)
    world.finish()


@both
def test_pages_are_back_unaccessed_and_protected(mode, swap):
    world, child = roomy(mode, swap)
    world.kernel.swapoff(0)
    start = world.starts[1]
    entries = [leaf.entry for leaf in world.first.space.tables.entries(start, start + 150 * PAGE)]
    assert len(entries) == 150
    assert not any(entry & (Entry.A | Entry.D | Entry.RW) for entry in entries)
    world.store(child, 0, private=True)  # its own
    world.store(child, 1, private=True)  # its parent's, too
    assert [one.cause for one in world.cpu.results[-2:]] == [FaultCause.REUSE,
                                                            FaultCause.COPY_ON_WRITE]
    world.load(world.first, 1, private=True)
    world.free = (world.free[0], 0)
    world.finish()


@both
def test_pages_that_nobody_may_access_come_back_too(mode, swap):
    world, _ = roomy(mode, swap)
    start = world.starts[1]
    world.first.mm.mprotect(start, 150 * PAGE, Prot.NONE)
    world.kernel.swapoff(swap)
    world.kernel.check()
    assert world.first.space.rss == 150
    world.first.mm.mprotect(start, 150 * PAGE, Prot.READ)
    world.free = (world.free[0], 0)
    world.finish()


@pytest.mark.slow
@both
def test_pages_of_locked_mappings_stay_once_they_are_back(mode, swap):
    world, child = roomy(mode, swap)
    for start in world.starts:
        child.mm.mlock(start, 150 * PAGE, on_fault=True)
    world.kernel.swapoff(swap)
    world.kernel.swapon(swap)
    world.reclaim_all()
    assert child.space.rss == 150
    assert world.state.shmem.swapped == 150  # nobody has mapped them since
    world.load_all(child)
    world.load_all(child, private=True)
    assert world.slots_named(0) == world.first.space.swapped == 50  # what only it has
    world.reclaim_all()
    assert (child.space.rss, world.state.shmem.swapped) == (300, 0)
    world.finish()


@pytest.mark.slow
@both
def test_pages_for_which_there_is_no_room_go_to_another_area(mode, swap, other):
    world = Sharers(mode, swap, shared=300, private=100, megabytes=2)
    world.store_all(world.first)
    world.store_all(world.first, private=True)
    child = world.fork(world.first)
    world.load_all(child)
    world.load_all(child, private=True)
    world.kernel.swapon(other)
    world.kernel.swapoff(swap)
    assert world.slots_named(0) == 0
    assert world.slots_named(1) > 100
    assert "other" in world.state.swap.proc_swaps()
    assert "/swap\t" not in world.state.swap.proc_swaps()
    world.kernel.check()
    world.finish()


@both
def test_pages_of_other_areas_stay_there(mode, swap, tmp_path):
    with flaky_swap(tmp_path, "small", 60) as small:
        world = Sharers(mode, small, swap, shared=100, private=100, megabytes=4)
        for private in (False, True):
            world.store_all(world.first, private)
            world.reclaim_all()
        assert (world.slots_named(0), world.slots_named(1)) == (60, 140)
        world.kernel.swapoff(swap)
        assert (world.slots_named(0), world.slots_named(1)) == (60, 0)
        assert (small.counters.pages_in, swap.counters.pages_in) == (0, 140)
        world.free = (world.free[0], 60)
        world.finish()


@pytest.mark.slow
@both
def test_a_page_with_one_owner_gives_up_its_slot_at_once(mode, swap, other, monkeypatch):
    """So that reclaim moves it on, and one round is enough however many there are."""
    world = Sharers(mode, swap, shared=0, private=700)
    world.store_all(world.first, private=True)
    world.kernel.swapon(other)
    rounds = count_rounds(world, monkeypatch)
    world.kernel.swapoff(swap)
    assert len(rounds) == 1
    assert world.slots_named(1) > 400
    world.free = (world.free[0], 1000)
    world.finish()


@both
def test_an_area_that_is_not_in_use_is_refused(mode, swap, other):
    world = Sharers(mode, swap, shared=10)
    for area in (other, 1, -1):
        with pytest.raises(SysError) as info:
            world.kernel.swapoff(area)
        assert info.value.errno == errno.EINVAL
    world.kernel.swapoff(swap)
    with pytest.raises(SysError):
        world.kernel.swapoff(swap)


@both
def test_memory_that_was_promised_is_not_taken_back(mode, swap):
    world = Sharers(mode, swap, shared=150)
    commit = world.kernel.commit
    limit, committed = commit.limit, commit.committed
    commit.mode, commit.overcommit_ratio = Overcommit.NEVER, 100
    commit.committed = below = commit.allowed(0, True) - 1000
    with pytest.raises(SysError) as info:
        world.kernel.swapoff(swap)
    assert info.value.errno == errno.ENOMEM
    assert (commit.limit, commit.committed) == (limit, below)
    commit.committed = committed
    world.kernel.swapoff(swap)
    assert (commit.limit, commit.committed) == (limit - 1000, committed)
    world.kernel.swapon(swap)
    assert commit.limit == limit


@pytest.mark.slow
@both
def test_without_room_the_area_stays_and_nobody_is_killed(mode, swap):
    world = Sharers(mode, swap, shared=300, private=100)
    world.store_all(world.first)
    world.store_all(world.first, private=True)
    limit = world.kernel.commit.limit
    with pytest.raises(OutOfMemory):
        world.kernel.swapoff(swap)
    assert world.kernel.oom_kills == []
    assert world.kernel.commit.limit == limit
    assert world.kernel.oom.enabled
    assert world.state.swap.info[0].write_ok
    assert world.slots_named(0) > 0
    world.finish()


@pytest.mark.slow
@both
def test_lack_of_memory_is_that_though_another_device_fails(mode, swap, tmp_path):
    """A write that failed before swapoff is not what swapoff ends in."""
    with flaky_swap(tmp_path, "failing", 400) as failing:
        world = Sharers(mode, swap, shared=300, private=100)
        world.store_all(world.first)
        world.store_all(world.first, private=True)
        failing.unwritable = lambda _slot: True
        world.kernel.swapon(failing)
        world.state.page_ops.write_error = SwapIoError(failing.path, 0, 0, "write", "no")
        with pytest.raises(OutOfMemory):
            world.kernel.swapoff(swap)
        assert world.kernel.oom.enabled
        assert world.kernel.oom_kills == []
        world.kernel.check()


@both
def test_what_cannot_be_read_stays_and_so_does_the_area(mode, swap):
    world, child = roomy(mode, swap)
    space = world.shmem_space
    slot = world.state.slot(child.space.tables.lookup(world.starts[1] + 3 * PAGE).entry)
    limit = world.kernel.commit.limit
    swap.unreadable = lambda number: number == slot.offset
    for _ in range(2):
        with pytest.raises(SwapIoError, match=rf"cannot read slot {slot.offset} "):
            world.kernel.swapoff(swap)
        world.kernel.check()
        assert (space.slots, world.first.space.swapped) == ({}, 0)  # these came first
        assert child.space.swapped > 0
        assert world.state.swap.swapcount(slot) == 1
        assert world.kernel.commit.limit == limit
    with pytest.raises(SwapIoError):
        world.load(child, 3, private=True)
    del swap.unreadable
    world.kernel.swapoff(swap)
    world.free = (world.free[0], 0)
    world.finish()


@both
def test_a_file_page_that_cannot_be_read_stays(mode, swap):
    world, _ = roomy(mode, swap)
    space = world.shmem_space
    slot = space.slots[70]
    swap.unreadable = lambda number: number == slot.offset
    with pytest.raises(SwapIoError):
        world.kernel.swapoff(swap)
    assert space.slots[70] == slot
    world.kernel.check()
    del swap.unreadable
    world.kernel.swapoff(swap)
    world.free = (world.free[0], 0)
    world.finish()


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "pages"), [(IA32, 400), (X86_64, 250)],
                         ids=["ia32", "x86_64"])
def test_an_area_is_gone_round_again_for_what_reclaim_has_put_back(
        mode, pages, swap, other, monkeypatch):
    world = common(mode, swap, other, pages)
    rounds = count_rounds(world, monkeypatch)
    world.kernel.swapoff(swap)
    assert len(rounds) > 1
    assert world.slots_named(0) == 0
    world.free = (world.free[0], 1000)
    world.finish()


@pytest.mark.slow
@both
def test_reclaim_may_put_back_all_that_comes_out(mode, swap, other):
    """While a second process gets its pages, those that the first has got go out again."""
    world = common(mode, swap, other, pages=600)
    limit = world.kernel.commit.limit
    with pytest.raises(SwapDeviceBusy, match=r"swap: \d+ slots are in use$"):
        world.kernel.swapoff(swap)
    assert world.kernel.commit.limit == limit
    assert world.state.swap.info[0].write_ok
    world.free = (world.free[0], 2000)
    world.finish()


def count_rounds(world, monkeypatch):
    """Return a list that grows by one with each round of swapoff."""
    rounds, unuse = [], world.state.shmem.unuse
    monkeypatch.setattr(world.state.shmem, "unuse", lambda number: rounds.append(unuse(number)))
    return rounds


def common(mode, device, other, pages):
    """Two processes with the same private pages, many of them out, and another area for those."""
    world = Sharers(mode, device, shared=0, private=pages)
    world.store_all(world.first, private=True)
    world.fork(world.first)
    world.kernel.swapon(other)
    return world


@both
def test_a_swap_entry_outside_all_mappings_is_noticed(mode, swap):
    world, child = roomy(mode, swap)
    child.mm.tree.remove(child.mm.tree.lookup(world.starts[1]))
    with pytest.raises(BrokenInvariant, match="has a swap entry, but no mapping"):
        unuse_mm(child.space, 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@both
def test_areas_come_and_go_while_pages_do(mode, seed, swap, other):
    world = Sharers(mode, swap, other, shared=150, private=70, seed=seed)
    for number in range(250):
        world.step()
        if number % 25 == 0:
            world.kernel.check()
    assert world.swapoffs > 3
    assert swap.counters.pages_in > 100
    assert other.counters.pages_in > 100
    world.finish()
