import errno

import pytest

from pagewalk.model.address_space.errors import SysError

from .small_mm import FIXED, PAGE, RW, SPACE, at, ranges, small_mm, touch


@pytest.fixture
def mm():
    mm = small_mm()
    mm.mmap(at(0), 4 * PAGE, RW, FIXED)
    mm.mmap(at(6), 4 * PAGE, RW, FIXED)
    return mm


@pytest.mark.parametrize(("start", "end", "left"), [
    (0, 4, [(6, 10)]), (0, 1, [(1, 4), (6, 10)]), (3, 4, [(0, 3), (6, 10)]),
    (1, 2, [(0, 1), (2, 4), (6, 10)]), (2, 8, [(0, 2), (8, 10)]), (-2, 20, []),
    (4, 6, [(0, 4), (6, 10)]), (20, 21, [(0, 4), (6, 10)]),
])
def test_a_range_is_cut_out(mm, start, end, left):
    before = mm.total_vm
    mm.munmap(at(start), (end - start) * PAGE)
    assert ranges(mm) == left
    assert before - mm.total_vm == 8 - sum(high - low for low, high in left)
    told = [(name, *where) for name, _, *where in mm.page_tables.calls]
    assert told == ([("unmap", at(start), at(end))] if left != [(0, 4), (6, 10)] else [])
    gone = {page for _, vmas, *_ in mm.page_tables.calls for low, high in ranges(vmas)
            for page in range(low, high)}
    assert gone == {*range(4), *range(6, 10)} & {*range(start, end)}
    mm.check()


@pytest.mark.parametrize(("start", "length"), [
    (at(0) + 1, PAGE), (at(0), 0), (SPACE.task_size, PAGE), (-PAGE, PAGE), (0, 1 << 63)])
def test_a_bad_range_is_refused(mm, start, length):
    with pytest.raises(SysError) as caught:
        mm.munmap(start, length)
    assert caught.value.errno == errno.EINVAL


def test_unmapped_memory_has_no_owner(mm):
    touch(mm, 0)
    owner = mm.tree.lookup(at(0)).anon_vma
    mm.munmap(at(0), 2 * PAGE)
    assert (len(owner.vmas), owner.active_vmas) == (1, 1)
    mm.exit()
    assert (len(owner.vmas), owner.active_vmas, owner.children) == (0, 0, 0)
