"""Where mappings without a fixed address go."""

import errno
from dataclasses import replace

import numpy as np
import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.kernel_files import HugetlbPool, KernelFiles
from pagewalk.model.address_space.mm import Mm
from pagewalk.model.address_space.uapi import MapFlag, MremapFlag, Prot
from pagewalk.model.address_space.vma import File

from .small_mm import ANON, FIXED, MMAP_BASE, PAGE, RW, SPACE, small_mm

I386 = replace(SPACE, word_bytes=4, pkeys=False)
SPACES = {"x86-64": SPACE, "i386": I386}
STACK = FIXED | MapFlag.GROWSDOWN
GAP = SPACE.stack_guard_gap


@pytest.fixture(params=SPACES)
def mm(request):
    return small_mm(SPACES[request.param])


def test_mappings_fill_from_the_top(mm):
    assert [mm.mmap(0, PAGE, prot, ANON) for prot in (0, 1, 3)] == [
        MMAP_BASE - PAGE, MMAP_BASE - 2 * PAGE, MMAP_BASE - 3 * PAGE]


def test_the_highest_hole_that_is_large_enough_is_taken(mm):
    top = MMAP_BASE
    for page in (1, 4, 6):  # holes of 1, 2 and 1 pages above them
        mm.mmap(top - (page + 1) * PAGE, PAGE, RW, FIXED)
    assert mm.mmap(0, 2 * PAGE, Prot.READ, ANON) == top - 4 * PAGE
    assert mm.mmap(0, PAGE, Prot.READ, ANON) == top - PAGE
    assert mm.mmap(0, 2 * PAGE, Prot.READ, ANON) == top - 9 * PAGE
    assert mm.mmap(0, PAGE, Prot.READ, ANON) == top - 6 * PAGE


def test_a_mapping_across_the_base_leaves_the_hole_below_it(mm):
    mm.mmap(MMAP_BASE - PAGE, 2 * PAGE, RW, FIXED)
    assert mm.mmap(0, PAGE, Prot.READ, ANON) == MMAP_BASE - 2 * PAGE


def test_the_guard_gap_of_a_stack_is_kept_free(mm):
    mm.mmap(MMAP_BASE - 2 * PAGE, PAGE, RW, STACK)
    assert mm.mmap(0, PAGE, Prot.READ, ANON) == MMAP_BASE - PAGE
    assert mm.mmap(0, PAGE, Prot.READ, ANON) == MMAP_BASE - 2 * PAGE - GAP - PAGE


def test_holes_within_a_guard_gap_are_passed_over_once_one_came_into_question(mm):
    stack = MMAP_BASE - PAGE
    mm.mmap(stack, PAGE, RW, STACK)
    mm.mmap(stack - 4 * PAGE, PAGE, Prot.NONE, FIXED)
    assert mm.mmap(0, 2 * PAGE, Prot.READ, ANON) == stack - GAP - 2 * PAGE


def test_holes_within_a_guard_gap_are_taken_if_the_one_under_the_stack_is_too_small(mm):
    stack = MMAP_BASE - PAGE
    mm.mmap(stack, PAGE, RW, STACK)
    mm.mmap(stack - 4 * PAGE, PAGE, Prot.NONE, FIXED)
    assert mm.mmap(0, 4 * PAGE, Prot.READ, ANON) == stack - 8 * PAGE


def test_a_hint_is_taken_if_it_is_free(mm):
    assert mm.mmap(0x100_0123, PAGE, RW, ANON) == 0x100_0000
    assert mm.mmap(0x100_0000, PAGE, RW, ANON) == MMAP_BASE - PAGE
    mm.mmap(0x200_0000, PAGE, RW, STACK)
    assert mm.mmap(0x200_0000 - GAP - PAGE, PAGE, Prot.READ, ANON) == 0x200_0000 - GAP - PAGE
    assert mm.mmap(0x200_0000 - GAP, PAGE, Prot.READ, ANON) == MMAP_BASE - 2 * PAGE


def test_a_low_hint_is_raised_to_the_lowest_address_allowed(mm):
    assert mm.mmap(PAGE, PAGE, RW, ANON) == SPACE.mmap_min_addr


def test_a_hint_out_of_bounds_is_ignored(mm):
    assert mm.mmap(SPACE.task_size - PAGE, 2 * PAGE, RW, ANON) == MMAP_BASE - 2 * PAGE


