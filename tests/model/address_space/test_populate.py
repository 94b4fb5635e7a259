"""Which pages calls ask for ahead of time, and what becomes of those that are not to be had."""

import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.populate import mm_populate
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import FIXED, PAGE, RW, at, small_mm

SHARED = MapFlag.SHARED | MapFlag.FIXED
FILE = File("/f")
DEVICE = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
READ, WRITE = Madvise.POPULATE_READ, Madvise.POPULATE_WRITE


class NoMemory(Exception):
    """The machine has no memory left for page tables."""


def asked(mm):
    """Return what was populated, as pages and whether they are to be written."""
    return [((start - at(0)) // PAGE, (end - at(0)) // PAGE, write)
            for name, *_, start, end, write in
            (call for call in mm.page_tables.calls if call[0] == "populate")]


def three(*prots, flags=FIXED, file=None):
    """Return an address space with mappings of two pages each, side by side."""
    mm = small_mm(privileged=True)
    for number, prot in enumerate(prots):
        mm.mmap(at(2 * number), 2 * PAGE, prot, flags, file)
    return mm


@pytest.mark.parametrize(("prot", "flags", "file", "advice", "error"), {
    "read what is readable": (Prot.READ, FIXED, None, READ, None),
    "write what is writable": (RW, FIXED, None, WRITE, None),
    "write shared memory": (RW, SHARED, FILE, WRITE, None),
    "write read-only memory": (Prot.READ, FIXED, None, WRITE, errno.EINVAL),
    "write a read-only shared file": (Prot.READ, SHARED, FILE, WRITE, errno.EINVAL),
    "read what nobody may": (Prot.NONE, FIXED, None, READ, errno.EINVAL),
    "read what is only executable": (Prot.EXEC, FIXED, None, READ, errno.EINVAL),
    "read device memory": (RW, SHARED, DEVICE, READ, errno.EINVAL),
}.values())
def test_advice_to_populate_needs_the_right_to_access(prot, flags, file, advice, error):
    mm = small_mm()
    mm.mmap(at(0), 4 * PAGE, prot, flags, file)
    if error is None:
        mm.madvise(at(1), 2 * PAGE, advice)
        assert asked(mm) == [(1, 3, advice == WRITE)]
    else:
        with pytest.raises(SysError) as caught:
            mm.madvise(at(1), 2 * PAGE, advice)
        assert (caught.value.errno, asked(mm)) == (error, [])


def test_advice_to_populate_ends_at_a_page_that_is_not_there_but_passes_holes_over():
    mm = three(RW)
    mm.mmap(at(5), PAGE, RW, FIXED)
    with pytest.raises(SysError, match="ENOMEM"):
        mm.madvise(at(0), 6 * PAGE, WRITE)
    assert asked(mm) == [(0, 2, True), (5, 6, True)]
    mm.page_tables.errors["populate"] = SysError(errno.EFAULT)
    with pytest.raises(SysError, match="EFAULT"):
        mm.madvise(at(0), 6 * PAGE, WRITE)
    assert asked(mm)[2:] == [(0, 2, True)]


@pytest.mark.parametrize(("prot", "flags", "write"), [
    (RW, FIXED, True), (Prot.READ, FIXED, False), (Prot.WRITE, FIXED, True),
    (RW, SHARED, False), (Prot.WRITE, SHARED, False), (Prot.EXEC, FIXED, False)])
def test_private_memory_that_can_be_written_becomes_the_process_s_own(prot, flags, write):
    mm = small_mm()
    mm.mmap(at(0), 2 * PAGE, prot, flags, FILE if flags == SHARED else None)
    mm.mlock(at(0), 2 * PAGE)
    assert asked(mm) == [(0, 2, write)]


def test_a_mapping_without_its_page_is_given_up_and_the_next_one_has_its_turn():
    mm = three(RW, Prot.NONE, Prot.READ)
    mm_populate(mm, at(1), at(9))
    assert asked(mm) == [(1, 2, True), (4, 6, False)]
    mm.page_tables.errors["populate"] = SysError(errno.EFAULT)
    mm_populate(mm, at(0), at(6))
    assert asked(mm)[2:] == [(0, 2, True), (4, 6, False)]
    with pytest.raises(SysError, match="EFAULT"):
        mm_populate(mm, at(0), at(6), ignore_errors=False)


def test_device_memory_is_not_populated():
    mm = small_mm()
    mm.mmap(at(0), PAGE, RW, SHARED | MapFlag.POPULATE, DEVICE)
    mm.mlock(at(0), PAGE)
    assert asked(mm) == []


def test_mmap_ignores_pages_that_are_not_there():
    mm = small_mm()
    mm.page_tables.errors["populate"] = SysError(errno.EFAULT)
    assert mm.mmap(at(0), 2 * PAGE, RW, FIXED | MapFlag.POPULATE, FILE) == at(0)
    assert asked(mm) == [(0, 2, True)]


@pytest.mark.parametrize(("error", "reported"), [
    (errno.EFAULT, errno.ENOMEM), (errno.ENOMEM, errno.EAGAIN)])
def test_mlock_reports_them_as_posix_says_with_all_locked(error, reported):
    mm = three(RW, RW)
    mm.page_tables.errors["populate"] = SysError(error)
    with pytest.raises(SysError) as caught:
        mm.mlock(at(0), 4 * PAGE)
    assert (caught.value.errno, mm.locked_vm) == (reported, 4)


def test_mlock_of_what_nobody_may_access_finds_no_page():
    mm = three(Prot.NONE)
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mlock(at(0), 2 * PAGE)
    assert (mm.locked_vm, asked(mm)) == (2, [])


def test_memory_that_is_locked_as_it_is_touched_is_not_populated():
    mm = three(RW, Prot.READ)
    mm.mlock(at(0), 4 * PAGE, on_fault=True)
    mm.mprotect(at(2), 2 * PAGE, RW)
    mm.mremap(at(0), 4 * PAGE, 5 * PAGE)
    mm.mmap(at(5), PAGE, RW, FIXED)
    mm.mremap(at(0), 5 * PAGE, 6 * PAGE, MremapFlag.MAYMOVE)
    mm.def_flags = VmFlag.LOCK_MASK
    mm.start_brk = mm.brk_end = at(40)
    mm.brk(at(42))
    mm.mmap(at(50), PAGE, RW, FIXED)
    assert mm.locked_vm == 6 + 2 + 1
    assert asked(mm) == []
    mm.check()


@pytest.mark.parametrize("call", {
    "mmap": lambda mm: mm.mmap(at(9), PAGE, RW, FIXED | MapFlag.LOCKED),
    "mlock": lambda mm: mm.mlock(at(0), PAGE),
    "mprotect": lambda mm: mm.mprotect(at(2), PAGE, RW),
    "mremap in place": lambda mm: mm.mremap(at(2), 2 * PAGE, 3 * PAGE),
    "mremap elsewhere": lambda mm: mm.mremap(at(2), PAGE, 3 * PAGE, MremapFlag.MAYMOVE),
    "brk": lambda mm: mm.brk(at(42)),
}.values())
def test_all_counts_are_right_when_populating_is_cut_short(call):
    mm = three(RW, Prot.READ)
    mm.mlock(at(2), 2 * PAGE)
    mm.def_flags = VmFlag.LOCKED
    mm.start_brk = mm.brk_end = at(40)
    mm.page_tables.errors["populate"] = NoMemory()
    with pytest.raises(NoMemory):
        call(mm)
    mm.check()
    heap = mm.tree.lookup(at(40))
    assert mm.brk_end == (heap.end if heap is not None else at(40))


def test_locking_no_pages_asks_for_none():
    mm = three(Prot.NONE)
    mm.mlock(at(1), 0)
    assert (asked(mm), mm.locked_vm) == ([], 0)
