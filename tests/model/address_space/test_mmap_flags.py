"""What becomes of each bit of the flags of mmap, by the kind of file."""

import errno
from dataclasses import replace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.limits import Commit, Overcommit
from pagewalk.model.address_space.smaps_text import vm_flags_text
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import ANON, FIXED, PAGE, RW, SPACE, at, ranges, small_mm

VALIDATE = MapFlag.SHARED_VALIDATE
SHARED, PRIVATE, SYNC = MapFlag.SHARED, MapFlag.PRIVATE, MapFlag.SYNC
EXT4 = File("/ext4", knows_sync=True)
TMPFS = File("/tmpfs", is_shmem=True)
# What Linux 6.18 on ext4 and tmpfs said of each bit, but for bit 7, which 6.1 does not know.
KNOWN = {4, 5, 6, 8, 11, 12, 13, 14, 15, 16, 17, 26, 27, 28, 29, 30}
HUGE = 2 << 20


def error_of(mm, *arguments):
    try:
        mm.mmap(*arguments)
    except SysError as error:
        return error.errno
    return 0


@pytest.mark.parametrize("file", [EXT4, TMPFS], ids=lambda file: file.name)
@pytest.mark.parametrize("bit", [*range(4, 32), 40, 63])
def test_a_mapping_that_is_validated_refuses_flags_that_nobody_knows(file, bit):
    wanted = 0 if bit in KNOWN else errno.EOPNOTSUPP
    if bit in (5, 8, 18):  # of anonymous memory, as a stack, of huge pages: not of these files
        wanted = errno.EINVAL
    assert error_of(small_mm(), at(0), PAGE, RW, VALIDATE | 1 << bit, file) == wanted
    for kind in (SHARED, PRIVATE):
        if bit not in (5, 8, 18, 19):
            assert error_of(small_mm(), at(0), PAGE, RW, kind | 1 << bit, file) == 0


def test_a_fixed_place_that_is_free_is_refused_too_if_flags_are_validated():
    mm = small_mm()
    flags = VALIDATE | MapFlag.FIXED_NOREPLACE
    assert error_of(mm, at(0), PAGE, RW, flags, TMPFS) == errno.EOPNOTSUPP
    mm.mmap(at(0), PAGE, RW, FIXED)
    assert error_of(mm, at(0), PAGE, RW, flags, TMPFS) == errno.EEXIST


def test_flags_are_looked_at_before_the_mode_of_the_file():
    unwritable = File("/r", writable=False)
    assert error_of(small_mm(), 0, PAGE, RW, VALIDATE | 1 << 21, unwritable) == errno.EOPNOTSUPP
    assert error_of(small_mm(), 0, PAGE, RW, VALIDATE, unwritable) == errno.EACCES


@pytest.mark.parametrize("kind", [VALIDATE, SHARED, PRIVATE])
def test_a_file_on_a_disk_is_not_mapped_as_if_it_were_memory(kind):
    mm = small_mm()
    mm.mmap(at(0), 2 * PAGE, RW, FIXED)
    before = mm.commit.committed
    assert error_of(mm, at(8), PAGE, RW, kind | SYNC | MapFlag.FIXED, EXT4) == errno.EOPNOTSUPP
    assert (ranges(mm), mm.commit.committed) == ([(0, 2)], before)
    # The driver is asked when the place has been made free.
    assert error_of(mm, at(0), PAGE, RW, kind | SYNC | MapFlag.FIXED, EXT4) == errno.EOPNOTSUPP
    assert ranges(mm) == [(1, 2)]
    mm.check()


def test_a_file_system_that_does_not_know_it_takes_map_sync_unless_flags_are_validated():
    mm = small_mm()
    assert error_of(mm, 0, PAGE, RW, VALIDATE | SYNC, TMPFS) == errno.EOPNOTSUPP
    for flags, file, letters in ((SHARED, TMPFS, "rd wr sh mr mw me ms sf "),
                                 (PRIVATE, TMPFS, "rd wr mr mw me ac sf "),
                                 (ANON, None, "rd wr mr mw me ac sf ")):
        vma = mm.tree.lookup(mm.mmap(0, PAGE, RW, flags | SYNC, file))
        assert vm_flags_text(vma.flags) == letters
    mm.mmap(at(0), PAGE, RW, FIXED)
    mm.mmap(at(1), PAGE, RW, FIXED | SYNC)
    assert ranges(mm)[:2] == [(0, 1), (1, 2)]  # which do not merge


def test_huge_pages_are_never_reserved_with_noreserve():
    pool = HugetlbPool(free=1)
    for mode in (Overcommit.GUESS, Overcommit.NEVER):
        mm = small_mm(files=KernelFiles({HUGE: pool}), commit=Commit(limit=9, mode=mode))
        start = mm.mmap(0, 4 * HUGE, RW, ANON | MapFlag.HUGETLB | MapFlag.NORESERVE)
        assert mm.tree.lookup(start).flags & VmFlag.NORESERVE
        assert pool.free == 1
        mm.exit()


def test_growing_down_is_for_private_anonymous_memory_alone():
    pool = HugetlbPool(free=1)
    mm = small_mm(files=KernelFiles({HUGE: pool}))
    for flags, file in ((PRIVATE, TMPFS), (SHARED | MapFlag.ANONYMOUS, None), (SHARED, TMPFS),
                        (VALIDATE, TMPFS), (SHARED, File("/r", writable=False)),
                        (ANON | MapFlag.HUGETLB, None)):
        assert error_of(mm, 0, HUGE, Prot.READ, flags | MapFlag.GROWSDOWN, file) == errno.EINVAL
    assert error_of(mm, 0, HUGE, Prot.READ, ANON | MapFlag.GROWSDOWN) == 0


@pytest.mark.parametrize(("word_bytes", "low"), [(8, True), (4, False)])
def test_map_32bit_is_below_2_gbytes_for_64_bit_processes(word_bytes, low):
    mm = small_mm(replace(SPACE, word_bytes=word_bytes))
    assert (mm.mmap(0, PAGE, RW, ANON | MapFlag.BELOW_2G) == 0x4000_0000) == low
