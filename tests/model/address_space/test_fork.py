import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Commit, Overcommit
from pagewalk.model.address_space.uapi import Madvise

from .small_mm import FIXED, PAGE, RW, at, forked, ranges, small_mm, touch


def mapped(**options):
    mm = small_mm(**options)
    mm.mmap(at(0), 2 * PAGE, RW, FIXED)
    mm.mmap(at(4), 2 * PAGE, RW, FIXED)
    return mm


def test_a_child_has_the_mappings_and_accounts_of_its_parent():
    mm = mapped()
    mm.start_brk, mm.brk_end, mm.start_stack = at(8), at(9), at(90)
    child = forked(mm)
    assert ranges(child) == ranges(mm)
    assert (child.total_vm, child.committed, mm.commit.committed) == (4, 4, 8)
    assert (child.start_brk, child.brk_end, child.start_stack) == (at(8), at(9), at(90))
    child.munmap(at(0), PAGE)
    assert ranges(mm) == [(0, 2), (4, 6)]
    child.check()


def test_it_has_no_locks_and_not_what_was_to_stay():
    mm = mapped()
    mm.mlock(at(0), PAGE)
    mm.madvise(at(4), PAGE, Madvise.DONTFORK)
    child = forked(mm)
    assert ranges(child) == [(0, 1), (1, 2), (5, 6)]
    assert (child.locked_vm, mm.locked_vm, child.total_vm) == (0, 1, 3)
    child.check()


def test_its_pages_have_an_owner_of_their_own_below_the_parents():
    mm = mapped()
    touch(mm, 0)
    child = forked(mm)
    parent_vma, child_vma = mm.tree.lookup(at(0)), child.tree.lookup(at(0))
    assert child_vma.anon_vma.parent is parent_vma.anon_vma
    assert child_vma.anon_vma_chain == [child_vma.anon_vma, parent_vma.anon_vma]
    assert list(parent_vma.anon_vma.vmas) == [parent_vma, child_vma]
    assert child.tree.lookup(at(4)).anon_vma is None


def test_wiped_memory_has_no_owner():
    mm = mapped()
    touch(mm, 0)
    mm.madvise(at(0), 2 * PAGE, Madvise.WIPEONFORK)
    assert forked(mm).tree.lookup(at(0)).anon_vma is None


def test_an_owner_whose_mappings_have_gone_is_taken_up_again():
    """A process that forks, ends, and so on does not make chains that grow. [anon_vma_clone]"""
    mm = mapped()
    touch(mm, 0)
    child = forked(mm)
    grandchild = forked(child)
    owner = child.tree.lookup(at(0)).anon_vma
    child.exit()
    descendant = forked(grandchild)
    assert descendant.tree.lookup(at(0)).anon_vma is owner
    for one in (mm, grandchild, descendant):
        one.check()


def test_a_child_that_cannot_be_promised_its_pages_leaves_nothing():
    commit = Commit(limit=8, mode=Overcommit.NEVER)
    mm = mapped(commit=commit)
    with pytest.raises(SysError, match="ENOMEM"):
        forked(mm)
    assert commit.committed == 4
    mm.check()


def test_keys_are_copied():
    mm = mapped()
    key = mm.pkeys.alloc()
    child = forked(mm)
    child.pkeys.free(key)
    assert mm.pkeys.is_allocated(key)
