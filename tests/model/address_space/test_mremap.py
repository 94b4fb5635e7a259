import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import ANON, FIXED, MMAP_BASE, PAGE, RW, SPACE, at, ranges, small_mm, touch

MAYMOVE = MremapFlag.MAYMOVE
TO = MAYMOVE | MremapFlag.FIXED
KEEP = MAYMOVE | MremapFlag.DONTUNMAP
HUGE = 2 << 20


@pytest.fixture
def mm():
    mm = small_mm()
    mm.mmap(at(0), 4 * PAGE, RW, FIXED)
    return mm


@pytest.mark.parametrize(("error", "arguments"), {
    "unknown flag": (errno.EINVAL, (at(0), PAGE, PAGE, 1 << 5)),
    "a place but no leave to move": (errno.EINVAL, (at(0), PAGE, PAGE, MremapFlag.FIXED, at(9))),
    "kept but not moved": (errno.EINVAL, (at(0), PAGE, PAGE, MremapFlag.DONTUNMAP)),
    "kept and resized": (errno.EINVAL, (at(0), PAGE, 2 * PAGE, KEEP)),
    "misaligned": (errno.EINVAL, (at(0) + 1, PAGE, PAGE)),
    "to nothing": (errno.EINVAL, (at(0), PAGE, 0)),
    "a hole": (errno.EFAULT, (at(9), PAGE, 2 * PAGE)),
    "beyond the mapping": (errno.EFAULT, (at(0), 5 * PAGE, 6 * PAGE)),
    "a second private one": (errno.EINVAL, (at(0), 0, PAGE, MAYMOVE)),
    "to a misaligned place": (errno.EINVAL, (at(0), PAGE, PAGE, TO, at(9) + 1)),
    "onto itself": (errno.EINVAL, (at(0), 2 * PAGE, 2 * PAGE, TO, at(1))),
    "out of bounds": (errno.EINVAL, (at(0), PAGE, PAGE, TO, SPACE.task_size)),
    "no room to grow": (errno.ENOMEM, (at(0), PAGE, 2 * PAGE)),
}.values())
def test_mremap_fails_as_linux_does(mm, error, arguments):
    with pytest.raises(SysError) as caught:
        mm.mremap(*arguments)
    assert caught.value.errno == error
    assert ranges(mm) == [(0, 4)]
    mm.check()


def test_it_shrinks_in_place(mm):
    assert mm.mremap(at(0), 4 * PAGE, PAGE + 1) == at(0)
    assert ranges(mm) == [(0, 2)]
    assert mm.mremap(at(0), 2 * PAGE, 2 * PAGE) == at(0)


def test_it_grows_into_a_hole_and_joins_what_is_behind_it(mm):
    mm.mmap(at(6), PAGE, RW, FIXED)
    assert mm.mremap(at(2), 2 * PAGE, 3 * PAGE) == at(2)
    assert ranges(mm) == [(0, 5), (6, 7)]
    assert mm.mremap(at(0), 5 * PAGE, 6 * PAGE) == at(0)
    assert ranges(mm) == [(0, 7)]
    mm.check()


def test_it_grows_into_the_guard_gap_of_a_stack(mm):
    mm.mmap(at(8), PAGE, RW, FIXED | MapFlag.GROWSDOWN)
    assert mm.mremap(at(0), 4 * PAGE, 8 * PAGE) == at(0)
    assert ranges(mm) == [(0, 8), (8, 9)]


def test_it_moves_where_it_cannot_grow_and_takes_its_pages_along(mm):
    mm.mmap(at(4), PAGE, Prot.READ, FIXED)
    touch(mm, 0)
    source = mm.tree.lookup(at(0))
    mm.page_tables.calls.clear()
    new = mm.mremap(at(1), 3 * PAGE, 5 * PAGE, MAYMOVE)
    assert new == MMAP_BASE - 5 * PAGE
    target = mm.tree.lookup(new)
    assert target.pgoff == at(1) // PAGE  # where its pages came from
    assert target.anon_vma is source.anon_vma
    move, (_, gone, *where) = mm.page_tables.calls
    assert move == ("move", source, at(1), target, new, 3 * PAGE)
    assert (ranges(gone), where) == ([(1, 4)], [at(1), at(4)])
    assert ranges(mm)[:2] == [(0, 1), (4, 5)]
    mm.check()