def test_what_does_not_fit_below_goes_above_a_third_of_the_addresses(mm):
    low = -(-SPACE.task_size // 3 // PAGE) * PAGE
    mm.mmap(low - PAGE, 2 * PAGE, RW, FIXED)
    length = SPACE.task_size - low - PAGE  # more than there is between any mapping and the base
    assert mm.mmap(0, length, Prot.NONE, ANON) == low + PAGE
    with pytest.raises(SysError, match="ENOMEM"):
        mm.mmap(0, length, Prot.NONE, ANON)


def test_the_search_from_the_bottom_keeps_the_guard_gap():
    mm = small_mm()
    mm.mmap_base = PAGE  # no room from the top
    low = SPACE.unmapped_base
    mm.mmap(low + GAP + 2 * PAGE, PAGE, RW, STACK)
    assert mm.mmap(0, 2 * PAGE, Prot.READ, ANON) == low
    assert mm.mmap(0, PAGE, RW, ANON) == low + GAP + 3 * PAGE


@pytest.mark.parametrize(("word", "privileged", "lowest"), [
    (8, True, PAGE), (4, True, 0x1_0000), (4, False, 0x1_0000)])
def test_the_search_from_the_top_ends_at_the_lowest_address(word, privileged, lowest):
    space = replace(SPACE, word_bytes=word)
    mm = small_mm(space, privileged=privileged)
    assert mm.mmap(0, MMAP_BASE - lowest, Prot.NONE, ANON) == lowest


def test_low_addresses_are_for_the_privileged():
    for privileged, flags in ((False, FIXED), (True, FIXED)):
        mm = small_mm(privileged=privileged)
        if privileged:
            assert mm.mmap(PAGE, PAGE, RW, flags) == PAGE
        else:
            with pytest.raises(SysError) as caught:
                mm.mmap(PAGE, PAGE, RW, flags)
            assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize("word", [4, 8])
@pytest.mark.parametrize(("below", "error"), [(1, 1), (22, 22), (4000, 4000), (4095, 4095),
                                              (4096, errno.ENOMEM), (8192, errno.ENOMEM)])
def test_a_fixed_address_at_the_very_top_is_taken_for_an_error(word, below, error):
    mm = small_mm(replace(SPACE, word_bytes=word))
    with pytest.raises(SysError) as caught:
        mm.mmap(-below, PAGE, RW, FIXED)
    assert caught.value.errno == error
    assert str(caught.value)


def test_huge_pages_are_aligned_and_their_hole_has_room_for_any_alignment():
    huge = 2 << 20
    mm = small_mm(files=KernelFiles({huge: HugetlbPool(free=8)}))
    flags = ANON | MapFlag.HUGETLB
    mm.mmap(MMAP_BASE - 3 * PAGE, PAGE, RW, FIXED)
    top = MMAP_BASE - huge - 2 * huge
    mm.mmap(top - PAGE, PAGE, RW, FIXED)
    # Two huge pages would fit at `top`, but not if it were aligned any worse.
    assert mm.mmap(0, 2 * huge, RW, flags) == top - 3 * huge
    assert mm.mmap(0x100_0000 + PAGE, huge, RW, flags) == 0x100_0000
    with pytest.raises(SysError, match="EINVAL"):
        mm.mmap(0x200_0000 + PAGE, huge, RW, flags | MapFlag.FIXED)
    mm.check()


# ---- below 2 Gbytes, and where a file system wants it

LOW = ANON | MapFlag.BELOW_2G
WIDE = replace(SPACE, task_size=(1 << 47) - PAGE)
BASE = (1 << 46)
HUGE = WIDE.huge_page_bytes
DISK, OTHER = File("/disk", thp_aligned=True), File("/other")


def wide_mm(**options) -> Mm:
    return Mm(WIDE, BASE, **options)


@pytest.mark.parametrize("topdown", [True, False])
def test_map_32bit_looks_up_from_the_second_gbyte(topdown):
    mm = wide_mm(topdown=topdown)
    low = 0x4000_0000
    assert mm.mmap(0, 3 * PAGE, RW, LOW) == low
    mm.munmap(low, PAGE)
    assert mm.mmap(0, 2 * PAGE, RW, LOW) == low + 3 * PAGE
    assert mm.mmap(0, PAGE, RW, LOW) == low
    for hint, found in ((0x1000_0000, 0x1000_0000), (0x7FFF_F000, 0x7FFF_F000),
                        (0x8000_0000, low + 5 * PAGE), (1 << 40, low + 6 * PAGE),
                        (low, low + 7 * PAGE)):
        assert mm.mmap(hint, PAGE, Prot.READ, LOW) == found
    assert mm.mmap(0x7FFF_E000, 2 * PAGE, RW, LOW) == low + 8 * PAGE  # the hint is taken in part
    for length in (1 << 30, (1 << 31) + PAGE):
        with pytest.raises(SysError, match="ENOMEM"):  # though there is room elsewhere
            mm.mmap(0, length, Prot.READ, LOW)


def test_map_32bit_begins_anywhere_in_32_mbytes_if_addresses_are_random():
    rng = np.random.default_rng(1)
    found = {wide_mm(rng=rng).mmap(0, PAGE, RW, LOW) for _ in range(300)}
    assert len(found) > 200
    assert 0x4000_0000 <= min(found) < 0x4010_0000
    assert 0x41F0_0000 < max(found) < 0x4200_0000
    assert wide_mm(rng=rng).child().rng is rng


@pytest.mark.parametrize(("length", "offset", "rest"), [
    (2 * HUGE + PAGE, 0, 0), (2 * HUGE + PAGE, PAGE, PAGE), (HUGE, 0, 0), (2 * HUGE, PAGE, PAGE),
    (HUGE - PAGE, 0, None), (HUGE, PAGE, None), (2 * HUGE - 2 * PAGE, PAGE, None)])
def test_a_mapping_that_huge_pages_fit_into_begins_where_they_could_if_the_disk_wants_it(
        length, offset, rest):
    mm = wide_mm()
    top = mm.mmap(0, 7 * PAGE, RW, ANON)
    start = mm.mmap(0, length, RW, MapFlag.SHARED, DISK, offset)
    assert start == (top - length if rest is None else
                     top - length - HUGE + (rest - (top - length - HUGE)) % HUGE)
    assert rest is None or start % HUGE == rest
    assert mm.mmap(0, length, RW, MapFlag.SHARED, OTHER, offset) == start - length


def test_a_hint_is_taken_only_with_room_for_a_huge_page_behind_it():
    mm = wide_mm()
    hint = 1 << 40 | PAGE
    assert mm.mmap(hint, 2 * HUGE, RW, MapFlag.SHARED, DISK) == hint
    mm.munmap(hint, 2 * HUGE)
    mm.mmap(hint + 3 * HUGE - PAGE, PAGE, RW, FIXED)
    assert mm.mmap(hint, 2 * HUGE, RW, MapFlag.SHARED, DISK) % HUGE == 0
    assert mm.mmap(hint, 2 * HUGE, RW, MapFlag.SHARED, OTHER) == hint
    assert mm.mmap(hint, HUGE, RW, MapFlag.SHARED | MapFlag.FIXED, DISK) == hint


def test_without_room_to_spare_any_place_will_do():
    mm = Mm(replace(SPACE, mmap_min_addr=0), MMAP_BASE)
    mm.mmap(PAGE, MMAP_BASE - 3 * HUGE, RW, FIXED)
    mm.mmap(MMAP_BASE, SPACE.task_size - MMAP_BASE, RW, FIXED)
    assert mm.mmap(0, 2 * HUGE + PAGE, RW, MapFlag.SHARED, DISK) == MMAP_BASE - 2 * HUGE - PAGE


def test_a_mapping_that_moves_begins_there_too_and_one_below_2_gbytes_does():
    mm = wide_mm()
    flags = MapFlag.SHARED | MapFlag.BELOW_2G
    assert mm.mmap(0, PAGE, RW, flags, OTHER) == 0x4000_0000
    assert mm.mmap(0, 2 * HUGE, RW, flags, DISK) == 0x4000_0000 + HUGE
    start = mm.mmap(0, 4 * PAGE, RW, MapFlag.SHARED, DISK, 3 * PAGE)
    mm.mmap(start + 4 * PAGE, PAGE, Prot.READ, FIXED)
    moved = mm.mremap(start + PAGE, 3 * PAGE, 3 * HUGE, MremapFlag.MAYMOVE)
    assert moved % HUGE == 4 * PAGE


def test_32_bit_kernels_align_no_files(mm):
    start = mm.mmap(0, 2 * HUGE + PAGE, RW, MapFlag.SHARED, DISK)
    aligned = mm.space.word_bytes == 8
    assert start == (MMAP_BASE - 3 * HUGE if aligned else MMAP_BASE - 2 * HUGE - PAGE)
