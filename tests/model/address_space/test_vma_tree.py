"""The tree beside a sorted list."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.address_space.vma import Vma
from pagewalk.model.address_space.vma_tree import VmaTree
from pagewalk.model.x86 import PAGE_BYTES


@st.composite
def trees(draw):
    bounds = sorted(draw(st.sets(st.integers(1, 40), max_size=12)))
    vmas = [Vma(low, high, 0, 0) for low, high in zip(bounds[::2], bounds[1::2], strict=False)]
    tree = VmaTree()
    for vma in draw(st.permutations(vmas)):
        tree.insert(vma)
    return vmas, tree


@given(trees(), st.integers(0, 42), st.integers(1, 10))
def test_it_finds_what_a_search_through_all_finds(case, address, length):
    vmas, tree = case
    above = [vma for vma in vmas if vma.end > address]
    below = [vma for vma in vmas if vma.end <= address]
    first = above[0] if above else None
    assert list(tree) == vmas
    assert tree.find(address) is first
    assert tree.find_with_previous(address) == (first, below[-1] if below else None)
    holds = first if first and first.start <= address else None
    assert tree.lookup(address) is holds
    end = address + length
    shared = [vma for vma in above if vma.start < end]
    assert tree.overlapping(address, end) == shared
    assert tree.intersection(address, end) is (shared[0] if shared else None)


@given(trees(), st.integers(0, 42))
def test_a_range_without_pages_shares_none(case, address):
    assert case[1].overlapping(address, address) == []


@given(trees(), st.integers(0, 42), st.integers(0, 20))
def test_the_holes_are_what_no_mapping_holds(case, low, length):
    vmas, tree = case
    free = [n for n in range(low, low + length) if not any(v.start <= n < v.end for v in vmas)]
    for holes in (tree.gaps_from_bottom(low, low + length),
                  reversed(list(tree.gaps_from_top(low, low + length)))):
        holes = list(holes)
        assert [n for start, end in holes for n in range(start, end)] == free
        assert all(one[1] < other[0] for one, other in pairwise(holes))


@given(trees())
def test_neighbours_stand_before_and_behind(case):
    vmas, tree = case
    for before, vma, after in zip([None, *vmas], vmas, [*vmas[1:], None], strict=False):
        assert tree.neighbours(vma) == (before, after)


def test_a_mapping_changes_its_bounds_in_the_tree():
    tree = VmaTree()
    vma = Vma(PAGE_BYTES, 3 * PAGE_BYTES, 0, 0)
    tree.insert(vma)
    tree.resize(vma, 2 * PAGE_BYTES, 4 * PAGE_BYTES)
    assert vma in tree
    assert tree.lookup(PAGE_BYTES) is None
    assert tree.lookup(3 * PAGE_BYTES) is vma
    tree.remove(vma)
    assert (len(tree), vma in tree) == (0, False)
