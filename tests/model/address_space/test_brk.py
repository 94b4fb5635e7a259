from pagewalk.model.address_space.limits import Rlimits
from pagewalk.model.address_space.uapi import MapFlag, Prot
from pagewalk.model.address_space.vma import VmFlag

from .small_mm import FIXED, PAGE, RW, SPACE, at, ranges, small_mm

GAP = SPACE.stack_guard_gap // PAGE


def heap(**options):
    mm = small_mm(**options)
    mm.start_brk = mm.brk_end = at(0)
    return mm


def test_the_heap_grows_and_shrinks_by_pages():
    mm = heap()
    assert mm.brk(at(2) + 5) == at(2) + 5
    assert ranges(mm) == [(0, 3)]
    assert mm.brk(at(3)) == at(3)
    assert mm.brk(at(5)) == at(5)
    assert ranges(mm) == [(0, 5)]
    assert mm.brk(at(1)) == at(1)
    assert ranges(mm) == [(0, 1)]
    [(_, gone, *where)] = mm.page_tables.calls
    assert (ranges(gone), where) == ([(1, 5)], [at(1), at(5)])
    assert mm.brk(at(0)) == at(0)
    assert ranges(mm) == []
    mm.check()


def test_it_does_not_go_below_its_start():
    mm = heap()
    mm.brk(at(2))
    assert mm.brk(at(-1)) == at(2)
    assert mm.brk(0) == at(2)


def test_it_keeps_a_page_from_other_mappings():
    mm = heap()
    mm.mmap(at(5), PAGE, RW, FIXED)
    assert mm.brk(at(5)) == at(0)
    assert mm.brk(at(4)) == at(4)


def test_it_keeps_the_guard_gap_from_stacks():
    mm = heap()
    mm.mmap(at(10 + GAP), PAGE, RW, FIXED | MapFlag.GROWSDOWN)
    assert mm.brk(at(10)) == at(0)
    assert mm.brk(at(9)) == at(9)


def test_it_never_joins_what_ends_where_it_starts():
    """Bss stays a mapping of its own, so that a process often shows two of the name heap."""
    mm = heap()
    mm.mmap(at(-2), 2 * PAGE, RW, FIXED)
    mm.brk(at(2))
    assert ranges(mm) == [(-2, 0), (0, 2)]


def test_it_does_not_shrink_over_a_hole_at_its_end():
    mm = heap()
    mm.brk(at(4))
    mm.munmap(at(2), 2 * PAGE)
    assert mm.brk(at(2)) == at(4)
    assert mm.brk(at(1)) == at(1)


def test_a_heap_that_is_gone_does_not_shrink_into_what_is_above():
    mm = heap()
    mm.brk(at(4))
    mm.munmap(at(0), 4 * PAGE)
    mm.mmap(at(4), 2 * PAGE, RW, FIXED)
    mm.mmap(at(8), PAGE, RW, FIXED)
    assert mm.brk(at(1)) == at(4)
    assert ranges(mm) == [(4, 6), (8, 9)]


def test_limits_hold_it_back():
    mm = heap(rlimits=Rlimits(data=4 * PAGE))
    mm.start_data, mm.end_data = 0, PAGE
    assert mm.brk(at(3) + 1) == at(0)
    assert mm.brk(at(3)) == at(3)
    mm = heap(rlimits=Rlimits(address_space=2 * PAGE))
    assert mm.brk(at(3)) == at(0)
    assert mm.brk(at(2)) == at(2)


def test_a_heap_whose_rights_changed_grows_as_a_new_mapping():
    mm = heap()
    mm.brk(at(2))
    mm.mprotect(at(0), 2 * PAGE, Prot.READ)
    mm.brk(at(4))
    assert ranges(mm) == [(0, 2), (2, 4)]


def test_memory_to_come_may_be_locked():
    mm = heap(privileged=True)
    mm.def_flags = VmFlag.LOCKED
    mm.brk(at(2))
    assert mm.locked_vm == 2
    assert mm.page_tables.calls == [("populate", mm.tree.lookup(at(0)), at(0), at(2), True)]
