"""Small pages that become huge ones: what they hold, and what stays as it was."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.physical.out_of_memory import OutOfMemory

from .machines import ANON, MODES, PAGE, RW, SHARED, Cpu, LazyTlb, counted, machine
from .sharers import flaky_swap

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
FIXED = ANON | MapFlag.FIXED


class World:
    """A process with room for three huge pages."""

    def __init__(self, mode, megabytes=64):
        self.kernel, self.cpu, self.process = machine(mode, megabytes)
        self.size = self.kernel.space.huge_page_bytes
        self.start = self.process.mm.mmap(16 << 20, 3 * self.size, RW, FIXED)

    @property
    def huge(self):
        return len(self.process.space.tables.deposits)

    def fill(self, pages, start=None):
        for page in pages:
            self.cpu.store((start or self.start) + page * PAGE, bytes([page % 250 + 1]))

    def holds(self, pages, start=None):
        start = start or self.start
        found = [self.cpu.load(start + page * PAGE)[0] for page in range(self.size // PAGE)]
        return found == [page % 250 + 1 if page in pages else 0 for page in range(len(found))]

    def collapse(self, start=None, length=None):
        self.process.mm.madvise(start or self.start, length or self.size, Madvise.COLLAPSE)

    def fails(self, start=None, length=None):
        with pytest.raises(SysError) as caught:
            self.collapse(start, length)
        return caught.value.errno


@both
def test_pages_untouched_ones_and_zeros_become_one(mode):
    world = World(mode)
    world.fill(range(5, 30))
    world.cpu.load(world.start + 100 * PAGE)
    free, tables = counted(world.kernel)[0], world.process.space.tables.pgtables_bytes
    world.collapse()
    world.kernel.check()
    pages = world.size // PAGE
    assert (world.huge, world.process.space.rss) == (1, pages)
    assert counted(world.kernel)[0] == free + 25 - pages
    assert world.process.space.tables.pgtables_bytes == tables  # the table is kept
    assert world.holds(range(5, 30))
    faults = world.process.min_flt
    world.fill(range(pages))  # it may be written, and is there
    assert world.process.min_flt == faults
    world.process.mm.munmap(world.start + PAGE, PAGE)  # which splits it
    world.kernel.check()
    assert (world.huge, world.cpu.load(world.start + 2 * PAGE)) == (0, b"\3")


@both
def test_the_tlb_forgets_the_small_pages(mode):
    world = World(mode)
    world.cpu = Cpu(world.kernel, LazyTlb())
    world.fill(range(10))
    world.collapse()
    world.fill([3])
    assert world.holds(range(10))
    world.kernel.check()


@both
def test_pages_in_swap_come_back(mode, tmp_path):
    world = World(mode)
    with flaky_swap(tmp_path, "swap", 100) as device:
        world.kernel.swapon(device)
        world.fill(range(40))
        world.process.mm.madvise(world.start, 20 * PAGE, Madvise.PAGEOUT)
        device.unreadable = lambda slot: slot == 7
        assert world.fails() == errno.EINVAL
        del device.unreadable
        world.kernel.check()
        major = world.process.maj_flt
        world.collapse()
        assert (world.process.space.swapped, world.process.maj_flt) == (0, major)
        assert world.kernel.state.swap.nr_swap_pages == 100
        assert world.holds(range(40))
        world.kernel.check()


@both
def test_a_child_keeps_what_it_shares(mode):
    world = World(mode)
    world.fill(range(20))
    child = world.kernel.fork(world.process)
    assert world.fails() == errno.EINVAL  # none of them may be written now
    world.fill([25])
    world.collapse()
    world.fill([3, 4, 5])
    world.kernel.switch(child)
    assert world.holds(range(20))
    world.kernel.switch(world.process)
    assert world.holds({*range(20), 25})
    world.kernel.check()


@both
def test_huge_pages_that_are_there_count_and_others_are_tried(mode):
    world = World(mode)
    third = world.start + 2 * world.size
    world.fill([0])
    world.collapse()
    world.fill([1], third)
    pfn = world.process.space.tables.lookup(third + PAGE).entry
    pfn = world.kernel.state.format.pfn(pfn)
    world.kernel.state.frames.get(pfn)
    assert world.fails(third) == errno.EAGAIN  # the kernel works with it
    world.kernel.state.frames.put(pfn)
    # The second has nothing mapped: where there is no entry for a table, Linux goes no further.
    assert world.fails(length=3 * world.size) == errno.EINVAL
    assert world.huge == 1
    world.fill([2], world.start + world.size)
    world.collapse(length=3 * world.size)
    assert world.huge == 3
    world.collapse(length=3 * world.size)
    world.kernel.check()


@both
def test_ranges_that_hold_no_whole_page(mode):
    world = World(mode)
    world.fill([0])
    world.collapse(length=PAGE)  # nothing to do
    world.collapse(world.start + PAGE, world.size - PAGE)
    assert world.fails(world.start + PAGE, PAGE) == errno.EINVAL  # it ends before it begins
    assert world.huge == 0


@both
def test_mappings_that_may_have_none(mode):
    world = World(mode)
    mm, size, file = world.process.mm, world.size, File("file")
    world.kernel.register_file(file, b"f" * PAGE)
    assert world.fails() == errno.EINVAL  # never written to
    world.fill([0])
    mm.madvise(world.start, size, Madvise.NOHUGEPAGE)
    assert world.fails() == errno.EINVAL
    mm.madvise(world.start, size, Madvise.HUGEPAGE)
    world.collapse()
    for flags, of in ((SHARED, None), (MapFlag.PRIVATE, file)):
        start = mm.mmap(64 << 20, 2 * size, RW, flags | MapFlag.FIXED, of)
        world.fill([0], start)
        assert world.fails(start, size) == errno.EINVAL
    small = mm.mmap((64 << 20) + PAGE, size, RW, FIXED)  # no aligned huge page in it
    world.fill([0], small)
    assert world.fails(small, PAGE) == errno.EINVAL
    world.kernel.check()


@both
def test_locked_pages_stay_locked(mode):
    world = World(mode)
    world.process.mm.privileged = True
    world.process.mm.mlock(world.start, world.size)
    world.collapse()
    pages = world.size // PAGE
    lruvec = world.kernel.state.lruvec
    assert sum(lruvec.is_unevictable(pfn) for pfn in range(1, 1 << 14) if pfn in lruvec) == pages
    world.kernel.check()


@both
def test_no_block_of_memory_is_large_enough(mode, monkeypatch):
    world = World(mode)
    world.fill(range(10))
    allocate = world.kernel.state.allocator.alloc_pages

    def small_only(gfp, order=0, *rest, **options):
        if order:
            raise OutOfMemory(order, gfp, ())
        return allocate(gfp, order, *rest, **options)
    monkeypatch.setattr(world.kernel.state.allocator, "alloc_pages", small_only)
    free = counted(world.kernel)[0]
    assert world.fails() == errno.ENOMEM
    assert counted(world.kernel)[0] == free
    assert world.holds(range(10))
    world.kernel.check()


@both
def test_what_may_only_be_read_stays_small(mode):
    world = World(mode)
    world.fill(range(10))
    world.process.mm.mprotect(world.start, world.size, Prot.READ)
    assert world.fails() == errno.EINVAL
    assert world.holds(range(10))
    world.kernel.check()
