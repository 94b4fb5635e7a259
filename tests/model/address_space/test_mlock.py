import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag, MlockallFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import FIXED, PAGE, RW, at, forked, ranges, small_mm


def mapped(**options):
    mm = small_mm(**options)
    mm.mmap(at(0), 6 * PAGE, RW, FIXED)
    return mm


def test_pages_that_hold_any_byte_are_locked():
    mm = mapped()
    mm.mlock(at(1) + 5, 2 * PAGE)
    assert ranges(mm) == [(0, 1), (1, 4), (4, 6)]
    assert mm.locked_vm == 3
    vma = mm.tree.lookup(at(1))
    assert mm.page_tables.calls == [
        ("mlock", vma, at(1), at(4)), ("populate", vma, at(1), at(4), True)]
    mm.munlock(at(1), 3 * PAGE)
    assert ranges(mm) == [(0, 6)]
    assert mm.locked_vm == 0


def test_pages_can_be_locked_when_they_are_touched():
    mm = mapped()
    mm.mlock(at(0), PAGE, on_fault=True)
    mm.mlock(at(1), PAGE)
    assert ranges(mm) == [(0, 1), (1, 2), (2, 6)]
    mm.mlock(at(0), 2 * PAGE)
    assert ranges(mm) == [(0, 2), (2, 6)]
    assert mm.locked_vm == 2


def test_pages_already_locked_do_not_count_against_the_limit_again():
    mm = mapped(rlimits=Rlimits(memlock=3 * PAGE))
    mm.mlock(at(0), 2 * PAGE)
    mm.mlock(at(1), 2 * PAGE)
    with pytest.raises(SysError) as caught:
        mm.mlock(at(0), 4 * PAGE)
    assert caught.value.errno == errno.ENOMEM
    assert mm.locked_vm == 3


def test_a_process_without_any_limit_may_lock_none():
    with pytest.raises(SysError) as caught:
        mapped(rlimits=Rlimits(memlock=0)).mlock(at(0), PAGE)
    assert caught.value.errno == errno.EPERM


def test_what_lies_before_a_hole_is_locked():
    mm = mapped()
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mlock(at(4), 4 * PAGE)
    assert mm.locked_vm == 2
    with pytest.raises(SysError, match="ENOMEM"):
        mm.munlock(at(8), PAGE)


def test_device_memory_is_passed_over():
    mm = small_mm()
    device = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
    mm.mmap(at(0), PAGE, RW, MapFlag.SHARED | MapFlag.FIXED | MapFlag.LOCKED, device)
    mm.mlock(at(0), PAGE)
    assert mm.locked_vm == 0
    mm.check()


def locked_all(mm, flags):
    with pytest.raises(SysError) as caught:
        mm.mlockall(flags)
    return caught.value.errno


CURRENT, FUTURE, ONFAULT = MlockallFlag.CURRENT, MlockallFlag.FUTURE, MlockallFlag.ONFAULT


def test_all_that_is_mapped_is_locked_and_what_will_be_is_not():
    mm = mapped()
    device = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
    mm.mmap(at(10), PAGE, RW, MapFlag.SHARED | MapFlag.FIXED, device)
    mm.mmap(at(20), 2 * PAGE, Prot.READ, FIXED)
    mm.mlock(at(1), PAGE)
    mm.page_tables.calls.clear()
    mm.mlockall(CURRENT)
    assert ranges(mm) == [(0, 6), (10, 11), (20, 22)]
    assert mm.locked_vm == 8
    populated = [call for call in mm.page_tables.calls if call[0] == "populate"]
    assert [call[2:] for call in populated] == [
        (at(0), at(6), True), (at(20), at(22), False)]
    mm.mmap(at(30), PAGE, RW, FIXED)
    assert mm.locked_vm == 8
    mm.munlockall()
    assert mm.locked_vm == 0
    mm.check()


def test_all_that_will_be_mapped_is_locked():
    mm = mapped(rlimits=Rlimits(memlock=4 * PAGE))
    mm.mlockall(FUTURE)  # more is mapped than may be locked, but it is not locked now
    assert mm.locked_vm == 0
    mm.mmap(at(10), 2 * PAGE, RW, FIXED)
    assert mm.locked_vm == 2
    with pytest.raises(SysError, match="EAGAIN"):
        mm.mmap(at(20), 3 * PAGE, RW, FIXED)
    assert mm.page_tables.calls[-1][0] == "populate"
    mm.page_tables.calls.clear()
    mm.mlockall(FUTURE | ONFAULT)
    mm.mmap(at(20), PAGE, RW, FIXED)
    assert mm.tree.lookup(at(20)).flags & VmFlag.LOCK_MASK == VmFlag.LOCK_MASK
    assert [call[0] for call in mm.page_tables.calls] == []
    assert locked_all(mm, CURRENT) == errno.ENOMEM
    mm.mmap(at(21), PAGE, RW, FIXED)
    assert mm.locked_vm == 4  # what failed has changed nothing
    assert not forked(mm).def_flags
    mm.privileged = True
    mm.mlockall(CURRENT)  # and nothing that will be
    mm.mmap(at(40), PAGE, RW, FIXED)
    assert mm.locked_vm == 10
    mm.check()


def test_all_is_locked_when_it_is_touched():
    mm = mapped()
    mm.mlockall(CURRENT | ONFAULT)
    assert (mm.locked_vm, mm.def_flags) == (6, 0)
    assert not [call for call in mm.page_tables.calls if call[0] == "populate"]
    mm.mlockall(CURRENT)
    assert [call[0] for call in mm.page_tables.calls][-1] == "populate"
    assert mm.locked_vm == 6


@pytest.mark.parametrize("flags", [0, 8, -1, ONFAULT, CURRENT | 8])
def test_flags_that_say_nothing_or_too_much(flags):
    assert locked_all(mapped(rlimits=Rlimits(memlock=0)), flags) == errno.EINVAL


def test_who_may_lock_none_may_not_lock_all():
    mm = mapped(rlimits=Rlimits(memlock=0))
    assert locked_all(mm, FUTURE) == errno.EPERM
    mm.munlockall()
