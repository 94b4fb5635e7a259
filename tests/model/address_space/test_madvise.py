import errno
from dataclasses import replace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import ANON, FIXED, PAGE, RW, SPACE, at, ranges, small_mm

SHARED = MapFlag.SHARED | MapFlag.FIXED
DEVICE = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
HUGE = 2 << 20


@pytest.fixture
def mm():
    """Four pages each of anonymous, file, device and locked memory, from page 0, 10, 20, 30."""
    mm = small_mm(privileged=True)
    mm.mmap(at(0), 4 * PAGE, RW, FIXED)
    mm.mmap(at(10), 4 * PAGE, RW, SHARED, File("/f"))
    mm.mmap(at(20), 4 * PAGE, RW, SHARED, DEVICE)
    mm.mmap(at(30), 4 * PAGE, RW, FIXED | MapFlag.LOCKED)
    mm.page_tables.calls.clear()
    return mm


@pytest.mark.parametrize(("page", "advice", "error"), {
    "unknown": (0, 99, errno.EINVAL),
    "free of a file": (10, Madvise.FREE, errno.EINVAL),
    "free of locked memory": (30, Madvise.FREE, errno.EINVAL),
    "discard of locked memory": (30, Madvise.DONTNEED, errno.EINVAL),
    "discard of device memory": (20, Madvise.DONTNEED, errno.EINVAL),
    "page-out of locked memory": (30, Madvise.PAGEOUT, errno.EINVAL),
    "removal of anonymous memory": (0, Madvise.REMOVE, errno.EINVAL),
    "wiping a file in the child": (10, Madvise.WIPEONFORK, errno.EINVAL),
    "forking device memory": (20, Madvise.DOFORK, errno.EINVAL),
    "dumping device memory": (20, Madvise.DODUMP, errno.EINVAL),
    "a hole": (5, Madvise.RANDOM, errno.ENOMEM),
    "pages that fail": (0, Madvise.HWPOISON, errno.EOPNOTSUPP),
}.values())
def test_madvise_fails_as_linux_does(mm, page, advice, error):
    before = ranges(mm)
    with pytest.raises(SysError) as caught:
        mm.madvise(at(page), 2 * PAGE, advice)
    assert caught.value.errno == error
    assert (ranges(mm), mm.page_tables.calls) == (before, [])


@pytest.mark.parametrize("advice", [Madvise.HWPOISON, Madvise.SOFT_OFFLINE])
def test_pages_may_not_be_made_to_fail(advice):
    mm = small_mm()
    mm.madvise(at(0), 0, advice)
    for start, error in ((0, "EPERM"), (1, "EINVAL")):
        with pytest.raises(SysError, match=error):
            mm.madvise(at(0) + start, PAGE, advice)
    with pytest.raises(SysError, match="EINVAL"):
        small_mm(replace(SPACE, word_bytes=4)).madvise(at(0), PAGE, advice)


def test_a_misaligned_range_is_refused(mm):
    with pytest.raises(SysError, match="EINVAL"):
        mm.madvise(at(0) + 1, PAGE, Madvise.RANDOM)
    mm.madvise(at(0), 0, Madvise.RANDOM)


@pytest.mark.parametrize(("advice", "undo", "flag"), [
    (Madvise.SEQUENTIAL, Madvise.NORMAL, VmFlag.SEQ_READ),
    (Madvise.RANDOM, Madvise.NORMAL, VmFlag.RAND_READ),
    (Madvise.DONTFORK, Madvise.DOFORK, VmFlag.DONTCOPY),
    (Madvise.WIPEONFORK, Madvise.KEEPONFORK, VmFlag.WIPEONFORK),
    (Madvise.DONTDUMP, Madvise.DODUMP, VmFlag.DONTDUMP),
    (Madvise.MERGEABLE, Madvise.UNMERGEABLE, VmFlag.MERGEABLE),
    (Madvise.HUGEPAGE, None, VmFlag.HUGEPAGE),
    (Madvise.NOHUGEPAGE, None, VmFlag.NOHUGEPAGE),
])
def test_an_advice_about_a_mapping_splits_it_and_the_opposite_joins_it(mm, advice, undo, flag):
    mm.madvise(at(1), PAGE, advice)
    assert ranges(mm)[:3] == [(0, 1), (1, 2), (2, 4)]
    assert [bool(vma.flags & flag) for vma in mm][:3] == [False, True, False]
    mm.madvise(at(0), 4 * PAGE, undo or advice)
    assert ranges(mm)[0] == (0, 4)
    assert mm.page_tables.calls == []
    mm.check()


