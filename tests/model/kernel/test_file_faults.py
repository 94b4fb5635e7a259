"""Faults on files that fail: what they have done until then, in tables, pages and accounts.

The sizes of tables and of what is mapped are those of Linux, for 64 bits.
"""

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.fault_cause import FaultCause
from pagewalk.model.kernel.page_fault import SiCode, SignalNumber
from pagewalk.model.physical.out_of_memory import OutOfMemory
from pagewalk.model.x86 import X86_64, Entry

from .machines import MODES, PAGE, RW, counted, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
AREA = 0x4000_0000
PRIVATE, SHARED = (kind | MapFlag.FIXED for kind in (MapFlag.PRIVATE, MapFlag.SHARED))
READ, WRITE = 4, 6  # error codes of accesses by a user to what is not there
PAGES = 20


class World:
    """A machine with a file of 20 pages and 100 bytes, none of which is in memory."""

    def __init__(self, mode):
        self.kernel, self.cpu, self.process = machine(mode)
        self.state, self.tables = self.kernel.state, self.process.space.tables
        self.file = File("/file")
        self.kernel.register_file(self.file, b"".join(
            bytes([index]) * PAGE for index in range(PAGES)) + bytes(100))
        self.pages = self.state.page_cache.space(self.file)
        self.upper = 0 if mode is not X86_64 else 2  # tables above the last

    def cache(self, *indices):
        for index in indices:
            self.state.frames.put(self.state.file_page(self.pages, index)[0])

    def map(self, pages, flags, first, prot=RW, at=AREA):
        return self.process.mm.mmap(at, pages * PAGE, prot, flags, self.file, first * PAGE)

    def fault(self, vaddr, error_code):
        return self.kernel.handle_page_fault(vaddr, error_code)

    def sigbus(self, vaddr, error_code):
        signal = self.fault(vaddr, error_code).signal
        assert (signal.number, signal.code) == (SignalNumber.SIGBUS, SiCode.BUS_ADRERR)
        self.kernel.check()

    @property
    def vm_pte(self):
        """Tables beside the root, in pages."""
        return self.tables.pgtables_bytes // PAGE


@both
@pytest.mark.parametrize(("flags", "prot", "error_code"), [
    (PRIVATE, RW, WRITE), (SHARED, RW, WRITE), (PRIVATE, RW, READ), (SHARED, Prot.READ, READ)])
def test_an_access_past_the_end_of_a_file_leaves_no_last_table(mode, flags, prot, error_code):
    world = World(mode)
    world.cache(*range(PAGES + 1))
    world.map(10, flags, 22, prot)
    free = counted(world.kernel)[0]
    world.sigbus(AREA + 4 * PAGE, error_code)
    assert world.vm_pte == world.upper  # 8 kB of 64-bit tables
    assert counted(world.kernel)[0] == free - world.upper
    assert (world.process.min_flt, world.process.maj_flt) == (0, 0)
    world.process.mm.munmap(AREA, 10 * PAGE)
    assert world.vm_pte == 0


@both
@pytest.mark.parametrize("flags", [PRIVATE, SHARED])
def test_a_read_past_the_end_maps_the_pages_around_first(mode, flags):
    world = World(mode)
    world.cache(*range(PAGES + 1))
    world.map(5, flags, 18, Prot.READ)
    world.sigbus(AREA + 3 * PAGE, READ)
    assert world.process.space.rss == 3  # 12 kB
    assert world.vm_pte == world.upper + 1
    assert (world.process.min_flt, world.process.maj_flt) == (0, 0)
    assert world.cpu.load(AREA, 2 * PAGE) == bytes([18]) * PAGE + bytes([19]) * PAGE
    assert world.cpu.results == []


@both
def test_only_what_is_in_memory_is_mapped_around_a_page_that_is_not(mode):
    world = World(mode)
    world.cache(18, 20)
    world.map(5, PRIVATE, 18, Prot.READ)
    world.sigbus(AREA + 4 * PAGE, READ)
    entries = [leaf.vaddr for leaf in world.tables.entries(AREA, AREA + 5 * PAGE)]
    assert entries == [AREA, AREA + 2 * PAGE]
    assert world.fault(AREA + PAGE, READ).major
    assert (world.process.space.rss, world.process.maj_flt) == (3, 1)


@both
@pytest.mark.parametrize("error_code", [READ, WRITE])
def test_a_write_maps_nothing_around(mode, error_code):
    world = World(mode)
    world.cache(*range(PAGES + 1))
    world.map(5, SHARED, 18)
    world.sigbus(AREA + 3 * PAGE, error_code)
    assert world.process.space.rss == (3 if error_code == READ else 0)
    world.fault(AREA, WRITE)
    assert world.process.space.rss == (3 if error_code == READ else 1)


