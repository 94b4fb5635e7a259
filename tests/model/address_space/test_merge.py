"""When mappings become one, case by case as they are numbered in mm/mmap.c."""

import errno
from dataclasses import replace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.uapi import Madvise, MapFlag, Prot
from pagewalk.model.address_space.vma import File, SpecialMapping, Vma, VmFlag

from .small_mm import ANON, FIXED, PAGE, RW, SPACE, at, forked, ranges, small_mm, touch


def mapped(*parts, **options):
    """Return an address space with ranges of pages, each (start, end, rights)."""
    mm = small_mm(**options)
    for start, end, prot in parts:
        mm.mmap(at(start), (end - start) * PAGE, prot, FIXED)
    return mm


# Mappings before; the pages and rights of mprotect; mappings after.
MPROTECT_CASES = {
    "cannot merge": ([(0, 8, RW)], (2, 4, Prot.READ), [(0, 2), (2, 4), (4, 8)]),
    "case 1, mmap fills a hole": ([(0, 2, RW), (4, 6, RW), (2, 4, RW)], None, [(0, 6)]),
    "case 2, mmap after": ([(0, 2, RW), (2, 4, RW)], None, [(0, 4)]),
    "case 3, mmap before": ([(2, 4, RW), (0, 2, RW)], None, [(0, 4)]),
    "case 4, the end goes to the next": (
        [(0, 4, RW), (4, 8, Prot.READ)], (2, 4, Prot.READ), [(0, 2), (2, 8)]),
    "case 5, the start goes to the previous": (
        [(0, 4, RW), (4, 8, Prot.READ)], (4, 6, RW), [(0, 6), (6, 8)]),
    "case 6, all three become one": (
        [(0, 2, RW), (2, 4, Prot.READ), (4, 6, RW)], (2, 4, RW), [(0, 6)]),
    "case 7, one goes to the previous": (
        [(0, 2, RW), (2, 4, Prot.READ), (4, 6, Prot.NONE)], (2, 4, RW), [(0, 4), (4, 6)]),
    "case 8, one goes to the next": (
        [(0, 2, Prot.NONE), (2, 4, Prot.READ), (4, 6, RW)], (2, 4, RW), [(0, 2), (2, 6)]),
}