def test_memory_without_pages_forgets_where_it_was(mm):
    new = mm.mremap(at(0), 4 * PAGE, 4 * PAGE, TO, at(20))
    assert mm.tree.lookup(new).pgoff == at(20) // PAGE


def test_memory_without_pages_may_join_the_rest_of_itself(mm):
    assert mm.mremap(at(0), PAGE, PAGE, TO, at(4)) == at(4)
    assert ranges(mm) == [(1, 5)]
    source, *_, target, _, _ = next(call for call in mm.page_tables.calls
                                    if call[0] == "move")[1:]
    assert source is target
    mm.check()


def test_touched_memory_does_not_join_the_rest_of_itself(mm):
    touch(mm, 0)
    mm.mremap(at(0), PAGE, PAGE, TO, at(4))
    assert ranges(mm) == [(1, 4), (4, 5)]
    mm.check()


def test_a_fixed_place_is_cleared_first(mm):
    mm.mmap(at(10), 4 * PAGE, Prot.READ, FIXED)
    assert mm.mremap(at(0), 4 * PAGE, 2 * PAGE, TO, at(11)) == at(11)
    assert ranges(mm) == [(10, 11), (11, 13), (13, 14)]
    mm.check()


def test_pages_may_leave_an_empty_mapping_behind(mm):
    touch(mm, 0)
    new = mm.mremap(at(0), 4 * PAGE, 4 * PAGE, KEEP)
    assert mm.tree.lookup(at(0)).anon_vma is None
    assert mm.tree.lookup(new).anon_vma is not None
    assert mm.total_vm == mm.committed == 8
    mm.check()


def test_what_is_left_behind_is_not_locked():
    mm = small_mm(privileged=True)
    mm.mmap(at(0), 4 * PAGE, RW, FIXED | MapFlag.LOCKED)
    new = mm.mremap(at(0), 4 * PAGE, 4 * PAGE, KEEP)
    assert not mm.tree.lookup(at(0)).flags & VmFlag.LOCKED
    assert mm.tree.lookup(new).flags & VmFlag.LOCKED
    mm.mremap(new, 2 * PAGE, 2 * PAGE, KEEP)
    mm.check()


def test_what_counts_as_locked_stays_when_a_part_moves_and_leaves_its_mapping_behind():
    mm = small_mm(privileged=True)
    mm.mmap(at(0), 6 * PAGE, RW, FIXED | MapFlag.LOCKED)
    new = mm.mremap(at(1), 2 * PAGE, 2 * PAGE, KEEP)
    assert mm.locked_vm == 6
    assert not mm.tree.lookup(at(0)).flags & VmFlag.LOCKED  # nor what did not move
    mm.check()
    mm.mlock(at(0), PAGE)
    assert mm.locked_vm == 7
    mm.munmap(new, 2 * PAGE)
    mm.munlock(at(0), PAGE)
    mm.munmap(at(0), 6 * PAGE)
    assert mm.locked_vm == 4  # what did not move counts for good
    mm.check()


def test_locked_memory_that_grows_is_limited_and_populated():
    mm = small_mm(rlimits=Rlimits(memlock=4 * PAGE))
    mm.mmap(at(0), 2 * PAGE, RW, FIXED | MapFlag.LOCKED)
    mm.page_tables.calls.clear()
    with pytest.raises(SysError, match="EAGAIN"):
        mm.mremap(at(0), 2 * PAGE, 5 * PAGE)
    mm.mremap(at(0), 2 * PAGE, 3 * PAGE)
    assert mm.page_tables.calls == [("populate", mm.tree.lookup(at(0)), at(2), at(3), True)]
    mm.mmap(at(3), PAGE, Prot.READ, FIXED)
    new = mm.mremap(at(0), 3 * PAGE, 4 * PAGE, MAYMOVE)
    assert mm.page_tables.calls[-1] == (
        "populate", mm.tree.lookup(new), new + 3 * PAGE, new + 4 * PAGE, True)
    assert mm.locked_vm == 4
    mm.check()