@both
def test_a_private_write_that_fails_has_prepared_the_mapping_for_copies(mode):
    """From then on a fork copies its tables, and it merges with no other. [do_cow_fault]"""
    world = World(mode)
    world.cache(*range(PAGES + 1))
    world.map(5, PRIVATE, 18)
    world.map(5, PRIVATE, 18, at=AREA + 8 * PAGE)
    world.sigbus(AREA + 3 * PAGE, WRITE)
    world.sigbus(AREA + 11 * PAGE, READ)
    anon = [vma.anon_vma is not None for vma in world.process.mm]
    assert anon == [True, False]
    world.fault(AREA, READ)
    child = world.kernel.fork(world.process)
    assert child.space.rss == 3
    world.kernel.check()


@both
def test_pages_around_stay_in_memory_if_the_mapping_is_locked(mode):
    world = World(mode)
    world.cache(*range(PAGES + 1))
    world.process.mm.privileged = True
    world.map(4, SHARED, 0, Prot.READ)
    world.process.mm.mlock(AREA, 4 * PAGE, on_fault=True)
    assert world.fault(AREA, READ).cause is FaultCause.FILE
    assert world.process.space.rss == 4
    assert all(world.state.lruvec.is_unevictable(world.pages.pages[index]) for index in range(4))
    assert not world.state.lruvec.is_unevictable(world.pages.pages[4])


@both
def test_a_fault_around_makes_a_table_for_pages_alone(mode):
    world = World(mode)
    world.map(PAGES, PRIVATE, 0)
    made = []
    alloc, free = world.state.frames.alloc_table, world.state.frames.free_table
    world.state.frames.alloc_table = lambda: made.append(alloc()) or made[-1]
    world.state.frames.free_table = lambda pfn: made.remove(pfn) or free(pfn)
    assert world.fault(AREA + 5 * PAGE, READ).major
    assert world.vm_pte == len(made) == world.upper + 1
    world.map(2, PRIVATE, 30, at=AREA + (1 << 23))
    world.sigbus(AREA + (1 << 23), READ)
    assert world.vm_pte == len(made) == world.upper + 1  # what was at hand went back


@both
@pytest.mark.parametrize(("flags", "error_code"), [
    (PRIVATE, READ), (PRIVATE, WRITE), (SHARED, WRITE)])
@pytest.mark.parametrize("works", range(4))
def test_without_memory_a_fault_leaves_no_frame_behind(mode, flags, error_code, works, monkeypatch):
    """Tables above the last come first, then for a copy its frame, the last table, the page."""
    world = World(mode)
    world.map(4, flags, 0)
    world.tables.alloc(AREA, len(mode.levels) - 2)
    world.kernel.oom.enabled = False
    before, allocated = world.vm_pte, world.state.frames.allocated()
    allocator, left = world.state.allocator, iter(range(works))
    alloc_pages = allocator.alloc_pages

    def fail(*arguments, **options):
        if next(left, None) is None:
            raise OutOfMemory(0, 0, ())
        return alloc_pages(*arguments, **options)

    monkeypatch.setattr(allocator, "alloc_pages", fail)
    needed = 3 if (flags, error_code) == (PRIVATE, WRITE) else 2
    if works < needed:
        with pytest.raises(OutOfMemory):
            world.fault(AREA, error_code)
        assert (world.vm_pte, world.state.frames.allocated()) == (before, allocated)
    else:
        assert world.fault(AREA, error_code).major
        assert world.vm_pte == before + 1
    monkeypatch.undo()
    world.kernel.check()


@both
def test_a_page_that_cannot_be_had_is_an_error_of_populate_after_those_around(mode):
    world = World(mode)
    world.cache(*range(PAGES + 1))
    world.map(5, SHARED, 18, Prot.READ)
    with pytest.raises(SysError, match="EFAULT"):
        world.process.mm.madvise(AREA + 3 * PAGE, PAGE, 22)
    assert world.process.space.rss == 3


@both
def test_a_shared_write_that_succeeds_is_dirty_and_writable_at_once(mode):
    world = World(mode)
    world.map(4, SHARED, 0)
    result = world.fault(AREA, WRITE)
    assert (result.cause, result.major) == (FaultCause.FILE, True)
    assert world.state.page_cache.is_dirty(world.pages.pages[0])
    assert world.tables.lookup(AREA).entry & (Entry.RW | Entry.D) == Entry.RW | Entry.D
