"""What mappings of huge pages reserve, without a page in them, and with pages as faults count them.
"""

from types import SimpleNamespace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.hugetlb_mapping import (
    commit_reservation,
    huge_index,
    needs_reservation,
    unused_reserve,
)
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.uapi import MapFlag, MremapFlag
from pagewalk.model.address_space.vma import File

from .small_mm import ANON, PAGE, RW, forked, small_mm

HUGE = 2 << 20
SHARED = MapFlag.SHARED | MapFlag.ANONYMOUS | MapFlag.HUGETLB
PRIVATE = ANON | MapFlag.HUGETLB
TO = MremapFlag.MAYMOVE | MremapFlag.FIXED


@pytest.fixture
def world():
    pool = HugetlbPool(free=10)
    mm = small_mm(files=KernelFiles({HUGE: pool}))
    return SimpleNamespace(mm=mm, pool=pool, counts=lambda: (pool.free, pool.reserved))


def touch(world, vma, page):
    """Let a page come into being, from what is reserved or free; return which."""
    index = huge_index(vma, vma.start + page * HUGE)
    source = "free" if needs_reservation(world.pool, vma, index) else "reserved"
    setattr(world.pool, source, getattr(world.pool, source) - 1)
    commit_reservation(world.pool, vma, index)
    return source


def test_a_page_is_numbered_by_its_place_in_the_file(world):
    file = File("/huge", huge_page_bytes=HUGE)
    start = world.mm.mmap(0, 3 * HUGE, RW, MapFlag.PRIVATE, file, 5 * HUGE)
    vma = world.mm.tree.lookup(start)
    assert [huge_index(vma, start + at * HUGE) for at in range(3)] == [5, 6, 7]


def test_parts_of_a_mapping_have_one_reserve_map(world):
    start = world.mm.mmap(0, 5 * HUGE, RW, PRIVATE)
    whole = world.mm.tree.lookup(start)
    assert touch(world, whole, 4) == "reserved"
    assert world.counts() == (5, 4)
    world.mm.munmap(start + 2 * HUGE, HUGE)
    assert world.counts() == (6, 3)
    low, high = world.mm
    assert (unused_reserve(low), unused_reserve(high)) == (2, 1)
    assert low.resv_map is high.resv_map
    assert touch(world, high, 0) == "reserved"
    assert touch(world, high, 0) == "free"  # its reserve is used up for good
    world.mm.munmap(high.start, 2 * HUGE)
    assert world.counts() == (5, 2)


def test_what_moves_takes_its_reserve_and_no_more(world):
    start = world.mm.mmap(0, 4 * HUGE, RW, PRIVATE)
    vma = world.mm.tree.lookup(start)
    touch(world, vma, 1)
    new = world.mm.mremap(start + HUGE, 2 * HUGE, 2 * HUGE, TO, start - 8 * HUGE)
    assert world.counts() == (6, 3)
    assert [unused_reserve(one) for one in world.mm] == [1, 1, 1]
    moved = world.mm.tree.lookup(new)
    assert [touch(world, moved, page) for page in range(2)] == ["free", "reserved"]
    world.mm.exit()
    assert world.counts() == (7, 0)  # less the three pages that came into being


def test_only_who_mapped_has_a_reserve(world):
    start = world.mm.mmap(0, 2 * HUGE, RW, PRIVATE)
    child = forked(world.mm)
    vma = child.tree.lookup(start)
    assert vma.resv_map is None
    assert touch(world, vma, 0) == "free"
    child.munmap(start, 2 * HUGE)
    assert world.counts() == (7, 2)
    assert touch(world, world.mm.tree.lookup(start), 0) == "reserved"


def test_noreserve_reserves_nothing(world):
    start = world.mm.mmap(0, 20 * HUGE, RW, PRIVATE | MapFlag.NORESERVE)
    assert touch(world, world.mm.tree.lookup(start), 3) == "free"
    shared = world.mm.mmap(0, 20 * HUGE, RW, SHARED | MapFlag.NORESERVE)
    assert touch(world, world.mm.tree.lookup(shared), 3) == "free"
    assert world.counts() == (8, 0)


def test_a_shared_file_ends_with_its_last_mapping(world):
    start = world.mm.mmap(0, 4 * HUGE, RW, SHARED)
    child = forked(world.mm)
    assert world.counts() == (6, 4)
    assert touch(world, child.tree.lookup(start), 0) == "reserved"
    world.mm.exit()
    assert world.counts() == (6, 3)
    child.munmap(start, 3 * HUGE)
    assert world.counts() == (6, 3)
    inode, = world.pool.files.values()
    inode.pages[0] = 0x200
    child.exit()
    assert world.counts() == (9, 0)  # but for the page, which is its keeper's to free
    assert world.pool.files == {}


def test_files_of_huge_pages_never_merge(world):
    file = File("/huge", huge_page_bytes=HUGE)
    base = 0x4000_0000
    for at in range(2):
        world.mm.mmap(base + at * HUGE, HUGE, RW, MapFlag.SHARED | MapFlag.FIXED, file, at * HUGE)
    assert len(list(world.mm)) == 2
    assert world.pool.files[file].mappings == 2


@pytest.mark.parametrize(("offset", "size", "pages", "error"), [
    (PAGE, HUGE, 1, "EINVAL"), (0, 4 << 20, 1, "EINVAL"), (0, HUGE, 11, "ENOMEM")],
    ids=["offset", "size", "too many"])
def test_what_cannot_be_mapped_leaves_nothing(world, offset, size, pages, error):
    file = File("/huge", huge_page_bytes=size)
    for kind in (MapFlag.SHARED, MapFlag.PRIVATE):
        with pytest.raises(SysError, match=error):
            world.mm.mmap(0, pages * size, RW, kind, file, offset)
    assert world.counts() == (10, 0)
    assert (list(world.mm), world.pool.files) == ([], {})
