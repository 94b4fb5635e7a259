"""What shared anonymous memory is promised: with its file, once, until the last mapping goes."""

from contextlib import nullcontext

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import KernelFiles
from pagewalk.model.address_space.limits import Commit, Overcommit
from pagewalk.model.address_space.uapi import MapFlag, MremapFlag, Prot

from .small_mm import PAGE, RW, SPACE, at, forked, ranges, small_mm

SHARED = MapFlag.SHARED | MapFlag.ANONYMOUS
NORESERVE = SHARED | MapFlag.NORESERVE


def world(limit=100, mode=Overcommit.GUESS):
    commit, files = Commit(limit, mode), KernelFiles()
    return small_mm(commit=commit, files=files), commit, files


def test_all_pages_are_promised_at_once_however_they_may_be_accessed():
    mm, commit, files = world()
    start = mm.mmap(0, 10 * PAGE, RW, SHARED)
    assert commit.committed == 10
    mm.mmap(0, 5 * PAGE, Prot.NONE, SHARED)
    assert commit.committed == 15
    assert mm.committed == 0  # it is the file's, not the mapping's
    assert files.inodes[mm.find_vma(start).file].size == 10 * PAGE
    mm.check()


@pytest.mark.parametrize(("mode", "noreserve", "most"), [
    (Overcommit.GUESS, False, 100), (Overcommit.GUESS, True, 10_000),
    (Overcommit.ALWAYS, False, 10_000), (Overcommit.NEVER, False, 99),
    (Overcommit.NEVER, True, 99)])
def test_the_most_that_can_be_mapped(mode, noreserve, most):
    mm, commit, _ = world(mode=mode)
    flags = NORESERVE if noreserve else SHARED
    with pytest.raises(SysError, match="ENOMEM") if most < 10_000 else nullcontext():
        mm.mmap(0, (most + 1) * PAGE, RW, flags)
    mm.munmap(0, SPACE.task_size)
    assert (list(mm), commit.committed) == ([], 0)
    mm.mmap(0, most * PAGE, RW, flags)
    counts = not noreserve or mode == Overcommit.NEVER
    assert commit.committed == (most if counts else 0)


def test_what_a_refused_mapping_was_to_replace_is_gone():
    """The range is unmapped before the file is made. [mmap_region]"""
    mm, commit, _ = world()
    mm.mmap(at(0), 2 * PAGE, RW, MapFlag.PRIVATE | MapFlag.ANONYMOUS | MapFlag.FIXED)
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mmap(at(0), 200 * PAGE, RW, SHARED | MapFlag.FIXED)
    assert (ranges(mm), commit.committed) == ([], 0)


def test_the_last_mapping_takes_the_promise_along():
    mm, commit, files = world()
    mm.mmap(at(0), 10 * PAGE, RW, SHARED | MapFlag.FIXED)
    child = forked(mm)
    assert commit.committed == 10  # one file
    mm.munmap(at(2), 6 * PAGE)
    mm.mprotect(at(0), PAGE, Prot.READ)
    mm.mremap(at(8), PAGE, PAGE, MremapFlag.MAYMOVE | MremapFlag.FIXED, at(50))
    mm.exit()
    assert commit.committed == 10
    child.mremap(at(0), 0, PAGE, MremapFlag.MAYMOVE | MremapFlag.FIXED, at(50))
    child.munmap(at(0), 10 * PAGE)
    assert (commit.committed, len(files.inodes)) == (10, 1)
    child.munmap(at(50), PAGE)
    assert (commit.committed, len(files.inodes)) == (0, 0)


def test_a_mapping_grows_but_its_file_and_promise_do_not():
    mm, commit, files = world()
    mm.mmap(at(0), PAGE, RW, SHARED | MapFlag.FIXED)
    mm.mremap(at(0), PAGE, 90 * PAGE)
    moved = mm.mremap(at(0), 90 * PAGE, 1000 * PAGE, MremapFlag.MAYMOVE)
    assert commit.committed == 1
    assert files.inodes[mm.find_vma(moved).file].size == PAGE
    mm.munmap(moved, 1000 * PAGE)
    assert commit.committed == 0


def test_what_is_replaced_counts_until_the_call_is_over():
    """The last reference to a file goes as the call returns. [fput, task_work_add]"""
    mm, commit, _ = world(limit=100, mode=Overcommit.NEVER)
    mm.mmap(at(0), 60 * PAGE, RW, SHARED | MapFlag.FIXED)
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mmap(at(0), 60 * PAGE, RW, SHARED | MapFlag.FIXED)
    assert (ranges(mm), commit.committed) == ([], 0)
    mm.mmap(at(0), 60 * PAGE, RW, SHARED | MapFlag.FIXED)
    assert commit.committed == 60


def test_a_segment_of_system_v_goes_with_its_last_mapping():
    mm, commit, files = world()
    commit.charge(3)
    segment = files.open_sysv(1, 7, 3 * PAGE)
    mm.mmap(at(0), 3 * PAGE, RW, MapFlag.SHARED | MapFlag.FIXED, segment)
    mm.mmap(at(10), 3 * PAGE, Prot.READ, MapFlag.SHARED | MapFlag.FIXED, segment)
    mm.munmap(at(0), 3 * PAGE)
    assert (commit.committed, segment in files.inodes) == (3, True)
    mm.munmap(at(10), 3 * PAGE)
    assert (commit.committed, segment in files.inodes) == (0, False)
