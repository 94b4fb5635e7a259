import errno
from dataclasses import replace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.limits import Commit, Overcommit, Rlimits
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import ANON, FIXED, PAGE, RW, SPACE, at, forked, ranges, small_mm

SHARED, PRIVATE = MapFlag.SHARED, MapFlag.PRIVATE
FILE = File("/f")
READ_ONLY = File("/r", writable=False)
WRITE_ONLY = File("/w", readable=False)
GROWSDOWN = MapFlag.GROWSDOWN
HUGE = 2 << 20


def fails(errno_, *arguments, mm=None):
    with pytest.raises(SysError) as caught:
        (mm or small_mm()).mmap(*arguments)
    assert caught.value.errno == errno_


@pytest.mark.parametrize(("error", "arguments"), {
    "no length": (errno.EINVAL, (0, 0, RW, ANON)),
    "misaligned offset": (errno.EINVAL, (0, PAGE, RW, PRIVATE, FILE, 1)),
    "misaligned address": (errno.EINVAL, (at(0) + 1, PAGE, RW, FIXED)),
    "neither shared nor private": (errno.EINVAL, (0, PAGE, RW, MapFlag.ANONYMOUS)),
    "validated anonymous memory": (
        errno.EINVAL, (0, PAGE, RW, MapFlag.ANONYMOUS | MapFlag.SHARED_VALIDATE)),
    "no file": (errno.EBADF, (0, PAGE, RW, PRIVATE)),
    "a length that wraps": (errno.ENOMEM, (0, (1 << 64) - 1, RW, ANON)),
    "more than there is": (errno.ENOMEM, (0, SPACE.task_size + PAGE, RW, ANON)),
    "beyond the end": (errno.ENOMEM, (SPACE.task_size - PAGE, 2 * PAGE, RW, FIXED)),
    "an offset that wraps": (errno.EOVERFLOW, (0, 2 * PAGE, RW, PRIVATE, FILE, (1 << 76) - PAGE)),
    "writing a read-only file": (errno.EACCES, (0, PAGE, RW, SHARED, READ_ONLY)),
    "a file that cannot be read": (errno.EACCES, (0, PAGE, Prot.NONE, PRIVATE, WRITE_ONLY)),
    "a file as a stack": (errno.EINVAL, (0, PAGE, RW, PRIVATE | GROWSDOWN, FILE)),
    "a shared stack": (errno.EINVAL, (0, PAGE, RW, SHARED | MapFlag.ANONYMOUS | GROWSDOWN)),
    "huge pages of a plain file": (errno.EINVAL, (0, PAGE, RW, PRIVATE | MapFlag.HUGETLB, FILE)),
    "huge pages that there are none of": (errno.EINVAL, (0, PAGE, RW, ANON | MapFlag.HUGETLB)),
}.values())
def test_mmap_fails_as_linux_does(error, arguments):
    fails(error, *arguments)


@pytest.mark.parametrize(("arguments", "flags"), [
    ((RW, ANON), VmFlag.DATA_DEFAULT | VmFlag.ACCOUNT),
    ((RW, ANON | MapFlag.NORESERVE), VmFlag.DATA_DEFAULT | VmFlag.NORESERVE),
    ((RW, ANON | MapFlag.LOCKED), VmFlag.DATA_DEFAULT | VmFlag.ACCOUNT | VmFlag.LOCKED),
    ((Prot.READ, PRIVATE, READ_ONLY), VmFlag.READ | VmFlag.MAY_ACCESS),
    ((Prot.READ, SHARED, FILE),
     VmFlag.READ | VmFlag.MAY_ACCESS | VmFlag.SHARED | VmFlag.MAYSHARE),
    ((Prot.READ, SHARED, READ_ONLY),
     VmFlag.READ | VmFlag.MAYREAD | VmFlag.MAYEXEC | VmFlag.MAYSHARE),
    ((Prot.EXEC, ANON), VmFlag.EXEC | VmFlag.MAY_ACCESS | 1 << VmFlag.PKEY_SHIFT),
])
def test_flags_follow_from_rights_and_kind(arguments, flags):
    mm = small_mm()
    prot, how, *file = arguments
    assert mm.tree.lookup(mm.mmap(0, PAGE, prot, how, *file)).flags == flags


def test_a_file_read_shared_only_can_never_be_written():
    mm = small_mm()
    start = mm.mmap(0, PAGE, Prot.READ, SHARED, READ_ONLY)
    with pytest.raises(SysError, match="EACCES"):
        mm.mprotect(start, PAGE, RW)


def test_a_fixed_mapping_replaces_what_is_there():
    mm = small_mm()
    mm.mmap(at(0), 6 * PAGE, RW, FIXED)
    mm.mmap(at(2), 2 * PAGE, Prot.READ, FIXED)
    assert ranges(mm) == [(0, 2), (2, 4), (4, 6)]
    [(_, gone, *where)] = mm.page_tables.calls
    assert (ranges(gone), where) == ([(2, 4)], [at(2), at(4)])


