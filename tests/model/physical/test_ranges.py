from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.physical.ranges import intersect, subtract, total, union

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def numbers(ranges):
    return {number for start, end in ranges for number in range(start, end)}


def assert_tidy(ranges):
    """Sorted, none empty, and none touching the next."""
    ends = [end for each in ranges for end in each]
    assert all(before < after for before, after in pairwise(ends))


@given(RANGES)
def test_union_is_that_of_sets(ranges):
    assert numbers(union(ranges)) == numbers(ranges)
    assert_tidy(union(ranges))


@given(RANGES, RANGES)
def test_intersection_is_that_of_sets(left, right):
    assert numbers(intersect(left, right)) == numbers(left) & numbers(right)


@given(RANGES, RANGES)
def test_difference_is_that_of_sets(left, right):
    assert numbers(subtract(left, right)) == numbers(left) - numbers(right)
    assert_tidy(subtract(left, right))
    assert total(subtract(left, right)) == len(numbers(left) - numbers(right))
