"""Which anonymous pages are one entry's alone, and what calls make of that."""

from contextlib import closing
from uuid import UUID

import pytest

from pagewalk.model.address_space.tables.software_entry import EntryFlag
from pagewalk.model.address_space.uapi import Madvise, Prot
from pagewalk.model.kernel.swap.file import SwapFile
from pagewalk.model.physical.errors import BrokenInvariant
from pagewalk.model.x86 import IA32, Entry

from .machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


@pytest.fixture
def swap(tmp_path):
    with closing(SwapFile.create(tmp_path / "swap", 100, uuid=UUID(int=1))) as device:
        yield device


class World:
    """A machine whose process has written a page."""

    def __init__(self, mode):
        self.kernel, self.cpu, self.process = machine(mode)
        self.start = self.process.mm.mmap(0, PAGE, RW, ANON)
        self.cpu.store(self.start, b"x")

    def entry(self, process=None):
        return (process or self.process).space.tables.lookup(self.start).entry

    def exclusive(self):
        state = self.kernel.state
        return state.anon.is_exclusive(state.format.pfn(self.entry()))

    def writable_by_call(self, process=None):
        """Whether mprotect gives the right to write with no further fault."""
        process = process or self.process
        process.mm.mprotect(self.start, PAGE, Prot.READ)
        process.mm.mprotect(self.start, PAGE, RW)
        return bool(self.entry(process) & Entry.RW)

    def page_out(self):
        self.process.mm.madvise(self.start, PAGE, Madvise.PAGEOUT)
        assert self.process.space.swapped == 1

    def flags(self, process=None):
        return self.kernel.state.format.decode_swap(self.entry(process)).flags


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def world(request):
    return World(request.param)


def test_a_page_that_a_fork_has_shared_is_nobodys_own_before_it_is_written(world):
    assert world.writable_by_call()
    child = world.kernel.fork(world.process)
    assert not world.writable_by_call()
    world.cpu.store(world.start, b"y")  # a copy: the page is the child's alone
    assert world.writable_by_call()
    assert not world.writable_by_call(child)
    world.kernel.switch(child)
    faults = child.min_flt
    world.cpu.store(world.start, b"z")
    assert child.min_flt == faults + 1
    assert world.writable_by_call(child)
    world.kernel.check()


def test_a_swap_entry_remembers_that_its_page_is_one_entrys(world, swap):
    world.kernel.swapon(swap)
    world.page_out()
    can = world.kernel.mode is not IA32  # which has no bit for that
    assert world.flags() == (EntryFlag.EXCLUSIVE if can else EntryFlag(0))
    assert world.cpu.load(world.start) == b"x"
    assert world.exclusive() == world.writable_by_call() == can
    world.cpu.store(world.start, b"y")
    assert world.exclusive()
    world.kernel.check()


def test_a_fork_takes_that_from_the_swap_entries_of_both(world, swap):
    world.kernel.swapon(swap)
    world.page_out()
    child = world.kernel.fork(world.process)
    assert world.flags() == world.flags(child) == EntryFlag(0)
    world.cpu.load(world.start)
    assert not world.exclusive()
    assert not world.writable_by_call()
    world.kernel.check()


def test_swapoff_gives_it_back(world, swap):
    world.kernel.swapon(swap)
    world.page_out()
    world.kernel.swapoff(swap)
    assert world.exclusive() == (world.kernel.mode is not IA32)
    world.kernel.check()


def test_a_write_to_what_nobody_else_has_frees_its_slot(world, swap):
    world.kernel.swapon(swap)
    free = world.kernel.state.swap.free_slots
    world.page_out()
    child = world.kernel.fork(world.process)
    world.cpu.load(world.start)
    world.kernel.exit(child)
    assert world.kernel.state.swap.free_slots == free - 1
    pfn = world.kernel.state.format.pfn(world.entry())
    world.cpu.store(world.start, b"y")
    assert world.kernel.state.format.pfn(world.entry()) == pfn
    assert world.exclusive()
    assert world.kernel.state.swap.free_slots == free
    world.kernel.check()


@both
def test_check_finds_a_page_of_two_entries(mode):
    world = World(mode)
    pfn = world.kernel.state.format.pfn(world.entry())
    world.kernel.fork(world.process)
    world.kernel.check()
    world.kernel.state.anon.set_exclusive(pfn)
    with pytest.raises(BrokenInvariant, match=r"^Page .* should be of one entry, but 2 map it$"):
        world.kernel.check()