@pytest.mark.parametrize("case", MPROTECT_CASES)
def test_merge_case(case):
    before, change, after = MPROTECT_CASES[case]
    # Read-only memory was never accounted: account all, as writable memory that lost the right.
    mm = small_mm()
    for start, end, prot in before:
        mm.mmap(at(start), (end - start) * PAGE, prot, FIXED | MapFlag.NORESERVE)
    if change:
        start, end, prot = change
        mm.mprotect(at(start), (end - start) * PAGE, prot)
    assert ranges(mm) == after
    assert all(vma.pgoff == vma.start // PAGE for vma in mm)
    mm.check()


@pytest.mark.parametrize(("case", "pages"), [
    ("cannot merge", [2, 4]), ("case 4, the end goes to the next", [2]),
    ("case 5, the start goes to the previous", [6]), ("case 6, all three become one", [])])
def test_page_tables_are_told_where_a_mapping_is_cut(case, pages):
    before, (start, end, prot), _ = MPROTECT_CASES[case]
    mm = mapped(*before)
    if case.startswith("case 6"):  # which memory that was always read-only would not merge for
        mm = mapped((0, 6, RW))
        mm.mprotect(at(2), 2 * PAGE, Prot.READ)
        mm.page_tables.cuts.clear()
    mm.mprotect(at(start), (end - start) * PAGE, prot)
    assert mm.page_tables.cuts == [at(page) for page in pages]


def test_memory_that_was_writable_does_not_merge_with_memory_that_never_was():
    mm = mapped((0, 2, RW), (2, 4, Prot.READ))
    mm.mprotect(at(0), 2 * PAGE, Prot.READ)
    assert ranges(mm) == [(0, 2), (2, 4)]


def test_soft_dirty_does_not_keep_mappings_apart():
    mm = mapped((0, 2, RW))
    mm.tree.lookup(at(0)).flags |= VmFlag.SOFTDIRTY
    mm.mmap(at(2), PAGE, RW, FIXED)
    assert ranges(mm) == [(0, 3)]


@pytest.mark.parametrize(("touched", "after"), [
    ((), [(0, 6)]), ((0,), [(0, 6)]), ((4,), [(0, 2), (2, 6)]), ((0, 4), [(0, 2), (2, 6)]),
])
def test_new_memory_in_a_hole_joins_the_upper_side_if_the_two_have_not_one_owner(touched, after):
    """Linux 6.1 looks at the mapping above first, and then for the same owner below."""
    mm = mapped((0, 2, RW), (4, 6, RW))
    for page in touched:
        touch(mm, page)
    mm.mmap(at(2), 2 * PAGE, RW, FIXED)
    assert ranges(mm) == after


def test_touched_memory_does_not_join_memory_without_pages():
    """Linux 6.1 asks for one owner exactly, and a mapping without pages has none."""
    mm = mapped((0, 2, RW), (2, 4, RW | Prot.EXEC))
    touch(mm, 2)
    mm.mprotect(at(2), 2 * PAGE, RW)
    assert ranges(mm) == [(0, 2), (2, 4)]


def test_a_mapping_without_pages_takes_the_owner_of_those_it_absorbs():
    mm = mapped((0, 2, RW), (2, 4, RW | Prot.EXEC))
    touch(mm, 0)
    mm.mprotect(at(2), 2 * PAGE, RW)
    assert ranges(mm) == [(0, 4)]
    owner = mm.tree.lookup(at(0)).anon_vma
    assert list(owner.vmas) == list(mm)


def test_neighbours_that_mprotect_could_make_one_get_one_owner():
    mm = mapped((0, 2, RW), (2, 4, RW | Prot.EXEC))
    touch(mm, 0)
    touch(mm, 2)
    mm.mprotect(at(2), 2 * PAGE, RW)
    assert ranges(mm) == [(0, 4)]


def test_memory_from_a_fork_does_not_grow_into_a_new_mapping():
    mm = mapped((0, 2, RW))
    touch(mm, 0)
    child = forked(mm)
    for one, after in ((mm, [(0, 3)]), (child, [(0, 2), (2, 3)])):
        one.mmap(at(2), PAGE, RW, FIXED)
        assert ranges(one) == after


def test_file_mappings_merge_only_if_pages_of_one_open_file_continue():
    file, again = File("/f", inode=7), File("/f", inode=7)
    for second, offset, after in ((file, 2, [(0, 4)]), (file, 3, [(0, 2), (2, 4)]),
                                  (file, 1, [(0, 2), (2, 4)]), (again, 2, [(0, 2), (2, 4)])):
        mm = small_mm()
        private = MapFlag.PRIVATE | MapFlag.FIXED
        mm.mmap(at(0), 2 * PAGE, Prot.READ, private, file)
        mm.mmap(at(2), 2 * PAGE, Prot.READ, private, second, offset * PAGE)
        assert ranges(mm) == after


def test_what_a_driver_watches_never_merges():
    file = File("/f", has_close=True)
    mm = small_mm()
    for page in (0, 1):
        mm.mmap(at(page), PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, file, page * PAGE)
    assert ranges(mm) == [(0, 1), (1, 2)]


def test_device_memory_never_merges():
    file = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
    mm = small_mm()
    for page in (0, 1):
        mm.mmap(at(page), PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, file, page * PAGE)
    assert ranges(mm) == [(0, 1), (1, 2)]


def test_a_split_keeps_the_page_offset_of_each_half():
    file = File("/f")
    mm = small_mm()
    mm.mmap(at(0), 6 * PAGE, Prot.READ, MapFlag.PRIVATE | MapFlag.FIXED, file, 10 * PAGE)
    mm.munmap(at(2), PAGE)
    assert [(vma.pgoff, vma.pages) for vma in mm] == [(10, 2), (13, 3)]


def test_halves_of_touched_memory_share_their_owner():
    mm = mapped((0, 4, RW))
    touch(mm, 0)
    mm.mprotect(at(1), PAGE, Prot.READ)
    owners = {id(vma.anon_vma) for vma in mm}
    assert len(owners) == 1
    assert mm.tree.lookup(at(0)).anon_vma.active_vmas == 3


def test_pages_that_the_kernel_lends_cannot_be_split():
    mm = small_mm()
    mm.tree.insert(Vma(at(0), at(2), VmFlag.READ, 0, special=SpecialMapping("[vdso]")))
    mm.account(VmFlag.READ, 2)
    with pytest.raises(SysError) as caught:
        mm.munmap(at(1), PAGE)
    assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize(("call", "error"), [
    (lambda mm: mm.mprotect(at(1), PAGE, Prot.READ), errno.ENOMEM),
    (lambda mm: mm.munmap(at(1), PAGE), errno.ENOMEM),
    (lambda mm: mm.madvise(at(1), PAGE, Madvise.RANDOM), errno.EAGAIN),
    (lambda mm: mm.mremap(at(0), 4 * PAGE, 8 * PAGE, 1), errno.ENOMEM),
])
def test_no_call_makes_more_mappings_than_the_limit(call, error):
    mm = mapped((0, 4, RW), (5, 6, RW), space=replace(SPACE, max_map_count=2))
    with pytest.raises(SysError) as caught:
        call(mm)
    assert caught.value.errno == error
    mm.mmap(at(8), PAGE, Prot.READ, FIXED)  # as in Linux, mmap may go one beyond
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mmap(0, PAGE, Prot.READ, ANON)
    mm.check()
