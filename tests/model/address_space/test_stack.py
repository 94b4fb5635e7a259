import errno

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.stack import expand_downwards
from pagewalk.model.address_space.uapi import MapFlag, Prot

from .small_mm import FIXED, PAGE, RW, SPACE, at, ranges, small_mm

GAP = SPACE.stack_guard_gap // PAGE
TOP = 2 * GAP


def stacked(**options):
    mm = small_mm(**options)
    mm.mmap(at(TOP), PAGE, RW, FIXED | MapFlag.GROWSDOWN)
    return mm


def test_an_access_below_lets_it_grow_to_that_page():
    mm = stacked()
    vma = mm.find_vma_or_expand(at(TOP - 3) + 8)
    assert (vma.start, vma.end, vma.pgoff) == (at(TOP - 3), at(TOP + 1), at(TOP - 3) // PAGE)
    assert mm.stack_vm == 4
    assert vma.anon_vma is not None
    assert mm.find_vma_or_expand(at(TOP - 2)) is vma
    mm.check()


def test_an_access_above_all_mappings_is_nowhere():
    assert stacked().find_vma_or_expand(at(TOP + 1)) is None


def test_other_mappings_do_not_grow():
    mm = small_mm()
    mm.mmap(at(4), PAGE, RW, FIXED)
    assert mm.find_vma_or_expand(at(3)) is None
    with pytest.raises(SysError) as caught:
        expand_downwards(mm, mm.find_vma(at(3)), at(3))
    assert caught.value.errno == errno.EFAULT


@pytest.mark.parametrize(("prot", "flags", "lowest"), [
    (RW, 0, GAP + 1), (Prot.READ, 0, GAP + 1),
    (Prot.NONE, 0, 1),  # nothing can be overwritten there by mistake
    (RW, MapFlag.GROWSDOWN, 1),
])
def test_it_stops_a_guard_gap_above_what_can_be_accessed(prot, flags, lowest):
    mm = stacked()
    mm.mmap(at(0), PAGE, prot, FIXED | flags)
    assert mm.find_vma_or_expand(at(lowest) - 1) is (
        None if lowest > 1 else mm.tree.lookup(at(0)))
    assert mm.find_vma_or_expand(at(lowest)) is not None
    assert ranges(mm)[-1] == (lowest, TOP + 1)
    mm.check()


@pytest.mark.parametrize("rlimits", [
    Rlimits(stack=4 * PAGE), Rlimits(address_space=4 * PAGE)])
def test_limits_hold_it_back(rlimits):
    mm = stacked(rlimits=rlimits)
    assert mm.find_vma_or_expand(at(TOP - 4)) is None
    assert mm.find_vma_or_expand(at(TOP - 3)) is not None


def test_a_locked_stack_is_limited_too():
    mm = small_mm(rlimits=Rlimits(memlock=2 * PAGE))
    mm.mmap(at(TOP), PAGE, RW, FIXED | MapFlag.GROWSDOWN | MapFlag.LOCKED)
    assert mm.find_vma_or_expand(at(TOP - 2)) is None
    assert mm.find_vma_or_expand(at(TOP - 1)) is not None
    assert mm.locked_vm == 2


def test_it_does_not_grow_below_the_lowest_address():
    mm = small_mm()
    mm.mmap(SPACE.mmap_min_addr, PAGE, RW, FIXED | MapFlag.GROWSDOWN)
    with pytest.raises(SysError) as caught:
        expand_downwards(mm, mm.find_vma(0), SPACE.mmap_min_addr - PAGE)
    assert caught.value.errno == errno.EPERM


def test_the_growth_of_a_stack_that_is_only_readable_is_promised_for_good():
    mm = small_mm()
    mm.mmap(at(TOP), PAGE, Prot.READ, FIXED | MapFlag.GROWSDOWN)
    assert mm.find_vma_or_expand(at(TOP - 1)) is not None
    assert (mm.committed, mm.commit.committed) == (0, 1)
    mm.check()
    mm.exit()
    assert mm.commit.committed == 1
