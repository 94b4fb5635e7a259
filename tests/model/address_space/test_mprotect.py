import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Commit, Overcommit, Rlimits
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import VmFlag

from .small_mm import FIXED, PAGE, RW, at, ranges, small_mm


def key_of(mm, page):
    return mm.tree.lookup(at(page)).flags >> VmFlag.PKEY_SHIFT


@pytest.fixture
def mm():
    mm = small_mm()
    mm.mmap(at(0), 4 * PAGE, RW, FIXED)
    return mm


@pytest.mark.parametrize(("error", "arguments"), {
    "misaligned": (errno.EINVAL, (at(0) + 1, PAGE, RW)),
    "unknown right": (errno.EINVAL, (at(0), PAGE, 1 << 10)),
    "both directions": (errno.EINVAL, (at(0), PAGE, Prot.GROWSDOWN | Prot.GROWSUP)),
    "no stack": (errno.EINVAL, (at(1), PAGE, RW | Prot.GROWSDOWN)),
    "nothing grows up": (errno.EINVAL, (at(1), PAGE, RW | Prot.GROWSUP)),
    "a key not allocated": (errno.EINVAL, (at(0), PAGE, RW, 1)),
    "a hole": (errno.ENOMEM, (at(4), PAGE, RW)),
    "a hole before": (errno.ENOMEM, (at(-1), 2 * PAGE, RW)),
    "a range that wraps": (errno.ENOMEM, (at(0), (1 << 64) - PAGE, RW)),
}.values())
def test_mprotect_fails_as_linux_does(mm, error, arguments):
    with pytest.raises(SysError) as caught:
        mm.mprotect(*arguments)
    assert caught.value.errno == error
    assert ranges(mm) == [(0, 4)]


def test_an_empty_range_is_nothing(mm):
    mm.mprotect(at(100), 0, Prot.NONE)


def test_what_lies_before_a_hole_is_changed(mm):
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mprotect(at(2), 4 * PAGE, Prot.READ)
    assert ranges(mm) == [(0, 2), (2, 4)]
    assert mm.page_tables.calls == [("protect", mm.tree.lookup(at(2)), at(2), at(4))]


def test_a_stack_is_changed_from_its_bottom():
    mm = small_mm()
    mm.mmap(at(0), 4 * PAGE, RW, FIXED | MapFlag.GROWSDOWN)
    mm.mprotect(at(2), PAGE, Prot.READ | Prot.GROWSDOWN)
    assert ranges(mm) == [(0, 3), (3, 4)]


def test_rights_that_do_not_change_are_not_told(mm):
    mm.mprotect(at(0), 4 * PAGE, RW)
    assert mm.page_tables.calls == []


def test_keys_split_and_are_kept_by_plain_changes(mm):
    key = mm.pkeys.alloc()
    mm.mprotect(at(0), 2 * PAGE, RW, key)
    assert ranges(mm) == [(0, 2), (2, 4)]
    mm.mprotect(at(0), 4 * PAGE, Prot.READ)
    assert [key_of(mm, page) for page in (0, 2)] == [key, 0]
    mm.mprotect(at(0), 2 * PAGE, Prot.READ, 0)
    assert ranges(mm) == [(0, 4)]


def test_memory_that_is_only_executable_has_a_key_of_its_own(mm):
    mm.mprotect(at(0), 2 * PAGE, Prot.EXEC)
    assert (key_of(mm, 0), mm.pkeys.execute_only) == (1, 1)
    with pytest.raises(SysError, match="EINVAL"):
        mm.mprotect(at(2), PAGE, RW, 1)
    mm.mprotect(at(0), 2 * PAGE, RW)
    assert ranges(mm) == [(0, 4)]


def test_making_memory_writable_needs_a_promise_and_room():
    mm = small_mm(commit=Commit(limit=4, mode=Overcommit.NEVER))
    mm.mmap(at(0), 8 * PAGE, Prot.READ, FIXED)
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mprotect(at(0), 8 * PAGE, RW)
    mm.mprotect(at(0), 3 * PAGE, RW)
    mm.mprotect(at(0), 3 * PAGE, Prot.READ)
    assert mm.committed == 3
    mm.check()
    mm = small_mm(rlimits=Rlimits(data=2 * PAGE))
    mm.mmap(at(0), 8 * PAGE, Prot.READ, FIXED)
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mprotect(at(0), 3 * PAGE, RW)
    mm.mprotect(at(0), 2 * PAGE, RW)
    mm.check()


def test_locked_memory_that_becomes_writable_is_populated(mm):
    mm.mprotect(at(0), 4 * PAGE, Prot.READ)
    mm.mlock(at(0), 4 * PAGE)
    mm.page_tables.calls.clear()
    mm.mprotect(at(0), 4 * PAGE, RW)
    vma = mm.tree.lookup(at(0))
    assert mm.page_tables.calls == [("protect", vma, at(0), at(4)),
                                    ("populate", vma, at(0), at(4), True)]