@pytest.mark.parametrize(("advice", "undo"), [
    (Madvise.SEQUENTIAL, Madvise.NORMAL), (Madvise.RANDOM, Madvise.NORMAL),
    (Madvise.DONTFORK, Madvise.DOFORK), (Madvise.WIPEONFORK, Madvise.KEEPONFORK),
    (Madvise.DONTDUMP, Madvise.DODUMP), (Madvise.MERGEABLE, Madvise.UNMERGEABLE),
    (Madvise.HUGEPAGE, Madvise.NOHUGEPAGE), (Madvise.NOHUGEPAGE, Madvise.HUGEPAGE)])
def test_an_advice_and_its_opposite_change_no_other_flag(advice, undo):
    opposite = {Madvise.HUGEPAGE: VmFlag.HUGEPAGE, Madvise.NOHUGEPAGE: VmFlag.NOHUGEPAGE}
    mm = small_mm()
    for page, prot in enumerate((Prot.NONE, RW)):
        mm.mmap(at(2 * page), PAGE, prot, FIXED)
        before = mm.tree.lookup(at(2 * page)).flags
        mm.madvise(at(2 * page), PAGE, advice)
        mm.madvise(at(2 * page), PAGE, undo)
        assert mm.tree.lookup(at(2 * page)).flags == before | opposite.get(undo, 0)


def test_same_page_merging_ignores_shared_memory(mm):
    mm.madvise(at(10), 4 * PAGE, Madvise.MERGEABLE)
    assert not mm.tree.lookup(at(10)).flags & VmFlag.MERGEABLE


def test_pages_are_discarded_on_both_sides_of_a_hole_and_the_hole_reported(mm):
    with pytest.raises(SysError, match="ENOMEM"):
        mm.madvise(at(2), 10 * PAGE, Madvise.DONTNEED)
    low, high = mm.tree.lookup(at(0)), mm.tree.lookup(at(10))
    assert mm.page_tables.calls == [("discard", low, at(2), at(4)),
                                    ("discard", high, at(10), at(12))]


def test_locked_pages_are_discarded_only_by_name(mm):
    mm.madvise(at(30), PAGE, Madvise.DONTNEED_LOCKED)
    assert mm.page_tables.calls == [("discard", mm.tree.lookup(at(30)), at(30), at(31))]


@pytest.mark.parametrize(("page", "advice"), [
    (0, Madvise.WILLNEED), (0, Madvise.FREE), (0, Madvise.COLD), (0, Madvise.PAGEOUT),
    (10, Madvise.WILLNEED), (10, Madvise.REMOVE)])
def test_a_hint_about_pages_is_passed_on(mm, page, advice):
    mm.madvise(at(page), PAGE, advice)
    vma = mm.tree.lookup(at(page))
    assert mm.page_tables.calls == [("advise", vma, at(page), at(page + 1), advice)]


def test_huge_pages_are_discarded_whole():
    mm = small_mm(files=KernelFiles({HUGE: HugetlbPool(free=2)}))
    start = mm.mmap(0, 2 * HUGE, RW, ANON | MapFlag.HUGETLB)
    mm.madvise(start, HUGE + PAGE, Madvise.DONTNEED)
    mm.madvise(start, PAGE, Madvise.DONTNEED)
    assert mm.page_tables.calls == [("discard", next(iter(mm)), start, start + HUGE)]
    with pytest.raises(SysError, match="EINVAL"):
        mm.madvise(start + PAGE, HUGE, Madvise.DONTNEED)
