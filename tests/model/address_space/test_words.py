"""Addresses and lengths that no process has: calls take them as registers of the machine hold them.

Each errno is what the C of Linux comes to with the number that is left.
"""

import errno
from dataclasses import replace

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.uapi import Madvise, MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File, VmFlag

from .small_mm import ANON, FIXED, PAGE, RW, SPACE, at, ranges, small_mm

HUGE = 2 << 20
MAYMOVE = MremapFlag.MAYMOVE
TO = MAYMOVE | MremapFlag.FIXED
FILE = File("/f")
DEVICE = File("/dev/mem", vm_flags=VmFlag.DEVICE_MEMORY)
words = pytest.mark.parametrize("word_bytes", [4, 8])


def with_words(word_bytes, **options):
    """Return an address space with four pages of memory, and a page behind a hole."""
    files = KernelFiles({HUGE: HugetlbPool(free=4)})
    mm = small_mm(replace(SPACE, word_bytes=word_bytes), files=files, **options)
    mm.mmap(at(0), 4 * PAGE, RW, FIXED)
    mm.mmap(at(8), PAGE, RW, FIXED)
    return mm


def outcome(mm, name, arguments):
    """Return what a call comes to: a result or an errno, and the mappings then."""
    try:
        result = getattr(mm, name)(*arguments)
    except SysError as error:
        result = -error.errno
    mm.check()
    return result, ranges(mm)


REFUSED = {
    "mmap": [(errno.ENOMEM, (0, -1, RW, ANON)), (errno.ENOMEM, (0, -PAGE, RW, ANON)),
             (errno.ENOMEM, (-PAGE, PAGE, RW, FIXED)), (errno.EINVAL, (0, 0, RW, ANON)),
             (errno.EINVAL, (0, -1, RW, ANON | MapFlag.HUGETLB))],
    "munmap": [(errno.EINVAL, (at(0), -PAGE)), (errno.EINVAL, (-PAGE, PAGE)),
               (errno.EINVAL, (at(0), -1))],
    "mprotect": [(errno.ENOMEM, (at(0), -1, Prot.READ)), (errno.ENOMEM, (at(0), -PAGE, Prot.READ)),
                 (errno.ENOMEM, (-PAGE, PAGE, Prot.READ))],
    "madvise": [(errno.EINVAL, (at(0), -1, Madvise.DONTNEED)),
                (errno.EINVAL, (at(0), -PAGE, Madvise.DONTNEED)),
                (errno.EINVAL, (-PAGE, PAGE, Madvise.DONTNEED))],
    "mlock": [(errno.ENOMEM, (at(0), -PAGE)), (errno.ENOMEM, (at(0), 1 - 2 * PAGE)),
              (errno.EINVAL, (-PAGE, PAGE))],
    "munlock": [(errno.EINVAL, (at(0), -PAGE)), (errno.EINVAL, (-PAGE, PAGE))],
    "mremap": [(errno.EINVAL, (at(0), -PAGE, 2 * PAGE, MAYMOVE)),
               (errno.ENOMEM, (at(0), 4 * PAGE, -PAGE, MAYMOVE)),
               (errno.EINVAL, (at(0), 4 * PAGE, -1, MAYMOVE)),
               (errno.EINVAL, (at(0), -1, PAGE, MAYMOVE)),
               (errno.EFAULT, (-PAGE, PAGE, 2 * PAGE, MAYMOVE)),
               (errno.EINVAL, (at(0), PAGE, PAGE, TO, -PAGE))],
}


@words
@pytest.mark.parametrize("more", [0, 1, 5], ids="{}".format)
@pytest.mark.parametrize(("name", "error", "arguments"), [
    (name, error, arguments) for name, rows in REFUSED.items() for error, arguments in rows])
def test_numbers_that_are_negative_or_too_large_change_nothing(word_bytes, more, name, error,
                                                               arguments):
    mm = with_words(word_bytes)
    count = {"mremap": 3}.get(name, 2)
    span = 1 << 8 * word_bytes
    moved = [one + more * span for one in arguments[:count]] + list(arguments[count:])
    assert outcome(mm, name, moved) == (-error, [(0, 4), (8, 9)])


@words
def test_what_is_too_large_by_whole_words_is_what_is_left(word_bytes):
    span = 1 << 8 * word_bytes
    mm = with_words(word_bytes)
    assert mm.mmap(at(20) - span, PAGE + span, RW, FIXED) == at(20)
    assert mm.mremap(at(20) + span, PAGE, 2 * PAGE - span, TO, at(30) + span) == at(30)
    mm.munmap(at(0) - span, PAGE + 2 * span)
    assert ranges(mm) == [(1, 4), (8, 9), (30, 32)]
    mm.start_brk = mm.brk_end = at(40)
    assert mm.brk(at(41) + span) == at(41)
    assert mm.brk(-5) == at(41)
    assert mm.find_vma(at(8) - span) is mm.find_vma_intersection(at(8) + span, at(9) - span)
    assert mm.find_vma(-1) is None
    assert mm.find_vma_or_expand(-1) is None


@words
def test_a_length_that_rounds_up_to_nothing_locks_nothing(word_bytes):
    mm = with_words(word_bytes, privileged=True)
    mm.mlock(at(0), -1)
    mm.munlock(at(0), -1)
    assert mm.locked_vm == 0
    with pytest.raises(SysError, match="EINVAL"):
        mm.mlock(at(0), -PAGE)


@words
def test_shrinking_a_range_that_wraps_unmaps_what_lies_below(word_bytes):
    # Linux sees no more of it than that the new length is not the larger one.
    mm = with_words(word_bytes)
    assert mm.mremap(at(3), -2 * PAGE, -3 * PAGE) == at(3)
    assert ranges(mm) == [(1, 4), (8, 9)]


@words
def test_a_place_may_be_cleared_for_a_range_that_wraps(word_bytes):
    mm = with_words(word_bytes)
    assert outcome(mm, "mremap", (at(0), -PAGE, PAGE, TO, at(8))) == (-errno.EINVAL, [(0, 4)])


def test_what_is_cut_off_a_range_that_wraps_may_lie_below_it():
    mm = small_mm(replace(SPACE, word_bytes=4, task_size=0xC000_0000))
    mm.mmap(0xA000_0000, PAGE, RW, FIXED)
    old, new = 0xF000_0000, 0x8000_0000
    assert outcome(mm, "mremap", (0xA000_0000, old, new, TO, 0x1000_0000))[0] == -errno.EFAULT
    assert mm.map_count == 1


@pytest.mark.parametrize(("word_bytes", "last"), [
    (8, (1 << 63) - 2 * PAGE), (4, (1 << 44) - 2 * PAGE)])
def test_a_file_ends_where_its_offsets_do(word_bytes, last):
    mm = with_words(word_bytes)
    shared = MapFlag.SHARED
    start = mm.mmap(0, PAGE, RW, shared, FILE, last)
    assert mm.tree.lookup(start).pgoff == last // PAGE
    for offset in (last + PAGE, -PAGE):
        with pytest.raises(SysError, match="EOVERFLOW"):
            mm.mmap(0, PAGE, RW, shared, FILE, offset)
    if word_bytes == 8:
        start = mm.mmap(0, PAGE, RW, shared, DEVICE, -PAGE)
        assert mm.tree.lookup(start).pgoff == (1 << 52) - 1