def test_a_mapping_that_must_not_replace_fails_where_one_is():
    mm = small_mm()
    mm.mmap(at(0), PAGE, RW, FIXED)
    fails(errno.EEXIST, at(0), PAGE, RW, ANON | MapFlag.FIXED_NOREPLACE, mm=mm)


@pytest.mark.parametrize(("rlimits", "prot", "error"), [
    (Rlimits(address_space=3 * PAGE), Prot.READ, errno.ENOMEM),
    (Rlimits(data=3 * PAGE), RW, errno.ENOMEM),
    (Rlimits(data=3 * PAGE), Prot.READ, None),
])
def test_limits_bound_what_is_mapped_but_not_what_is_replaced(rlimits, prot, error):
    mm = small_mm(rlimits=rlimits)
    mm.mmap(at(0), 3 * PAGE, RW, FIXED)
    if error:
        fails(error, at(3), PAGE, prot, FIXED, mm=mm)
        mm.mmap(at(2), PAGE, prot, FIXED)
    else:
        mm.mmap(at(3), PAGE, prot, FIXED)
    mm.check()


@pytest.mark.parametrize(("memlock", "privileged", "error"), [
    (0, False, errno.EPERM), (PAGE, False, errno.EAGAIN), (2 * PAGE, False, None),
    (0, True, None)])
def test_locked_memory_is_limited(memlock, privileged, error):
    mm = small_mm(rlimits=Rlimits(memlock=memlock), privileged=privileged)
    if error:
        fails(error, 0, 2 * PAGE, RW, ANON | MapFlag.LOCKED, mm=mm)
    else:
        start = mm.mmap(0, 2 * PAGE, RW, ANON | MapFlag.LOCKED)
        vma = mm.tree.lookup(start)
        assert mm.page_tables.calls == [("populate", vma, start, start + 2 * PAGE, True)]
        assert mm.locked_vm == 2


def test_populate_asks_for_the_pages():
    mm = small_mm()
    mm.mmap(0, PAGE, RW, ANON | MapFlag.POPULATE | MapFlag.NONBLOCK)
    assert mm.page_tables.calls == []
    start = mm.mmap(at(0), PAGE, RW, FIXED | MapFlag.POPULATE)
    vma = mm.tree.lookup(start)
    assert mm.page_tables.calls == [("populate", vma, start, start + PAGE, True)]


def test_private_writable_memory_is_promised():
    commit = Commit(limit=4, mode=Overcommit.NEVER)
    mm = small_mm(commit=commit)
    mm.mmap(0, 3 * PAGE, RW, ANON)
    mm.mmap(0, 9 * PAGE, Prot.READ, ANON)
    fails(errno.ENOMEM, 0, PAGE, RW, ANON, mm=mm)
    fails(errno.ENOMEM, 0, PAGE, RW, ANON | MapFlag.NORESERVE, mm=mm)
    commit.mode = Overcommit.GUESS
    mm.mmap(0, 4 * PAGE, RW, ANON)
    fails(errno.ENOMEM, 0, 5 * PAGE, RW, ANON, mm=mm)
    commit.mode = Overcommit.ALWAYS
    mm.mmap(0, 50 * PAGE, RW, ANON)
    assert commit.committed == 57
    mm.check()
    mm.exit()
    assert commit.committed == 0


def test_huge_pages_are_reserved_and_given_back():
    pool = HugetlbPool(free=3)
    mm = small_mm(files=KernelFiles({HUGE: pool}))
    start = mm.mmap(0, HUGE + 1, RW, ANON | MapFlag.HUGETLB)
    assert (start % HUGE, pool.free) == (0, 1)
    fails(errno.ENOMEM, 0, 2 * HUGE, RW, ANON | MapFlag.HUGETLB | 21 << MapFlag.HUGE_SHIFT, mm=mm)
    fails(errno.EINVAL, 0, HUGE, RW, ANON | MapFlag.HUGETLB | 30 << MapFlag.HUGE_SHIFT, mm=mm)
    with pytest.raises(SysError, match="EINVAL"):
        mm.munmap(start + PAGE, HUGE)
    mm.munmap(start, HUGE)
    assert pool.free == 2
    child = forked(mm)
    child.exit()
    assert pool.free == 2
    mm.check()
    mm.exit()
    assert pool.free == 3


def test_shared_anonymous_memory_is_a_file_of_its_own():
    mm = small_mm()
    one, other = (mm.mmap(0, PAGE, RW, SHARED | MapFlag.ANONYMOUS) for _ in range(2))
    assert one == other + PAGE
    assert mm.map_count == 2
    vma = mm.tree.lookup(one)
    assert (vma.file.name, vma.pgoff, vma.flags & VmFlag.ACCOUNT) == ("/dev/zero (deleted)", 0, 0)


def test_32_bit_addresses_bound_lengths_and_offsets():
    mm = small_mm(replace(SPACE, word_bytes=4))
    fails(errno.ENOMEM, 0, (1 << 32) - 1, RW, ANON, mm=mm)
    fails(errno.EOVERFLOW, 0, 2 * PAGE, RW, PRIVATE, FILE, (1 << 44) - PAGE, mm=mm)