@pytest.mark.parametrize(("flags", "length", "to"), {
    "moved": (TO, 2, 40), "grown": (TO, 5, 40), "left behind": (KEEP | TO, 2, 40),
    "joined to what is above": (TO, 2, 18), "joined to what is below": (TO, 5, 24),
    "put between": (TO, 2, 12), "joined to the rest of itself": (TO, 2, 4),
}.values(), ids=str)
@pytest.mark.parametrize("lock", [0, MapFlag.LOCKED], ids=["", "locked"])
def test_what_cannot_be_moved_stays_as_it_was(flags, length, to, lock):
    mm = small_mm(privileged=True)
    for page, pages in ((0, 4), (10, 2), (14, 1), (20, 4)):
        mm.mmap(at(page), pages * PAGE, RW, FIXED | lock)

    def state():
        return ([(vma.start, vma.end, vma.flags, vma.pgoff) for vma in mm], mm.total_vm,
                mm.data_vm, mm.locked_vm, mm.committed, mm.commit.committed)

    before = state()
    mm.page_tables.errors["move"] = OSError()
    with pytest.raises(OSError, match=r"^$"):
        mm.mremap(at(0), 2 * PAGE, length * PAGE, flags, at(to))
    assert state() == before
    mm.check()
    name, gone, *where = mm.page_tables.calls[-1]
    assert (name, where) == ("unmap", [at(to), at(to + length)])  # tables made for it
    assert ranges(gone) == [(to, to + length)]


def test_huge_pages_that_cannot_be_moved_keep_what_was_reserved_for_them():
    pool = HugetlbPool(free=3)
    mm = small_mm(files=KernelFiles({HUGE: pool}))
    start = mm.mmap(0, 2 * HUGE, RW, ANON | MapFlag.HUGETLB)
    mm.page_tables.errors["move"] = OSError()
    with pytest.raises(OSError, match=r"^$"):
        mm.mremap(start, HUGE, HUGE, TO, start - 8 * HUGE)
    assert pool.free == 1
    mm.exit()
    assert pool.free == 3


def test_a_length_of_0_maps_shared_memory_a_second_time():
    mm = small_mm()
    file = File("/f")
    mm.mmap(at(0), 4 * PAGE, RW, MapFlag.SHARED | MapFlag.FIXED, file)
    new = mm.mremap(at(1), 0, 2 * PAGE, MAYMOVE)
    assert [(vma.pgoff, vma.pages, vma.file) for vma in mm] == [(0, 4, file), (1, 2, file)]
    assert mm.tree.lookup(new).pgoff == 1
    mm.check()


def test_device_memory_does_not_grow_but_moves():
    mm = small_mm()
    device = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
    mm.mmap(at(0), 2 * PAGE, RW, MapFlag.SHARED | MapFlag.FIXED, device)
    for arguments, error in (((2 * PAGE, 3 * PAGE, MAYMOVE), errno.EFAULT),
                             ((2 * PAGE, 2 * PAGE, KEEP), errno.EINVAL)):
        with pytest.raises(SysError) as caught:
            mm.mremap(at(0), *arguments)
        assert caught.value.errno == error
    mm.mremap(at(0), 2 * PAGE, 2 * PAGE, TO, at(8))
    assert ranges(mm) == [(8, 10)]


def test_huge_pages_shrink_and_move_but_do_not_grow():
    pool = HugetlbPool(free=4)
    mm = small_mm(files=KernelFiles({HUGE: pool}))
    start = mm.mmap(0, 3 * HUGE, RW, ANON | MapFlag.HUGETLB)
    with pytest.raises(SysError, match="EINVAL"):
        mm.mremap(start, 3 * HUGE, 4 * HUGE, MAYMOVE)
    with pytest.raises(SysError, match="EINVAL"):
        mm.mremap(start + PAGE, HUGE, HUGE)
    mm.mremap(start, 3 * HUGE, 2 * HUGE)
    assert pool.free == 2
    new = mm.mremap(start, HUGE, HUGE, TO, start - 8 * HUGE)
    assert [vma.pages * PAGE for vma in mm] == [HUGE, HUGE]
    assert pool.free == 2
    mm.munmap(new, HUGE)
    mm.exit()
    assert pool.free == 4
    mm.check()
