import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import FIXED, PAGE, RW, at, ranges, small_mm


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
