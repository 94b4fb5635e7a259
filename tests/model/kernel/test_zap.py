"""What pages of files learn from the entries that mapped them, as these go."""

from types import SimpleNamespace

import pytest

from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File
from pagewalk.model.kernel.reclaim.lru import LruFlag
from pagewalk.model.kernel.truncate import unmap_mapping_range
from pagewalk.model.x86 import Entry

from .machines import ANON, MODES, PAGE, RW, machine

both = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
USED = LruFlag.REFERENCED | LruFlag.ACTIVE


def nobody_may_access(world, start):
    world.process.mm.mprotect(start, PAGE, Prot.NONE)
    world.process.mm.munmap(start, PAGE)


WAYS = {
    "munmap": lambda world, start: world.process.mm.munmap(start, PAGE),
    "a mapping in its place": lambda world, start: world.process.mm.mmap(
        start, PAGE, RW, ANON | MapFlag.FIXED),
    "MADV_DONTNEED": lambda world, start: world.process.mm.madvise(start, PAGE, Madvise.DONTNEED),
    "PROT_NONE": nobody_may_access,
    "the file": lambda world, _start: unmap_mapping_range(
        world.kernel.state, world.file, 0, PAGE, even_cows=False),
    "exit": lambda world, _start: world.kernel.exit(world.process),
}


def one_page(mode, *, is_shmem=False):
    """A machine with a file of one page, which is in memory and not used yet."""
    kernel, cpu, process = machine(mode)
    file = File("file", is_shmem=is_shmem)
    kernel.register_file(file, bytes(PAGE))
    pfn, _ = kernel.state.file_page(kernel.state.page_cache.space(file), 0)
    kernel.state.frames.put(pfn)
    return SimpleNamespace(kernel=kernel, cpu=cpu, process=process, file=file, pfn=pfn)


def mapped(world, kind=MapFlag.SHARED, advice=Madvise.NORMAL):
    """Map the page, with an advice, and read it."""
    start = world.process.mm.mmap(0, PAGE, RW, kind, world.file)
    world.process.mm.madvise(start, PAGE, advice)
    world.cpu.load(start)
    return start


def use(world):
    """How a page counts as used."""
    return world.kernel.state.lruvec.flags(world.pfn) & USED


@both
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("is_shmem", [False, True], ids=["disk", "shmem"])
def test_a_page_of_a_file_counts_as_used_when_an_accessed_entry_goes(mode, way, is_shmem):
    world = one_page(mode, is_shmem=is_shmem)
    mapped(world)
    start = mapped(world, MapFlag.PRIVATE)
    assert use(world) == 0
    way(world, start)
    both_gone = way in (WAYS["the file"], WAYS["exit"])
    assert use(world) == (LruFlag.ACTIVE if both_gone else LruFlag.REFERENCED)
    world.kernel.check()


@both
@pytest.mark.parametrize(("advice", "expected"), [
    (Madvise.NORMAL, LruFlag.REFERENCED), (Madvise.RANDOM, LruFlag.REFERENCED),
    (Madvise.SEQUENTIAL, LruFlag(0))])
def test_a_mapping_that_is_read_in_sequence_tells_nothing(mode, advice, expected):
    world = one_page(mode)
    start = mapped(world, advice=advice)
    world.process.mm.munmap(start, PAGE)
    assert use(world) == expected


@both
def test_each_mapping_goes_by_its_own_advice(mode):
    world = one_page(mode)
    first = mapped(world, MapFlag.PRIVATE, Madvise.SEQUENTIAL)
    world.process.mm.mmap(first + PAGE, PAGE, RW, MapFlag.PRIVATE | MapFlag.FIXED, world.file)
    world.cpu.load(first + PAGE)
    world.process.mm.munmap(first, 2 * PAGE)
    assert use(world) == LruFlag.REFERENCED


@both
def test_an_entry_that_was_not_accessed_tells_nothing(mode):
    world = one_page(mode)
    start = mapped(world)
    world.process.space.tables.update(world.process.space.tables.find(start), clear=Entry.A)
    world.process.mm.munmap(start, PAGE)
    assert use(world) == 0


@both
def test_an_anonymous_page_does_not_count_as_used(mode):
    world = one_page(mode)
    start = mapped(world, MapFlag.PRIVATE)
    world.cpu.store(start, b"copy")
    space = world.process.space
    copy = space.tables.pfn(space.tables.lookup(start).entry)
    child = world.kernel.fork(world.process)
    world.kernel.switch(child)
    world.cpu.load(start)
    child.mm.munmap(start, PAGE)
    assert world.kernel.state.lruvec.flags(copy) & USED == 0
    world.kernel.check()
